// Sweeps open nothing, whatever their order; tagged knocks open in every order and through junk from their own address;
// the real `knock` client opens a plain sequence (attacks 4, 6, 7, 8, 10, 24).

import assert from 'node:assert/strict';
import { SYN } from '../../lib/packet/view.ts';
import { startAgent, type Agent, type Datagram } from '../support/agent.ts';
import { frame } from '../support/frames.ts';
import { configFor, Gateway, Site } from '../support/gateway.ts';
import { createWorld, type World } from '../support/netns.ts';
import { FieldClient, inject, describeInNamespaces } from './support.ts';

const PLAIN = [
  '  tcp3: { scheme: sequence, sequence: [7000/tcp, 8000/tcp, 9000/tcp], services: [ssh] }',
  '  mixed: { scheme: sequence, sequence: [5001/tcp, 4002/udp, 6003/tcp, 3004/udp], services: [ssh] }',
  '  udp3: { scheme: sequence, sequence: [2200/udp, 1100/udp, 3300/udp], services: [ssh] }',
].join('\n');
const ORDERS = permutations([0, 1, 2, 3, 4]);
/** A client for each order, because a client has only one knock per step. */
const TAGGED = ORDERS.map(
  (_, i) => `  f${i}: { scheme: one-time, secret: "${secretOf(i).toString('base64')}", services: [ssh] }`,
);
const RANDOM_SWEEPS = process.env.PORTKNOCK_SLOW === '1' ? 100 : 10;

describeInNamespaces('sequences on the wire', function () {
  this.timeout(RANDOM_SWEEPS * 10_000 + 120_000);
  let world: World;
  let outside: Agent;
  let site: Site;
  let gateway: Gateway;

  before(async () => {
    world = await createWorld();
    outside = await startAgent(world.outside);
    site = await Site.create(world, configFor({ clients: [PLAIN, ...TAGGED].join('\n'), openFor: '2s' }));
    gateway = await Gateway.start(world, site);
  });

  after(async () => {
    await gateway.end();
    await outside.stop();
    await site.remove();
    await world.destroy();
  });

  /** Frames to every port, in order. */
  const sweep = (protocol: 'tcp' | 'udp'): Buffer[] =>
    Array.from({ length: 65_535 }, (_, i) =>
      frame({
        ...{ src: world.client[4], dst: world.address[4], protocol, dstPort: i + 1, srcPort: 40_001 },
        ...(protocol === 'tcp' ? { flags: SYN, seq: i } : { payload: 'x' }),
      }),
    );

  it(`opens nothing to sweeps of all ports: ascending, descending, ${RANDOM_SWEEPS} in random order, TCP and UDP`, async () => {
    for (const protocol of ['tcp', 'udp'] as const) {
      const ascending = sweep(protocol);
      await inject(world, ascending, 60_000);
      await inject(world, ascending.toReversed(), 60_000);
      for (let run = 0; run < RANDOM_SWEEPS; run += 1) await inject(world, shuffled(ascending), 60_000);
    }
    // The gateway has seen every packet before this knock, which proves that it was listening.
    await knockReally(['7000:tcp', '8000:tcp', '9000:tcp']);
    await gateway.wait('grant', { timeoutMs: 20_000 });
    assert.deepEqual(
      gateway.of('grant').map(({ client }) => client),
      ['tcp3'],
    );
  });

  const knockReally = async (knocks: readonly string[], family: 4 | 6 = 4): Promise<void> => {
    await world.outside.must('knock', [`-${family}`, '-d', '0', world.address[family], ...knocks]);
  };

  for (const family of [4, 6] as const) {
    for (const [client, knocks] of Object.entries({
      tcp3: ['7000:tcp', '8000:tcp', '9000:tcp'],
      udp3: ['2200:udp', '1100:udp', '3300:udp'],
      mixed: ['5001:tcp', '4002:udp', '6003:tcp', '3004:udp'],
    })) {
      it(`opens for the real knock client without delay: ${knocks.join(' ')} (IPv${family})`, async () => {
        const before = gateway.of('grant').length;
        await knockReally(knocks, family);
        const grant = await gateway.wait('grant', { count: before + 1 });
        assert.deepEqual([grant.client, grant.source], [client, world.client[family]]);
      });
    }
  }

  it('opens for all 120 orders of a five-knock sequence with spoofed junk in between', async () => {
    assert.equal(ORDERS.length, 120);
    const before = gateway.of('grant').length;
    for (const [i, order] of ORDERS.entries()) {
      const knocks = await new FieldClient(outside, world.address[4], { secret: secretOf(i) }).fresh();
      const twice = i % 2 === 0 ? 2 : 1;
      const frames = order.flatMap((index) => [
        junk(knocks, index),
        ...Array.from({ length: twice }, () => tagged(knocks, index)),
      ]);
      await inject(world, frames);
      const grant = await gateway.wait('grant', { count: before + i + 1, timeoutMs: 3000 });
      assert.equal(grant.client, `f${i}`, `order ${order.join(' ')}`);
    }
  });

  const tagged = (knocks: readonly Datagram[], index: number): Buffer =>
    udp(knocks[index]?.port ?? 1, Buffer.from(knocks[index]?.payload ?? '', 'base64'));
  /** A packet of the client's own address with a wrong tag on a right port, or the other way round. */
  const junk = (knocks: readonly Datagram[], index: number): Buffer =>
    index % 2 === 0
      ? udp(knocks[index]?.port ?? 1, Buffer.alloc(16, index))
      : udp(20_000 + index, Buffer.alloc(16, 0xee));
  const udp = (dstPort: number, payload: Buffer): Buffer =>
    frame({
      src: world.client[4],
      dst: world.address[4],
      protocol: 'udp',
      srcPort: 41_000,
      dstPort,
      payload,
    });
});

function secretOf(number: number): Buffer {
  return Buffer.alloc(32, `client ${number}`);
}

function shuffled<T>(values: readonly T[]): T[] {
  const result = [...values];
  for (let i = result.length - 1; i > 0; i -= 1) {
    const j = Math.floor(Math.random() * (i + 1));
    [result[i], result[j]] = [result[j] as T, result[i] as T];
  }
  return result;
}

function permutations(values: readonly number[]): number[][] {
  if (values.length <= 1) return [[...values]];
  return values.flatMap((value, i) =>
    permutations(values.filter((_, j) => j !== i)).map((rest) => [value, ...rest]),
  );
}
