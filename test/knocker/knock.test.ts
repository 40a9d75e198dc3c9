// What a knock puts on the wire, and which step it uses up.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { isKnockError } from '../../lib/errors.ts';
import { Knocker } from '../../lib/knocker/knocker.ts';
import { oneTimeKnocks } from '../../lib/scheme/one-time-key.ts';
import { virtualClock } from '../../lib/testing/clock.ts';
import { freePorts } from '../support/ports.ts';
import { HOST, listenUdp, PROFILE, Service, standingClock, turns, until } from './support.ts';

interface Vector {
  readonly secret: string;
  readonly digest: 'sha256' | 'md5';
  readonly step: number;
  readonly stepSeconds: number;
  readonly count: number;
  readonly low: number;
  readonly high: number;
  readonly knocks: readonly { readonly port: number; readonly tag: string }[];
}

const { vectors } = JSON.parse(
  readFileSync(new URL('../vectors/one-time.json', import.meta.url), 'utf8'),
) as { vectors: readonly Vector[] };
const NOW = 1_700_000_000_000;
const STEP = 170_000_000;

describe('a one-time knock over udp', () => {
  for (const [index, vector] of vectors.entries()) {
    it(`is vector ${index}, from one source port`, async () => {
      // An address of its own: the ports are given, and others may use them on 127.0.0.1.
      const host = `127.86.1.${index + 1}`;
      const ear = await listenUdp(
        vector.knocks.map(({ port }) => port),
        host,
      );
      const { secret, digest, count, low, high, stepSeconds, step } = vector;
      const profile = {
        ...PROFILE,
        host,
        secret: Buffer.from(secret, 'hex'),
        digest,
        knocks: count,
        ports: [low, high] as const,
        step: stepSeconds,
      };
      const sent = await new Knocker(profile, { clock: virtualClock(step * stepSeconds * 1000 + 1) }).knock();
      const heard = await ear.count(count);
      await ear.close();
      const knocks = vector.knocks.map(({ port, tag }) => `${port} ${tag}`);
      assert.deepEqual(heard.map(({ port, payload }) => `${port} ${payload}`).sort(), knocks.sort());
      assert.equal(new Set(heard.map(({ from }) => from)).size, 1);
      assert.deepEqual(sent, { sentTo: host, packets: count, step });
    });
  }

  it('is not sent before its step is on record', async () => {
    await withKnocks([STEP + 5], async (ear) => {
      let saved = (): void => undefined;
      const steps: bigint[] = [];
      const state = {
        load: () => Promise.resolve(BigInt(STEP + 4)),
        save: (step: bigint) => {
          steps.push(step);
          return new Promise<void>((resolve) => (saved = resolve));
        },
      };
      const knocked = new Knocker(PROFILE, { clock: virtualClock((STEP + 3) * 10_000), state }).knock('ssh');
      await turns();
      assert.deepEqual(steps, [BigInt(STEP + 5)]);
      assert.deepEqual(ear.heard, []);
      saved();
      assert.equal((await knocked).step, STEP + 5);
      assert.equal((await ear.count(5)).length, 5);
    });
  });

  it('is not sent when its step cannot be put on record', async () => {
    await withKnocks([STEP], async (ear) => {
      const state = {
        load: () => Promise.resolve(undefined),
        save: () => Promise.reject(new Error('disk full')),
      };
      const knocker = new Knocker(PROFILE, { clock: virtualClock(NOW), state });
      await assert.rejects(knocker.knock(), coded('ERR_STATE', /disk full.*nothing was sent/u));
      await turns();
      assert.deepEqual(ear.heard, []);
    });
  });

  it('never uses a step twice, and goes at most three steps ahead of the clock', async () => {
    const clock = virtualClock(NOW + 4_000);
    const knocker = new Knocker(PROFILE, { clock });
    const steps = [];
    for (let i = 0; i < 4; i += 1) steps.push((await knocker.knock()).step);
    assert.deepEqual(steps, [STEP, STEP + 1, STEP + 2, STEP + 3]);
    await assert.rejects(knocker.knock(), coded('ERR_KNOCK_AHEAD', /wait 6 s/u));
    await clock.advance(5_999);
    await assert.rejects(knocker.knock(), coded('ERR_KNOCK_AHEAD', /wait 1 s/u));
    await clock.advance(1);
    assert.equal((await knocker.knock()).step, STEP + 4);
    await clock.advance(100_000);
    assert.equal((await knocker.knock()).step, STEP + 11);
  });

  it('uses a step of its own when several are sent at once', async () => {
    const knocker = new Knocker(PROFILE, { clock: virtualClock(NOW) });
    const sent = await Promise.all([knocker.knock(), knocker.knock(), knocker.knock()]);
    assert.deepEqual(sent.map(({ step }) => step).sort(), [STEP, STEP + 1, STEP + 2]);
  });

  it('says that the clock is wrong when the last knock lies far ahead of it', async () => {
    const state = { load: () => Promise.resolve(BigInt(STEP + 100_000)), save: () => Promise.resolve() };
    const knocker = new Knocker(PROFILE, { clock: virtualClock(NOW), state });
    await assert.rejects(knocker.knock(), coded('ERR_KNOCK_AHEAD', /clock is behind the last knock/u));
  });
});

describe('a one-time knock over tcp', () => {
  it('is one connection attempt to each port, in order', async () => {
    const ports = oneTimeKnocks(PROFILE, STEP).map(({ port }) => port);
    const arrived: number[] = [];
    const services = await Promise.all(ports.map((port) => listenTcp(port, () => arrived.push(port))));
    const profile = { ...PROFILE, host: '127.86.2.1', carrier: 'tcp' } as const;
    const sent = await new Knocker(profile, { clock: standingClock(NOW) }).knock();
    await until(() => arrived.length >= ports.length);
    for (const end of services) await end();
    assert.deepEqual(arrived, ports);
    assert.deepEqual(sent, { sentTo: '127.86.2.1', packets: 5, step: STEP });
  });

  it('does not mind ports that refuse', async () => {
    const profile = { ...PROFILE, host: '127.86.2.2', carrier: 'tcp' } as const;
    const sent = await new Knocker(profile, { clock: standingClock(NOW), delayMs: 0 }).knock();
    assert.equal(sent.packets, 5);
  });
});

describe('a plain sequence', () => {
  it('is a connection attempt or a zero byte to each port, in order', async () => {
    const [udp] = await freePorts(1);
    const order: string[] = [];
    const ear = await listenUdp([udp]);
    ear.onHeard = () => order.push(`udp ${ear.heard.at(-1)?.payload ?? ''}`);
    const service = await Service.closed(() => order.push('tcp'));
    service.open();
    const tcp = { port: service.port, protocol: 'tcp' } as const;
    const sequence = [tcp, { port: udp, protocol: 'udp' } as const, tcp];
    const profile = {
      host: HOST,
      client: 'old',
      scheme: 'sequence',
      sequence,
      services: { ssh: 22 },
    } as const;
    const sent = await new Knocker(profile).knock('ssh');
    await until(() => order.length >= sequence.length);
    await ear.close();
    await service.end();
    assert.deepEqual(order, ['tcp', 'udp 00', 'tcp']);
    assert.deepEqual(sent, { sentTo: HOST, packets: 3 });
  });
});

describe('a knock is refused', () => {
  const rows: readonly [
    what: string,
    profile: object,
    service: string | undefined,
    error: assert.AssertPredicate,
  ][] = [
    ['for a service that the profile does not have', {}, 'ssx', /service must be one of ssh, got 'ssx'/u],
    ['for a service named like a property of every object', {}, 'constructor', RangeError],
    [
      'when the host has no address of the family',
      { host: HOST },
      undefined,
      coded('ERR_RESOLVE', /no IPv6 address/u),
    ],
  ];
  for (const [what, change, service, error] of rows) {
    it(what, async () => {
      const knocker = new Knocker({ ...PROFILE, ...change }, { clock: virtualClock(NOW), family: 6 });
      await assert.rejects(knocker.knock(service), error);
    });
  }

  for (const carrier of ['udp', 'tcp'] as const) {
    it(`when this host cannot send it over ${carrier}`, async () => {
      const knocker = new Knocker({ ...PROFILE, host: '255.255.255.255', carrier });
      await assert.rejects(knocker.knock(), coded('ERR_SEND', /could not be sent: E[A-Z]+ \(/u));
    });
  }

  it('when its signal is aborted', async () => {
    const reason = new Error('enough');
    const state = { load: () => Promise.resolve(undefined), save: () => assert.fail('no step may be used') };
    const knocker = new Knocker(PROFILE, { state });
    await assert.rejects(knocker.knock('ssh', { signal: AbortSignal.abort(reason) }), reason);
  });
});

/** Hears every port of the given steps on 127.0.0.1. */
async function withKnocks(
  steps: readonly number[],
  body: (ear: Awaited<ReturnType<typeof listenUdp>>) => Promise<void>,
): Promise<void> {
  const ear = await listenUdp(steps.flatMap((step) => oneTimeKnocks(PROFILE, step).map(({ port }) => port)));
  try {
    await body(ear);
  } finally {
    await ear.close();
  }
}

async function listenTcp(port: number, onConnection: () => void): Promise<() => Promise<void>> {
  const { createServer } = await import('node:net');
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    onConnection();
  });
  await new Promise<void>((resolve) => server.listen(port, '127.86.2.1', resolve));
  return async () => {
    await new Promise((resolve) => server.close(resolve));
  };
}

function coded(code: string, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isKnockError(error), String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  };
}
