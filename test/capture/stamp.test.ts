// Packet times: the number is shared, the value is always right.

import assert from 'node:assert/strict';
import { Stamp } from '../../lib/capture/stamp.ts';

describe('the stamp of a packet', () => {
  it('is the Unix time in milliseconds, however the parts change', () => {
    const stamp = new Stamp();
    const times: readonly (readonly [second: number, millisecond: number, timeMs: number])[] = [
      [1_700_000_000, 5, 1_700_000_000_005],
      [1_700_000_000, 5, 1_700_000_000_005],
      [1_700_000_000, 6, 1_700_000_000_006],
      [1_700_000_001, 6, 1_700_000_001_006],
      [1_700_000_000, 6, 1_700_000_000_006], // a clock that was set back
      [0, 0, 0],
      [-1, -1, -1001],
      [-1, 999, -1],
      [4_294_967_295, 4_294_967, 4_294_971_589_967], // what a damaged savefile may say
    ];
    for (const [second, millisecond, timeMs] of times) assert.equal(stamp.at(second, millisecond), timeMs);
  });

  it('is right for a first packet with the parts that the stamp starts from', () => {
    assert.equal(new Stamp().at(-1, -1), -1001);
  });
});
