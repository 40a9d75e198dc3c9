// Attack 4: sweeps of all ports, in every order, contain every sequence of ports. Ours starts a source over at each
// packet that is not its next knock; real knockd hears only its own ports, so a sweep in order opens it.

import assert from 'node:assert/strict';
import { TCP } from '../../../lib/packet/view.ts';
import { attack, onBoth, onKnockd } from './attack.ts';
import { PLAIN, type Driver } from './clients.ts';
import { type Field } from './field.ts';

const SLOW = process.env.PORTKNOCK_SLOW === '1';
const ALL = 65_535;
/** In each world, all of which are swept at the same time. */
const PER_SECOND = 40_000;
const ASCENDING = Array.from({ length: ALL }, (_, i) => i + 1);
/** Multiples of 2^16 / golden ratio: far jumps, every port once. */
const FIBONACCI = ASCENDING.map((i) => (i * 40_503) & 0xffff || 40_503);
const DESCENDING = ASCENDING.toReversed();
const RANDOM = Array.from({ length: SLOW ? 100 : 1 }, () => shuffled(ASCENDING));
/** What is swept in which driver's world: drivers do not see the packets, so each order is needed once. */
const ORDERS: Readonly<Record<Driver, readonly (readonly number[])[]>> = SLOW
  ? { iptables: [ASCENDING, DESCENDING, FIBONACCI], nftables: [ASCENDING, DESCENDING, ...RANDOM] }
  : { iptables: [ASCENDING, DESCENDING], nftables: [FIBONACCI, ...RANDOM] };

attack('4. sweeps of all ports', () => {
  const seen = async (field: Field, grants: number): Promise<void> => {
    // The gateway has seen every packet before this knock.
    const { id } = await field.admitted(
      () => field.spa('bob').knock(),
      ({ client }) => client === 'bob',
    );
    assert.equal(field.gateway.of('grant')[grants]?.id, id, 'nothing was granted before it');
    await field.used();
    // And this proves that it listens to sequences.
    const { client } = await field.granted(() => field.knock(PLAIN));
    assert.equal(client, 'tcp3');
    await field.used();
    assert.equal(await field.connect(), 'refused');
  };

  for (const protocol of ['tcp', 'udp'] as const) {
    const sweeps = async (field: Field): Promise<void> => {
      const grants = field.gateway.of('grant').length;
      // Both families take the same way; half of the sweeps are enough for each.
      for (const [i, ports] of ORDERS[field.driver].entries()) {
        const family = i % 2 === 0 ? 4 : 6;
        const packet = field.packet({ family, protocol, srcPort: 40_001, payload: 'x' });
        await field.inject(sweep(packet, ports, family), PER_SECOND);
      }
      await seen(field, grants);
    };
    const what = protocol === 'tcp' ? 'SYNs' : 'datagrams';
    onBoth(`open nothing: ${what}, rising, falling, Fibonacci and random`, sweeps, {
      timeoutMs: SLOW ? 900_000 : 60_000,
    });
  }

  onBoth('of a few ports in all their orders open nothing that has tags', async (field) => {
    const client = field.oneTime();
    const knocks = await client.fresh();
    const grants = field.gateway.of('grant').length;
    const untagged = deBruijn(knocks.length, knocks.length).map((i) =>
      field.packet({ dstPort: knocks[i]?.port ?? 0, payload: Buffer.alloc(16, i) }),
    );
    await field.inject(untagged);
    await field.granted(() => client.send(knocks));
    assert.equal(field.gateway.of('grant').length, grants + 1);
    await field.used();
  });

  onKnockd('open real knockd: in order, and of its ports in all their orders', async (field) => {
    for (const [flags, ports] of [
      ['syn', ASCENDING],
      [null, deBruijn(3, 3).map((i) => 7100 + 1000 * i)],
    ] as const) {
      await field.knockd.start({ tcpFlags: flags });
      await field.inject(sweep(field.packet({ protocol: 'tcp' }), ports, 4), PER_SECOND);
      assert.ok(await field.knockd.opens());
      assert.equal(await field.connect({ port: field.knockd.port }), 'talks');
    }
  });
});

/** The packet to each port, a new one each time; nobody who captures looks at the checksum. */
function sweep(packet: Buffer, ports: readonly number[], family: 4 | 6): Buffer[] {
  const transport = 14 + (family === 4 ? 20 : 40);
  const isTcp = packet[family === 4 ? 23 : 20] === TCP;
  return ports.map((port, i) => {
    const copy = Buffer.from(packet);
    copy.writeUInt16BE(port, transport + 2);
    if (isTcp) copy.writeUInt32BE(i, transport + 4);
    return copy;
  });
}

/** A sequence over `size` symbols that contains every word of `length`. */
function deBruijn(size: number, length: number): number[] {
  const word = Array.from({ length: length * size }, () => 0);
  const out: number[] = [];
  const extend = (at: number, period: number): void => {
    if (at > length) {
      if (length % period === 0) out.push(...word.slice(1, period + 1));
      return;
    }
    word[at] = word[at - period] ?? 0;
    extend(at + 1, period);
    for (let symbol = (word[at - period] ?? 0) + 1; symbol < size; symbol += 1) {
      word[at] = symbol;
      extend(at + 1, at);
    }
  };
  extend(1, 1);
  return [...out, ...out.slice(0, length - 1)];
}

function shuffled<T>(values: readonly T[]): T[] {
  const result = [...values];
  for (let i = result.length - 1; i > 0; i -= 1) {
    const j = Math.floor(Math.random() * (i + 1));
    [result[i], result[j]] = [result[j] as T, result[i] as T];
  }
  return result;
}
