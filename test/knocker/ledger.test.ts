// The account of what a client has used up: on record before it is given out, and never given out twice.

import assert from 'node:assert/strict';
import { isKnockError } from '../../lib/errors.ts';
import { Ledger, memoryState, type KnockState } from '../../lib/knocker/ledger.ts';
import { turns } from './support.ts';

const plusOne = (last: bigint | undefined): { use: bigint } => ({ use: (last ?? 0n) + 1n });

describe('Ledger', () => {
  it('gives out what follows the last value, and keeps it', async () => {
    const state = memoryState();
    const ledger = new Ledger(state);
    assert.equal(await state.load(), undefined);
    assert.deepEqual([await ledger.take(plusOne), await ledger.take(plusOne)], [{ use: 1n }, { use: 2n }]);
    assert.equal(await state.load(), 2n);
    assert.deepEqual(await new Ledger(state).take(plusOne), { use: 3n });
  });

  it('keeps nothing when there is nothing to use, and hands over what is said instead', async () => {
    const state: KnockState = { load: () => Promise.resolve(9n), save: () => assert.fail('saved') };
    const early = (last: bigint | undefined): { waitMs: number; use?: bigint } => ({ waitMs: Number(last) });
    const taken = await new Ledger(state).take(early);
    assert.deepEqual(taken, { waitMs: 9 });
  });

  it('gives nothing out before it is kept', async () => {
    let saved = (): void => undefined;
    const state: KnockState = {
      load: () => Promise.resolve(undefined),
      save: () => new Promise<void>((resolve) => (saved = resolve)),
    };
    let given = false;
    const taken = new Ledger(state).take(plusOne).then(() => (given = true));
    await turns();
    assert.equal(given, false);
    saved();
    await taken;
    assert.equal(given, true);
  });

  it('gives everybody another one who asks at the same time, in turn', async () => {
    let inside = 0;
    let value: bigint | undefined;
    const slowly = async <T>(work: () => T): Promise<T> => {
      inside += 1;
      assert.equal(inside, 1, 'two at once');
      await turns(2);
      inside -= 1;
      return work();
    };
    const ledger = new Ledger({
      load: () => slowly(() => value),
      save: (next) => slowly(() => void (value = next)),
    });
    const taken = await Promise.all(Array.from({ length: 20 }, () => ledger.take(plusOne)));
    assert.deepEqual(
      taken.map(({ use }) => use),
      Array.from({ length: 20 }, (_, i) => BigInt(i + 1)),
    );
  });

  const broken: readonly [what: string, state: Partial<KnockState>][] = [
    ['read', { load: () => Promise.reject(new Error('disk\u001b[2J full')) }],
    ['written', { save: () => Promise.reject(new Error('disk\u001b[2J full')) }],
    [
      'read at once',
      {
        load() {
          throw new Error('disk\u001b[2J full');
        },
      },
    ],
  ];
  for (const [what, change] of broken) {
    it(`says that nothing was sent when the state cannot be ${what}, and works again later`, async () => {
      const state = memoryState();
      let isBroken = true;
      const ledger = new Ledger({
        load: () => (isBroken ? (change.load ?? state.load)() : state.load()),
        save: (value) => (isBroken ? (change.save ?? state.save)(value) : state.save(value)),
      });
      await assert.rejects(ledger.take(plusOne), (error) => {
        assert.ok(isKnockError(error) && error.code === 'ERR_STATE');
        assert.equal(error.message, 'client state could not be kept: disk\\u{1b}[2J full (nothing was sent)');
        assert.ok(error.cause instanceof Error);
        return true;
      });
      isBroken = false;
      assert.deepEqual(await ledger.take(plusOne), { use: 1n });
    });
  }
});
