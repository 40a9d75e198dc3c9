// A running gateway takes its configuration anew: what was granted, used up and connected stays, what a broken file says
// does not count, and what a client has lost closes at once (attacks 21).

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { startAgent, type Agent } from '../support/agent.ts';
import { Gateway, Site } from '../support/gateway.ts';
import { Machine } from '../support/machine.ts';
import { createWorld, type World } from '../support/netns.ts';
import { SpaClient } from '../support/spa-client.ts';
import { sshKeygen } from '../support/ssh-tools.ts';
import { describeInNamespaces, pause } from './support.ts';

const ACCESS_KEY = Buffer.alloc(32, 1);
const SECRETS = { alice: Buffer.alloc(32, 2), bob: Buffer.alloc(32, 3) };
const line = (name: keyof typeof SECRETS): string =>
  `  ${name}: { scheme: spa, secret: "${SECRETS[name].toString('base64')}", services: [ssh] }`;

const YAML = [
  'firewall: iptables',
  `access_key: "${ACCESS_KEY.toString('base64')}"`,
  '# What is hidden.',
  'services:',
  '  ssh: { port: 22 } # the administrators',
  'open_for: 20s',
  'clients:',
  '  # Everybody of the night shift.',
  line('alice'),
  '# The end.',
  '',
].join('\n');

describeInNamespaces('a gateway that reloads', function () {
  this.timeout(180_000);
  let world: World;
  let gate: Machine;
  let inside: Agent;
  let outside: Agent;
  let site: Site;
  let gateway: Gateway;
  let alice: SpaClient;
  let bob: SpaClient;

  before(async () => {
    world = await createWorld();
    gate = await Machine.create(world.gateway, { name: 'gw.example' });
    [inside, outside] = await Promise.all([startAgent(world.gateway), startAgent(world.outside)]);
    await inside.echo({ port: 22 });
    sshKeygen(gate.path('carol'));
  });

  beforeEach(async () => {
    site = await Site.create(world, YAML);
    gateway = await Gateway.start(world, site);
    const common = { agent: outside, host: world.address[4], accessKey: ACCESS_KEY };
    alice = new SpaClient({ ...common, secret: SECRETS.alice });
    bob = new SpaClient({ ...common, secret: SECRETS.bob });
  });

  afterEach(async () => {
    await gateway.end('SIGKILL');
    await site.remove();
  });

  after(async () => {
    await Promise.all([inside?.stop(), outside?.stop(), gate?.destroy()]);
    await world.destroy();
  });

  const connect = async (): Promise<string> =>
    (await outside.connect({ host: world.address[4], port: 22 })).outcome;
  const portknock = (line: string) => gate.sh(`portknock ${line} --config ${site.config}`);
  const change = async (from: string | RegExp, to: string): Promise<void> => {
    const text = await readFile(site.config, 'utf8');
    assert.notEqual(text.replace(from, to), text);
    await site.write(text.replace(from, to));
  };
  const granted = (): Promise<unknown> => gateway.wait('grant', { count: gateway.of('grant').length + 1 });

  /** Both ways to have the file taken anew. */
  const ways: readonly [title: string, reload: () => Promise<void>][] = [
    ['SIGHUP', async () => void process.kill(gateway.pid, 'SIGHUP')],
    ['portknock reload', async () => assert.equal((await portknock('reload')).status, 0)],
  ];

  for (const [title, reload] of ways) {
    const reloaded = async (): Promise<void> => {
      const count = gateway.of('reload').length + 1;
      await reload();
      await gateway.wait('reload', { count });
    };

    it(`lets a new client in, and keeps a grant that nobody has used yet (${title})`, async () => {
      const grant = granted();
      await alice.knock();
      await grant;
      await change(line('alice'), `${line('alice')}\n${line('bob')}`);
      await reloaded();
      assert.equal(gateway.of('close').length, 0);
      assert.equal(await connect(), 'talks', "alice's opening");
      assert.equal(await connect(), 'refused', 'it is for one connection');
      const second = granted();
      await bob.knock();
      await second;
      assert.equal(await connect(), 'talks', "bob's opening");
    });

    it(`still refuses the knocks that were used before (${title})`, async () => {
      const recorded = [];
      for (let knock = 0; knock < 2; knock += 1) {
        const grant = granted();
        recorded.push(await alice.knock());
        await grant;
        assert.equal(await connect(), 'talks');
      }
      await change('open_for: 20s', 'open_for: 19s');
      await reloaded();
      for (const datagram of recorded) await alice.send(datagram);
      assert.equal((await gateway.wait('reject')).reason, 'replayed');
      await pause(300);
      assert.equal(gateway.of('grant').length, 2);
      assert.equal(await connect(), 'refused');
    });

    it(`cuts no session, whoever it belongs to (${title})`, async () => {
      const grant = granted();
      await alice.knock();
      await grant;
      const session = await outside.connect({ host: world.address[4], port: 22 });
      await change(line('alice'), line('bob'));
      await reloaded();
      assert.equal(await outside.talk({ id: session.id }), true);
    });

    it(`takes an open grant back from a client that is removed (${title})`, async () => {
      const grant = granted();
      await alice.knock();
      await grant;
      await change(line('alice'), line('bob'));
      await reloaded();
      assert.equal((await gateway.wait('close')).reason, 'revoked');
      assert.equal(await connect(), 'refused');
      await alice.knock();
      await gateway.wait('reject');
      assert.equal(await connect(), 'refused');
      assert.equal(gateway.of('grant').length, 1);
    });

    const broken: readonly [title: string, from: string | RegExp, to: string, place: string, said: RegExp][] =
      [
        ['an unknown key', 'open_for: 20s', 'open_four: 20s', '9:1', /open_four/u],
        ['a value that makes no sense', 'open_for: 20s', 'open_for: soon', '9:11', /open_for/u],
        ['a service that does not exist', 'services: [ssh]', 'services: [web]', '12:', /web/u],
        ['text that is no YAML', 'services:\n', 'services: [\n', '', /portknockd\.yaml/u],
        ['nobody to speak to', / {2}# Every[^]*/u, '  alice: 7\n', '11:', /alice/u],
      ];
    it(`keeps its rules, and says where the mistake is, when the file is broken (${title})`, async () => {
      const text = await readFile(site.config, 'utf8');
      for (const [row, [what, from, to, place, said]] of broken.entries()) {
        await site.write(text);
        await change(from, to);
        const where = new RegExp(`portknockd\\.yaml:${place === '' ? String.raw`\d+:\d+` : place}`, 'u');
        if (title === 'SIGHUP') {
          process.kill(gateway.pid, 'SIGHUP');
          const { message } = await gateway.wait('error', { count: row + 1 });
          assert.match(String(message), where, what);
          assert.match(String(message), said, what);
        } else {
          const { status, stdout, stderr } = await portknock('reload');
          assert.deepEqual([status, stdout], [1, ''], what);
          assert.match(stderr, where, what);
          assert.match(stderr, said, what);
          assert.match(stderr, /keeps its old rules/u);
        }
        const grant = granted();
        await alice.knock();
        await grant;
        assert.equal(await connect(), 'talks', what);
      }
      assert.equal(gateway.of('reload').length, 0);
    });
  }

  it('takes up what add-client adds, and the comments of the file stay', async () => {
    const grant = granted();
    await alice.knock();
    await grant;
    const before = await readFile(site.config, 'utf8');
    const added = await portknock(`add-client carol --key ${gate.path('carol.pub')}`);
    assert.equal(added.status, 0, added.stderr);
    assert.match(added.stderr, /portknockd has taken it up/u);
    const { clients } = await gateway.wait('reload');
    assert.equal(clients, 2);
    const after = (await readFile(site.config, 'utf8')).split('\n');
    const extra = after.filter((each) => !before.split('\n').includes(each));
    assert.deepEqual(
      after.filter((each) => !extra.includes(each)),
      before.split('\n'),
    );
    assert.equal(extra.length, 1, extra.join('\n'));
    assert.match(extra[0] ?? '', /^ {2}carol: .*ssh-ed25519/u);
    assert.equal(await connect(), 'talks', "alice's opening");
  });

  it('hears knocks by rules that change again and again', async () => {
    const key = Buffer.alloc(32, 4).toString('base64');
    const other = `  old: { scheme: one-time, secret: "${key}", services: [ssh] }`;
    for (const [from, to] of [
      [line('alice'), `${line('alice')}\n${other}`],
      [`\n${other}`, ''],
      [line('alice'), `${line('alice')}\n${other}`],
    ] as const) {
      await change(from, to);
      const { status, stderr } = await portknock('reload');
      assert.equal(status, 0, stderr);
      const grant = granted();
      await alice.knock();
      await grant;
      assert.equal(await connect(), 'talks');
    }
  });

  it('says so when no gateway runs', async () => {
    await gateway.end();
    const { status, stderr } = await portknock('reload');
    assert.equal(status, 1);
    assert.match(stderr, /no portknockd answers/u);
  });

  it('loses neither a grant nor its memory in fifty reloads at once', async () => {
    const grant = granted();
    const recorded = await alice.knock();
    await grant;
    for (let time = 0; time < 50; time += 1) process.kill(gateway.pid, 'SIGHUP');
    await gateway.wait('reload');
    await pause(500);
    assert.equal(await connect(), 'talks');
    await alice.knock();
    await gateway.wait('grant', { count: 2 });
    await alice.send(recorded);
    assert.equal((await gateway.wait('reject')).reason, 'replayed');
    assert.equal(await connect(), 'talks');
    assert.equal(gateway.of('grant').length, 2);
  });
});
