// Lengths of time as people write them.

import assert from 'node:assert/strict';
import { parseDuration } from '../lib/duration.ts';

describe('parseDuration', () => {
  const rows: readonly [unknown, number | null][] = [
    ['500ms', 500],
    ['30s', 30_000],
    ['2m', 120_000],
    ['1h', 3_600_000],
    ['0s', 0],
    ['45', 45_000],
    [45, 45_000],
    [1.5, null],
    [-1, null],
    ['', null],
    ['s', null],
    ['1 s', null],
    ['1S', null],
    ['1d', null],
    ['1e3', null],
    ['1h30m', null],
    [' 1s', null],
    ['9999999999s', null],
    [null, null],
    [['1s'], null],
  ];
  for (const [input, ms] of rows) {
    it(`reads ${JSON.stringify(input)} as ${ms === null ? 'nothing' : `${ms} ms`}`, () => {
      assert.equal(parseDuration(input), ms);
    });
  }
});
