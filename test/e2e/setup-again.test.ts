// Another list of services while grants are open and connections are up, on a real kernel: what stays stays, what goes
// is given back to the host, and there is no instant at which a port is open for everyone.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Grant, Service } from '../../lib/firewall/driver.ts';
import { startAgent, type Agent } from '../support/agent.ts';
import { createWorld, type World } from '../support/netns.ts';
import { dropped } from './connection.ts';
import { describeInNamespaces, pause } from './support.ts';

const ssh: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 60_000, connections: 1 };
const web: Service = { name: 'web', protocol: 'tcp', port: 443, openForMs: 60_000, connections: 2 };
const any: Service = { ...ssh, name: 'any', port: 8080, connections: 'unlimited' };
/** Holds client and stranger. */
const PREFIX = { 4: '10.77.0.0/29', 6: 'fd77::/125' };
/** One more address outside, which it does not hold. */
const BEYOND = { 4: '10.77.0.9', 6: 'fd77::9' };

for (const backend of ['legacy', 'nft'] as const) {
  describeInNamespaces(`a second set-up (iptables-${backend})`, function () {
    this.timeout(300_000);
    let folder: string;
    let broken: string;
    let world: World;
    let gateway: Agent;
    let outside: Agent;

    before(async () => {
      folder = mkdtempSync(join(tmpdir(), 'portknock-again-'));
      broken = join(folder, 'broken');
      world = await createWorld();
      outside = await startAgent(world.outside);
      await world.outside.must('ip', ['addr', 'add', `${BEYOND[4]}/24`, 'dev', 'out0']);
      const unasked = ['preferred_lft', '0', 'nodad'];
      await world.outside.must('ip', ['-6', 'addr', 'add', `${BEYOND[6]}/64`, 'dev', 'out0', ...unasked]);
      // A program that stands before the real one, and fails while there is a file `broken`.
      const program = `ip6tables-${backend}-restore`;
      const script = `#!/bin/sh\n[ -e '${broken}' ] && echo 'told to fail' >&2 && exit 1\nexec /usr/sbin/${program} "$@"\n`;
      writeFileSync(join(folder, program), script, { mode: 0o755 });
      const { PATH = '' } = process.env;
      process.env.PATH = `${folder}:${PATH}`;
      gateway = await startAgent(world.gateway);
      process.env.PATH = PATH;
      for (const { port } of [ssh, web, any]) await gateway.echo({ port });
    });

    afterEach(() => gateway.teardown(null));

    after(async () => {
      await Promise.all([gateway.stop(), outside.stop()]);
      await world.destroy();
      rmSync(folder, { recursive: true });
    });

    const setup = (...services: readonly Service[]): Promise<null> => gateway.setup({ backend, services });
    const grant = (service: Service, source: string): Grant => ({
      ...{ id: 'test', client: 'test', source, service: service.name, protocol: service.protocol },
      ...{ port: service.port, openUntil: Date.now() + service.openForMs, connections: service.connections },
    });
    /** The rules of both families. */
    const rules = async (): Promise<string[]> => {
      const texts = await Promise.all(
        ['iptables', 'ip6tables'].map((name) => world.gateway.must(`${name}-${backend}-save`, [])),
      );
      return texts.flatMap((text) =>
        text.split('\n').filter((line) => /^-A .*(?:PORTKNOCK|PK-)/u.test(line)),
      );
    };

    for (const family of [4, 6] as const) {
      const connect = async (port = 22, source = world.client[family]): Promise<string> =>
        (await outside.connect({ host: world.address[family], port, source })).outcome;
      const session = async (port = 22): Promise<(when: string) => Promise<void>> => {
        const { id, outcome } = await outside.connect({ host: world.address[family], port });
        assert.equal(outcome, 'talks');
        return async (when) => assert.equal(await outside.talk({ id }), true, when);
      };

      it(`keeps a connection that came through a grant, whatever becomes of its service (IPv${family})`, async () => {
        await setup(ssh, web);
        await gateway.open(grant(ssh, PREFIX[family]));
        const lives = await session();
        for (const [when, services] of [
          ['the same services', [ssh, web]],
          ['another order and time', [web, { ...ssh, openForMs: 5000 }]],
          ['another number of connections', [{ ...ssh, connections: 'unlimited' }, web]],
          ['without its service', [web]],
          ['with its service again', [ssh, web, any]],
          ['under another name', [{ ...ssh, name: 'shell' }]],
          ['without any service', []],
          ['with its service once more', [ssh]],
        ] as const) {
          await setup(...services);
          await lives(when);
        }
      });

      it(`honours an unspent grant of a service that stays, for what is left of it (IPv${family})`, async () => {
        for (const source of [world.client[family], PREFIX[family]]) {
          await setup(ssh, web);
          for (const service of [ssh, web]) await gateway.open(grant(service, source));
          assert.equal(await connect(443), 'talks', 'the first of two');
          await setup(any, web, { ...ssh, openForMs: 30_000 });
          assert.equal(await connect(443, BEYOND[family]), 'refused', 'from another source');
          assert.equal(await connect(8080), 'refused', 'to the new service');
          for (const [port, outcome] of [
            [22, 'talks'],
            [22, 'refused'],
            [443, 'talks'],
            [443, 'refused'],
          ] as const) {
            assert.equal(await connect(port), outcome, `${source} to ${port}`);
          }
          assert.deepEqual(await gateway.list(null), []);
        }
      });

      it(`gives a port back that it leaves out, keeps its connections, and closes it when it comes again (IPv${family})`, async () => {
        await setup(ssh, web);
        await gateway.open(grant(ssh, world.client[family]));
        const lives = await session();
        for (const source of [world.client[family], PREFIX[family]]) await gateway.open(grant(ssh, source));
        await setup(web);
        assert.equal(await connect(22, world.stranger[family]), 'talks', 'as the host has it');
        assert.equal(await connect(443), 'refused', 'the other service');
        assert.ok((await rules()).every((rule) => !/tcp-22|dport 22/u.test(rule)));
        await lives('given back');
        assert.deepEqual(await gateway.list(null), []);
        await setup(ssh, web);
        assert.equal(await connect(22, world.stranger[family]), 'refused', 'closed again');
        assert.equal(await connect(), 'refused', 'its grants are gone');
        await lives('closed again');
      });

      it(`opens a port for nobody and stops no connection, at any instant (IPv${family})`, async () => {
        await setup(ssh, web);
        await gateway.open(grant(ssh, world.client[family]));
        const lives = await session();
        let busy = true;
        const outcomes: string[] = [];
        const knocking = Array.from({ length: 8 }, async () => {
          while (busy) outcomes.push(await connect(22, BEYOND[family]));
        });
        const talking = (async () => {
          while (busy) await lives('all the time');
        })();
        try {
          for (let length = 12; length < 28; length += 1) {
            await setup(ssh, { ...web, connections: 1 + (length % 3) });
            // A new length each time: the rules are set once more.
            await gateway.open(grant(ssh, family === 4 ? `128.0.0.0/${length}` : `fe00::/${length}`));
            await setup({ ...ssh, openForMs: 60_000 + length }, web, any);
          }
        } finally {
          busy = false;
        }
        await Promise.all([...knocking, talking]);
        assert.ok(outcomes.length > 200, `${outcomes.length} tries`);
        assert.deepEqual(new Set(outcomes), new Set(['refused']));
      });

      it(`admits exactly one of eight connections that race with it (IPv${family})`, async () => {
        const counts = new Map<number, number>();
        await setup(ssh);
        for (let round = 0; round < 40; round += 1) {
          await gateway.open(grant(ssh, round % 2 === 0 ? world.client[family] : PREFIX[family]));
          const [, ...outcomes] = await Promise.all([
            round % 4 < 2 ? setup(ssh, web) : setup(ssh),
            ...Array.from({ length: 8 }, () => connect()),
          ]);
          const admitted = outcomes.filter((outcome) => outcome === 'talks').length;
          counts.set(admitted, (counts.get(admitted) ?? 0) + 1);
        }
        assert.deepEqual([...counts], [[1, 40]], 'admitted connections per round, and how often');
      });

      it(`keeps a connection that was there before the first set-up and has been silent since (IPv${family})`, async () => {
        const lives = await session();
        await setup(ssh);
        await gateway.open(grant(ssh, PREFIX[family]));
        await setup(ssh, web);
        await lives('silent so far');
      });

      it(`takes half a connection for none: it spends a grant like any other (IPv${family})`, async () => {
        const filter = `${family === 4 ? 'iptables' : 'ip6tables'}-${backend}`;
        const lossy = ['-p', 'tcp', '--sport', '22', '--tcp-flags', 'SYN,ACK', 'SYN,ACK', '-j', 'DROP'];
        await setup(ssh);
        await world.gateway.must(filter, ['-I', 'OUTPUT', '1', ...lossy]);
        await gateway.open(grant(ssh, world.client[family]));
        const ports = [26_001, 26_002].map((port) => port + family);
        const waiting = ports.map((localPort) =>
          outside.connect({ host: world.address[family], port: 22, localPort, timeoutMs: 30_000 }),
        );
        await dropped({ space: world.gateway, filter }, ports.length);
        await gateway.open(grant(ssh, family === 4 ? '128.0.0.0/9' : 'fe00::/9'));
        await setup(ssh, web);
        const adopted = (await rules()).filter((rule) => rule.startsWith('-A PK-ADOPT'));
        assert.ok(!adopted.some((rule) => ports.some((port) => rule.includes(`--sport ${port} `))));
        await world.gateway.must(filter, ['-D', 'OUTPUT', ...lossy]);
        const outcomes = (await Promise.all(waiting)).map(({ outcome }) => outcome);
        assert.deepEqual(outcomes.sort(), ['refused', 'talks']);
      });

      it(`puts everything back when the rules of one family fail (IPv${family})`, async () => {
        await setup(ssh, web);
        await gateway.open(grant(ssh, world.client[family]));
        await gateway.open(grant(web, PREFIX[family]));
        const state = async () => [
          // Who is connected changes by itself.
          (await rules()).filter((rule) => !rule.startsWith('-A PK-ADOPT')),
          await gateway.list(null),
        ];
        const before = await state();
        writeFileSync(broken, '');
        try {
          await assert.rejects(setup(web, any), /told to fail/u);
          await assert.rejects(gateway.open(grant(ssh, 'fe00::/9')), /told to fail/u);
        } finally {
          rmSync(broken);
        }
        assert.deepEqual(await state(), before);
        assert.equal(await connect(8080), 'talks', 'not ours');
        for (const [port, outcome] of [
          [22, 'talks'],
          [22, 'refused'],
          [443, 'talks'],
          [443, 'talks'],
          [443, 'refused'],
        ] as const) {
          assert.equal(await connect(port), outcome, String(port));
        }
        await setup(web, any);
        assert.equal(await connect(8080), 'refused', 'once it works');
      });

      it(`does not give open grants their time anew, but the new time (IPv${family})`, async () => {
        const brief = { ...ssh, openForMs: 2000 };
        await setup(brief, web);
        for (const source of [world.client[family], PREFIX[family]]) await gateway.open(grant(brief, source));
        await gateway.open(grant(web, PREFIX[family]));
        await pause(1200);
        await setup(brief, { ...web, openForMs: 1000 });
        assert.equal(await connect(443), 'refused', 'by its new time it is over');
        await pause(1000);
        assert.equal(await connect(), 'refused', 'by its old time as well');
      });
    }
  });
}
