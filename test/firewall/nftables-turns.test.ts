// In which order and how many at a time a driver's calls are made.

import assert from 'node:assert/strict';
import { Turns } from '../../lib/firewall/nftables-turns.ts';

/** A queue that records what is made together; `fails` says which changes fail. */
function recorded(fails: (change: string) => Error | null = () => null): {
  turns: Turns<string>;
  made: string[];
} {
  const made: string[] = [];
  const turns = new Turns<string>(async (changes) => {
    await Promise.resolve();
    made.push(changes.join(' '));
    return changes.map(fails);
  });
  return { turns, made };
}

describe('Turns', () => {
  it('makes changes together that came together', async () => {
    const { turns, made } = recorded();
    await Promise.all(['a', 'b', 'c'].map((one) => turns.change(one, one)));
    await turns.change('d', 'd');
    assert.deepEqual(made, ['a b c', 'd']);
  });

  it('never makes two changes of the same key together', async () => {
    const { turns, made } = recorded();
    await Promise.all([
      turns.change('k', 'a'),
      turns.change('l', 'b'),
      turns.change('k', 'c'),
      turns.change('l', 'd'),
    ]);
    assert.deepEqual(made, ['a b', 'c d']);
  });

  it('makes no more than 256 together', async () => {
    const { turns, made } = recorded();
    await Promise.all(Array.from({ length: 600 }, (_, i) => turns.change(String(i), 'x')));
    assert.deepEqual(
      made.map((text) => text.split(' ').length),
      [256, 256, 88],
    );
  });

  it('runs what runs alone after what came before it, and before what came after', async () => {
    const { turns, made } = recorded();
    const alone = (name: string): Promise<string> =>
      turns.alone(async () => {
        made.push(`${name} begins`);
        await Promise.resolve();
        made.push(`${name} ends`);
        return name;
      });
    const results = await Promise.all([
      alone('x'),
      turns.change('a', 'a'),
      turns.change('b', 'b'),
      alone('y'),
      alone('z'),
      turns.change('c', 'c'),
    ]);
    assert.deepEqual(made, ['x begins', 'x ends', 'a b', 'y begins', 'y ends', 'z begins', 'z ends', 'c']);
    assert.deepEqual(results, ['x', undefined, undefined, 'y', 'z', undefined]);
  });

  it('fails only what failed, and goes on', async () => {
    const { turns, made } = recorded((change) => (change === 'b' ? new Error('no b') : null));
    const results = await Promise.allSettled(['a', 'b', 'c'].map((one) => turns.change(one, one)));
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    await assert.rejects(
      turns.alone(() => Promise.reject(new Error('no'))),
      /^Error: no$/u,
    );
    await turns.change('d', 'd');
    assert.deepEqual(made, ['a b c', 'd']);
  });

  it('fails all that were made together when making them throws', async () => {
    let broken = true;
    const turns = new Turns<string>((changes) =>
      broken ? Promise.reject(new Error('gone')) : Promise.resolve(changes.map(() => null)),
    );
    const results = await Promise.allSettled(['a', 'b'].map((one) => turns.change(one, one)));
    assert.deepEqual(
      results.map(({ status }) => status),
      ['rejected', 'rejected'],
    );
    broken = false;
    await turns.change('c', 'c');
  });
});
