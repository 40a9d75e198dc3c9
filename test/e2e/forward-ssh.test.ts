// A real ssh to a real sshd behind the gateway, through one knock at a real portknockd: the second connection is refused,
// an unused opening runs out, the session outlives the opening, a reload that moves the service, the daemon and kill -9.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { startAgent, type Agent } from '../support/agent.ts';
import { FIELD_SECRET, Gateway, Site } from '../support/gateway.ts';
import { joinInner, type Inner } from '../support/inner.ts';
import { createWorld, type Finished, type World } from '../support/netns.ts';
import { startSshd, type Sshd } from '../support/sshd.ts';
import { describeInNamespaces, FieldClient, pause, until } from './support.ts';

const SECRET6 = Buffer.alloc(32, 8);
const YAML = [
  'services:',
  '  nas: { port: 2222, to: 10.78.0.5:22 }',
  '  nas6: { port: 2223, to: "[fd78::5]:22" }',
  'open_for: 30s',
  'clients:',
  `  field: { scheme: one-time, secret: "${FIELD_SECRET.toString('base64')}", step: 2, services: [nas] }`,
  `  field6: { scheme: one-time, secret: "${SECRET6.toString('base64')}", step: 2, services: [nas6] }`,
  '',
].join('\n');

for (const firewall of ['iptables', 'nftables'] as const)
  describeInNamespaces(`ssh to a host behind the gateway (${firewall})`, function () {
    this.timeout(60_000);
    let world: World;
    let inner: Inner;
    let sshd: Sshd;
    let outside: Agent;
    let site: Site;
    let gateway: Gateway;

    before(async () => {
      world = await createWorld();
      inner = await joinInner(world);
      [sshd, outside] = await Promise.all([startSshd(inner.space), startAgent(world.outside)]);
      site = await Site.create(world, `firewall: ${firewall}\n${YAML}`);
      gateway = await Gateway.start(world, site);
    });

    after(async () => {
      await gateway.end('SIGKILL');
      await Promise.all([sshd.stop(), outside.stop()]);
      await site.remove();
      await inner.destroy();
      await world.destroy();
    });

    for (const [family, port, service, secret] of [
      [4, 2222, 'nas', FIELD_SECRET],
      [6, 2223, 'nas6', SECRET6],
    ] as const) {
      const args = (command: string): string[] => [
        ...sshd.sshArgs,
        ...['-p', String(port), world.address[family], command],
      ];
      const ssh = (command: string): Promise<Finished> =>
        world.outside.run('ssh', args(command), { timeoutMs: 20_000 });
      const client = (host: 4 | 6): FieldClient =>
        new FieldClient(outside, world.address[host], { secret, stepSeconds: 2 });
      let field: FieldClient;
      const knock = async (): Promise<unknown> => {
        const count = gateway.of('grant').length + 1;
        await field.knock();
        const grant = await gateway.wait('grant', { count });
        assert.equal(grant.service, service);
        return grant.id;
      };

      const reload = async (text: string): Promise<void> => {
        const count = gateway.of('reload').length + 1;
        await site.write(text);
        process.kill(gateway.pid, 'SIGHUP');
        await gateway.wait('reload', { count });
      };

      before(() => {
        field = client(family);
      });

      it(`is refused without a knock, runs a command after one, and is refused again (IPv${family})`, async () => {
        assert.equal((await ssh('echo hidden')).status, 255);
        await knock();
        assert.deepEqual(await ssh('echo hidden'), {
          status: 0,
          signal: null,
          stdout: 'hidden\n',
          stderr: '',
        });
        assert.equal((await ssh('echo hidden')).status, 255);
      });

      it(`is refused when the opening has run out unused (IPv${family})`, async () => {
        const text = await readFile(site.config, 'utf8');
        await reload(text.replace('open_for: 30s', 'open_for: 2s'));
        const id = await knock();
        const { reason } = await until('it has run out', () =>
          gateway.of('close').find((close) => close.id === id),
        );
        assert.equal(reason, 'expired');
        assert.equal((await ssh('echo late')).status, 255);
        await reload(text);
      });

      it(`says why a knock over the other family opens nothing (IPv${family})`, async () => {
        const other = family === 4 ? 6 : 4;
        const before = gateway.of('grant').length;
        const count = gateway.of('error').length + 1;
        // The next step of the same secret.
        const knocks = await field.fresh();
        const stray = knocks.map((packet) => ({ ...packet, host: world.address[other] }));
        await field.send(stray);
        const { message } = await gateway.wait('error', { count });
        assert.match(String(message), new RegExp(`where IPv${other} does not get`, 'u'));
        assert.equal(gateway.of('grant').length, before);
      });

      it(`keeps its session through a reload that moves it, a stop, kill -9 and new starts (IPv${family})`, async () => {
        await knock();
        const session = world.outside.spawn('ssh', args('cat'), { stdio: ['pipe', 'pipe', 'inherit'] });
        assert.ok(session.stdout !== null && session.stdin !== null);
        const answers = createInterface({ input: session.stdout })[Symbol.asyncIterator]();
        const lives = async (when: string): Promise<void> => {
          session.stdin?.write(`${when}\n`);
          const answer = await Promise.race([answers.next(), pause(20_000)]);
          assert.equal(answer?.value, when);
        };
        await lives('at once');
        const text = await readFile(site.config, 'utf8');
        await reload(text.replace(/(10\.78\.0\.|fd78::)5/gu, '$16'));
        await lives('after it moved');
        await site.write(text);
        await gateway.end('SIGTERM');
        await lives('after a stop');
        gateway = await Gateway.start(world, site);
        await gateway.end('SIGKILL');
        await lives('after kill -9');
        gateway = await Gateway.start(world, site);
        await lives('after another start');
        assert.equal((await ssh('echo second')).status, 255);
        session.stdin.end();
      });
    }
  });
