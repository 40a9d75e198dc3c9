// portknockd as two processes on a real kernel: who runs as what, that it opens as it always did, and that the ports stay
// closed whichever of the processes dies (docs/privileges.md).

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, readdir, readFile, readlink, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { askDaemon } from '../../cli/control-client.ts';
import { startAgent, type Agent } from '../support/agent.ts';
import { Gateway, Site } from '../support/gateway.ts';
import { createWorld, type World } from '../support/netns.ts';
import { SpaClient } from '../support/spa-client.ts';
import { granted, isLate } from './granted.ts';
import { describeInNamespaces, pause, until } from './support.ts';

/** An account that every Debian has, and that runs nothing. */
const USER = { name: 'daemon', uid: 1 };
const NOBODY = 65_534;
const ACCESS_KEY = Buffer.alloc(32, 1);
const SECRET = Buffer.alloc(32, 2);
/** Each good once, in turn, and marked then in a file of root's. */
const SEQUENCES = [
  [7001, 8002, 9003, 7104, 8105],
  [7301, 8202, 9103, 7404, 8505],
];

for (const backend of ['nft', 'nftables'] as const) {
  describeInNamespaces(`a gateway in two halves (${backend === 'nft' ? 'iptables' : backend})`, function () {
    this.timeout(180_000);
    let world: World;
    let inside: Agent;
    let outside: Agent;
    let site: Site;
    let gateway: Gateway;
    let client: SpaClient;

    before(async () => {
      world = await createWorld();
      [inside, outside] = await Promise.all([startAgent(world.gateway), startAgent(world.outside)]);
      for (const port of [22, 2222]) await inside.echo({ port });
      site = await Site.create(world, yaml());
      await writeFile(join(site.folder, 'sequences'), sequences(0), { mode: 0o600 });
      await chmod(site.folder, 0o711);
      client = clientOn(port);
      gateway = await Gateway.start(world, site);
    });

    after(async () => {
      await gateway.end('SIGKILL');
      await Promise.all([inside.stop(), outside.stop()]);
      await world.destroy();
      await site.remove();
    });

    let port = 62_201;
    let openFor = 60;
    const yaml = (more = '', services = 'ssh'): string =>
      [
        ...(backend === 'nft' ? ['firewall: iptables', 'firewall_backend: nft'] : ['firewall: nftables']),
        `user: ${USER.name}`,
        `knock_port: ${port}`,
        `access_key: "${ACCESS_KEY.toString('base64')}"`,
        `services: { ssh: { port: 22 }${more} }`,
        `open_for: ${openFor}s`,
        'clients:',
        `  alice: { scheme: spa, secret: "${SECRET.toString('base64')}", services: [${services}] }`,
        '  old: { scheme: sequence-list, sequences_file: sequences, services: [ssh] }',
        '',
      ].join('\n');
    const clientOn = (knockPort: number): SpaClient =>
      new SpaClient({
        agent: outside,
        host: world.address[4],
        accessKey: ACCESS_KEY,
        secret: SECRET,
        port: knockPort,
      });
    const rewrite = (text: string): Promise<void> =>
      site.write(`gateway: gw.example\ninterface: ${world.device}\nstate_dir: state\n${text}`);
    const connect = async (port = 22, source = world.client[4]): Promise<string> =>
      (await outside.connect({ host: world.address[4], port, source })).outcome;
    const opens = async (services = ['ssh']): Promise<void> => {
      await granted(gateway, async () => client.send(await client.fresh(services)), services.length);
    };
    const reloads = async (): Promise<void> => {
      const count = gateway.of('reload').length + 1;
      process.kill(gateway.pid, 'SIGHUP');
      await gateway.wait('reload', { count });
    };

    it('opens for one connection from the source of the knock', async () => {
      assert.equal(await connect(), 'refused');
      await opens();
      assert.equal(await connect(22, world.stranger[4]), 'refused');
      assert.equal(await connect(), 'talks');
      assert.equal(await connect(), 'refused');
      assert.equal((await gateway.wait('close')).reason, 'used');
    });

    it('marks a sequence that was used in a file that is root’s alone', async () => {
      let used = 0;
      const { client } = await granted(gateway, async () => {
        for (const knock of SEQUENCES[used] ?? []) assert.equal(await connect(knock), 'refused');
        used += 1;
      });
      assert.equal(client, 'old');
      const file = join(site.folder, 'sequences');
      assert.equal(await readFile(file, 'utf8'), sequences(used));
      const { uid, mode } = await stat(file);
      assert.deepEqual([uid, mode & 0o777], [0, 0o600]);
      assert.equal(await connect(), 'talks');
    });

    it('has no root where packets are read and keys are kept', async () => {
      // At the turn of an hour two capture for some seconds.
      const { verifier, captures } = await until('one process captures', async () => {
        const halves = await halvesOf(gateway.pid);
        return halves.captures.length === 1 ? halves : null;
      });
      for (const [pid, uid] of [[verifier, USER.uid] as const, [captures[0] ?? 0, NOBODY] as const]) {
        const status = await readFile(`/proc/${pid}/status`, 'latin1');
        assert.match(status, new RegExp(`^Uid:${`\\t${uid}`.repeat(4)}$`, 'mu'), String(uid));
        assert.match(status, /^Groups:\s*$/mu);
        for (const set of ['CapPrm', 'CapEff', 'CapInh', 'CapAmb'])
          assert.match(status, new RegExp(`^${set}:\\t0{16}$`, 'mu'), `${set} of uid ${uid}`);
      }
      const status = await readFile(`/proc/${verifier}/status`, 'latin1');
      assert.match(status, /^NoNewPrivs:\t1$/mu);
      assert.match(status, /^CapBnd:\t0{16}$/mu);
    });

    it('names the half that hears signals when it is asked how it is', async () => {
      const status = await askDaemon(join(site.folder, 'state'), { command: 'status' });
      assert.equal((status as { readonly pid?: unknown } | null)?.pid, gateway.pid);
    });

    it('keeps no file of root open there, and no socket of the firewall', async () => {
      const { verifier } = await halvesOf(gateway.pid);
      for (const name of await readdir(`/proc/${verifier}/fd`)) {
        const place = `/proc/${verifier}/fd/${name}`;
        const link = await readlink(place).catch(() => 'gone');
        if (/^(?:pipe|socket|anon_inode|\/dev\/null|gone)/u.test(link)) continue;
        const uid = await stat(place).then(
          (file) => file.uid,
          (error: unknown) => (existsSync(place) ? Promise.reject(error as Error) : USER.uid),
        );
        assert.equal(uid, USER.uid, link);
      }
      const netlink = await readFile(`/proc/${verifier}/net/netlink`, 'latin1');
      assert.deepEqual(
        netlink.split('\n').filter((row) => row.trim().split(/\s+/u)[2] === String(verifier)),
        [],
      );
      assert.deepEqual(
        (
          await Promise.all(['.', 'replay', 'grants'].map((name) => stat(join(site.folder, 'state', name))))
        ).map(({ uid, mode }) => [uid, mode & 0o077]),
        [
          [USER.uid, 0],
          [USER.uid, 0],
          [USER.uid, 0],
        ],
      );
    });

    it('captures again when the capture process was killed', async () => {
      for (const capture of (await halvesOf(gateway.pid)).captures) process.kill(capture, 'SIGKILL');
      const runs = (): boolean =>
        gateway.of('warning').some(({ message }) => /runs again/u.test(String(message)));
      await until('it captures again', runs);
      await opens();
      assert.equal(await connect(), 'talks');
    });

    it('takes a service up, and lets it go, at a reload', async () => {
      await rewrite(yaml(', extra: { port: 2222 }', 'ssh, extra'));
      await reloads();
      assert.equal(await connect(2222), 'refused');
      await opens(['ssh', 'extra']);
      assert.equal(await connect(2222), 'talks');
      assert.equal(await connect(), 'talks');
      await rewrite(yaml());
      await reloads();
      await opens();
      assert.equal(await connect(), 'talks');
      assert.deepEqual(
        gateway.of('error').filter((event) => !isLate(event)),
        [],
      );
    });

    it('changes its filter at a reload, and hears on', async () => {
      port = 62_300;
      await rewrite(yaml());
      await reloads();
      client = clientOn(port);
      await opens();
      assert.equal(await connect(), 'talks');
    });

    it('refuses a file that is wrong, with its line, and goes on', async () => {
      await rewrite(yaml(', ssh2: { port: 22 }'));
      const count = gateway.of('error').length + 1;
      process.kill(gateway.pid, 'SIGHUP');
      assert.match(String((await gateway.wait('error', { count })).message), /portknockd\.yaml:\d+:\d+: /u);
      await rewrite(yaml());
      await opens();
      assert.equal(await connect(), 'talks');
    });

    const deaths: readonly [title: string, whom: (halves: Halves) => number][] = [
      ['the half that reads packets', ({ verifier }) => verifier],
      ['the half with root', () => gateway.pid],
    ];
    for (const [title, whom] of deaths) {
      it(`ends whole when ${title} was killed; the next start goes on with what is open`, async () => {
        await opens();
        const halves = await halvesOf(gateway.pid);
        process.kill(whom(halves), 'SIGKILL');
        await gone([gateway.pid, halves.verifier, ...halves.captures]);
        assert.equal(await connect(22, world.stranger[4]), 'refused');
        gateway = await Gateway.start(world, site);
        assert.equal(await connect(), 'talks', 'the opening of before');
        assert.equal(await connect(), 'refused');
      });
    }

    // Of nftables: gateway.test.ts, with one process.
    if (backend === 'nft')
      it('lets what is open end on time when both halves were killed', async () => {
        openFor = 3;
        await rewrite(yaml());
        await reloads();
        await opens();
        const granted = Date.now();
        const halves = await halvesOf(gateway.pid);
        // Or the one that is left could be gone before its turn.
        process.kill(gateway.pid, 'SIGSTOP');
        for (const pid of [halves.verifier, gateway.pid]) process.kill(pid, 'SIGKILL');
        await gone([gateway.pid, halves.verifier, ...halves.captures]);
        await pause(granted + openFor * 1000 + 1000 - Date.now());
        assert.equal(await connect(), 'refused');
        gateway = await Gateway.start(world, site);
      });

    // A second is enough, unless the machine stands still.
    it('stops soon, as it is told, and leaves no process', async () => {
      const pids = await halvesOf(gateway.pid);
      assert.ok((await gateway.end('SIGTERM')) < 10_000);
      await gone([gateway.pid, pids.verifier, ...pids.captures]);
      assert.equal((await gateway.wait('stop')).reason, 'SIGTERM');
      assert.equal(await connect(), 'refused');
    });
  });
}

/** The file when so many are used. */
function sequences(used: number): string {
  return SEQUENCES.map((ports, i) => `${i < used ? '#' : ' '}${ports.join(',')}\n`).join('');
}

interface Halves {
  readonly verifier: number;
  readonly captures: readonly number[];
}

async function halvesOf(warden: number): Promise<Halves> {
  const text = await readFile(`/proc/${warden}/task/${warden}/children`, 'latin1');
  const found: { verifier: number; captures: number[] } = { verifier: 0, captures: [] };
  for (const pid of text.trim().split(/\s+/u).map(Number)) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
    if (line.includes('--verifier')) found.verifier = pid;
    if (line.includes('capture-child')) found.captures.push(pid);
  }
  assert.notEqual(found.verifier, 0);
  return found;
}

async function gone(pids: readonly number[]): Promise<void> {
  const alive = async (pid: number): Promise<boolean> =>
    readFile(`/proc/${pid}/stat`, 'latin1').then(
      (text) => !/\) [ZX] /u.test(text),
      () => false,
    );
  await until(`${pids.join(' ')} are gone`, async () => !(await Promise.all(pids.map(alive))).includes(true));
}
