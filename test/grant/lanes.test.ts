// What overlaps and what waits, for lanes by themselves.

import assert from 'node:assert/strict';
import { Lanes } from '../../lib/grant/lanes.ts';

/** What began and what ended, and ways to end it. */
function traced() {
  const lanes = new Lanes();
  const log: string[] = [];
  const ends = new Map<string, (error?: Error) => void>();
  const run = (name: string) => (): Promise<string> => {
    log.push(`+${name}`);
    return new Promise((resolve, reject) => {
      ends.set(name, (error) => {
        log.push(`-${name}`);
        if (error === undefined) resolve(name);
        else reject(error);
      });
    });
  };
  const end = async (name: string, error?: Error): Promise<void> => {
    (ends.get(name) ?? assert.fail(`${name} has not begun`))(error);
    await settle();
  };
  return { lanes, log, run, end };
}

async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe('Lanes', () => {
  it('let changes of different keys overlap, and keep those of one key in order', async () => {
    const { lanes, log, run, end } = traced();
    const all = Promise.all([
      lanes.along(['a'], run('a1')),
      lanes.along(['a'], run('a2')),
      lanes.along(['b'], run('b1')),
    ]);
    await settle();
    assert.deepEqual(log, ['+a1', '+b1']);
    await end('a1');
    assert.deepEqual(log.slice(2), ['-a1', '+a2']);
    await end('b1');
    await end('a2');
    assert.deepEqual(await all, ['a1', 'a2', 'b1']);
  });

  it('make a change of several keys wait for all of them, and all of them for it', async () => {
    const { lanes, log, run, end } = traced();
    void lanes.along(['a'], run('a'));
    void lanes.along(['b'], run('b'));
    void lanes.along(['a', 'b'], run('ab'));
    void lanes.along(['b'], run('b2'));
    void lanes.along(['c'], run('c'));
    await settle();
    await end('a');
    assert.deepEqual(log, ['+a', '+b', '+c', '-a']);
    await end('b');
    assert.deepEqual(log.slice(4), ['-b', '+ab']);
    await end('ab');
    assert.deepEqual(log.slice(6), ['-ab', '+b2']);
  });

  it('run one alone after all before it and before all after it', async () => {
    const { lanes, log, run, end } = traced();
    void lanes.along(['a'], run('a'));
    void lanes.along(['b'], run('b'));
    void lanes.alone(run('alone'));
    void lanes.along(['c'], run('c'));
    void lanes.alone(run('again'));
    await settle();
    await end('a');
    assert.deepEqual(log, ['+a', '+b', '-a']);
    await end('b');
    assert.deepEqual(log.slice(3), ['-b', '+alone']);
    await end('alone');
    assert.deepEqual(log.slice(5), ['-alone', '+c']);
    await end('c');
    assert.deepEqual(log.slice(7), ['-c', '+again']);
  });

  it('go on after one that failed, and tell only its caller', async () => {
    const { lanes, log, run, end } = traced();
    const failing = assert.rejects(lanes.along(['a'], run('a')), /no/u);
    const alone = assert.rejects(lanes.alone(run('alone')), /neither/u);
    const last = lanes.along(['a'], run('last'));
    await settle();
    await end('a', new Error('no'));
    await end('alone', new Error('neither'));
    await end('last');
    await Promise.all([failing, alone]);
    assert.equal(await last, 'last');
    assert.deepEqual(log, ['+a', '-a', '+alone', '-alone', '+last', '-last']);
  });

  it('are idle when what was asked for is done, busy before, and remember no key then', async () => {
    const { lanes, run, end } = traced();
    void lanes.along(['a'], run('a'));
    void lanes.along(['a'], run('a2'));
    let idle = false;
    void lanes.idle().then(() => (idle = true));
    await settle();
    assert.deepEqual([idle, lanes.isBusy('a'), lanes.isBusy('b')], [false, true, false]);
    await end('a');
    assert.deepEqual([idle, lanes.isBusy('a')], [false, true]);
    await end('a2');
    assert.deepEqual([idle, lanes.isBusy('a')], [true, false]);
  });
});
