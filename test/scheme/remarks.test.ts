// What schemes remark on packets that they do not report, where it is bounded; what they remark at all is in
// listener/explain.test.ts.

import assert from 'node:assert/strict';
import { oneTime } from '../../lib/scheme/one-time.ts';
import { oneTimeKnocks } from '../../lib/scheme/one-time-key.ts';
import type { Remark } from '../../lib/scheme/remark.ts';
import type { Scheme } from '../../lib/scheme/scheme.ts';
import { NO_HISTORY } from '../support/history.ts';
import { datagram, NOW } from '../support/packets.ts';
import { arrive, gatewayOf, knock } from '../support/spa-knocks.ts';

const HOUR_MS = 3_600_000;

function observed(scheme: Scheme): { readonly scheme: Scheme; readonly remarks: Remark[] } {
  const remarks: Remark[] = [];
  scheme.observe?.((remark) => remarks.push(remark));
  return { scheme, remarks };
}

describe('remarks', () => {
  it('look into a thousand datagrams without the hint at most', async () => {
    const { scheme, remarks } = observed(gatewayOf());
    const payload = await knock({ ms: NOW - 3 * HOUR_MS });
    for (let i = 0; i < 1002; i += 1) assert.equal(arrive(scheme, payload), null);
    const reasons = remarks.map((remark) => (remark.kind === 'missed' ? remark.reason : remark.kind));
    assert.deepEqual([reasons[0], reasons[999], reasons[1000]], ['other-hour', 'other-hour', 'wrong-hint']);
  });

  it('search fewer steps of each client where there are many', () => {
    const rows: readonly [clients: number, steps: number, found: boolean][] = [
      [1, 30, true],
      [1, 31, false],
      [1000, 10, true],
      [1000, 11, false],
    ];
    for (const [count, steps, found] of rows) {
      const clients = Object.fromEntries(
        Array.from({ length: count }, (_, i) => [
          `client-${i}`,
          { secret: Buffer.alloc(32, `${i} `), knocks: 2 },
        ]),
      );
      const { scheme, remarks } = observed(oneTime({ clients }));
      const [first] = oneTimeKnocks({ secret: Buffer.alloc(32, '0 '), knocks: 2 }, NOW / 10_000 + steps);
      assert.ok(first !== undefined);
      assert.equal(scheme.match(datagram({ port: first.port, payload: first.tag }), NO_HISTORY), null);
      assert.deepEqual(
        remarks,
        found
          ? [{ kind: 'missed', reason: 'other-step', client: 'client-0', clockOffsetMs: steps * 10_000 }]
          : [{ kind: 'missed', reason: 'unknown-tag' }],
        `${count} clients, ${steps} steps`,
      );
    }
  });

  it('search for the steps of ten thousand tags at most', () => {
    const secret = Buffer.alloc(32, 'field');
    const { scheme, remarks } = observed(oneTime({ clients: { field: { secret } } }));
    const [first] = oneTimeKnocks({ secret }, NOW / 10_000 + 20);
    assert.ok(first !== undefined);
    const stray = datagram({ port: first.port, payload: first.tag });
    for (let i = 0; i < 10_001; i += 1) scheme.match(stray, NO_HISTORY);
    const reasons = remarks.map((remark) => (remark.kind === 'missed' ? remark.reason : remark.kind));
    assert.deepEqual([reasons[9999], reasons[10_000]], ['other-step', 'unknown-tag']);
  });

  it('pass over what is not on any port of a one-time client', () => {
    const { scheme, remarks } = observed(oneTime({ clients: { field: { secret: Buffer.alloc(32, 1) } } }));
    for (const port of [19_999, 52_768])
      scheme.match(datagram({ port, payload: Buffer.alloc(16) }), NO_HISTORY);
    assert.deepEqual(remarks, []);
    for (const port of [20_000, 52_767])
      scheme.match(datagram({ port, payload: Buffer.alloc(16) }), NO_HISTORY);
    assert.equal(remarks.length, 2);
  });
});
