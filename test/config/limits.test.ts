// From where and until when a client may knock: the same for every scheme.

import assert from 'node:assert/strict';
import { assemble } from '../../lib/config/assemble.ts';

import { OTHER_KEY, parsed, problems, SECRET, SPA } from './support.ts';

const KEYS = 'key_base64: a2V5a2V5a2V5a2V5a2V5a2V5, hmac_key_base64: aG1hY2htYWNobWFjaG1hY2htYWM=';
const CLIENTS: readonly [scheme: string, settings: string][] = [
  ['spa', `key: "${OTHER_KEY} bob"`],
  ['one-time', `secret: "${SECRET}"`],
  ['sequence', 'sequence: [7000/tcp, 9000/tcp, 8000/tcp]'],
  ['sequence-list', 'sequences_file: list'],
  ['fwknop', KEYS],
];
const LIST = { '/gw/list': { text: '7000,9000,8001\n' } };

/** A configuration whose second client says this. */
function client(scheme: string, settings: string): string {
  return `${SPA}  bob: { scheme: ${scheme}, ${settings}, services: [ssh] }\n`;
}

describe('the limits of a client', () => {
  for (const [scheme, settings] of CLIENTS) {
    it(`are for scheme ${scheme}`, async () => {
      const limits = 'from: [192.0.2.0/24, "2001:db8::1"], expires: 2031-02-03T04:05Z';
      const { rules } = assemble(await parsed(client(scheme, `${settings}, ${limits}`), { files: LIST }));
      const { from, expiresAt } = rules.clients[1] ?? {};
      assert.deepEqual([from, expiresAt], [['192.0.2.0/24', '2001:db8::1'], Date.UTC(2031, 1, 3, 4, 5)]);
      const unlimited = await parsed(client(scheme, settings), { files: LIST });
      assert.ok(!('from' in (unlimited.clients[1] ?? {})) && !('expiresAt' in (unlimited.clients[1] ?? {})));
    });
  }

  const days: readonly [text: string, ms: number][] = [
    ['2031-02-03', new Date(2031, 1, 3).getTime()],
    ['2031-02-03T04:05', new Date(2031, 1, 3, 4, 5).getTime()],
    ['2031-02-03T04:05:06Z', Date.UTC(2031, 1, 3, 4, 5, 6)],
  ];
  for (const [text, ms] of days) {
    it(`may be ${text}`, async () => {
      const { clients } = await parsed(client('one-time', `secret: "${SECRET}", expires: ${text}`));
      assert.equal(clients[1]?.expiresAt, ms);
    });
  }

  it('may be one address', async () => {
    const { clients } = await parsed(client('one-time', `secret: "${SECRET}", from: 192.0.2.1`));
    assert.deepEqual(clients[1]?.from, ['192.0.2.1']);
  });

  const faults: readonly [limit: string, message: string][] = [
    ['from: gw.example', 'from must be an address or a prefix, not "gw.example" (as in 203.0.113.0/24)'],
    ['from: 192.0.2.0/33', 'from must be an address or a prefix, not "192.0.2.0/33" (as in 203.0.113.0/24)'],
    ['from: []', 'from must be one, or a list of 1 to 64 (as in [203.0.113.0/24])'],
    ...['2031-02-30', '20310203', '2031-02-03 04:05', '2031-02-03T04Z', 'soon'].map(
      (text): [string, string] => [
        `expires: ${text}`,
        `expires must be a day, or a day and a time, not ${/^\d+$/u.test(text) ? text : `"${text}"`} (as in 2031-12-31, or 2031-12-31T18:00Z; without Z it is local time)`,
      ],
    ),
  ];
  for (const [limit, message] of faults) {
    it(`cannot be ${limit}`, async () => {
      const [line = ''] = await problems(client('one-time', `secret: "${SECRET}", ${limit}`));
      assert.equal(line.replace(/^\d+:\d+: client bob: /u, ''), message);
    });
  }
});
