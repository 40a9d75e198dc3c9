// What the nftables driver does when something of it dies or is hindered, how fast it grants, and what it leaves behind.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Grant, Service } from '../../lib/firewall/driver.ts';
import { startAgent, type Agent } from '../support/agent.ts';
import { createWorld, type World } from '../support/netns.ts';
import { startDriver, type RemoteDriver } from './nftables-driver.ts';
import { describeInNamespaces, pause, until } from './support.ts';

const ssh: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 600_000, connections: 1 };
const web: Service = { ...ssh, name: 'web', port: 443, connections: 3 };
const dns: Service = { ...ssh, name: 'dns', protocol: 'udp', port: 5353, connections: 'unlimited' };
const ALL = [ssh, web, dns];
/** Of an opening that is to be used, and to run out. */
const LASTS_MS = 5000;

describeInNamespaces('nftables under faults', function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'portknock-nft-'));
  let world: World;
  let driver: RemoteDriver;
  let gateway: Agent;
  let outside: Agent;

  before(async () => {
    world = await createWorld();
    [gateway, outside] = await Promise.all([startAgent(world.gateway), startAgent(world.outside)]);
    for (const port of [22, 443]) await gateway.echo({ port });
  });

  beforeEach(async () => {
    driver = await startDriver(world.gateway);
    await driver.make({});
  });

  afterEach(async () => {
    await driver.stop();
    await nft('flush', 'ruleset');
  });

  after(async () => {
    await Promise.all([gateway.stop(), outside.stop()]);
    await world.destroy();
    rmSync(folder, { recursive: true });
  });

  const grant = (service: Service, source: string, ttlMs = service.openForMs): Grant => ({
    ...{ id: 'test', client: 'test', source, service: service.name, protocol: service.protocol },
    ...{ port: service.port, openUntil: Date.now() + ttlMs, connections: service.connections },
  });
  const nft = (...args: readonly string[]): Promise<string> => world.gateway.must('nft', args);
  const connect = async (port = 22, source = world.client[4]): Promise<string> => {
    const host = source.includes(':') ? world.address[6] : world.address[4];
    return (await outside.connect({ host, port, source })).outcome;
  };
  const children = (): number[] =>
    readFileSync(`/proc/${driver.pid}/task/${driver.pid}/children`, 'latin1').trim().split(' ').map(Number);
  /** The running `nft -i`. */
  const nftPid = (): number => children().at(-1) ?? 0;
  const addresses = (count: number): string[] =>
    Array.from({ length: count }, (_, i) => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`);

  describe('its process', () => {
    for (const [whom, source] of [
      ['an address', '10.77.0.2'],
      ['an address of IPv6', 'fd77::2'],
      ['a prefix', '10.77.0.0/29'],
    ] as const) {
      it(`is not needed to end a grant for ${whom} on time`, async () => {
        const client = source.includes(':') ? world.client[6] : world.client[4];
        await driver.setup(ALL);
        await driver.open(grant(web, source, LASTS_MS));
        await driver.open(grant(ssh, source, LASTS_MS));
        await driver.stop();
        assert.equal(await connect(22, client), 'talks', 'in time');
        assert.equal(await connect(443, client), 'talks', 'in time');
        await pause(LASTS_MS + 100);
        assert.equal(await connect(443, client), 'refused', 'after its time');
        assert.equal(await connect(22, client), 'refused', 'spent');
        assert.doesNotMatch(await nft('list', 'table', 'inet', 'portknock'), /expires.*\n.*gate/u);
      });
    }

    it('keeps the end of a grant that is shorter than its service says, to a tenth of a second', async () => {
      await driver.setup(ALL);
      for (const source of ['10.77.0.2', '10.77.0.0/29']) {
        const began = Date.now();
        const end = began + 700;
        await driver.open({ ...grant(ssh, source), openUntil: end });
        // It is counted from when it is made.
        const ends = [end, end + Date.now() - began] as const;
        let seen = 0;
        for (let isOpen = true; isOpen;) {
          const asked = Date.now();
          isOpen = /gate \{[^}]*elements/u.test(await nft('list', 'table', 'inet', 'portknock'));
          if (isOpen) seen = asked;
        }
        // A machine that is busy makes the bounds wider, never wrong.
        const gone = Date.now();
        assert.ok(seen < ends[1] + 100, `still open ${seen - ends[1]} ms after its time`);
        assert.ok(gone > ends[0] - 100, `closed ${ends[0] - gone} ms before its time`);
        await pause(600);
        assert.deepEqual(await driver.list(null), []);
      }
    });

    it('does not open what has ended already', async () => {
      await driver.setup(ALL);
      await driver.open(grant(ssh, '10.77.0.2', -5));
      await driver.open(grant(ssh, '10.77.0.0/29', 0));
      assert.equal(await connect(), 'refused');
      assert.deepEqual(await driver.list(null), []);
    });

    it('may be killed and started anew: what it finds of itself opens nothing and keeps sessions', async () => {
      await driver.setup(ALL);
      await driver.open(grant(ssh, '10.77.0.2'));
      await driver.open(grant(web, '10.77.0.2'));
      const session = await outside.connect({ host: world.address[4], port: 22 });
      assert.equal(session.outcome, 'talks');
      await driver.stop();
      driver = await startDriver(world.gateway);
      await driver.setup(ALL);
      assert.deepEqual(await driver.list(null), []);
      assert.equal(await connect(443), 'refused');
      assert.equal(await outside.talk({ id: session.id }), true);
      await driver.open(grant(web, '10.77.0.2'));
      assert.equal(await connect(443), 'talks');
    });
  });

  describe('its nft', () => {
    it('is one program for all grants', async () => {
      await driver.setup(ALL);
      await driver.open(grant(ssh, '10.77.0.2'));
      const pid = nftPid();
      for (const source of addresses(50)) await driver.open(grant(ssh, source));
      await driver.list(null);
      assert.equal(nftPid(), pid);
      assert.match(readFileSync(`/proc/${pid}/cmdline`, 'latin1'), /^nft\0-i\0$/u);
    });

    it('is started anew when it was killed', async () => {
      await driver.setup(ALL);
      await driver.open(grant(ssh, '10.77.0.2'));
      const pid = nftPid();
      process.kill(pid, 'SIGKILL');
      await until('its end is known', () => !children().includes(pid));
      await driver.open(grant(web, '10.77.0.2'));
      assert.equal((await driver.list(null)).length, 2);
      assert.equal(await connect(), 'talks');
      assert.equal(await connect(443), 'talks');
    });

    it('fails the grants that were under way when it was killed, opens none of them, and never one twice', async () => {
      await driver.setup(ALL);
      let failures = 0;
      // On some machines most are done before.
      for (let round = 0; round < 40 || (failures <= 5 && round < 400); round += 1) {
        await driver.open(grant(dns, '192.0.2.1'));
        const pid = nftPid();
        const opening = driver.openAll([
          grant(ssh, '10.77.0.2'),
          ...addresses(60).map((one) => grant(ssh, one)),
        ]);
        // While it reads, while it changes the kernel, and when it is done.
        await pause((round % 20) / 2);
        process.kill(pid, 'SIGKILL');
        const first = connect();
        const { failed } = await opening;
        const outcomes = [await first, await connect(), await connect()];
        const open = (await driver.list(null))
          .filter(({ service }) => service === 'ssh')
          .map(({ source }) => source);
        assert.ok(outcomes.filter((one) => one === 'talks').length <= 1, outcomes.join());
        if (failed.length > 0) {
          failures += 1;
          assert.equal(
            failed.length + open.length >= 60,
            true,
            `${failed.length} failed, ${open.length} open`,
          );
          const gate = await nft('list', 'set', 'inet', 'portknock', 'tcp-22-v4-gate');
          const elements = [...gate.matchAll(/10\.\d+\.\d+\.\d+/gu)].map(([one]) => one);
          assert.deepEqual(
            elements.filter((one) => one !== '10.77.0.2').sort(),
            open.filter((one) => one !== '10.77.0.2').sort(),
          );
        }
        for (const source of ['10.77.0.2', ...addresses(60)]) await driver.close(grant(ssh, source));
      }
      assert.ok(failures > 5, `only ${failures} were hit`);
    });

    it('is given up when it hangs, and the grant fails and is not open later', async () => {
      await driver.setup(ALL);
      await driver.open(grant(dns, '192.0.2.1'));
      const pid = nftPid();
      process.kill(pid, 'SIGSTOP');
      await assert.rejects(driver.open(grant(ssh, '10.77.0.2')), {
        code: 'ERR_FIREWALL_COMMAND',
        message: 'nft gave no answer within 5000 ms',
      });
      assert.equal(await connect(), 'refused');
      assert.notEqual(nftPid(), pid);
      await driver.open(grant(ssh, '10.77.0.2'));
      assert.equal(await connect(), 'talks');
    });

    it('takes an opening back that came so late that it would end late', async () => {
      await driver.setup(ALL);
      await driver.open(grant(dns, '192.0.2.1'));
      const pid = nftPid();
      process.kill(pid, 'SIGSTOP');
      const late = /^KnockError: nft took \d+ ms/u;
      const opening = assert.rejects(driver.openOnce(grant(ssh, '10.77.0.2')), late);
      // It is given up after five seconds.
      await pause(2500);
      process.kill(pid, 'SIGCONT');
      await opening;
      assert.equal(await connect(), 'refused');
    });

    it('is started per request where it cannot be kept', async () => {
      const script = '#!/bin/sh\n[ "$1" = -i ] && exit 1\nexec /usr/sbin/nft "$@"\n';
      writeFileSync(join(folder, 'nft'), script, { mode: 0o755 });
      await driver.stop();
      driver = await startDriver(world.gateway, { PATH: `${folder}:${process.env.PATH ?? ''}` });
      await driver.setup(ALL);
      await driver.open(grant(ssh, '10.77.0.2'));
      await driver.open(grant(web, '10.77.0.0/29'));
      assert.equal((await driver.list(null)).length, 2);
      assert.equal(await connect(), 'talks');
      assert.equal(await connect(), 'refused');
      assert.deepEqual(await driver.list(null), [{ service: 'web', source: '10.77.0.0/29' }]);
      await nft('delete', 'table', 'inet', 'portknock');
      await assert.rejects(
        driver.open(grant(ssh, '10.77.0.2')),
        /No such file or directory.*restart portknockd/u,
      );
    });

    it('that fails a set-up leaves what was there', async () => {
      const script =
        '#!/bin/sh\n[ -e "$0.broken" ] && [ "$1" = -f ] && echo told to fail >&2 && exit 1\nexec /usr/sbin/nft "$@"\n';
      writeFileSync(join(folder, 'nft'), script, { mode: 0o755 });
      await driver.stop();
      driver = await startDriver(world.gateway, { PATH: `${folder}:${process.env.PATH ?? ''}` });
      await driver.setup(ALL);
      await driver.open(grant(ssh, '10.77.0.2'));
      const before = await nft('-s', 'list', 'ruleset');
      writeFileSync(join(folder, 'nft.broken'), '');
      try {
        await assert.rejects(driver.setup([web]), /told to fail/u);
        await assert.rejects(driver.open(grant(ssh, '10.0.0.0/8')), /told to fail/u);
      } finally {
        rmSync(join(folder, 'nft.broken'));
      }
      const timeless = (text: string): string => text.replace(/ expires \S+/gu, '');
      assert.equal(timeless(await nft('-s', 'list', 'ruleset')), timeless(before));
      assert.equal(await connect(), 'talks');
    });
  });

  describe('its table', () => {
    it('that another program removed fails grants, and the next set-up closes the ports again', async () => {
      await driver.setup(ALL);
      await driver.open(grant(ssh, '10.77.0.2'));
      await nft('flush', 'ruleset');
      await assert.rejects(driver.open(grant(web, '10.77.0.2')), {
        code: 'ERR_FIREWALL_COMMAND',
        message: /No such file or directory.*restart portknockd/u,
      });
      await assert.rejects(driver.list(null), { code: 'ERR_FIREWALL_COMMAND' });
      await driver.close(grant(ssh, '10.77.0.2'));
      await driver.setup(ALL);
      assert.equal(await connect(), 'refused');
      await driver.open(grant(ssh, '10.77.0.2'));
      assert.equal(await connect(), 'talks');
    });

    it('that is full fails a grant and evicts none', async function () {
      this.timeout(60_000);
      await driver.setup([ssh]);
      await driver.open(grant(ssh, '10.77.0.2'));
      // As many as the kernel's set holds, but written at once.
      const many = addresses(65_535).slice(0, 65_534);
      await world.gateway.must('nft', ['-f', '-'], {
        input: `add element inet portknock tcp-22-v4-gate { ${many.map((one) => `${one} timeout 60s`).join(', ')} }\n`,
      });
      await assert.rejects(driver.open(grant(ssh, '10.77.0.9')), {
        code: 'ERR_FIREWALL_FULL',
        message: /65535 open grants/u,
      });
      assert.equal(await connect(), 'talks', 'the one that was there');
      await driver.close(grant(ssh, '10.77.0.9'));
      await driver.close(grant(ssh, many[0] ?? ''));
      await driver.open(grant(ssh, '10.77.0.9'));
    });

    it('leaves the ruleset byte for byte as it was, also after a crash', async () => {
      await world.gateway.must('nft', ['-f', 'test/vectors/nftables-host.rules']);
      const before = await nft('list', 'ruleset');
      await driver.make({ chain: 'inet filter input' });
      await driver.setup(ALL);
      for (const source of ['10.77.0.2', 'fd77::2', '10.77.0.0/24']) await driver.open(grant(ssh, source));
      await driver.setup([web, ssh]);
      assert.notEqual(await nft('list', 'ruleset'), before);
      await driver.teardown(null);
      assert.equal(await nft('list', 'ruleset'), before);
      await driver.setup(ALL);
      await driver.stop();
      driver = await startDriver(world.gateway);
      await driver.teardown(null);
      assert.equal(await nft('list', 'ruleset'), before);
      await driver.teardown(null);
    });
  });

  it('opens many addresses at once at several times the pace of one after the other', async function () {
    this.timeout(180_000);
    await driver.setup(ALL);
    const all = addresses(20_000);
    const figures: number[] = [];
    // Of several parts one is not disturbed.
    for (let from = 0; from < all.length; from += 2500) {
      const part = all.slice(from, from + 2500);
      const { ms, failed } = await driver.openAll(part.map((source) => grant(ssh, source)));
      assert.deepEqual(failed, []);
      figures.push(Math.round((part.length / ms) * 1000));
    }
    const began = performance.now();
    assert.equal((await driver.list(null)).length, 20_000);
    const listing = performance.now() - began;
    const single: number[] = [];
    for (const source of addresses(300)) {
      const start = performance.now();
      await driver.open(grant(web, source));
      single.push(performance.now() - start);
    }
    single.sort((one, other) => one - other);
    process.stderr.write(
      `      grants a second: ${figures.join(', ')}; one alone with 20,000 open: ` +
        `${(single[150] ?? 0).toFixed(2)} ms; listing 20,000: ${listing.toFixed(0)} ms\n`,
    );
    const oneByOne = 1000 / (single[150] ?? 0);
    assert.ok(Math.max(...figures) > 1.5 * oneByOne, `${figures.join()} beside ${oneByOne}`);
  });
});
