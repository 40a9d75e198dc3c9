// The line itself: what is asked in which order, and what a refused knock leaves untouched.

import assert from 'node:assert/strict';
import { parseAddress } from '../../lib/address.ts';
import type { Service } from '../../lib/firewall/driver.ts';
import { mock, type MockDriver } from '../../lib/firewall/mock.ts';
import { GrantManager } from '../../lib/grant/manager.ts';
import { Pipeline } from '../../lib/listener/pipeline.ts';
import { noMetrics } from '../../lib/metrics.ts';
import { Access } from '../../lib/policy/access.ts';
import { LocalAddresses } from '../../lib/policy/local.ts';
import { RejectThrottle } from '../../lib/policy/throttle.ts';
import type { ClaimResult, ReplayStore } from '../../lib/replay/store.ts';
import type { Scheme } from '../../lib/scheme/scheme.ts';
import { virtualClock } from '../../lib/testing/clock.ts';
import { frame } from '../support/frames.ts';
import { request, spoken } from '../support/spoken.ts';

const SERVICES: readonly Service[] = [
  { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 30_000, connections: 1 },
  { name: 'admin', protocol: 'tcp', port: 8443, openForMs: 30_000, connections: 1 },
];

interface Line {
  readonly driver: MockDriver;
  /** What happened, in order: `authorize`, `claim spoken alice 1`, `open ssh`, `granted ssh`, `reject ...`, `failed ...`. */
  readonly steps: string[];
  push(bytes: Buffer): void;
  /** From now on these clients may open `ssh`. */
  replaceRules(clients: readonly string[]): void;
  settled(): Promise<void>;
}

/** A line of real parts, each of which notes what it is asked. */
async function line({
  schemes = [spoken()] as readonly Scheme[],
  claim = (): Promise<ClaimResult> => Promise.resolve('claimed'),
  local = null as LocalAddresses | null,
  floor = (_account: string): bigint | null => null,
  wasClaimed = (_account: string, _id: string): boolean => false,
} = {}): Promise<Line> {
  const clock = virtualClock();
  const steps: string[] = [];
  const driver = mock({ clock });
  await driver.setup(SERVICES, { warning: () => undefined });
  const failed = (error: unknown): void => void steps.push(`failed ${(error as Error).message}`);
  const replay: ReplayStore = {
    name: 'noting',
    durable: true,
    open: () => Promise.resolve(),
    claim(client, counter) {
      steps.push(`claim ${client} ${counter}`);
      return claim();
    },
    claimOnce(client, id, untilMs) {
      steps.push(`claim ${client} ${id} until ${untilMs}`);
      return claim();
    },
    wasClaimed,
    floor,
    close: () => Promise.resolve(),
  };
  const noting = {
    ...driver,
    open: (grant: Parameters<MockDriver['open']>[0]) => {
      steps.push(`open ${grant.service} ${grant.source}`);
      return driver.open(grant);
    },
  };
  const accessOf = (clients: readonly string[], services: readonly string[]): Access =>
    new Access({
      clients: clients.map((name) => ({ name, services })),
      loopback: false,
      isOwn: (address) => {
        steps.push('authorize');
        return address.words[3] === parseAddress('198.51.100.99')?.words[3];
      },
    });
  const pipeline = new Pipeline({
    rules: { schemes, access: accessOf(['alice', 'bob'], ['ssh', 'admin']) },
    local,
    replay,
    grants: new GrantManager({
      driver: noting,
      services: SERVICES,
      clock,
      events: { closed: () => undefined, failed },
    }),
    throttle: new RejectThrottle(clock, ({ reason, source }) => steps.push(`reject ${reason} ${source}`)),
    metrics: { ...noMetrics, packet: (outcome) => steps.push(outcome) },
    accepted: (grants) => {
      for (const { service, source } of grants) steps.push(`granted ${service} ${source}`);
    },
    failed,
  });
  return {
    driver,
    steps,
    push(bytes) {
      const lent = Buffer.from(bytes);
      pipeline.frame(lent, 0, lent.length, lent.length, 1, clock.now());
      // The frame was borrowed until now.
      lent.fill(0xa5);
    },
    replaceRules: (clients) => {
      pipeline.replaceRules({ schemes, access: accessOf(clients, ['ssh']) });
    },
    settled: () => pipeline.settled(),
  };
}

const HERE = '198.51.100.7';

describe('Pipeline', () => {
  it('decodes, authorizes, claims, opens and tells, in this order', async () => {
    const { steps, push, settled } = await line();
    push(request(5, { services: ['ssh'] }));
    await settled();
    assert.deepEqual(steps, [
      'decoded',
      'authorize',
      'claim spoken alice 5',
      `open ssh ${HERE}`,
      `granted ssh ${HERE}`,
    ]);
  });

  /** Its knocks have no counter, and all the same id. */
  const uncounted: Scheme = {
    ...spoken(),
    match: () => ({
      ...{ kind: 'request', client: 'alice', services: ['ssh'], counter: null },
      once: { id: 'c0ffee', untilMs: 1_700_000_000_000 },
    }),
  };

  it('claims the id of a knock that has no counter, for its own client', async () => {
    const { steps, push, settled } = await line({ schemes: [uncounted] });
    push(request(5));
    await settled();
    assert.deepEqual(steps.slice(2), [
      'claim spoken alice c0ffee until 1700000000000',
      `open ssh ${HERE}`,
      `granted ssh ${HERE}`,
    ]);
  });

  it('opens only when the claim is durable', async () => {
    let release = (): void => undefined;
    const { steps, driver, push, settled } = await line({
      claim: () => new Promise((resolve) => (release = () => resolve('claimed'))),
    });
    push(request(5, { services: ['ssh'] }));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(steps, ['decoded', 'authorize', 'claim spoken alice 5']);
    assert.deepEqual(driver.openings, []);
    release();
    await settled();
    assert.equal(driver.openings.length, 1);
  });

  it('goes by the rules of the moment when the claim is durable', async () => {
    for (const [clients, ...end] of [
      [['bob'], `reject client-unknown ${HERE}`],
      [['alice'], 'authorize', `open ssh ${HERE}`, `granted ssh ${HERE}`],
    ] as const) {
      let release = (): void => undefined;
      const { steps, push, replaceRules, settled } = await line({
        claim: () => new Promise((resolve) => (release = () => resolve('claimed'))),
      });
      push(request(5));
      await new Promise((resolve) => setImmediate(resolve));
      replaceRules(clients);
      release();
      await settled();
      // Claimed once, and the old rules' other service is not opened.
      assert.deepEqual(steps, ['decoded', 'authorize', 'claim spoken alice 5', ...end]);
    }
  });

  it('makes nothing ready for a knock that is known to be used', async () => {
    const { steps, push, settled } = await line({
      floor: (account) => (account === 'spoken alice' ? 5n : null),
    });
    for (const counter of [4, 5, 6]) push(request(counter, { services: ['ssh'] }));
    await settled();
    assert.deepEqual(steps, [
      ...['decoded', 'authorize', `reject replayed ${HERE}`],
      ...['decoded', 'authorize', 'decoded', 'authorize', 'claim spoken alice 6'],
      ...[`open ssh ${HERE}`, `granted ssh ${HERE}`],
    ]);
  });

  it('makes nothing ready for a knock whose id is known to be claimed', async () => {
    const { steps, push, settled } = await line({
      schemes: [uncounted],
      wasClaimed: (account, id) => account === 'spoken alice' && id === 'c0ffee',
    });
    push(request(5));
    await settled();
    assert.deepEqual(steps, ['decoded', 'authorize', `reject replayed ${HERE}`]);
  });

  for (const [result, reason] of [
    ['replayed', 'replayed'],
    ['window', 'replay-window'],
    ['failed', 'replay-failed'],
  ] as const) {
    it(`does not ask the firewall when the claim is ${result}`, async () => {
      const { steps, driver, push, settled } = await line({ claim: () => Promise.resolve(result) });
      push(request(5));
      await settled();
      assert.deepEqual(steps, ['decoded', 'authorize', 'claim spoken alice 5', `reject ${reason} ${HERE}`]);
      assert.deepEqual(
        driver.calls.map(({ method }) => method),
        ['setup'],
      );
    });
  }

  it('does not open when the store breaks its promise and rejects', async () => {
    const { steps, driver, push, settled } = await line({ claim: () => Promise.reject(new Error('disk')) });
    push(request(5));
    await settled();
    assert.deepEqual(steps.slice(2), ['claim spoken alice 5', 'failed disk']);
    assert.deepEqual(driver.openings, []);
  });

  for (const [what, bytes, refusal] of [
    [
      'a source that may not hold a grant',
      request(5, { src: '198.51.100.99' }),
      'source-refused 198.51.100.99',
    ],
    ['an unknown client', request(5, { client: 'mallory' }), `client-unknown ${HERE}`],
    ['a service that is not the client’s', request(5, { services: ['web'] }), `service-refused ${HERE}`],
  ] as const) {
    it(`spends no step on ${what}`, async () => {
      const { steps, push, settled } = await line();
      push(bytes);
      await settled();
      assert.deepEqual(
        steps.filter((step) => step !== 'authorize'),
        ['decoded', `reject ${refusal}`],
      );
    });
  }

  it('keeps an account per scheme and client, which the scheme can look into', async () => {
    const asked: string[] = [];
    const curious = (name: string): Scheme => ({
      ...spoken({ name }),
      match(packet, history) {
        asked.push(`${name} ${history.floor('alice') ?? 'nothing'}`);
        return spoken({ name }).match(packet, history);
      },
    });
    const { push, settled } = await line({
      schemes: [curious('one'), curious('two')],
      floor: (account) => (account === 'one alice' ? 7n : null),
    });
    push(request(5, { services: ['ssh'] }));
    await settled();
    assert.deepEqual(asked, ['one 7', 'two nothing']);
  });

  it('counts a duplicate and does nothing else', async () => {
    const again: Scheme = { ...spoken(), match: () => ({ kind: 'duplicate', client: 'alice' }) };
    const { steps, driver, push, settled } = await line({ schemes: [again] });
    push(request(5));
    await settled();
    assert.deepEqual(steps, ['decoded', 'duplicate']);
    assert.deepEqual(
      driver.calls.map(({ method }) => method),
      ['setup'],
    );
  });

  it('claims nothing for a scheme without replay protection', async () => {
    const { steps, push, settled } = await line();
    push(request(null, { services: ['admin'] }));
    await settled();
    assert.deepEqual(steps.slice(1), ['authorize', `open admin ${HERE}`, `granted admin ${HERE}`]);
  });

  it('opens all services or none, and then says why', async () => {
    const { steps, driver, push, settled } = await line();
    driver.failNext('open');
    push(request(5));
    await settled();
    assert.deepEqual(steps.slice(3), [
      `open ssh ${HERE}`,
      'failed mock: open failed as it was told to',
      `reject grant-failed ${HERE}`,
    ]);
    assert.deepEqual(driver.openings, []);
  });

  it('keeps the sources of knocks apart that wait at the same time', async () => {
    const waiting: (() => void)[] = [];
    const { driver, push, settled } = await line({
      claim: () => new Promise((resolve) => waiting.push(() => resolve('claimed'))),
    });
    const sources = ['198.51.100.1', '2001:db8::2', '198.51.100.3'];
    for (const [i, src] of sources.entries()) push(request(i, { src, services: ['ssh'] }));
    for (const release of waiting.toReversed()) release();
    await settled();
    assert.deepEqual(driver.openings.map(({ source }) => source).toSorted(), sources.toSorted());
  });

  it('offers a packet to every scheme, and takes what each of them says', async () => {
    const seen: string[] = [];
    const silent = (name: string): Scheme => ({
      ...spoken({ name, clients: [] }),
      match: () => {
        seen.push(name);
        return null;
      },
    });
    const { steps, push, settled } = await line({ schemes: [silent('one'), spoken(), silent('two')] });
    push(request(5, { services: ['ssh'] }));
    await settled();
    assert.deepEqual(seen, ['one', 'two']);
    assert.equal(steps.at(-1), `granted ssh ${HERE}`);
  });

  it('shows no scheme what cannot be decoded or is for another host', async () => {
    const local = new LocalAddresses(virtualClock(), () => ['198.51.100.1', '2001:db8::1']);
    const never: Scheme = { ...spoken(), match: () => assert.fail('a scheme was asked') };
    const { steps, push } = await line({ schemes: [never], local });
    push(frame({ payload: 'x' }).subarray(0, 20));
    push(frame({ payload: 'x', fragment: 0x2000 }));
    push(frame({ protocol: 1, payload: 'ping' }));
    push(frame({ payload: 'x', dst: '198.51.100.2' }));
    push(frame({ payload: 'x', dst: '255.255.255.255' }));
    push(frame({ payload: 'x', src: '2001:db8::9', dst: 'ff02::1' }));
    assert.deepEqual(steps, ['truncated', 'fragment', 'not-tcp-udp', 'not-ours', 'not-ours', 'not-ours']);
  });

  it('takes what is for an address of this host, of either family', async () => {
    const local = new LocalAddresses(virtualClock(), () => ['198.51.100.1', '2001:db8::1']);
    const { steps, push, settled } = await line({ local });
    push(request(1, { services: ['ssh'], dst: '198.51.100.1' }));
    push(request(2, { services: ['ssh'], src: '2001:db8::9', dst: '2001:db8::1' }));
    await settled();
    assert.deepEqual(
      steps.filter((step) => step.startsWith('granted')),
      [`granted ssh ${HERE}`, 'granted ssh 2001:db8::9'],
    );
  });

  it('decides a thousand knocks of a client at a time, those of others meanwhile, and more when some are done', async () => {
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    const { steps, push, settled } = await line({ claim: () => gate.then(() => 'claimed') });
    for (let i = 1; i <= 3000; i += 1) push(request(i, { services: ['ssh'] }));
    const claims = (client: string): number =>
      steps.filter((step) => step.startsWith(`claim spoken ${client} `)).length;
    const refused = (): number => steps.filter((step) => step === `reject too-many-knocks ${HERE}`).length;
    assert.deepEqual([claims('alice'), refused()], [1000, 1]);
    push(request(1, { client: 'bob', services: ['ssh'] }));
    assert.equal(claims('bob'), 1);
    release();
    await settled();
    push(request(3001, { services: ['ssh'] }));
    assert.equal(claims('alice'), 1001);
    await settled();
  });
});
