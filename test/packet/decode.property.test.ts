// The fast decoder against the slow, obvious one.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { damaged, LINKS, sound, soundOptions } from '../support/arbitraries.ts';
import { decoded } from '../support/decoded.ts';
import { frame } from '../support/frames.ts';
import { modelDecode } from '../support/model-decoder.ts';

const RUNS = process.env['PORTKNOCK_SLOW'] === '1' ? 200_000 : 4000;

describe('decode, against the model', () => {
  it('agrees on sound frames, and accepts them', () => {
    fc.assert(
      fc.property(sound, ({ bytes, wire, link }) => {
        const result = decoded(bytes, link, wire);
        assert.equal(typeof result, 'object');
        assert.deepEqual(result, modelDecode(bytes, wire, link));
      }),
      { numRuns: RUNS },
    );
  });

  it('agrees on damaged frames, to the fault', () => {
    fc.assert(
      fc.property(damaged, ({ bytes, wire, link }) => {
        assert.deepEqual(decoded(bytes, link, wire), modelDecode(bytes, wire, link));
      }),
      { numRuns: 4 * RUNS },
    );
  }).timeout(120_000);

  it('agrees on random bytes', () => {
    const random = fc.tuple(fc.uint8Array({ maxLength: 120 }), fc.constantFrom(...LINKS), fc.nat(200));
    fc.assert(
      fc.property(random, ([bytes, link, more]) => {
        const wire = bytes.length + more;
        assert.deepEqual(decoded(bytes, link, wire), modelDecode(Buffer.from(bytes), wire, link));
      }),
      { numRuns: RUNS },
    );
  });

  it('reads back what the frame was built from', () => {
    fc.assert(
      fc.property(soundOptions, (options) => {
        const result = decoded(frame(options), options.link);
        assert.ok(typeof result === 'object');
        assert.deepEqual([result.srcPort, result.dstPort], [options.srcPort, options.dstPort]);
        assert.equal(result.payload, Buffer.from(options.payload ?? '').toString('hex'));
        if (options.protocol === 'tcp')
          assert.deepEqual([result.flags, result.seq], [options.flags, options.seq]);
      }),
      { numRuns: RUNS },
    );
  });
});
