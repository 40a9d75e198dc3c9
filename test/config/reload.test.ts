// What a running gateway takes up, and what it refuses without a change.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { assemble, type Assembly } from '../../lib/config/assemble.ts';
import type { GatewayConfig } from '../../lib/config/schema.ts';
import { isKnockError } from '../../lib/errors.ts';
import { virtualClock, type VirtualClock } from '../../lib/testing/clock.ts';
import { memorySource, type MemorySource } from '../../lib/testing/source.ts';
import { parseAddress } from '../../lib/address.ts';
import { accessKeyOf, sharedKeyOf } from '../../lib/scheme/spa-keys.ts';
import { sealSpa, type SealOptions } from '../../lib/scheme/spa-seal.ts';
import { frame } from '../support/frames.ts';
import { OTHER_KEY, OTHER_SECRET, parsed, SECRET, SPA } from './support.ts';

const TEXT = SPA.replace(/key: "[^"]+"/u, 'secret_file: field.key');
const SHARED = sharedKeyOf(Buffer.from(SECRET, 'base64'));
const SOURCE = '203.0.113.9';
const LINE = `portknock-services="ssh",portknock-bind="exact",expiry-time="20301231Z" ${OTHER_KEY} bob\n`;

interface Gateway {
  readonly assembly: Assembly;
  readonly clock: VirtualClock;
  /** Events as lines. */
  readonly said: string[];
  knock(change?: Partial<SealOptions>): Promise<void>;
}

/** A running gateway that opens nothing real. */
async function running(text: string): Promise<Gateway> {
  const clock = virtualClock();
  const source: MemorySource = memorySource();
  const assembly = assemble(await parsed(text), { dryRun: true, source, clock });
  const said: string[] = [];
  const { listener } = assembly;
  listener.on('grant', ({ grant }) => said.push(`grant ${grant.client} ${grant.service} ${grant.source}`));
  listener.on('close', ({ grant, reason }) => said.push(`close ${grant.client} ${grant.service} ${reason}`));
  listener.on('reject', ({ reason }) => said.push(`reject ${reason}`));
  await listener.start();
  let sequence = 0n;
  return {
    assembly,
    clock,
    said,
    async knock(change = {}) {
      sequence += 1n;
      const payload = await sealSpa({
        accessKey: accessKeyOf(Buffer.alloc(32, 0x11)),
        gateway: 'gw.example',
        sender: { suite: 1, key: SHARED },
        counter: (BigInt(clock.now()) << 16n) + sequence,
        services: ['ssh'],
        bind: 'observed',
        claim: null,
        ttlSeconds: 0,
        close: false,
        ...change,
      });
      source.frame(frame({ src: SOURCE, dstPort: 62201, payload }));
      await clock.advance(0);
    },
  };
}

describe('a gateway put together from an SPA configuration', () => {
  it('opens for a sealed datagram, and once', async () => {
    const { assembly, said, knock } = await running(TEXT);
    const counter = 1_700_000_000_000n << 16n;
    await knock({ counter });
    assert.deepEqual(
      (await assembly.driver.list()).map(({ service, source }) => `${service} ${source}`),
      [`ssh ${SOURCE}`],
    );
    await knock({ counter });
    assert.deepEqual(said, [`grant alice ssh ${SOURCE}`, 'reject replayed']);
    await assembly.listener.stop();
  });

  const claim = (text: string, length: number): Partial<SealOptions> => {
    const address = parseAddress(text);
    assert.ok(address !== null);
    return { claim: { address, length }, bind: length === 32 ? 'exact' : 'prefix' };
  };
  const rows: readonly [what: string, settings: string, knock: Partial<SealOptions>, said: string][] = [
    ['opens for a claimed prefix', '', claim('203.0.113.0', 24), 'grant alice ssh 203.0.113.0/24'],
    ['holds a prefix to its usual limit', '', claim('203.0.112.0', 23), 'reject prefix-too-wide'],
    [
      "holds a prefix to the client's own limit",
      'widest_prefix: [20, 48], ',
      claim('203.0.112.0', 23),
      'grant alice ssh 203.0.112.0/23',
    ],
    ['wants a claim from a client bound to one', 'bind: exact, ', {}, 'reject bind-refused'],
    ['opens for what such a client claims', 'bind: exact, ', claim(SOURCE, 32), `grant alice ssh ${SOURCE}`],
    [
      'takes an old knock of a client without a clock',
      'no_clock: true, ',
      { counter: 1_699_999_000_000n << 16n },
      `grant alice ssh ${SOURCE}`,
    ],
    ['refuses an old knock of any other', '', { counter: 1_699_999_000_000n << 16n }, 'reject stale'],
    ['refuses a knock for another gateway', '', { gateway: 'gw2.example' }, 'reject audience'],
    ['refuses a service that the client may not open', '', { services: ['admin'] }, 'reject service-refused'],
    [
      'refuses an access key that it does not have',
      '',
      { accessKey: accessKeyOf(Buffer.from(OTHER_SECRET, 'base64')) },
      '',
    ],
  ];
  for (const [what, settings, change, line] of rows) {
    it(what, async () => {
      const text = TEXT.replace('services: [', `${settings}services: [`).replace(
        '  ssh:',
        '  admin: { port: 8443 }\n  ssh:',
      );
      const { assembly, said, knock } = await running(text);
      await knock(change);
      assert.deepEqual(said, line === '' ? [] : [line]);
      await assembly.listener.stop();
    });
  }

  it('hears both access keys while one replaces the other', async () => {
    const { assembly, said, knock } = await running(TEXT.replace('gateway.key', '[other.key, gateway.key]'));
    await knock();
    await knock({ accessKey: accessKeyOf(Buffer.from(OTHER_SECRET, 'base64')) });
    assert.deepEqual(
      said.filter((line) => line.startsWith('grant')),
      [`grant alice ssh ${SOURCE}`, `grant alice ssh ${SOURCE}`],
    );
    await assembly.listener.stop();
  });

  it('tells the policy what an authorized key is limited to', async () => {
    const { rules } = assemble(
      await parsed(TEXT.replace('clients:', 'authorized_keys: keys\nclients:'), {
        files: { '/gw/keys': { text: LINE } },
      }),
    );
    assert.deepEqual(rules.clients[1], {
      name: 'bob',
      services: ['ssh'],
      bind: 'exact',
      widestPrefix: [24, 56],
      expiresAt: Date.UTC(2030, 11, 31),
    });
  });
});

describe('a reload', () => {
  it('is taken up: a new client knocks, the old grants stay, and what was used stays used', async () => {
    const { assembly, said, knock } = await running(TEXT);
    const counter = 1_700_000_000_000n << 16n;
    await knock({ counter });
    const more = `${TEXT}  bob: { scheme: spa, secret: ${OTHER_SECRET}, services: [ssh] }\n`;
    await assembly.reload(await parsed(more.replace('clients:', 'open_for: 5s\nclients:')));
    assert.equal(assembly.listener.grants.length, 1);
    await knock({ counter });
    await knock({ sender: { suite: 1, key: sharedKeyOf(Buffer.from(OTHER_SECRET, 'base64')) } });
    assert.deepEqual(said, [
      `grant alice ssh ${SOURCE}`,
      'reject replayed',
      'close alice ssh superseded',
      `grant bob ssh ${SOURCE}`,
    ]);
    await assembly.listener.stop();
  });

  it('takes from a client what it may no longer open', async () => {
    const { assembly, said, knock } = await running(TEXT);
    await knock();
    await assembly.reload(await parsed(TEXT.replace(/clients:[^]*/u, 'clients: {}\n')));
    await knock();
    assert.deepEqual(said, [`grant alice ssh ${SOURCE}`, 'close alice ssh revoked']);
    await assembly.listener.stop();
  });

  const line = (key: string): string => `${key} cannot change while portknockd runs (restart it)`;
  const rows: readonly [what: string, change: (text: string) => string, lines: readonly string[]][] = [
    ['another interface', (text) => text.replace('eth0', 'eth1'), [line('interface')]],
    ['a socket', (text) => text.replace('interface: eth0', 'socket: 62201'), [line('interface')]],
    ['another state_dir', (text) => `${text}state_dir: elsewhere\n`, [line('state_dir')]],
    ['another firewall', (text) => `${text}firewall: mock\n`, [line('firewall')]],
    ['another backend', (text) => `${text}firewall_backend: nft\n`, [line('firewall_backend')]],
    ['another protection', (text) => `${text}protect: false\n`, [line('protect')]],
    ['other metrics', (text) => `${text}metrics: { listen: 127.0.0.1:9469 }\n`, [line('metrics')]],
    [
      'all of that',
      (text) =>
        `${text.replace('eth0', 'any')}state_dir: x\nfirewall: mock\nfirewall_backend: nft\nprotect: drop\n`,
      ['interface', 'state_dir', 'firewall', 'firewall_backend', 'protect'].map(line),
    ],
  ];
  for (const [what, change, lines] of rows) {
    it(`is refused for ${what}, and nothing changes`, async () => {
      const { assembly, said, knock } = await running(TEXT);
      const next = change(TEXT.replace('alice:', 'eve:'));
      await assert.rejects(parsed(next).then(assembly.reload), (error) => {
        assert.ok(isKnockError(error) && error.code === 'ERR_CONFIG');
        assert.deepEqual(error.message.split('\n'), lines);
        return true;
      });
      await knock();
      assert.deepEqual(said, [`grant alice ssh ${SOURCE}`]);
      await assembly.listener.stop();
    });
  }

  it('is refused for nothing that docs/upgrading.md leaves out', () => {
    const [, named = ''] = /what needs a restart it names[^:]*:\n([^]*?)\n\n/u.exec(
      readFileSync('docs/upgrading.md', 'utf8'),
    )!;
    const keys = rows.flatMap(([, , lines]) => lines.map((each) => each.split(' ', 1)[0]!));
    assert.deepEqual(
      keys.filter((key) => !named.includes(`\`${key}\``)),
      [],
    );
  });

  it('is refused for other ports of a socket', async () => {
    const text = TEXT.replace('interface: eth0', 'socket: 62201');
    const { assembly } = await running(text);
    const others = await parsed(text.replace('socket: 62201', 'socket: 62200-62201'));
    await assert.rejects(assembly.reload(others), { code: 'ERR_CONFIG', message: line('socket') });
    await assembly.listener.stop();
  });

  it('takes up another name, knock port and access key', async () => {
    const { assembly, said, knock } = await running(TEXT);
    const next: GatewayConfig = await parsed(
      TEXT.replace('gateway: gw.example', 'gateway: gw2.example').replace('gateway.key', 'other.key'),
    );
    await assembly.reload(next);
    await knock();
    await knock({ gateway: 'gw2.example', accessKey: accessKeyOf(Buffer.from(OTHER_SECRET, 'base64')) });
    assert.deepEqual(said, [`grant alice ssh ${SOURCE}`]);
    await assembly.listener.stop();
  });

  it('is refused by a gateway that does not run', async () => {
    const assembly = assemble(await parsed(TEXT), { dryRun: true, source: memorySource() });
    await assert.rejects(assembly.reload(await parsed(TEXT)), { code: 'ERR_LISTENER_STATE' });
  });
});
