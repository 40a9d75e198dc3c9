// Dates as sshd writes them, whatever the host's time zone is.

import assert from 'node:assert/strict';
import { parseExpiry } from '../../lib/config/expiry.ts';

describe('an expiry time', () => {
  const rows: readonly [text: string, ms: number][] = [
    ['20301231Z', Date.UTC(2030, 11, 31)],
    ['20301231z', Date.UTC(2030, 11, 31)],
    ['20301231UTC', Date.UTC(2030, 11, 31)],
    ['203012312359Z', Date.UTC(2030, 11, 31, 23, 59)],
    ['20301231235958Z', Date.UTC(2030, 11, 31, 23, 59, 58)],
    ['20280229Z', Date.UTC(2028, 1, 29)],
    ['19700101Z', 0],
    ['20301231', new Date(2030, 11, 31).getTime()],
    ['203012312359', new Date(2030, 11, 31, 23, 59).getTime()],
    ['20300701120001', new Date(2030, 6, 1, 12, 0, 1).getTime()],
  ];
  for (const [text, ms] of rows) {
    it(`${text} is ${new Date(ms).toISOString()}`, () => {
      assert.equal(parseExpiry(text), ms);
    });
  }

  it('without a Z is in the local time of the host, summer time included', () => {
    const zone = process.env.TZ;
    try {
      process.env.TZ = 'America/New_York';
      assert.equal(parseExpiry('203001011200'), Date.UTC(2030, 0, 1, 17));
      assert.equal(parseExpiry('203007011200'), Date.UTC(2030, 6, 1, 16));
      assert.equal(parseExpiry('203007011200Z'), Date.UTC(2030, 6, 1, 12));
    } finally {
      if (zone === undefined) delete process.env.TZ;
      else process.env.TZ = zone;
    }
  });

  const bad = [
    ...[
      '',
      'Z',
      '2030',
      '2030-12-31',
      '2030123',
      '203012311',
      '2030123112',
      '20301231T1200',
      '20301231 1200',
    ],
    ...['20300229Z', '20301301Z', '20300001Z', '20301200Z', '20301232Z', '203012312400Z', '203012312360Z'],
    ...['20301231235960Z', '19691231Z', '00500101Z', '00000000', '20301231ZZ', '20301231+0100', ' 20301231'],
    ...['20301231\n', '٢٠٣٠١٢٣١', '99999999999999', '-20301231', '2030123112345678'],
  ];
  for (const text of bad) {
    it(`is not ${JSON.stringify(text)}`, () => {
      assert.equal(parseExpiry(text), null);
    });
  }
});
