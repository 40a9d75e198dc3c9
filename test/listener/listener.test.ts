// The life of a listener: the order in which it starts, what a failed start leaves, and that stop() always ends.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { isKnockError, KnockError } from '../../lib/errors.ts';
import { mock } from '../../lib/firewall/mock.ts';
import type { ListenerEvents } from '../../lib/listener/events.ts';
import { KnockListener } from '../../lib/listener/listener.ts';
import { memorySource } from '../../lib/testing/source.ts';
import { request, spoken } from '../support/spoken.ts';
import { never, rig, type Rig, type RigOptions } from './support.ts';

/** Something awaited that a test lets go on. */
function held(): { readonly promise: Promise<void>; readonly release: () => void } {
  let release = (): void => undefined;
  const promise = new Promise<void>((resolve) => (release = resolve));
  return { promise, release };
}

function isStateError(error: unknown): boolean {
  return isKnockError(error) && error.code === 'ERR_LISTENER_STATE';
}

describe('KnockListener.start', () => {
  it('opens the replay state, then the source, and closes the ports last', async () => {
    const { listener, order, driver, source } = rig();
    await listener.start();
    assert.deepEqual(order, ['replay.open', 'source.open', 'driver.setup']);
    assert.deepEqual(driver.calls[0]?.services, [
      { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 30_000, connections: 1 },
    ]);
    assert.deepEqual(source.context?.needs, [{ protocol: 'udp', ports: [1, 65_535] }]);
  });

  it('tells the replay store how long a recorded knock may be valid: the longest of all schemes', async () => {
    let windowMs = -1;
    const long = { ...spoken({ name: 'long' }), validityMs: 420_000 };
    const { listener } = rig({
      schemes: [spoken(), long],
      store: (good) => ({
        open(context) {
          windowMs = context.windowMs;
          return good.open(context);
        },
      }),
    });
    await listener.start();
    assert.equal(windowMs, 420_000);
  });

  const failures: readonly [what: string, options: RigOptions, order: readonly string[]][] = [
    ['the replay state', { store: () => ({ open: () => Promise.reject(new Error('no')) }) }, ['replay.open']],
    ['the source', { memory: memorySource({ refuse: new Error('no') }) }, ['replay.open', 'source.open']],
  ];
  for (const [what, options, opened] of failures) {
    it(`leaves the firewall untouched when ${what} cannot be opened, and closes what was`, async () => {
      const { listener, order, driver, clock } = rig(options);
      await assert.rejects(listener.start(), /^Error: no$/u);
      assert.deepEqual(driver.calls, []);
      assert.deepEqual(order, [...opened, 'source.close', 'replay.close']);
      assert.equal(clock.pending, 0);
      await assert.rejects(listener.start(), isStateError);
    });
  }

  it('closes source and replay state when the firewall fails, with the error of the driver', async () => {
    const { listener, driver, order, clock } = rig();
    const error = new KnockError('ERR_FIREWALL_MISSING', 'no iptables');
    driver.failNext('setup', error);
    await assert.rejects(listener.start(), error);
    assert.deepEqual(order.slice(3), ['source.close', 'replay.close']);
    assert.equal(clock.pending, 0);
  });

  it('can be called once', async () => {
    const { listener } = rig();
    const first = listener.start();
    await assert.rejects(listener.start(), {
      message: 'listener cannot be started, it is starting (make a new one)',
    });
    await first;
    await assert.rejects(listener.start(), { message: /it is running/u });
    await listener.stop();
    await assert.rejects(listener.start(), { message: /it is stopped/u });
  });

  it('warns of replay state in memory when the firewall is real, and only then', async () => {
    const real = rig({ drive: () => ({ real: true }) });
    await real.listener.start();
    assert.equal(real.said.length, 1);
    assert.match(real.said[0] ?? '', /^warning replay state is only in memory: .*fileReplay/u);
    const durable = rig({ drive: () => ({ real: true }), store: () => ({ durable: true }) });
    await durable.listener.start();
    const unreal = rig();
    await unreal.listener.start();
    assert.deepEqual([durable.said, unreal.said], [[], []]);
  });

  it('warns of each scheme whose knocks can be repeated', async () => {
    const { listener, said } = rig({ schemes: [spoken(), spoken({ name: 'plain', replayable: true })] });
    await listener.start();
    assert.equal(said.length, 1);
    assert.match(said[0] ?? '', /^warning scheme plain has no replay protection/u);
  });

  it('passes on the warnings of store, source and driver', async () => {
    const { listener, said } = rig({
      store: () => ({
        open({ warning }) {
          warning('from the store');
          return Promise.resolve();
        },
      }),
      wrap: (good) => ({
        open(context) {
          context.sink.warning('from the source');
          return good.open(context);
        },
      }),
      drive: (good) => ({
        setup(services, context) {
          context.warning('from the driver');
          return good.setup(services, context);
        },
      }),
    });
    await listener.start();
    assert.deepEqual(said, ['warning from the store', 'warning from the source', 'warning from the driver']);
  });

  it('hears nothing before it runs, nor after it was stopped', async () => {
    const setup = held();
    const { listener, source, said, clock } = rig({ drive: () => ({ setup: () => setup.promise }) });
    const started = listener.start();
    await clock.advance(0);
    source.frame(request(1));
    setup.release();
    await started;
    await clock.advance(0);
    assert.deepEqual(said, []);
    const context = source.context ?? assert.fail();
    await listener.stop();
    const bytes = request(2);
    context.sink.frame(bytes, 0, bytes.length, bytes.length, 1, clock.now());
    await clock.advance(0);
    assert.deepEqual(said, []);
  });
});

describe('KnockListener.start with a signal', () => {
  it('rejects with the reason and touches nothing when it was aborted before', async () => {
    const { listener, order } = rig();
    const reason = new Error('changed my mind');
    await assert.rejects(listener.start({ signal: AbortSignal.abort(reason) }), reason);
    assert.deepEqual(order, []);
    await listener.start();
  });

  for (const [phase, options] of [
    [
      'the replay state is opened',
      (wait: Promise<void>): RigOptions => ({ store: () => ({ open: () => wait }) }),
    ],
    [
      'the source is opened',
      (wait: Promise<void>): RigOptions => ({
        wrap: (good) => ({ open: (context) => wait.then(() => good.open(context)) }),
      }),
    ],
  ] as const) {
    it(`rejects with the reason and leaves the firewall alone when it is aborted while ${phase}`, async () => {
      const wait = held();
      const { listener, driver, order, clock } = rig(options(wait.promise));
      const controller = new AbortController();
      const started = listener.start({ signal: controller.signal });
      await clock.advance(0);
      controller.abort(new Error('enough'));
      wait.release();
      await assert.rejects(started, /^Error: enough$/u);
      assert.deepEqual(driver.calls, []);
      assert.deepEqual(order.slice(-2), ['source.close', 'replay.close']);
      assert.equal(clock.pending, 0);
    });
  }

  it('stops the listener when it is aborted later', async () => {
    const { listener, order, clock } = rig();
    const controller = new AbortController();
    await listener.start({ signal: controller.signal });
    controller.abort();
    await clock.advance(0);
    assert.deepEqual(order.slice(3), ['source.close', 'replay.close']);
    await assert.rejects(listener.start(), { message: /it is stopped/u });
  });
});

describe('KnockListener.stop', () => {
  it('closes source and replay state and leaves the ports closed and open grants open', async () => {
    const { listener, source, driver, order, clock, said } = rig();
    await listener.start();
    source.frame(request(1));
    await clock.advance(0);
    assert.equal(driver.openings.length, 1);
    await listener.stop();
    assert.deepEqual(order.slice(-2), ['source.close', 'replay.close']);
    assert.equal(order.includes('driver.teardown') || order.includes('driver.close'), false);
    assert.equal(driver.openings.length, 1);
    assert.deepEqual(listener.grants, []);
    await driver.teardown();
    assert.equal(clock.pending, 0);
    assert.deepEqual(said, ['grant alice 198.51.100.7 ssh spoken']);
  });

  it('may be called again, at the same time and later, and does its work once', async () => {
    const { listener, order } = rig();
    await listener.start();
    await Promise.all([listener.stop(), listener.stop()]);
    await listener.stop();
    assert.equal(order.filter((step) => step === 'source.close').length, 1);
  });

  it('is what `await using` calls', async () => {
    const { listener, order } = rig();
    {
      await using running = listener;
      await running.start();
    }
    assert.deepEqual(order.slice(-2), ['source.close', 'replay.close']);
  });

  it('works on a listener that was never started', async () => {
    const { listener, driver, clock } = rig();
    await listener.stop();
    assert.deepEqual([driver.calls, clock.pending], [[], 0]);
    await assert.rejects(listener.start(), isStateError);
  });

  const hanging: readonly [what: string, options: RigOptions][] = [
    ['the source', { wrap: () => ({ close: () => never<undefined>() }) }],
    ['the disk that a claim waits for', { store: () => ({ claim: () => never<'claimed'>() }) }],
    ['the firewall', { drive: () => ({ open: () => never<undefined>() }) }],
    ['the replay state', { store: () => ({ close: () => never<undefined>() }) }],
    [
      'everything',
      {
        wrap: () => ({ close: () => never<undefined>() }),
        store: () => ({ claim: () => never<'claimed'>(), close: () => never<undefined>() }),
        drive: () => ({ open: () => never<undefined>(), list: () => never<[]>() }),
      },
    ],
  ];
  for (const [what, options] of hanging) {
    it(`resolves within a second though ${what} hangs, and leaves no timer`, async () => {
      const { listener, source, driver, clock } = rig(options);
      await listener.start();
      source.frame(request(1));
      await clock.advance(0);
      let stopped = false;
      void listener.stop().then(() => (stopped = true));
      await clock.advance(1000);
      assert.equal(stopped, true);
      await driver.teardown();
      assert.equal(clock.pending, 0);
    });
  }

  it('tells of what failed on the way, and goes on', async () => {
    const { listener, said, order } = rig({
      wrap: () => ({ close: () => Promise.reject(new Error('stuck')) }),
      store: () => ({ close: () => Promise.reject(new Error('torn')) }),
    });
    await listener.start();
    await listener.stop();
    assert.deepEqual(said, ['warning stop: stuck', 'warning stop: torn']);
    assert.equal(order.at(-1), 'replay.close');
  });

  it('tells of the rejects that were held back', async () => {
    const { listener, source, said, clock } = rig();
    await listener.start();
    for (let i = 0; i < 3; i += 1) source.frame(request(1));
    await clock.advance(0);
    await listener.stop();
    assert.deepEqual(
      said.filter((line) => line.startsWith('reject')),
      ['reject replayed alice 1', 'reject replayed alice 1'],
    );
  });

  it('lets nothing open after it has resolved, though a claim comes back from a slow disk then', async () => {
    const disk = held();
    const { listener, source, driver, said, clock } = rig({
      store: () => ({ claim: () => disk.promise.then(() => 'claimed' as const) }),
    });
    await listener.start();
    source.frame(request(1));
    await clock.advance(0);
    const stopped = listener.stop();
    await clock.advance(1000);
    await stopped;
    disk.release();
    await clock.advance(1000);
    assert.deepEqual([driver.openings, said, clock.pending], [[], [], 0]);
  });
});

describe('KnockListener.stop during start', () => {
  const phases: readonly [phase: string, options: (wait: Promise<void>) => RigOptions, setup: boolean][] = [
    [
      'the replay state is opened',
      (wait) => ({ store: (good) => ({ open: (context) => wait.then(() => good.open(context)) }) }),
      false,
    ],
    [
      'the source is opened',
      (wait) => ({ wrap: (good) => ({ open: (context) => wait.then(() => good.open(context)) }) }),
      false,
    ],
    ['the ports are closed', (wait) => ({ drive: () => ({ setup: () => wait }) }), true],
  ];

  async function interrupted(options: (wait: Promise<void>) => RigOptions): Promise<Rig> {
    const wait = held();
    const parts = rig(options(wait.promise));
    const { listener, clock } = parts;
    const started = listener.start();
    const outcome = assert.rejects(started);
    await clock.advance(0);
    const stopped = listener.stop();
    await clock.advance(1000);
    await stopped;
    wait.release();
    await clock.advance(1000);
    await outcome;
    return parts;
  }

  for (const [phase, options, setup] of phases) {
    it(`leaves nothing open that is opened later: while ${phase}`, async () => {
      const { order, driver, source, replay, clock, said } = await interrupted(options);
      assert.equal(order.includes('driver.setup'), setup);
      assert.equal(source.context, null);
      assert.equal(await replay.claim('alice', 1n), 'failed', 'the replay state is open');
      assert.deepEqual([driver.openings, clock.pending], [[], 0]);
      assert.deepEqual(said, []);
    });
  }

  it('makes start() reject, and says why', async () => {
    const wait = held();
    const { listener, clock } = rig({ drive: () => ({ setup: () => wait.promise }) });
    const started = listener.start();
    await clock.advance(0);
    void listener.stop();
    wait.release();
    await assert.rejects(started, {
      code: 'ERR_LISTENER_STATE',
      message: 'listener was stopped while it started',
    });
  });
});

describe('KnockListener without the options that have a default', () => {
  it('grants, and stops', async () => {
    const source = memorySource();
    const listener = new KnockListener({
      source,
      driver: mock(),
      schemes: [spoken()],
      services: { ssh: { port: 22 } },
      clients: [{ name: 'alice', services: ['ssh'] }],
    });
    await listener.start();
    const granted = once(listener, 'grant');
    const before = Date.now();
    source.frame(request(1));
    const [{ grant }] = (await granted) as ListenerEvents['grant'];
    assert.deepEqual([grant.connections, grant.port, grant.protocol], [1, 22, 'tcp']);
    assert.ok(grant.openUntil >= before + 30_000 && grant.openUntil <= Date.now() + 30_000);
    await listener.stop();
  });
});
