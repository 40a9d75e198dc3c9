// What a listener says: the payload of each event, every reject reason, and how much of it there is.

import assert from 'node:assert/strict';
import { isKnockError, KnockError } from '../../lib/errors.ts';
import type { Grant } from '../../lib/firewall/driver.ts';
import { noMetrics, type Metrics, type Watched } from '../../lib/metrics.ts';
import type { ClientAccess } from '../../lib/policy/access.ts';
import type { Reject } from '../../lib/policy/throttle.ts';
import { memoryReplay } from '../../lib/replay/memory.ts';
import type { ClaimResult, ReplayStore } from '../../lib/replay/store.ts';
import { oneTime } from '../../lib/scheme/one-time.ts';
import { oneTimeKnocks } from '../../lib/scheme/one-time-key.ts';
import type { RejectReason, Scheme } from '../../lib/scheme/scheme.ts';
import { sequence } from '../../lib/scheme/sequence.ts';
import { memorySource } from '../../lib/testing/source.ts';
import { frame } from '../support/frames.ts';
import * as theirs from '../support/fwknop-knocks.ts';
import {
  CLIENTS,
  flipped,
  gatewayOf,
  insider,
  knock,
  PSK,
  type KnockOptions,
} from '../support/spa-knocks.ts';
import { reject, request, spoken } from '../support/spoken.ts';
import { never, rig, type Rig, type RigOptions } from './support.ts';

const SECRET = Buffer.alloc(32, 'events');
const HERE = '198.51.100.7';
/** Nothing is known of who it is. */
const NOBODY = { client: undefined };

async function started(options: RigOptions = {}): Promise<Rig> {
  const parts = rig(options);
  await parts.listener.start();
  return parts;
}

describe('KnockListener events', () => {
  it('tell of a grant and of its end', async () => {
    const { listener, source, driver, clock } = await started({ schemes: [spoken({ name: 'spa' })] });
    const grants: { grant: Grant; scheme: string }[] = [];
    const closes: { grant: Grant; reason: string }[] = [];
    listener.on('grant', (event) => grants.push(event));
    listener.on('close', (event) => closes.push(event));
    source.frame(request(1));
    await clock.advance(0);
    assert.equal(grants.length, 1);
    const [{ grant, scheme } = assert.fail()] = grants;
    assert.equal(scheme, 'spa');
    assert.match(grant.id, /^[a-z0-9]+$/u);
    const { id: _id, ...rest } = grant;
    assert.deepEqual(rest, {
      ...{ client: 'alice', source: '198.51.100.7', service: 'ssh', protocol: 'tcp', port: 22 },
      ...{ openUntil: clock.now() + 30_000, connections: 1 },
    });
    assert.deepEqual(listener.grants, [grant]);
    assert.deepEqual(driver.openings, [grant]);
    assert.ok(driver.spend('ssh', '198.51.100.7'));
    await clock.advance(300);
    assert.deepEqual(closes, [{ grant, reason: 'used' }]);
    assert.deepEqual(listener.grants, []);
  });

  it('tell of each way in which a grant ends', async () => {
    const { listener, source, clock, said } = await started();
    source.frame(request(1));
    await clock.advance(100);
    source.frame(request(2));
    await clock.advance(30_000);
    source.frame(request(3));
    await clock.advance(0);
    assert.equal(await listener.revoke(listener.grants[0]?.id ?? ''), true);
    assert.equal(await listener.revoke('nothing'), false);
    const grant = 'grant alice 198.51.100.7 ssh spoken';
    assert.deepEqual(said, [
      grant,
      'close ssh superseded',
      grant,
      'close ssh expired',
      grant,
      'close ssh revoked',
    ]);
  });

  it('tell of a grant for each service that the knock opens, with the times of that service', async () => {
    const { source, clock, said, driver } = await started({
      services: { ssh: { port: 22, openForMs: 1000 }, admin: { port: 8443, connections: 'unlimited' } },
      clients: [{ name: 'alice', services: ['ssh', 'admin'] }],
      openForMs: 5000,
      connections: 2,
    });
    source.frame(request(1));
    await clock.advance(0);
    assert.deepEqual(
      driver.openings.map(({ service, openUntil, connections }) => [
        service,
        openUntil - clock.now(),
        connections,
      ]),
      [
        ['ssh', 1000, 2],
        ['admin', 5000, 'unlimited'],
      ],
    );
    await clock.advance(5000);
    assert.deepEqual(said.slice(2), ['close ssh expired', 'close admin expired']);
  });

  it('write an IPv6 source in its one canonical form', async () => {
    const { source, clock, said } = await started();
    source.frame(request(1, { src: '2001:0DB8:0:0::0007' }));
    await clock.advance(0);
    assert.deepEqual(said, ['grant alice 2001:db8::7 ssh spoken']);
  });

  it('tell of a source that failed, of one that ended, and of lost packets', async () => {
    const dropped: number[] = [];
    const { source, said, clock } = await started({
      metrics: { ...counter().metrics, dropped: (n) => dropped.push(n) },
    });
    source.warn('deaf for a while');
    source.fail(new Error('gone'));
    source.drop(7);
    source.end();
    await clock.advance(0);
    assert.deepEqual([said, dropped], [['warning deaf for a while', 'error gone', 'end'], [7]]);
  });

  it('tell of the end only when every knock before it has been decided', async () => {
    let release = (): void => undefined;
    const { source, said, clock } = await started({
      store: () => ({ claim: () => new Promise((resolve) => (release = () => resolve('claimed'))) }),
    });
    source.frame(request(1));
    source.end();
    await clock.advance(0);
    assert.deepEqual(said, []);
    release();
    await clock.advance(0);
    assert.deepEqual(said, ['grant alice 198.51.100.7 ssh spoken', 'end']);
  });

  it('hand an Error to the error event, whatever a driver threw', async () => {
    const { listener, source, clock, driver } = await started();
    driver.failNext('open', 'text' as never);
    const errors: unknown[] = [];
    listener.on('error', (error) => errors.push(error));
    source.frame(request(1));
    await clock.advance(0);
    assert.ok(errors[0] instanceof Error);
    assert.equal(errors[0].message, 'text');
  });

  it('do not call a grant failed whose handler threw: the port is open', async () => {
    const { listener, source, clock, said, driver } = await started();
    listener.on('grant', () => {
      throw new Error('in the handler');
    });
    source.frame(request(1));
    await clock.advance(0);
    assert.equal(driver.openings.length, 1);
    assert.deepEqual(said, ['grant alice 198.51.100.7 ssh spoken', 'error in the handler']);
  });
});

describe('KnockListener errors', () => {
  it('come once a second with their count, each kind of its own, and none is lost at the stop', async () => {
    const { listener, source, driver, clock } = await started({
      clients: [{ name: 'alice', services: ['ssh'] }],
    });
    const errors: Error[] = [];
    listener.on('error', (error) => errors.push(error));
    const fail = async (counter: number, error: Error): Promise<void> => {
      driver.failNext('open', error);
      source.frame(request(counter));
      await clock.advance(0);
    };
    for (let i = 1; i <= 500; i += 1) {
      await fail(i, new KnockError('ERR_FIREWALL_FULL', `full for the ${i}th time`));
    }
    await fail(501, new KnockError('ERR_FIREWALL_COMMAND', 'exit 4'));
    assert.deepEqual(
      errors.map(({ message }) => message),
      ['full for the 1th time', 'exit 4'],
    );
    await clock.advance(1000);
    assert.equal(errors.length, 3);
    const [, , last] = errors;
    assert.equal(
      last?.message,
      'full for the 500th time (the last of 499 failures of this kind within a second)',
    );
    assert.ok(isKnockError(last) && last.code === 'ERR_FIREWALL_FULL');
    await fail(502, new KnockError('ERR_FIREWALL_FULL', 'still full'));
    await listener.stop();
    assert.equal(errors.at(-1)?.message, 'still full');
    assert.equal(clock.pending, 0);
  });
});

describe('KnockListener rejects', () => {
  const claims = (result: ClaimResult) => (): Partial<ReplayStore> => ({
    claim: () => Promise.resolve(result),
  });
  const field = oneTime({ clients: { alice: { secret: SECRET, knocks: 2 } } });

  /** Frames of the first knock of the present step. */
  function tagged(now: number, { src = '198.51.100.7', astray = 0 } = {}): Buffer {
    const { port, tag } =
      oneTimeKnocks({ secret: SECRET, knocks: 2 }, Math.floor(now / 10_000))[0] ?? assert.fail();
    return frame({ src, dstPort: port + astray, payload: tag });
  }

  /** An SPA gateway of which alice is a client. */
  const knocking = (
    clients: readonly ClientAccess[] = [{ name: 'alice', services: ['ssh'] }],
  ): RigOptions => ({
    schemes: [gatewayOf({ clients: { alice: { secret: PSK } } })],
    clients,
  });
  const signing: RigOptions = {
    ...knocking(),
    schemes: [gatewayOf({ clients: { alice: CLIENTS.suite2 } })],
  };
  const sent = async (options: KnockOptions, change = (bytes: Buffer): Buffer => bytes): Promise<Buffer> =>
    frame({ src: HERE, payload: change(await knock(options)) });
  /** An fwknop gateway of which alice is a client, and a packet to it. */
  const fwknop: RigOptions = {
    schemes: [theirs.gatewayOf({ clients: { alice: theirs.PHONE } })],
    clients: [{ name: 'alice', services: ['ssh'] }],
  };
  const packet = (...[fields, cipher]: Parameters<typeof theirs.knockOf>) => {
    return (now: number): Buffer[] => [
      frame({
        src: HERE,
        payload: theirs.knockOf({ timeSeconds: Math.floor(now / 1000), ...fields }, cipher),
      }),
    ];
  };
  const unproved = (bytes: Buffer): Buffer => insider(bytes, (plain) => plain.set(flipped(plain, 100)));

  const rows: readonly [
    reason: RejectReason,
    options: RigOptions,
    frames: (now: number) => Buffer[] | Promise<Buffer[]>,
    extra?: Readonly<Record<string, unknown>>,
  ][] = [
    ['wrong-port', { schemes: [field] }, (now) => [tagged(now, { astray: 1 })]],
    [
      'attempt-table-full',
      { schemes: [oneTime({ clients: { alice: { secret: SECRET, knocks: 2 } } })] },
      (now) => Array.from({ length: 17 }, (_, i) => tagged(now, { src: `203.0.113.${i + 1}` })),
      { source: '203.0.113.17' },
    ],
    ['bad-tag', knocking(), async (ms) => [await sent({ ms }, (bytes) => flipped(bytes, 40))], NOBODY],
    [
      'malformed',
      knocking(),
      async (ms) => [await sent({ ms }, (bytes) => insider(bytes, (plain) => (plain[30] = 1)))],
      NOBODY,
    ],
    ['malformed', knocking(), async (ms) => [await sent({ ms, services: [] })]],
    ['audience', knocking(), async (ms) => [await sent({ ms, gateway: 'gw2.example' })], NOBODY],
    ['unknown-client', knocking(), async (ms) => [await sent({ ms, key: SECRET })], NOBODY],
    ['stale', knocking(), async (now) => [await sent({ ms: now - 143_000 })], { clockOffsetMs: -143_000 }],
    ['stale', knocking(), async (now) => [await sent({ ms: now - 143_000 }, unproved)]],
    ['future', knocking(), async (now) => [await sent({ ms: now + 45_000 })], { clockOffsetMs: 45_000 }],
    ['bad-signature', knocking(), async (ms) => [await sent({ ms }, unproved)]],
    [
      'too-many-checks',
      signing,
      async (ms) => Array<Buffer>(11).fill(await sent({ ms, suite: 2 }, unproved)),
    ],
    [
      'too-many-knocks',
      { store: () => ({ claim: () => never() }) },
      () => Array.from({ length: 1001 }, (_, i) => request(i + 1)),
    ],
    [
      'bind-refused',
      knocking([{ name: 'alice', services: ['ssh'], bind: 'exact' }]),
      async (ms) => [await sent({ ms })],
    ],
    ['source-mismatch', knocking(), async (ms) => [await sent({ ms, claim: '198.51.100.8' })]],
    ['prefix-too-wide', knocking(), async (ms) => [await sent({ ms, claim: '198.51.0.0/16' })]],
    [
      'client-expired',
      knocking([{ name: 'alice', services: ['ssh'], expiresAt: 1 }]),
      async (ms) => [await sent({ ms })],
    ],
    ['gpg-packet', fwknop, () => [frame({ src: HERE, payload: 'x'.repeat(400) })], NOBODY],
    ['hmac-mismatch', fwknop, packet({}, { hmac: { key: SECRET, digest: 'sha256' } }), NOBODY],
    ['decrypt-failed', fwknop, packet({}, { mode: 'cfb' })],
    [
      'digest-mismatch',
      {
        ...fwknop,
        schemes: [theirs.gatewayOf({ clients: { alice: { ...theirs.PHONE, encryptionMode: 'ctr' } } })],
      },
      (now) => [
        frame({ src: HERE, payload: theirs.withWrongDigest({ timeSeconds: Math.floor(now / 1000) }) }),
      ],
    ],
    ['command-refused', fwknop, packet({ type: 0 })],
    ['nat-refused', fwknop, packet({ type: 2, nat: '10.0.0.5,22' }), { detail: '10.0.0.5:22' }],
    ['port-refused', fwknop, packet({ message: `${HERE},tcp/23` }), { detail: 'tcp/23' }],
    ['source-mismatch', fwknop, packet({ message: '192.0.2.1,tcp/22' }), { detail: '192.0.2.1' }],
    ['replayed', {}, () => [request(5), request(4)]],
    ['replay-window', { store: claims('window') }, () => [request(1)]],
    ['replay-failed', { store: claims('failed') }, () => [request(1)]],
    ['source-refused', {}, () => [request(1, { src: '127.0.0.1' })], { source: '127.0.0.1' }],
    ['client-unknown', {}, () => [request(1, { client: 'mallory' })], { client: 'mallory' }],
    ['service-refused', {}, () => [request(1, { services: ['admin'] })]],
    [
      'grant-failed',
      { drive: () => ({ open: () => Promise.reject(new Error('full')) }) },
      () => [request(1)],
    ],
  ];
  const reasons: Readonly<Record<RejectReason, true>> = {
    ...{ 'wrong-port': true, 'attempt-table-full': true, replayed: true, 'replay-window': true },
    ...{ 'replay-failed': true, 'source-refused': true, 'client-unknown': true, 'service-refused': true },
    ...{ 'grant-failed': true, 'bad-tag': true, malformed: true, audience: true, 'unknown-client': true },
    ...{ stale: true, future: true, 'bad-signature': true, 'too-many-checks': true, 'bind-refused': true },
    ...{ 'too-many-knocks': true },
    ...{ 'gpg-packet': true, 'hmac-mismatch': true, 'decrypt-failed': true, 'digest-mismatch': true },
    ...{ 'command-refused': true, 'nat-refused': true, 'port-refused': true },
    ...{ 'source-mismatch': true, 'prefix-too-wide': true, 'client-expired': true },
  };

  for (const [number, [reason, options, frames, extra]] of rows.entries()) {
    it(`${number + 1}. say ${reason}, and open nothing`, async () => {
      const { listener, source, clock, driver } = await started(options);
      const rejects: Reject[] = [];
      listener.on('reject', (event) => rejects.push(event));
      for (const bytes of await frames(clock.now())) source.frame(bytes);
      await clock.advance(0);
      const scheme = options.schemes?.[0]?.name ?? 'spoken';
      const usual = { reason, source: HERE, scheme, client: 'alice', count: 1 };
      const expected = Object.entries({ ...usual, ...extra }).filter(([, value]) => value !== undefined);
      assert.deepEqual(
        rejects.filter((event) => event.reason === reason),
        [Object.fromEntries(expected)],
      );
      assert.equal(driver.openings.length, reason === 'replayed' ? 1 : 0);
    });
  }

  it('are all of them in this table', () => {
    const shown = new Set(rows.map(([reason]) => reason));
    assert.deepEqual([...shown].toSorted(), Object.keys(reasons).toSorted());
  });

  it('come as two events for a thousand replays within a second, whose counts sum to a thousand', async () => {
    const { source, clock, said } = await started();
    source.frame(request(1));
    await clock.advance(0);
    for (let i = 0; i < 1000; i += 1) source.frame(request(1));
    await clock.advance(1000);
    assert.deepEqual(said.slice(1), ['reject replayed alice 1', 'reject replayed alice 999']);
    await clock.advance(1000);
    assert.equal(said.length, 3);
  });

  it('are no more than a hundred a second of each reason, however many clients are named', async () => {
    const clients = Array.from({ length: 2000 }, (_, i) => `client${i}`);
    const { source, clock, listener } = await started({
      schemes: [spoken({ clients })],
      clients: clients.map((name) => ({ name, services: ['ssh'] })),
    });
    const rejects: Reject[] = [];
    listener.on('reject', (event) => rejects.push(event));
    for (const client of clients) source.frame(reject('bad-signature', { client }));
    await clock.advance(0);
    assert.equal(rejects.length, 101);
    assert.equal(rejects[100]?.client, undefined);
    await clock.advance(1000);
    assert.equal(
      rejects.reduce((sum, { count }) => sum + count, 0),
      2000,
    );
    assert.equal(rejects.length, 102);
  });

  it('come with an error when the firewall failed, and the next knock is just as good', async () => {
    const { source, driver, clock, said } = await started();
    driver.failNext('open', new Error('xtables lock'));
    source.frame(request(1));
    await clock.advance(0);
    source.frame(request(2));
    await clock.advance(0);
    assert.deepEqual(said, [
      'error xtables lock',
      'reject grant-failed alice 1',
      'grant alice 198.51.100.7 ssh spoken',
    ]);
  });

  it('of the scheme are passed on as they are', async () => {
    const { source, said } = await started();
    source.frame(reject('wrong-port'));
    assert.deepEqual(said, ['reject wrong-port alice 1']);
  });

  it('need no error handler when none is an error', async () => {
    const { listener, source, clock } = await started();
    listener.removeAllListeners();
    for (const bytes of [request(1), request(1), reject('wrong-port'), request(2, { client: 'mallory' })])
      source.frame(bytes);
    await clock.advance(2000);
    assert.equal(listener.grants.length, 1);
  });
});

describe('KnockListener with real schemes', () => {
  it('grants by a tagged sequence, once, and by a plain one, again and again', async () => {
    const { source, clock, said } = await started({
      schemes: [
        oneTime({ clients: { alice: { secret: SECRET, knocks: 3 } } }),
        sequence({ clients: { bob: { sequence: ['7000', '9000', '8000'] } } }),
      ],
      clients: [
        { name: 'alice', services: ['ssh'] },
        { name: 'bob', services: ['ssh'] },
      ],
    });
    said.length = 0;
    const knocks = oneTimeKnocks({ secret: SECRET, knocks: 3 }, Math.floor(clock.now() / 10_000)).map(
      ({ port, tag }) => frame({ src: '198.51.100.7', dstPort: port, payload: tag }),
    );
    for (const bytes of [...knocks, ...knocks.toReversed()]) source.frame(bytes);
    await clock.advance(0);
    let seq = 0;
    for (const dstPort of [7000, 9000, 8000, 7000, 9000, 8000]) {
      source.frame(frame({ src: '198.51.100.8', protocol: 'tcp', dstPort, seq: (seq += 1) }));
    }
    await clock.advance(0);
    assert.deepEqual(said.filter((line) => !line.startsWith('close')).toSorted(), [
      'grant alice 198.51.100.7 ssh one-time',
      'grant bob 198.51.100.8 ssh sequence',
      'grant bob 198.51.100.8 ssh sequence',
      'reject replayed alice 1',
    ]);
  });

  it('refuses a step before the last one, also for another listener with the same replay state', async () => {
    const store = memoryReplay();
    const keep = { ...store, close: () => Promise.resolve() };
    const lines: string[] = [];
    for (const step of [5, 4, 5, 6]) {
      const { source, clock, said } = await started({ replay: keep });
      source.frame(request(step));
      await clock.advance(0);
      lines.push(said.at(-1)?.split(' ', 2).join(' ') ?? '');
    }
    assert.deepEqual(lines, ['grant alice', 'reject replayed', 'reject replayed', 'grant alice']);
  });
});

describe('KnockListener metrics', () => {
  it('count packets by outcome, rejects, grants and their ends', async () => {
    const { metrics, counts } = counter();
    const { source, clock } = await started({ metrics });
    source.frame(Buffer.alloc(10));
    source.frame(frame({ payload: '' }));
    source.frame(frame({ fragment: 0x2000 }));
    source.frame(request(1));
    source.frame(request(1));
    await clock.advance(30_000);
    assert.deepEqual(counts, {
      'packet truncated': 1,
      'packet decoded': 3,
      'packet fragment': 1,
      'reject replayed spoken': 1,
      'accept spoken 0 ms': 1,
      'grant ssh spoken': 1,
      'close expired ssh': 1,
    });
  });

  it('count failures by their code, also those that the events hold back', async () => {
    const { metrics, counts } = counter();
    const { source, clock, said } = await started({ metrics });
    for (let i = 0; i < 3; i += 1) source.fail(new KnockError('ERR_CAPTURE', 'gone'));
    source.fail(new Error('gone'));
    await clock.advance(0);
    assert.deepEqual(counts, { 'error ERR_CAPTURE': 3, 'error other': 1 });
    assert.deepEqual(said, ['error gone', 'error gone']);
  });

  it('tell from the packet’s time how long it took to open, and of a knock that opened nothing that it did not', async () => {
    const { metrics, counts } = counter();
    const plain = spoken();
    const closing: Scheme = {
      ...plain,
      match(packet, history) {
        const match = plain.match(packet, history);
        return match?.kind === 'request' && match.counter === 2n ? { ...match, close: true } : match;
      },
    };
    const { source, clock } = await started({
      ...{ metrics, schemes: [closing] },
      drive: (good) => ({
        open: async (grant) => {
          await new Promise<void>((resolve) => clock.after(7, resolve));
          await good.open(grant);
        },
      }),
    });
    source.frame(request(1));
    await clock.advance(0);
    await clock.advance(7);
    source.frame(request(2));
    await clock.advance(0);
    assert.deepEqual(
      Object.keys(counts).filter((each) => each.startsWith('accept')),
      ['accept spoken 7 ms', 'accept spoken no ms'],
    );
  });

  it('can read names and grants of the listener that counts there, and what a reload made of them', async () => {
    let watched: Watched | null = null;
    const metrics: Metrics = { ...noMetrics, watch: (listener) => (watched = listener) };
    const { listener, source, clock } = await started({ metrics });
    assert.equal(watched, listener);
    source.frame(request(1));
    await clock.advance(0);
    assert.deepEqual([listener.services, listener.schemes, listener.grants.length], [['ssh'], ['spoken'], 1]);
    const services = { ssh: { port: 22 }, admin: { port: 8443 } };
    await listener.reload({ schemes: [], services, clients: [] });
    assert.deepEqual(
      [listener.services, listener.schemes, listener.grants.length],
      [['ssh', 'admin'], [], 0],
    );
  });

  it('count rejects that the events hold back', async () => {
    const { metrics, counts } = counter();
    const { source } = await started({ metrics });
    for (let i = 0; i < 50; i += 1) source.frame(reject('wrong-port'));
    assert.equal(counts['reject wrong-port spoken'], 50);
  });
});

describe('KnockListener on a source that checks destinations', () => {
  it('takes no packet for another host, and no knock from an address of its own', async () => {
    const memory = memorySource({ checksDestination: true, loopback: true });
    const { metrics, counts } = counter();
    const { source, clock, said } = await started({ memory, metrics });
    source.frame(request(1, { src: '198.51.100.7', dst: '203.0.113.99' }));
    source.frame(request(2, { src: '198.51.100.7', dst: '127.0.0.1' }));
    source.frame(request(3, { src: '127.0.0.1', dst: '127.0.0.1' }));
    await clock.advance(0);
    assert.deepEqual(counts['packet not-ours'], 1);
    assert.deepEqual(said, ['grant alice 198.51.100.7 ssh spoken', 'grant alice 127.0.0.1 ssh spoken']);
  });
});

function counter(): { metrics: Metrics; counts: Record<string, number> } {
  const counts: Record<string, number> = {};
  const count =
    (what: string) =>
    (...labels: string[]): void => {
      const key = [what, ...labels].join(' ');
      counts[key] = (counts[key] ?? 0) + 1;
    };
  const metrics: Metrics = {
    ...noMetrics,
    packet: count('packet'),
    accept: (scheme, openMs) => count('accept')(scheme, `${openMs === null ? 'no' : openMs} ms`),
    error: count('error'),
    reject: count('reject'),
    grant: count('grant'),
    close: count('close'),
  };
  return { metrics, counts };
}
