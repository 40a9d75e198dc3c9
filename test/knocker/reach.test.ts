// Through an opening: fresh knocks and fresh attempts until one connection stays.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, createServer as createHttpServer } from 'node:http';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { isKnockError } from '../../lib/errors.ts';
import { Knocker } from '../../lib/knocker/knocker.ts';
import type { OneTimeProfile } from '../../lib/knocker/profile.ts';
import { hangUp, reach } from '../../lib/knocker/reach.ts';
import { virtualClock, type VirtualClock } from '../../lib/testing/clock.ts';
import { freePort, freePorts } from '../support/ports.ts';
import {
  HOST,
  limitAfter,
  listenUdp,
  PROFILE,
  Service,
  standingClock,
  turns,
  until,
  type Ear,
} from './support.ts';

const KNOCKS = 2;
const BUSY_ATTEMPTS = 3;
const LONGEST_BUSY_PAUSE_MS = 10;
/** Each begins with this limit. */
const ATTEMPT_MS = 3000;
const NOW = 1_700_000_000_000;

describe('connect', () => {
  it('hands over the connection that a knock opened, unread and without a listener of ours', async () => {
    const service = await Service.closed((socket) => socket.write('hello'));
    await behindKnocks(service, async (knocker, ear) => {
      ear.onHeard = () => {
        if (ear.heard.length === KNOCKS) service.open();
      };
      const socket = await knocker.connect('web');
      assert.equal(String((await once(socket, 'data'))[0]), 'hello');
      assert.deepEqual(
        ['error', 'close', 'connect', 'readable'].map((name) => socket.listenerCount(name)),
        [0, 0, 0, 0],
      );
      socket.destroy();
      assert.equal(ear.heard.length, KNOCKS);
    });
  });

  it('knocks anew with another step when the port stays closed', async () => {
    const service = await Service.closed(() => undefined);
    await behindKnocks(service, async (knocker, ear) => {
      ear.onHeard = () => {
        if (ear.heard.length === 2 * KNOCKS) service.open();
      };
      (await knocker.connect('web')).destroy();
      assert.equal(new Set(ear.heard.map(({ payload }) => payload)).size, 2 * KNOCKS);
    });
  });

  for (const how of ['destroy', 'resetAndDestroy'] as const) {
    it(`tries again when the connection is taken back at once (${how})`, async () => {
      let refused = 0;
      const service = await Service.closed((socket) => {
        if (refused < 3) {
          refused += 1;
          socket[how]();
        } else socket.once('data', () => socket.end('welcome'));
      });
      await behindKnocks(service, async (knocker) => {
        service.open();
        const socket = await knocker.connect('web');
        socket.write('?');
        assert.equal(String((await once(socket, 'data'))[0]), 'welcome');
        assert.equal(refused, 3);
      });
    });
  }

  it('leaves no other connection behind', async () => {
    const open = new Set<Socket>();
    const service = await Service.closed((socket) => {
      open.add(socket.on('close', () => open.delete(socket)).resume());
    });
    await behindKnocks(service, async (knocker) => {
      service.open();
      const socket = await knocker.connect('web');
      await turns();
      await until(() => open.size === 1);
      socket.destroy();
    });
  });

  it('gives up in time, and says what it tried', async () => {
    const service = await Service.closed(() => undefined);
    await behindKnocks(service, async (_, ear, profile) => {
      const clock = limitAfter(() => ear.count(KNOCKS), 100, NOW);
      const knocker = new Knocker(profile, { clock });
      await assert.rejects(knocker.connect('web', { timeoutMs: 100 }), (error) => {
        assert.ok(isKnockError(error) && error.code === 'ERR_NOT_OPEN');
        const start = `port ${service.port} of ${HOST} did not accept after 1 knock in 0.1 s (`;
        assert.equal(error.message.slice(0, start.length), start);
        return true;
      });
    });
  });

  it('ends with its signal', async () => {
    const service = await Service.closed(() => undefined);
    await behindKnocks(service, async (knocker, ear) => {
      const controller = new AbortController();
      const reason = new Error('enough');
      ear.onHeard = () => {
        controller.abort(reason);
      };
      await assert.rejects(knocker.connect('web', { signal: controller.signal }), reason);
    });
  });

  it('does not wait for a step that comes after its time', async () => {
    const service = await Service.closed(() => undefined);
    await behindKnocks(service, async (knocker) => {
      for (let i = 0; i < 4; i += 1) await knocker.knock();
      await assert.rejects(
        knocker.connect('web', { timeoutMs: 5_000 }),
        (error) => isKnockError(error) && error.code === 'ERR_KNOCK_AHEAD',
      );
    });
  });
});

describe('reach', () => {
  for (const [what, keepAttempts, times] of [
    ['soon, and then less and less often', true, [0, 300, 750, 1425, 2438, 3956, 5956, 7956]],
    ['only when a handshake had its time, where a knock ends the attempts', false, [0, 1500, 3000, 4500]],
  ] as const) {
    it(`knocks again ${what}`, async () => {
      const clock = virtualClock(0);
      const knocked: number[] = [];
      const service = await Service.closed(() => undefined);
      const task = { address: HOST, port: service.port, timeoutMs: 8000, clock, signal: undefined };
      const knock = (): Promise<number> => {
        knocked.push(Math.round(clock.now()));
        return Promise.resolve(0);
      };
      const reached = reach({ ...task, keepAttempts, knock, refuseAhead: never });
      await clock.advance(8000);
      assert.equal(await reached, null);
      assert.deepEqual(knocked.slice(0, times.length), times);
    });
  }

  it('waits as long as it is told between knocks that are not allowed yet', async () => {
    const clock = virtualClock(0);
    const knocked: number[] = [];
    const service = await Service.closed(() => undefined);
    const task = { address: HOST, port: service.port, timeoutMs: 9000, clock, signal: undefined };
    const knock = (): Promise<number> => {
      knocked.push(Math.round(clock.now()));
      return Promise.resolve(knocked.length === 1 ? 0 : 4000);
    };
    const reached = reach({ ...task, keepAttempts: true, knock, refuseAhead: never });
    await clock.advance(9000);
    assert.equal(await reached, null);
    assert.deepEqual(knocked, [0, 300, 4300, 8300]);
  });
});

describe('reach, where several attempts are connected before this process hears of the first', () => {
  it('hands over the one that the service speaks to, when what the rest has sent must have arrived', async () => {
    const { clock, welcome, ended, reached, end } = await busyReach();
    let isOver = false;
    void reached.then(() => (isOver = true));
    await until(() => welcome.length === BUSY_ATTEMPTS);
    welcome[1]?.write('hello');
    await until(() => ended.length === BUSY_ATTEMPTS - 1);
    await clock.advance(49);
    assert.equal(isOver, false);
    await clock.advance(451);
    const socket = await reached;
    assert.equal(String(socket?.read()), 'hello');
    assert.equal(socket?.localPort, welcome[1]?.remotePort);
    assert.deepEqual(
      ended.toSorted(([one], [other]) => one - other),
      [
        [0, 'ECONNRESET'],
        [2, 'ECONNRESET'],
      ],
    );
    await end(socket);
  });

  it('takes none of them where nobody speaks, and knocks again for attempts that are further apart', async () => {
    const { clock, welcome, ended, reached, knocked, attempted, close, open, end } = await busyReach();
    await until(() => welcome.length === BUSY_ATTEMPTS);
    close();
    await goOnUntil(() => knocked() === 2, clock);
    await until(() => ended.length === BUSY_ATTEMPTS);
    assert.deepEqual(new Set(ended.map(([, code]) => code)), new Set(['ECONNRESET']));
    clock.beBusy();
    await open();
    const before = attempted();
    // Time stands still while the kernels shake hands.
    await goOnUntil(() => attempted() > before, clock);
    await until(() => welcome.length > BUSY_ATTEMPTS);
    await clock.advance(500);
    const socket = await reached;
    assert.equal(socket?.localPort, welcome[BUSY_ATTEMPTS]?.remotePort);
    assert.deepEqual([welcome.length, ended.length], [BUSY_ATTEMPTS + 1, BUSY_ATTEMPTS]);
    await end(socket);
  });
});

describe('hangUp', () => {
  for (const [what, serve] of [
    ['says something', (socket: Socket) => socket.write('hello')],
    ['hangs up as well', (socket: Socket) => socket.resume()],
    ['resets', (socket: Socket) => socket.once('readable', () => socket.resetAndDestroy())],
  ] as const) {
    it(`ends with the word of a service that ${what}`, async () => {
      const server = createServer(serve).listen(0, HOST);
      await once(server, 'listening');
      const socket = await connected(server);
      // The time never comes.
      await hangUp(socket, virtualClock());
      assert.equal(socket.destroyed, true);
      await new Promise((resolve) => server.close(resolve));
    });
  }

  it('resets a connection on which nothing is heard for half a second', async () => {
    const server = createServer({ allowHalfOpen: true }).listen(0, HOST);
    await once(server, 'listening');
    const served = once(server, 'connection') as Promise<[Socket]>;
    const socket = await connected(server);
    const clock = virtualClock();
    const [far] = await served;
    const end = once(far.resume(), 'end');
    let isOver = false;
    const over = hangUp(socket, clock).then(() => (isOver = true));
    await end;
    await clock.advance(499);
    assert.equal(isOver, false);
    await clock.advance(1);
    await over;
    // After an orderly end the first words would still be taken.
    const refused = once(far, 'error');
    far.write('too late');
    assert.match(((await refused)[0] as NodeJS.ErrnoException).code ?? '', /^(EPIPE|ECONNRESET)$/u);
    await new Promise((resolve) => server.close(resolve));
  });

  it('has nothing to wait for when the service has spoken or gone before', async () => {
    for (const serve of [(socket: Socket) => socket.write('hello'), (socket: Socket) => socket.end()]) {
      const server = createServer(serve).listen(0, HOST);
      await once(server, 'listening');
      const socket = await connected(server);
      const heard = once(socket, 'readable');
      socket.read(0);
      await heard;
      if (socket.readableLength === 0) socket.destroy();
      const closed = socket.closed ? Promise.resolve() : once(socket, 'close');
      await hangUp(socket, virtualClock());
      // A socket that is destroyed and never closed keeps its process alive.
      await closed;
      await new Promise((resolve) => server.close(resolve));
    }
  });
});

describe('knockAndWait', () => {
  it('knocks once more, because its own connection used up the opening', async () => {
    let admitted = 0;
    const service = await Service.closed(() => (admitted += 1));
    await behindKnocks(service, async (knocker, ear) => {
      service.open();
      const { sentTo, packets, step } = await knocker.knockAndWait('web');
      await ear.count(2 * KNOCKS);
      assert.deepEqual({ sentTo, packets, step }, { sentTo: HOST, packets: KNOCKS, step: NOW / 10_000 + 1 });
      assert.equal(new Set(ear.heard.map(({ payload }) => payload)).size, 2 * KNOCKS);
      assert.equal(admitted, 1);
    });
  });
});

describe('agent', () => {
  it('brings http requests through the opening, the second over the same connection', async () => {
    const sockets = new Set<Socket>();
    const server = createHttpServer((request, response) => {
      sockets.add(request.socket);
      response.end(`you asked for ${request.url ?? ''}`);
    }).listen(0, HOST);
    await once(server, 'listening');
    const place = server.address();
    const port = typeof place === 'object' && place !== null ? place.port : 0;
    const { profile, ear } = await profileFor(port);
    const agent = new Knocker(profile).agent();
    assert.equal(await fetched(`http://gw.example:${port}/one`, agent), 'you asked for /one');
    assert.equal(await fetched(`http://gw.example:${port}/two`, agent), 'you asked for /two');
    await ear.count(KNOCKS);
    assert.deepEqual([sockets.size, ear.heard.length], [1, KNOCKS]);
    await assert.rejects(
      fetched('http://gw.example:1/', agent),
      /port must be one of the profile's services, got 1/u,
    );
    agent.destroy();
    await new Promise((resolve) => server.close(resolve));
    await ear.close();
  });
});

describe('a port without knocks', () => {
  it('refuses in these tests as well', async () => {
    const service = await Service.closed(() => undefined);
    const [error] = (await once(connect(service.port, HOST), 'error').catch((caught: unknown) => [
      caught,
    ])) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNREFUSED');
  });
});

async function behindKnocks(
  service: Service,
  body: (knocker: Knocker, ear: Ear, profile: OneTimeProfile) => Promise<void>,
): Promise<void> {
  const { profile, ear } = await profileFor(service.port);
  try {
    await body(new Knocker(profile, { clock: standingClock(NOW) }), ear, profile);
  } finally {
    await service.end();
    await ear.close();
  }
}

interface BusyReach {
  readonly clock: VirtualClock & { beBusy(): void };
  /** What the service accepted, in order. */
  readonly welcome: readonly Socket[];
  /** Which of these has ended, and how. */
  readonly ended: readonly (readonly [index: number, code: string | undefined])[];
  readonly reached: Promise<Socket | null>;
  knocked(): number;
  attempted(): number;
  open(): Promise<void>;
  close(): void;
  end(socket: Socket | null): Promise<void>;
}

/** As in a process that is busy elsewhere while the first pauses go by: all these attempts are answered at once. */
async function busyReach(): Promise<BusyReach> {
  const welcome: Socket[] = [];
  const ended: (readonly [number, string | undefined])[] = [];
  const server = createServer((socket) => {
    const index = welcome.push(socket) - 1;
    socket.on('error', ({ code }: NodeJS.ErrnoException) => ended.push([index, code])).resume();
    socket.on('end', () => ended.push([index, undefined]));
  });
  const port = await freePort();
  server.listen(port, HOST);
  await once(server, 'listening');
  const time = virtualClock();
  let pauses = BUSY_ATTEMPTS - 1;
  let attempts = 0;
  const clock = {
    ...time,
    after(ms: number, run: () => void) {
      if (ms === ATTEMPT_MS) attempts += 1;
      if (ms > LONGEST_BUSY_PAUSE_MS || pauses === 0) return time.after(ms, run);
      pauses -= 1;
      queueMicrotask(run);
      return () => undefined;
    },
    beBusy() {
      pauses = BUSY_ATTEMPTS - 1;
    },
  };
  let knocks = 0;
  const reached = reach({
    ...{ address: HOST, port, timeoutMs: 8000, clock, signal: undefined, keepAttempts: true },
    knock: () => Promise.resolve((knocks += 1) * 0),
    refuseAhead: never,
  });
  return {
    ...{ clock, welcome, ended, reached },
    knocked: () => knocks,
    attempted: () => attempts,
    async open() {
      server.listen(port, HOST);
      await once(server, 'listening');
    },
    close: () => server.close(),
    async end(socket) {
      for (const each of [...welcome, socket]) each?.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function goOnUntil(isSo: () => boolean, clock: VirtualClock): Promise<void> {
  for (let step = 0; !isSo(); step += 1) {
    assert.ok(step < 10_000, 'it never came to that');
    await clock.advance(5);
  }
}

/** Few ports, so that every one of them can be heard. */
async function profileFor(port: number): Promise<{ profile: OneTimeProfile; ear: Ear }> {
  const [low, high] = await freePorts(16);
  const ear = await listenUdp(Array.from({ length: high - low + 1 }, (_, i) => low + i));
  return { profile: { ...PROFILE, ports: [low, high], knocks: KNOCKS, services: { web: port } }, ear };
}

async function connected(server: Server): Promise<Socket> {
  const { port } = server.address() as AddressInfo;
  const socket = connect(port, HOST);
  await once(socket, 'connect');
  return socket;
}

function never(): never {
  throw new Error('refused');
}

function fetched(url: string, agent: ReturnType<Knocker['agent']>): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { agent }, (response) => {
      response.setEncoding('utf8').once('data', resolve);
    }).on('error', reject);
  });
}
