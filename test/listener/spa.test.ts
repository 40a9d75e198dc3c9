// SPA knocks through a whole listener: whom they open for, until when, what a close request takes back, and what of all
// that is told.

import assert from 'node:assert/strict';
import { noMetrics } from '../../lib/metrics.ts';
import type { ClientAccess } from '../../lib/policy/access.ts';
import type { Reject } from '../../lib/policy/throttle.ts';
import { memoryReplay } from '../../lib/replay/memory.ts';
import type { ClaimResult } from '../../lib/replay/store.ts';
import { EPOCH_MS } from '../../lib/scheme/spa-keys.ts';
import { frame } from '../support/frames.ts';
import { CLIENTS, gatewayOf, insider, knock, PSK, type KnockOptions } from '../support/spa-knocks.ts';
import { rig, type Rig, type RigOptions } from './support.ts';

const HERE = '198.51.100.7';
const BOB = Buffer.alloc(32, 'BOBS-KEY');
const SERVICES = { ssh: { port: 22 }, admin: { port: 8443, openForMs: 120_000 } };
const ALL: readonly ClientAccess[] = ['alice', 'bob', 'carol'].map((name) => ({
  name,
  services: ['ssh', 'admin'],
}));

interface SpaRig extends Rig {
  /** Sends a knock of alice's, each with a higher counter than the last, and lets it be dealt with. */
  knock(options?: KnockOptions & { readonly src?: string }): Promise<Buffer>;
  /** Sends the bytes once more. */
  again(bytes: Buffer, src?: string): Promise<void>;
}

async function started({ clients = ALL, ...options }: RigOptions = {}): Promise<SpaRig> {
  const scheme = gatewayOf({
    clients: { alice: { secret: PSK }, bob: { secret: BOB }, carol: CLIENTS.suite2 },
  });
  const parts = rig({ schemes: [scheme], services: SERVICES, clients, ...options });
  await parts.listener.start();
  let seq = 0;
  const again = async (payload: Buffer, src = HERE): Promise<void> => {
    parts.source.frame(frame({ src, payload }));
    await parts.clock.advance(0);
  };
  return {
    ...parts,
    again,
    async knock({ src, ...what } = {}) {
      const bytes = await knock({ ms: parts.clock.now(), seq: (seq += 1), ...what });
      await again(bytes, src);
      return bytes;
    },
  };
}

/** What is open: whom for, what, and for how many milliseconds more. */
function open({ driver, clock }: Rig): string[] {
  return driver.openings.map(
    ({ source, service, client, openUntil }) => `${service} ${source} ${client} ${openUntil - clock.now()}`,
  );
}

describe('a listener with SPA', () => {
  const rows: readonly [number: number, knock: KnockOptions & { src?: string }, opened: readonly string[]][] =
    [
      [1, {}, ['ssh 198.51.100.7 alice 30000']],
      [
        2,
        { services: ['admin', 'ssh'] },
        ['admin 198.51.100.7 alice 120000', 'ssh 198.51.100.7 alice 30000'],
      ],
      [3, { src: '2001:db8::7' }, ['ssh 2001:db8::7 alice 30000']],
      [4, { claim: HERE }, ['ssh 198.51.100.7 alice 30000']],
      [5, { claim: '198.51.100.200/24' }, ['ssh 198.51.100.0/24 alice 30000']],
      [6, { claim: '2001:db8::/64', src: '2001:db8::7' }, ['ssh 2001:db8::/64 alice 30000']],
      [7, { suite: 2 }, ['ssh 198.51.100.7 carol 30000']],
      [8, { key: BOB }, ['ssh 198.51.100.7 bob 30000']],
      [9, { ttl: 10 }, ['ssh 198.51.100.7 alice 10000']],
      [
        10,
        { ttl: 60, services: ['ssh', 'admin'] },
        ['ssh 198.51.100.7 alice 30000', 'admin 198.51.100.7 alice 60000'],
      ],
      [11, { ttl: 4_000_000_000 }, ['ssh 198.51.100.7 alice 30000']],
      [12, { claim: '198.51.100.8' }, []],
      [13, { claim: '198.51.0.0/16' }, []],
      [14, { services: ['ssh', 'telnet'] }, []],
      [15, { src: '127.0.0.1' }, []],
      [16, { claim: '127.0.0.1', src: '127.0.0.1' }, []],
    ];
  for (const [number, what, opened] of rows) {
    it(`${number}. opens ${opened.join(' and ') || 'nothing'}`, async () => {
      const parts = await started();
      await parts.knock(what);
      assert.deepEqual(open(parts), opened);
      assert.deepEqual(
        parts.said.map((line) => line.split(' ')[0]),
        opened.length === 0 ? ['reject'] : opened.map(() => 'grant'),
      );
    });
  }

  it('opens until the time that the knock names, however late it comes', async () => {
    const parts = await started();
    const sent = parts.clock.now();
    const bytes = await knock({ ms: sent, ttl: 60, services: ['admin'] });
    await parts.clock.advance(45_000);
    await parts.again(bytes);
    assert.deepEqual(open(parts), ['admin 198.51.100.7 alice 15000']);
    await parts.clock.advance(15_000);
    assert.deepEqual(parts.said, ['grant alice 198.51.100.7 admin spa', 'close admin expired']);
    assert.deepEqual(parts.listener.grants, []);
  });

  it('opens nothing by a knock whose time was up before it came', async () => {
    const parts = await started();
    const bytes = await knock({ ms: parts.clock.now(), ttl: 60 });
    await parts.clock.advance(60_000);
    await parts.again(bytes);
    assert.deepEqual([open(parts), parts.said], [[], ['reject stale alice 1']]);
  });

  it('opens nothing when the disk takes longer than the knock has', async () => {
    let release = (): void => undefined;
    const claimed = new Promise<ClaimResult>((resolve) => (release = () => resolve('claimed')));
    const parts = await started({ store: () => ({ claim: () => claimed }) });
    await parts.knock({ ttl: 5 });
    await parts.clock.advance(5000);
    release();
    await parts.clock.advance(0);
    assert.deepEqual(open(parts), []);
    assert.equal(
      parts.said.some((line) => line.startsWith('grant')),
      false,
    );
  });

  it('tells by how much a client’s clock is off', async () => {
    const parts = await started();
    const rejects: Reject[] = [];
    parts.listener.on('reject', (event) => rejects.push(event));
    await parts.knock({ ms: parts.clock.now() - 143_000 });
    await parts.knock({ ms: parts.clock.now() + 31_000, suite: 2 });
    const [slow, fast] = rejects;
    assert.deepEqual([slow?.client, slow?.clockOffsetMs], ['alice', -143_000]);
    assert.deepEqual([fast?.client, fast?.clockOffsetMs], ['carol', 31_000]);
  });

  it('hears every knock around the turn of an hour', async () => {
    const parts = await started();
    const turn = EPOCH_MS - (parts.clock.now() % EPOCH_MS);
    await parts.clock.advance(turn - 121_000);
    for (let second = -121; second <= 121; second += 1) {
      // Half of them dated by a clock that is off as far as is allowed.
      const off = second % 2 === 0 ? 0 : second % 3 === 0 ? 30_000 : -120_000;
      await parts.knock({
        ms: parts.clock.now() + off,
        key: second % 2 === 0 ? PSK : BOB,
        seq: second + 200,
      });
      await parts.clock.advance(1000);
    }
    const heard = parts.said.filter((line) => line.startsWith('grant alice')).length;
    assert.equal(heard, 121);
    // Bob's clock jumps to and fro, so some of his are behind his last; none is unheard or out of time.
    const others = new Set(
      parts.said.filter((line) => !line.startsWith('grant') && !line.startsWith('close')),
    );
    for (const line of others) assert.match(line, /^reject replayed bob/u);
  });
});

describe('a copy of an SPA knock', () => {
  it('is no event, nor a second opening, when it comes from where the first came from', async () => {
    const counts: string[] = [];
    const metrics = {
      ...noMetrics,
      packet: (outcome: string) => void counts.push(outcome),
    };
    const parts = await started({ metrics });
    const bytes = await parts.knock();
    for (let i = 0; i < 3; i += 1) await parts.again(bytes);
    assert.deepEqual(parts.said, ['grant alice 198.51.100.7 ssh spa']);
    assert.equal(parts.order.filter((step) => step === 'replay.claim').length, 1);
    assert.equal(counts.filter((outcome) => outcome === 'duplicate').length, 3);
    await parts.clock.advance(2000);
    assert.equal(parts.said.length, 1);
  });

  it('is a replay when it comes from elsewhere, and opens nothing', async () => {
    const parts = await started();
    const bytes = await parts.knock();
    await parts.again(bytes, '203.0.113.66');
    assert.deepEqual(open(parts), ['ssh 198.51.100.7 alice 30000']);
    assert.deepEqual(parts.said.slice(1), ['reject replayed alice 1']);
  });

  it('opens once although both come before the first is decided, from two places', async () => {
    const parts = await started();
    const payload = await knock({ ms: parts.clock.now() });
    for (const src of [HERE, '203.0.113.66', HERE]) parts.source.frame(frame({ src, payload }));
    await parts.clock.advance(0);
    assert.deepEqual(open(parts), ['ssh 198.51.100.7 alice 30000']);
    assert.deepEqual(parts.said.toSorted(), ['grant alice 198.51.100.7 ssh spa', 'reject replayed alice 1']);
  });

  it('opens nothing after a restart on the same replay state', async () => {
    const store = memoryReplay();
    const replay = { ...store, close: () => Promise.resolve() };
    const first = await started({ replay });
    const bytes = await first.knock();
    await first.listener.stop();
    const second = await started({ replay });
    for (const src of [HERE, '203.0.113.66']) await second.again(bytes, src);
    assert.deepEqual([open(second), second.said], [[], ['reject replayed alice 1']]);
    await second.clock.advance(1000);
    assert.equal(second.said.at(-1), 'reject replayed alice 1');
  });

  it('with another pad, by somebody who has the access key, opens nothing', async () => {
    const parts = await started();
    const lots = { length: 300, random: Buffer.alloc(12, 1), pad: Buffer.alloc(480, 2) };
    const bytes = await parts.knock({ lots });
    const repadded = insider(bytes, (plain) => plain.fill(9, plain.length - 10));
    await parts.again(repadded, '203.0.113.66');
    assert.deepEqual(open(parts), ['ssh 198.51.100.7 alice 30000']);
    assert.deepEqual(parts.said.slice(1), ['reject replayed alice 1']);
  });
});

describe('a refused SPA knock', () => {
  it('spends nothing: the same bytes still work from the right place', async () => {
    const parts = await started();
    const bytes = await parts.knock({ claim: '198.51.100.8' });
    assert.deepEqual(open(parts), []);
    assert.equal(parts.order.includes('replay.claim'), false);
    await parts.again(bytes, '198.51.100.8');
    assert.deepEqual(open(parts), ['ssh 198.51.100.8 alice 30000']);
  });

  it('is told once, though its sender sends it twice', async () => {
    const parts = await started();
    const bytes = await parts.knock({ claim: '198.51.0.0/16' });
    await parts.again(bytes);
    await parts.clock.advance(2000);
    assert.deepEqual(parts.said, ['reject prefix-too-wide alice 1']);
  });
});

describe('a close request', () => {
  it('takes back the client’s own openings of the services that it names, wherever they are for', async () => {
    const parts = await started();
    await parts.knock({ services: ['ssh', 'admin'] });
    await parts.knock({ src: '203.0.113.9' });
    await parts.knock({ key: BOB, src: '203.0.113.10' });
    await parts.knock({ suite: 2, src: '203.0.113.11' });
    parts.said.length = 0;
    await parts.knock({ close: true });
    assert.deepEqual(open(parts), [
      'admin 198.51.100.7 alice 120000',
      'ssh 203.0.113.10 bob 30000',
      'ssh 203.0.113.11 carol 30000',
    ]);
    assert.deepEqual(parts.said, ['close ssh revoked', 'close ssh revoked']);
  });

  it('leaves the opening of another client alone that has the same address', async () => {
    const parts = await started();
    await parts.knock({ key: BOB });
    parts.said.length = 0;
    await parts.knock({ close: true });
    assert.deepEqual([open(parts), parts.said], [['ssh 198.51.100.7 bob 30000'], []]);
  });

  it('is no event when there is nothing to take back, and works once like any other knock', async () => {
    const parts = await started();
    const bytes = await parts.knock({ close: true });
    assert.deepEqual([open(parts), parts.said], [[], []]);
    await parts.knock();
    parts.said.length = 0;
    await parts.again(bytes, '203.0.113.66');
    assert.deepEqual(open(parts), ['ssh 198.51.100.7 alice 30000']);
    assert.deepEqual(parts.said, ['reject replayed alice 1']);
  });

  it('keeps an older knock from opening after it', async () => {
    const parts = await started();
    const delayed = await knock({ ms: parts.clock.now() - 5 });
    await parts.knock({ close: true });
    await parts.again(delayed);
    assert.deepEqual([open(parts), parts.said], [[], ['reject replayed alice 1']]);
  });

  it('is held to the policy: services, claim and expiry', async () => {
    const clients = [
      { name: 'alice', services: ['ssh'] },
      { name: 'bob', services: ['ssh'], expiresAt: 1 },
      { name: 'carol', services: ['ssh'], bind: 'exact' as const },
    ];
    const parts = await started({ clients });
    await parts.knock();
    parts.said.length = 0;
    await parts.knock({ close: true, services: ['ssh', 'admin'] });
    await parts.knock({ close: true, claim: '198.51.100.8' });
    await parts.knock({ close: true, key: BOB });
    await parts.knock({ close: true, suite: 2 });
    assert.deepEqual(open(parts), ['ssh 198.51.100.7 alice 30000']);
    assert.deepEqual(parts.said, [
      'reject service-refused alice 1',
      'reject source-mismatch alice 1',
      'reject client-expired bob 1',
      'reject bind-refused carol 1',
    ]);
  });

  it('whose firewall fails is told as an error and as grant-failed, and the opening stays in the books', async () => {
    const parts = await started();
    await parts.knock();
    parts.said.length = 0;
    parts.driver.failNext('close', new Error('xtables lock'));
    await parts.knock({ close: true });
    assert.deepEqual(parts.said, ['error xtables lock', 'reject grant-failed alice 1']);
    assert.equal(parts.listener.grants.length, 1);
    await parts.knock({ close: true });
    assert.deepEqual([open(parts), parts.said.at(-1)], [[], 'close ssh revoked']);
  });
});
