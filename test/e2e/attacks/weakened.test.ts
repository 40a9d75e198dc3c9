// That each attack can be seen: what weakened.ts takes out is still there to be taken out, and in the slow run it is, which
// turns the attack's tests red.

import assert from 'node:assert/strict';
import { occurrences, redTests } from './weakened.ts';
import { WEAKENINGS } from './weakenings.ts';

describe('a build that is weakened', () => {
  for (const weakening of WEAKENINGS) {
    const { number, lacks, edits } = weakening;
    it(`lacks what there is: attack ${number}, ${lacks}`, () => {
      for (const edit of edits) assert.equal(occurrences(edit), 1, `${edit.file}: ${edit.find}`);
    });

    if (process.env.PORTKNOCK_SLOW === '1')
      it(`fails attack ${number} without ${lacks}`, function () {
        this.timeout(600_000);
        assert.notDeepEqual(redTests(weakening), []);
      });
  }
});
