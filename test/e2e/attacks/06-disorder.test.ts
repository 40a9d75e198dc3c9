// Attacks 6, 7 and 8: knocks that come out of order, twice, or late again, and junk from the client's own address before,
// between and after them. Tagged knocks open all the same; real knockd forgets the attempt at each of these.

import assert from 'node:assert/strict';
import type { Datagram } from '../../support/agent.ts';
import { attack, onBoth, onKnockd } from './attack.ts';
import { KNOCKD, PLAIN } from './clients.ts';
import { type Field } from './field.ts';

const KNOCKS = 4;
const ORDERS = permutations(Array.from({ length: KNOCKS }, (_, i) => i));

/** Opens in all 24 orders, each with what `between` puts before each knock. */
async function opensInEveryOrder(
  field: Field,
  family: 4 | 6,
  between: (knocks: readonly Datagram[], index: number) => readonly Buffer[],
): Promise<void> {
  assert.equal(ORDERS.length, 24);
  for (const order of ORDERS) {
    const knocks = await field.oneTime(family).fresh();
    assert.equal(knocks.length, KNOCKS);
    const grant = await field.granted(() =>
      field.inject(
        order.flatMap((index) => [
          ...between(knocks, index),
          field.datagram(knocks[index] as Datagram, { family }),
        ]),
      ),
    );
    assert.equal(grant.source, field.world.client[family], order.join(' '));
  }
  await field.used({ family });
}

attack('6. knocks out of order and repeated', () => {
  onBoth('open in all orders', async (field) => {
    await opensInEveryOrder(field, 4, () => []);
  });

  onBoth('open in all orders when each comes twice', async (field) => {
    await opensInEveryOrder(field, 6, (knocks, index) => [
      field.datagram(knocks[index] as Datagram, { family: 6 }),
    ]);
  });

  /** Each SYN of the sequence with the copies that a kernel sends when nobody answers. */
  const retransmitted = (field: Field, knocks: readonly string[]): Buffer[] =>
    field.plain({ srcPort: 42_001 }, [...knocks]).flatMap((syn) => [syn, syn, syn]);

  onBoth('open a plain sequence of SYNs that are sent again', async (field) => {
    await field.granted(() => field.inject(retransmitted(field, PLAIN)));
    await field.used();
  });

  onKnockd('do not open real knockd', async (field) => {
    await field.knockd.start();
    await field.inject(retransmitted(field, KNOCKD));
    assert.equal(await field.knockd.opens({ timeoutMs: 400 }), false, 'SYNs sent again');
    await field.knockd.start();
    const [first, second, third] = field.plain();
    await field.inject([first, third, second].map((syn) => syn as Buffer));
    assert.equal(await field.knockd.opens({ timeoutMs: 400 }), false, 'out of order');
    await field.inject([first as Buffer, ...field.plain()]);
    assert.equal(await field.knockd.opens({ timeoutMs: 400 }), false, 'the first one twice');
    await field.knockd.start();
    await field.inject(field.plain());
    assert.ok(await field.knockd.opens(), 'as it should be');
  });
});

attack("7. wrong knocks from the client's own address between the right ones", () => {
  /** A wrong tag on a right port, and a right tag on a wrong port. */
  const wrong = (field: Field, family: 4 | 6) => (knocks: readonly Datagram[], index: number) => {
    const { port, payload } = knocks[index] as Datagram;
    const other = knocks[(index + 1) % KNOCKS] as Datagram;
    const src = field.world.client[family];
    return [
      field.packet({ family, src, dstPort: port, payload: Buffer.alloc(16, index + 1) }),
      field.datagram({ ...other, payload }, { family }),
      field.packet({ family, src, protocol: 'tcp', dstPort: other.port }),
    ];
  };
  for (const family of [4, 6] as const) {
    onBoth(`keep nobody out (IPv${family})`, async (field) => {
      await opensInEveryOrder(field, family, wrong(field, family));
    });
  }

  onKnockd('keep everybody out of real knockd', async (field) => {
    await field.knockd.start();
    const [first, second, third] = field.plain();
    const [, , spoofed] = field.plain();
    await field.inject([first, spoofed, second, third].map((syn) => syn as Buffer));
    assert.equal(await field.knockd.opens({ timeoutMs: 400 }), false);
  });
});

attack("8. a flood of wrong knocks from the client's own address", () => {
  const ATTEMPTS = 20_000;

  for (const family of [4, 6] as const) {
    onBoth(`does not keep its client out, during it or after it (IPv${family})`, async (field) => {
      const wrong = Array.from({ length: ATTEMPTS }, (_, i) => {
        const [dstPort, length] = i % 2 === 0 ? [62_201, 200 + (i % 200)] : [20_000 + (i % 10_000), 16];
        return field.packet({ family, srcPort: 1024 + i, dstPort, payload: Buffer.alloc(length, i) });
      });
      const flood = field.inject(wrong, 20_000);
      const admitted = async (knock: () => Promise<unknown>, scheme: string): Promise<void> => {
        await field.admitted(knock, (grant) => grant.scheme === scheme);
        await field.used({ family });
      };
      for (let knock = 0; knock < 3; knock += 1) {
        await admitted(() => field.spa('alice', { family }).knock(), 'spa');
        await admitted(() => field.oneTime(family).knock(), 'one-time');
      }
      await flood;
      await admitted(() => field.spa('alice', { family }).knock(), 'spa');
    });
  }

  onKnockd('keeps its client out of real knockd', async (field) => {
    await field.knockd.start();
    const flood = (): Buffer[] => Array.from({ length: 200 }, () => field.plain().at(-1) as Buffer);
    // In one file: of two programs that send at the same time, either can stand still.
    for (let knock = 0; knock < 3; knock += 1)
      await field.inject(field.plain().flatMap((syn) => [...flood(), syn]));
    assert.equal(await field.knockd.opens({ timeoutMs: 300 }), false);
  });
});

function permutations(values: readonly number[]): number[][] {
  if (values.length <= 1) return [[...values]];
  return values.flatMap((value, i) =>
    permutations(values.filter((_, j) => j !== i)).map((rest) => [value, ...rest]),
  );
}
