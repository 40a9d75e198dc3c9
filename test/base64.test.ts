// One secret, one spelling.

import assert from 'node:assert/strict';
import { parseBase64 } from '../lib/base64.ts';

describe('parseBase64', () => {
  it('reads canonical base64', () => {
    assert.deepEqual(parseBase64('AAEC'), Buffer.from([0, 1, 2]));
    assert.deepEqual(parseBase64('+/8='), Buffer.from([0xfb, 0xff]));
  });

  for (const text of ['', 'AAE', 'AAF=', 'A===', 'AA EC', 'AAEC\n', '-_8=', 'AAEC=', 'é', '====']) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.equal(parseBase64(text), null);
    });
  }
});
