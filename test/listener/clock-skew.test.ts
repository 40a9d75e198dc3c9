// Wrong clocks (protocols/spa.md, steps 5 and 9 and "Sender"; the table in docs/clock.md): what gets in, what the gateway
// says of it, and what the client tells its user. Real datagrams, between two clocks that the test sets.

import assert from 'node:assert/strict';
import { udpSocket } from '../../lib/capture/socket.ts';
import { systemClock, type Clock } from '../../lib/clock.ts';
import { generateSshKey } from '../../lib/crypto/ssh-key.ts';
import { isKnockError } from '../../lib/errors.ts';
import { mock } from '../../lib/firewall/mock.ts';
import { Knocker } from '../../lib/knocker/knocker.ts';
import { memoryState, type KnockState } from '../../lib/knocker/ledger.ts';
import type { SpaProfile } from '../../lib/knocker/profile.ts';
import type { Knocked } from '../../lib/knocker/sender.ts';
import { keySigner } from '../../lib/knocker/signer.ts';
import { KnockListener } from '../../lib/listener/listener.ts';
import { memoryReplay } from '../../lib/replay/memory.ts';
import type { Scheme } from '../../lib/scheme/scheme.ts';
import { virtualClock } from '../../lib/testing/clock.ts';
import { turns } from '../knocker/support.ts';
import { freePort } from '../support/ports.ts';
import { ACCESS, GATEWAY, gatewayOf, PSK } from '../support/spa-knocks.ts';

const HOST = '127.0.0.1';
/** Of a service that nobody has: the kernel gives this port to no program by itself. */
const CLOSED_PORT = 1;
/** How long the user waits who complains: until the test says that it was long enough. */
const PATIENCE_MS = 50;
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const KEYS = generateSshKey('alice@laptop');

/** A computer that knocks: its clock, and what it remembers. */
interface Device {
  /** How far its clock is ahead of the gateway's, milliseconds. */
  offsetMs: number;
  state: KnockState;
}

interface Lab {
  /** Time passes, for everybody. */
  pass(ms: number): Promise<void>;
  /** A knock, and what the gateway said: `grant`, `stale -180 s`, `replayed`... */
  knock(device: Device): Promise<{ readonly said: readonly string[]; readonly sent: Knocked }>;
  /** A knock of which nothing is expected to be said. */
  strayKnock(device: Device): Promise<unknown>;
  /** What the user is told who waits for a port that stays closed. */
  complaint(device: Device): Promise<string>;
}

async function lab(body: (lab: Lab) => Promise<void>, suite: 1 | 2 = 1): Promise<void> {
  const clock = virtualClock();
  const port = await freePort();
  const key = suite === 1 ? { secret: PSK } : { publicKey: KEYS.publicLine };
  const gateway = gatewayOf({ port, clients: { alice: key } });
  let heard = 0;
  const counting: Scheme = {
    ...gateway,
    match(packet, history) {
      heard += 1;
      return gateway.match(packet, history);
    },
  };
  const listener = new KnockListener({
    source: udpSocket({ port, address: HOST }),
    schemes: [counting],
    driver: mock({ clock }),
    services: { ssh: { port: CLOSED_PORT }, admin: { port: 8443 } },
    clients: [{ name: 'alice', services: ['ssh', 'admin'] }],
    replay: memoryReplay(),
    clock,
  });
  const said: string[] = [];
  listener.on('grant', () => said.push('grant'));
  listener.on('reject', ({ reason, clockOffsetMs }) => {
    said.push(clockOffsetMs === undefined ? reason : `${reason} ${clockOffsetMs / SECOND} s`);
  });
  await listener.start();
  const profile: SpaProfile = {
    ...{ scheme: 'spa', host: HOST, port, gateway: GATEWAY, client: 'alice', accessKey: ACCESS },
    ...{ key: suite === 1 ? PSK : KEYS.publicLine, bind: 'observed', services: { ssh: CLOSED_PORT } },
  };
  const signer = suite === 1 ? undefined : await keySigner(KEYS.privateText);
  /** A knock, every datagram of which has been heard. */
  const sent = async (device: Device): Promise<Knocked> => {
    const from = heard;
    const knocked = await knockerOf(device).knock('ssh');
    while (heard < from + knocked.packets) await turns(1);
    return knocked;
  };
  try {
    await body({
      pass: (ms) => clock.advance(ms),
      async knock(device) {
        const from = said.length;
        const knocked = await sent(device);
        // A second reject of the same kind is held back for a second.
        await clock.advance(SECOND);
        return { said: said.slice(from), sent: knocked };
      },
      strayKnock: sent,
      async complaint(device) {
        const from = heard;
        const timeUp: (() => void)[] = [];
        const after: Clock['after'] = (ms, run) => {
          if (ms !== PATIENCE_MS) return systemClock.after(ms, run);
          timeUp.push(run);
          return () => undefined;
        };
        const told = knockerOf(device, after)
          .connect('ssh', { timeoutMs: PATIENCE_MS })
          .then(
            () => assert.fail('got in'),
            (error: unknown) => {
              assert.ok(isKnockError(error) && error.code === 'ERR_NOT_OPEN', String(error));
              return error.message.replace(/^.*\(|\)$/gu, '');
            },
          );
        while (heard === from) await turns(1);
        for (const run of timeUp) run();
        return told;
      },
    });
  } finally {
    await listener.stop();
  }

  function knockerOf({ offsetMs, state }: Device, after = systemClock.after): Knocker {
    const own = { now: () => clock.now() + offsetMs, after };
    return new Knocker(profile, signer === undefined ? { state, clock: own } : { state, clock: own, signer });
  }
}

function device(offsetMs = 0): Device {
  return { offsetMs, state: memoryState() };
}

const CHECK =
  "check this computer's clock, other devices with its key, the route, and what the gateway reports";

describe('a client whose clock is wrong', () => {
  const rows: readonly [number: number, offsetMs: number, said: string][] = [
    [1, 2 * SECOND, 'grant'],
    [2, -2 * SECOND, 'grant'],
    [3, 30 * SECOND, 'grant'],
    [4, 30 * SECOND + 1, 'future 30.001 s'],
    [5, -120 * SECOND, 'grant'],
    [6, -120 * SECOND - 1, 'stale -120.001 s'],
    [7, 3 * MINUTE, 'future 180 s'],
    [8, -3 * MINUTE, 'stale -180 s'],
    [9, HOUR, 'future 3600 s'],
    [10, -HOUR, 'stale -3600 s'],
  ];
  for (const suite of [1, 2] as const) {
    for (const [number, offsetMs, said] of rows) {
      it(`${number}. by ${offsetMs} ms: ${said} (suite ${suite})`, () =>
        lab(async ({ knock }) => {
          assert.deepEqual((await knock(device(offsetMs))).said, [said]);
        }, suite));
    }
  }

  for (const offsetMs of [24 * HOUR, -24 * HOUR]) {
    it(`is not seen at all when the hint is of another time (${offsetMs} ms)`, () =>
      lab(async ({ knock, strayKnock }) => {
        await strayKnock(device(offsetMs));
        assert.deepEqual((await knock(device())).said, ['grant']);
      }));
  }

  for (const offsetMs of [3 * MINUTE, -3 * MINUTE]) {
    it(`tells its user to check the clock (${offsetMs} ms)`, () =>
      lab(async ({ complaint }) => {
        assert.equal(await complaint(device(offsetMs)), CHECK);
      }));
  }
});

describe('a client whose clock was set back by an hour', () => {
  it('gets in for two minutes after its last knock, and is told that its clock is behind', () =>
    lab(async ({ pass, knock }) => {
      const laptop = device();
      assert.deepEqual((await knock(laptop)).said, ['grant']);
      laptop.offsetMs = -HOUR;
      await pass(59 * SECOND);
      const { said, sent } = await knock(laptop);
      // By the counter rule the gateway believes it; by the clock it does not.
      assert.deepEqual(said, ['stale -3600 s', 'grant'].toSorted());
      assert.equal(sent.clockBehindMs, HOUR - 60 * SECOND);
    }));

  it('is refused later, and told by how much', () =>
    lab(async ({ pass, knock, complaint }) => {
      const laptop = device();
      await knock(laptop);
      laptop.offsetMs = -HOUR;
      await pass(129 * SECOND);
      assert.deepEqual((await knock(laptop)).said, ['stale -130 s', 'stale -3600 s']);
      const behind = `this computer's clock is ${3600 - 131} s behind its own last knock: set it right`;
      assert.equal((await complaint(laptop)).slice(0, behind.length), behind);
    }));

  it('gets in as soon as it is right again', () =>
    lab(async ({ pass, knock }) => {
      const laptop = device();
      await knock(laptop);
      laptop.offsetMs = -HOUR;
      await pass(10 * MINUTE);
      await knock(laptop);
      laptop.offsetMs = 0;
      const { said, sent } = await knock(laptop);
      assert.deepEqual([said, sent.clockBehindMs], [['grant'], undefined]);
    }));

  it('is refused at once when its state is lost as well', () =>
    lab(async ({ knock, complaint }) => {
      await knock(device());
      const laptop = device(-HOUR);
      const { said, sent } = await knock(laptop);
      assert.deepEqual([said, sent.clockBehindMs], [['stale -3600 s'], undefined]);
      assert.equal(await complaint(laptop), CHECK);
    }));
});

describe('a client whose clock was an hour ahead', () => {
  it('gets in as soon as it is set right, and is told why that takes two datagrams', () =>
    lab(async ({ knock, pass }) => {
      const laptop = device(HOUR);
      assert.deepEqual((await knock(laptop)).said, ['future 3600 s']);
      laptop.offsetMs = 0;
      for (let again = 0; again < 3; again += 1) {
        const { said, sent } = await knock(laptop);
        assert.deepEqual(
          said.toSorted(),
          ['future 3599 s', 'grant'].map((word) => word.replace('3599', String(3599 - again))).toSorted(),
        );
        assert.deepEqual([sent.packets, sent.clockBehindMs], [2, (3599 - again) * SECOND]);
      }
      await pass(HOUR);
      const { said, sent } = await knock(laptop);
      assert.deepEqual([said, sent], [['grant'], { sentTo: HOST, packets: 1 }]);
    }));

  it('gets in with one datagram when its state was removed', () =>
    lab(async ({ knock }) => {
      const laptop = device(HOUR);
      await knock(laptop);
      const { said, sent } = await knock(device());
      assert.deepEqual([said, sent.packets], [['grant'], 1]);
    }));
});

describe('a client whose state was lost', () => {
  it('gets in at once: the clock gives it a higher counter than any before', () =>
    lab(async ({ knock }) => {
      for (let loss = 0; loss < 3; loss += 1) assert.deepEqual((await knock(device())).said, ['grant']);
    }));
});

describe('two devices with the same key', () => {
  it('get in, in turn, when their clocks agree', () =>
    lab(async ({ knock, pass }) => {
      const [laptop, phone] = [device(), device()];
      for (let turn = 0; turn < 4; turn += 1) {
        assert.deepEqual((await knock(turn % 2 === 0 ? laptop : phone)).said, ['grant']);
        await pass(SECOND);
      }
    }));

  it('shut the other out for as long as their clock is ahead of its', () =>
    lab(async ({ knock, complaint, pass }) => {
      const [laptop, phone] = [device(), device(20 * SECOND)];
      assert.deepEqual((await knock(phone)).said, ['grant']);
      assert.deepEqual((await knock(laptop)).said, ['replayed']);
      assert.equal(await complaint(laptop), CHECK);
      assert.deepEqual((await knock(phone)).said, ['grant']);
      await pass(19 * SECOND);
      assert.deepEqual((await knock(laptop)).said, ['replayed']);
      assert.deepEqual((await knock(laptop)).said, ['grant']);
    }));
});
