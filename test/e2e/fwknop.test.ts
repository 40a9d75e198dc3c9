// The real fwknop client in a namespace against our gateway, and our client against the real fwknopd: packets on a wire,
// rules in a kernel. PORTKNOCK_SLOW=1 sends fwknopd every digest under every HMAC and mode.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { importFwknop } from '../../lib/config/fwknop-load.ts';
import { HASH_NAMES, type HashName } from '../../lib/crypto/hashes.ts';
import { formatProfile, type FwknopProfile } from '../../lib/knocker/profile.ts';
import { ENCRYPTION_MODES, type EncryptionMode } from '../../lib/scheme/fwknop-cipher.ts';
import { startAgent, type Agent } from '../support/agent.ts';
import { createWorld, type World } from '../support/netns.ts';
import { FwknopStage } from './fwknop-stage.ts';
import { describeInNamespaces, pause, until } from './support.ts';

const isSlow = process.env.PORTKNOCK_SLOW === '1';
const KEY = Buffer.alloc(32, 'the phone');
const HMAC_KEY = Buffer.alloc(64, "the phone's other");
const OTHER = Buffer.alloc(32, 'the tablet');
const OTHER_HMAC = Buffer.alloc(32, "the tablet's other");
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const PHONE = ['--key-base64-rijndael', base64(KEY), '--key-base64-hmac', base64(HMAC_KEY)];

for (const backend of ['nft', 'nftables'] as const) {
  describeInNamespaces(`the real fwknop client (${backend})`, function () {
    this.timeout(60_000);
    let stage: FwknopStage;

    before(async () => {
      const keys = (key: Buffer, hmac: Buffer): string =>
        `scheme: fwknop, key_base64: ${base64(key)}, hmac_key_base64: ${base64(hmac)}`;
      stage = await FwknopStage.open(({ device }) =>
        [
          ...[`interface: ${device}`, 'state_dir: state'],
          ...(backend === 'nftables'
            ? ['firewall: nftables']
            : [`firewall: iptables`, `firewall_backend: nft`]),
          'services: { ssh: { port: 22 } }',
          'open_for: 30s',
          'clients:',
          `  phone: { ${keys(KEY, HMAC_KEY)}, services: [ssh] }`,
          `  tablet: { ${keys(OTHER, OTHER_HMAC)}, hmac_digest: sha512, encryption_mode: ctr, services: [ssh] }`,
          '',
        ].join('\n'),
      );
    });

    after(() => stage.close());

    const packet = (): string => join(stage.site.folder, 'packet');
    /** Its packet stays in the file. */
    const fwknop = (more: readonly string[] = [], [key, hmac] = [KEY, HMAC_KEY]): Promise<void> =>
      stage.fwknop(
        ...['-B', packet(), '--key-base64-rijndael', base64(key), '--key-base64-hmac', base64(hmac)],
        ...more,
      );
    const connect = (source?: string): Promise<string> => stage.connect(source);
    const grants = (): number => stage.gateway.of('grant').length;
    const refusal = (act: () => Promise<void>): Promise<string> => stage.refusal(act);

    it('opens for one connection, from its own address, as it is told', async () => {
      assert.equal(await connect(), 'refused');
      const count = grants() + 1;
      await fwknop();
      const grant = await stage.gateway.wait('grant', { count });
      assert.deepEqual([grant.client, grant.service, grant.source], ['phone', 'ssh', stage.world.client[4]]);
      assert.equal(await connect(stage.world.stranger[4]), 'refused');
      assert.equal(await connect(), 'talks');
      assert.equal(await connect(), 'refused');
    });

    it('opens with other keys, another HMAC and another mode, from the same address', async () => {
      const count = grants() + 1;
      await fwknop(['--hmac-digest-type', 'sha512', '-M', 'ctr', '-s'], [OTHER, OTHER_HMAC]);
      assert.equal((await stage.gateway.wait('grant', { count })).client, 'tablet');
      assert.equal(await connect(), 'talks');
    });

    it('opens for as long as it asks', async () => {
      const count = grants() + 1;
      await fwknop(['-f', '20']);
      const { open_until: until, time } = await stage.gateway.wait('grant', { count });
      const ms = Date.parse(String(until)) - Date.parse(time);
      assert.ok(ms > 10_000 && ms <= 20_000, `${ms} ms`);
      assert.equal(await connect(), 'talks');
    });

    it('opens nothing with the packet of a knock that was used', async () => {
      const before = grants();
      await fwknop();
      await stage.gateway.wait('grant', { count: before + 1 });
      const { stdout } = await stage.world.outside.run('base64', ['-w0', packet()]);
      const text = Buffer.from(stdout, 'base64').toString('latin1').trimEnd();
      assert.equal(await connect(), 'talks');
      const packets = [{ host: stage.world.address[4], port: 62_201, payload: base64(Buffer.from(text)) }];
      assert.equal(
        await refusal(async () => {
          await stage.outside.datagrams({ packets, source: stage.world.client[4] });
        }),
        'replayed phone -',
      );
      assert.equal(grants(), before + 1);
      assert.equal(await connect(), 'refused');
    });

    it('is told apart when it asks for what it may not have', async () => {
      assert.equal(await refusal(() => fwknop(['-A', 'tcp/23'])), 'port-refused phone tcp/23');
      assert.equal(
        await refusal(() => fwknop(['-a', stage.world.stranger[4]])),
        `source-mismatch phone ${stage.world.stranger[4]}`,
      );
      assert.equal(await refusal(() => fwknop(['-C', '/bin/true'])), 'command-refused phone -');
      assert.equal(await refusal(() => fwknop(['-M', 'cfb'])), 'decrypt-failed phone -');
      assert.equal(await refusal(() => fwknop([], [KEY, OTHER])), 'hmac-mismatch - -');
      assert.equal(await connect(), 'refused');
    });
  });
}

describeInNamespaces(
  'the real fwknop client at a gateway with a socket, before a host behind it',
  function () {
    this.timeout(60_000);
    const inner = '10.78.0.5';
    let stage: FwknopStage;

    before(async () => {
      const keys = `key_base64: ${base64(KEY)}, hmac_key_base64: ${base64(HMAC_KEY)}`;
      const config = [
        ...['socket: 62201', 'state_dir: state', 'firewall: nftables'],
        `services: { nas: { port: 2222, to: ${inner}:22 } }`,
        `clients: { phone: { scheme: fwknop, ${keys}, nat: true, services: [nas] } }\n`,
      ];
      stage = await FwknopStage.open(() => config.join('\n'), { behind: true });
    });

    after(() => stage.close());

    const fwknop = (target: string): Promise<void> => stage.fwknop('-A', 'tcp/2222', '-N', target, ...PHONE);
    const connect = (): Promise<string> => stage.connect(stage.world.client[4], 2222);

    it('is let through to just where the service is, by a NAT message', async () => {
      assert.equal(await connect(), 'refused');
      await fwknop(`${inner}:22`);
      assert.equal((await stage.gateway.wait('grant')).client, 'phone');
      assert.equal(await connect(), 'talks');
      assert.equal(await connect(), 'refused');
      assert.equal(await stage.refusal(() => fwknop(`${inner}:23`)), `nat-refused phone ${inner}:23`);
      assert.equal(await connect(), 'refused');
    });
  },
);

describeInNamespaces('the real fwknop client at what its access.conf became', function () {
  this.timeout(60_000);
  let stage: FwknopStage;

  before(async () => {
    stage = await FwknopStage.open(async ({ client, device }, { folder }) => {
      const access = join(folder, 'access.conf');
      const stanzas = [
        ...[`SOURCE ${client[4]}`, 'OPEN_PORTS tcp/22', 'REQUIRE_SOURCE_ADDRESS Y', 'REQUIRE_USERNAME phone'],
        ...[`KEY_BASE64 ${base64(KEY)}`, `HMAC_KEY_BASE64 ${base64(HMAC_KEY)}`, 'FW_ACCESS_TIMEOUT 20'],
        ...['SOURCE ANY', 'OPEN_PORTS tcp/22', 'KEY a passphrase with blanks', 'HMAC_KEY another one'],
        ...['ENCRYPTION_MODE ofb', 'HMAC_DIGEST_TYPE sha3_256', 'REQUIRE_USERNAME tablet'],
      ];
      await writeFile(access, stanzas.join('\n'), { mode: 0o600 });
      const { text } = await importFwknop(access, { interface: device, stateDir: 'state' });
      // There are no rules in this namespace that close the port.
      return text.replace('protect: false', 'protect: true');
    });
  });

  after(() => stage.close());

  const TABLET = [
    ...['--key-rijndael', 'a passphrase with blanks', '--key-hmac', 'another one'],
    ...['-M', 'ofb', '--hmac-digest-type', 'sha3_256'],
  ];

  for (const [client, keys] of [
    ['phone', PHONE],
    ['tablet', TABLET],
  ] as const) {
    it(`opens for its keys (${client})`, async () => {
      assert.equal(await stage.connect(), 'refused');
      const count = stage.gateway.of('grant').length + 1;
      await stage.fwknop(...keys);
      const grant = await stage.gateway.wait('grant', { count });
      assert.deepEqual([grant.client, grant.service, grant.source], [client, 'ssh', stage.world.client[4]]);
      const ms = Date.parse(String(grant.open_until)) - Date.parse(grant.time);
      assert.ok(ms > 10_000 && ms <= 20_000, `${ms} ms`);
      assert.equal(await stage.connect(), 'talks');
    });
  }

  it('keeps to its limits: an address must be named, and be that of its source', async () => {
    const { world, outside } = stage;
    const stranger = world.stranger[4];
    const elsewhere = ['-a', stranger];
    assert.equal(
      await stage.refusal(() => stage.fwknop('-a', '0.0.0.0', ...PHONE)),
      'source-mismatch phone 0.0.0.0',
    );
    const named = await stage.refusal(() => stage.fwknop(...elsewhere, ...TABLET));
    assert.equal(named, `source-mismatch tablet ${stranger}`);
    const file = join(stage.site.folder, 'packet');
    // Without sending it.
    await stage.fwknop('-T', '-B', file, ...elsewhere, ...PHONE);
    const payload = base64(Buffer.from((await readFile(file, 'latin1')).trimEnd(), 'latin1'));
    const packets = [{ host: world.address[4], port: 62_201, payload }];
    const sent = await stage.refusal(() => outside.datagrams({ packets, source: stranger }));
    assert.equal(sent, 'source-refused phone -');
    assert.equal(await stage.connect(stranger), 'refused');
  });
});

/** A stanza of fwknopd with keys of its own, and the knocks that are sent to it. */
interface Stanza {
  readonly mode: EncryptionMode;
  readonly hmac: HashName | null;
  readonly key: Buffer;
  readonly hmacKey: Buffer | null;
  readonly knocks: readonly { readonly digest: HashName; readonly port: number }[];
}

function stanzas(): readonly Stanza[] {
  let port = 30_000;
  const combinations = ENCRYPTION_MODES.flatMap((mode) =>
    // As fwknop's own client has it.
    (mode === 'legacy' ? [null] : [...HASH_NAMES, null]).map((hmac) => ({ mode, hmac })),
  );
  return combinations.map(({ mode, hmac }, index) => {
    const digests = isSlow ? HASH_NAMES : [HASH_NAMES[index % HASH_NAMES.length] ?? 'md5'];
    return {
      ...{ mode, hmac, key: randomBytes(mode === 'legacy' ? 16 : 1 + (index % 32)) },
      hmacKey: hmac === null ? null : randomBytes(1 + ((index * 7) % 128)),
      knocks: digests.map((digest) => ({ digest, port: (port += 1) })),
    };
  });
}

describeInNamespaces('our client at the real fwknopd', function () {
  this.timeout(300_000);
  const all = stanzas();
  let world: World;
  let outside: Agent;
  let folder: string;
  let daemon: ChildProcess;

  before(async () => {
    world = await createWorld();
    outside = await startAgent(world.outside);
    folder = await mkdtemp(join(tmpdir(), 'portknock-fwknopd-'));
    const file = (name: string): string => join(folder, name);
    const write = (name: string, lines: readonly string[]): Promise<void> =>
      writeFile(file(name), `${lines.join('\n')}\n`, { mode: 0o600 });
    await mkdir(file('run'));
    await write('access.conf', all.flatMap(stanzaLines));
    await write('fwknopd.conf', [
      ...[`PCAP_INTF ${world.device};`, `FWKNOP_RUN_DIR ${file('run')};`, 'PCAP_LOOP_SLEEP 1000;'],
      ...[`FWKNOP_PID_FILE ${file('fwknopd.pid')};`, `DIGEST_FILE ${file('digest')};`],
    ]);
    daemon = world.gateway.spawn('fwknopd', ['-f', '-c', file('fwknopd.conf'), '-a', file('access.conf')], {
      stdio: 'ignore',
    });
    await until('fwknopd listens', async () => {
      if (daemon.exitCode !== null) throw new Error('fwknopd did not start');
      return sniffs();
    });
  });

  after(async () => {
    if (daemon.exitCode === null && daemon.signalCode === null) {
      const gone = once(daemon, 'exit');
      daemon.kill('SIGTERM');
      await gone;
    }
    await outside.stop();
    await world.destroy();
    await rm(folder, { recursive: true });
  });

  const sniffs = async (): Promise<boolean> => {
    const list = await world.gateway.must('cat', ['/proc/net/packet']);
    return list.trim().split('\n').length > 1;
  };

  function profileOf(
    { mode, hmac, key, hmacKey }: Stanza,
    { digest, port }: { readonly digest: HashName; readonly port: number },
  ): FwknopProfile {
    return {
      ...{ host: world.address[4], client: 'alice', scheme: 'fwknop', services: { it: port } },
      ...{ port: 62_201, user: 'alice', key, hmacKey, encryptionMode: mode, hmacDigest: hmac ?? 'sha256' },
      ...{
        digest,
        source: port % 2 === 0 ? 'exact' : 'observed',
        timeoutSeconds: port % 3 === 0 ? 600 : null,
      },
    };
  }

  /** The ports that are open for the client. */
  async function opened(): Promise<ReadonlySet<number>> {
    const { stdout } = await world.gateway.run('iptables', ['-S', 'FWKNOP_INPUT']);
    const lines = stdout.split('\n').filter((line) => line.includes(`-s ${world.client[4]}/32 `));
    return new Set(lines.map((line) => Number(/--dport (\d+)/u.exec(line)?.[1])));
  }

  it(`opens ports by ${all.flatMap(({ knocks }) => knocks).length} knocks of every mode and HMAC`, async () => {
    const missing: string[] = [];
    for (const stanza of all) {
      for (const knock of stanza.knocks) {
        await outside.knock({ profile: formatProfile(profileOf(stanza, knock)) });
        const deadline = Date.now() + 20_000;
        let open = false;
        while (!open && Date.now() < deadline) {
          open = (await opened()).has(knock.port);
          if (!open) await pause(20);
        }
        if (!open) missing.push(`${stanza.mode} ${stanza.hmac ?? 'none'} ${knock.digest}`);
      }
    }
    assert.deepEqual(missing, []);
    process.stdout.write(`    fwknopd: ${(await opened()).size} ports opened by our knocks\n`);
  });
});

function stanzaLines({ mode, hmac, key, hmacKey, knocks }: Stanza): string[] {
  return [
    'SOURCE ANY',
    `OPEN_PORTS ${knocks.map(({ port }) => `tcp/${port}`).join(', ')}`,
    `KEY_BASE64 ${base64(key)}`,
    ...(hmacKey === null || hmac === null
      ? []
      : [`HMAC_KEY_BASE64 ${base64(hmacKey)}`, `HMAC_DIGEST_TYPE ${hmac}`]),
    `ENCRYPTION_MODE ${mode === 'legacy' ? mode : mode.toUpperCase()}`,
    'FW_ACCESS_TIMEOUT 600',
    'MAX_FW_TIMEOUT 900',
    '',
  ];
}
