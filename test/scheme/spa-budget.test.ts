// How many signatures a gateway checks for those who have the access key and nothing else (protocols/spa.md, step 6).

import assert from 'node:assert/strict';
import { CheckBudget } from '../../lib/scheme/spa-budget.ts';
import { heapUsed } from '../support/heap.ts';
import { NOW } from '../support/packets.ts';
import { arrive, flipped, gatewayOf, insider, knock, said } from '../support/spa-knocks.ts';

const BURST = 10;
const ALL_BURST = 1000;
const MOST_BUCKETS = 4096;

/** How many of `tries` are allowed at one moment. */
function allowed(
  budget: CheckBudget,
  tries: number,
  { client = 'alice', source = 'here', at = NOW } = {},
): number {
  return Array.from({ length: tries }, () => budget.take(client, source, at)).filter(Boolean).length;
}

describe('CheckBudget', () => {
  const steps: readonly [number: number, afterMs: number, allowed: number, why: string][] = [
    [1, 0, 10, 'a burst of ten'],
    [2, 0, 0, 'nothing more at the same time'],
    [3, 199, 0, 'a fifth of a second has not quite passed'],
    [4, 1, 1, 'five a second'],
    [5, 1000, 5, 'five for a whole second'],
    [6, 400, 2, 'two for 400 ms'],
    [7, 3_600_000, 10, 'never more than the burst'],
  ];
  it('gives a client at a source ten checks at once and five a second', () => {
    const budget = new CheckBudget();
    let at = NOW;
    for (const [number, afterMs, expected, why] of steps) {
      at += afterMs;
      assert.equal(allowed(budget, 50, { at }), expected, `${number}. ${why}`);
    }
  });

  it('keeps clients and sources apart', () => {
    const budget = new CheckBudget();
    assert.equal(allowed(budget, 50), BURST);
    assert.equal(allowed(budget, 50, { client: 'bob' }), BURST);
    assert.equal(allowed(budget, 50, { source: 'there' }), BURST);
    assert.equal(allowed(budget, 50), 0);
  });

  it('gives everybody together a thousand at once and 500 a second, and comes back to normal', () => {
    const budget = new CheckBudget();
    const crowd = (at: number): number => {
      let sum = 0;
      for (let i = 0; i < 300; i += 1) sum += allowed(budget, BURST, { source: `${at} ${i}`, at });
      return sum;
    };
    assert.equal(crowd(NOW), ALL_BURST);
    assert.equal(allowed(budget, 5), 0, 'somebody else, who has done nothing');
    assert.equal(crowd(NOW + 100), 50);
    assert.equal(crowd(NOW + 1100), 500);
    assert.equal(allowed(budget, 50, { at: NOW + 2000 }), BURST);
  });

  it('does not stand still while a clock that was set back catches up', () => {
    const budget = new CheckBudget();
    assert.equal(allowed(budget, 50), BURST);
    const back = NOW - 3_600_000;
    assert.equal(allowed(budget, 50, { at: back }), 0, 'setting it back fills nothing');
    assert.equal(allowed(budget, 50, { at: back + 1000 }), 5);
    assert.equal(allowed(budget, 50, { at: back + 3000 }), BURST);
  });

  it('gives five checks at once and one a second for reports, whatever the other budgets are', () => {
    const budget = new CheckBudget();
    const reports = (at: number): number =>
      Array.from({ length: 50 }, () => budget.takeReport(at)).filter(Boolean).length;
    assert.equal(allowed(budget, 50), BURST);
    assert.deepEqual(
      [reports(NOW), reports(NOW + 999), reports(NOW + 1001), reports(NOW + 60_000)],
      [5, 0, 1, 5],
    );
    assert.equal(allowed(budget, 50, { source: 'there' }), BURST);
  });

  it(`remembers ${MOST_BUCKETS} of them, the least lately used one not`, () => {
    const budget = new CheckBudget();
    let at = NOW;
    const others = (count: number): void => {
      for (let i = 0; i < count; i += 1) {
        // Slowly, so that the budget of all is no matter.
        at += 3;
        budget.take('mallory', `${i}`, at);
      }
    };
    const startMs = at;
    allowed(budget, BURST, { at });
    others(MOST_BUCKETS - 1);
    // Twelve seconds have filled it again; empty it to see whether it is still the same one.
    assert.ok(at - startMs > 10_000);
    assert.equal(allowed(budget, 50, { at }), BURST);
    const kept = at;
    for (let i = 0; i < MOST_BUCKETS - 1; i += 1) budget.take('eve', `${i}`, kept);
    // Two milliseconds later there is one check for all: a forgotten bucket would be full, and take it.
    assert.equal(allowed(budget, 50, { at: kept + 2 }), 0, 'used before all the others, but late enough');
    for (let i = 0; i < MOST_BUCKETS; i += 1) budget.take('trent', `${i}`, kept + 2);
    assert.equal(allowed(budget, 50, { at: kept + 4 }), 1, 'forgotten');
  });

  it('does not grow with the sources that somebody makes up', () => {
    const budget = new CheckBudget();
    const flood = (count: number): void => {
      for (let i = 0; i < count; i += 1) budget.take('alice', `${i} ${i + 1} ${i + 2} ${i + 3}`, NOW + i);
    };
    flood(2 * MOST_BUCKETS);
    const before = heapUsed();
    flood(300_000);
    const growth = heapUsed() - before;
    assert.ok(growth < 1_000_000, `${growth} bytes`);
    assert.equal(allowed(budget, 1, { at: NOW + 1_000_000 }), 1);
  }).timeout(120_000);
});

describe('an SPA gateway under forged knocks of suite 2', () => {
  it('checks ten, then says too-many-checks, and takes the client’s own from elsewhere meanwhile', async () => {
    const scheme = gatewayOf();
    const good = await knock({ suite: 2 });
    const forged = insider(good, (plain) => plain.set(flipped(plain, 100)));
    const words = (count: number, bytes: Buffer, src: string): string[] => [
      ...new Set(Array.from({ length: count }, () => said(arrive(scheme, bytes, { src })))),
    ];
    assert.deepEqual(words(BURST, forged, '203.0.113.66'), ['bad-signature']);
    assert.deepEqual(words(1000, forged, '203.0.113.66'), ['too-many-checks']);
    assert.deepEqual(words(1, good, '203.0.113.66'), ['too-many-checks']);
    assert.deepEqual(words(1, good, '192.0.2.7'), ['request']);
    const told = arrive(scheme, forged, { src: '203.0.113.66' });
    assert.deepEqual(told, { kind: 'reject', reason: 'too-many-checks', client: 'suite2' });
  });

  it('lets the client in again a fifth of a second later', async () => {
    const scheme = gatewayOf();
    const good = await knock({ suite: 2 });
    const forged = insider(good, (plain) => plain.set(flipped(plain, 100)));
    for (let i = 0; i < 20; i += 1) arrive(scheme, forged);
    assert.equal(said(arrive(scheme, good, { at: NOW + 199 })), 'too-many-checks');
    assert.equal(said(arrive(scheme, good, { at: NOW + 201 })), 'request');
  });

  it('has no budget for suite 1, whose proof costs no more than the gateway tag', async () => {
    const scheme = gatewayOf();
    const good = await knock();
    const forged = insider(good, (plain) => plain.set(flipped(plain, 100)));
    for (let i = 0; i < 5000; i += 1) assert.equal(said(arrive(scheme, forged)), 'bad-signature');
    assert.equal(said(arrive(scheme, good)), 'request');
  });

  it('spends nothing on outsiders, on copies and on knocks without a client', async () => {
    const scheme = gatewayOf();
    const good = await knock({ suite: 2 });
    assert.equal(said(arrive(scheme, good)), 'request');
    const stranger = await knock({ suite: 2, key: Buffer.alloc(32, 5) });
    for (let i = 0; i < 100; i += 1) {
      assert.equal(said(arrive(scheme, flipped(good, 60))), 'bad-tag');
      assert.equal(said(arrive(scheme, good)), 'duplicate');
      assert.equal(said(arrive(scheme, stranger)), 'unknown-client');
    }
    for (let seq = 1; seq < BURST; seq += 1)
      assert.equal(said(arrive(scheme, await knock({ suite: 2, seq }))), 'request');
    assert.equal(said(arrive(scheme, await knock({ suite: 2, seq: BURST }))), 'too-many-checks');
  });
});
