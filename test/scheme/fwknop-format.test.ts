// The fields and the message of fwknop's packets: what is written is read again, and everything beyond the limits of the
// real program, or spelled in a second way, is refused.

import assert from 'node:assert/strict';
import { formatAddress } from '../../lib/address.ts';
import { formatBareBase64, parseBareBase64 } from '../../lib/base64.ts';
import { HASH_NAMES, hashOf } from '../../lib/crypto/hashes.ts';
import { decodeFields, encodeFields, type Fields } from '../../lib/scheme/fwknop-format.ts';
import { decodeAccess, decodeTarget, encodeAccess, portText } from '../../lib/scheme/fwknop-message.ts';
import { fieldsOf } from '../support/fwknop-knocks.ts';

const b64 = (text: string): string => formatBareBase64(Buffer.from(text, 'latin1'));
const MESSAGE = b64('198.51.100.7,tcp/22');
const START = `0123456789012345:${b64('alice')}:1795257433:3.0.0`;

/** A text with its right digest. */
function signed(text: string): Buffer {
  return Buffer.from(`${text}:${formatBareBase64(hashOf('sha256', Buffer.from(text, 'latin1')))}`, 'latin1');
}

describe('the fields of a packet', () => {
  const fields: readonly [what: string, fields: Partial<Fields>][] = [
    ['an access', {}],
    ['a command', { type: 0, message: '198.51.100.7,/bin/true -x: y' }],
    ['a forwarding', { type: 2, nat: '10.0.0.5,22' }],
    ['an access with a time-out', { type: 3, timeoutSeconds: 60 }],
    ['a forwarding with a time-out', { type: 4, nat: 'host.example,22', timeoutSeconds: 65_536 }],
    ['a local forwarding', { type: 5, nat: '10.0.0.1,22' }],
    ['a local forwarding with a time-out', { type: 6, nat: '10.0.0.1,22', timeoutSeconds: 0 }],
    [
      'a name of 48 bytes with everything that may be in one',
      { user: "aZ09 .-_@!#$%&'()^`{}~".padEnd(48, 'x') },
    ],
    ['a message of 192 bytes', { message: 'm'.repeat(192) }],
    ['a version of eight characters', { version: '12.34.56' }],
    ['a time beyond 2038', { timeSeconds: 2 ** 32 - 1 }],
  ];
  for (const [what, change] of fields) {
    for (const digest of HASH_NAMES) {
      it(`are written and read: ${what}, digest ${digest}`, () => {
        assert.deepEqual(decodeFields(encodeFields(fieldsOf(change), digest)), fieldsOf(change));
      });
    }
  }

  it('may have a field of old for the server, which means nothing', () => {
    const free = b64('anything: at all');
    const rows: readonly [tail: string, change: Partial<Fields>][] = [
      [`1:${MESSAGE}:${free}`, {}],
      [`3:${MESSAGE}:${free}:30`, { type: 3, timeoutSeconds: 30 }],
      [`2:${MESSAGE}:${b64('h,1')}:${free}`, { type: 2, nat: 'h,1' }],
      [`4:${MESSAGE}:${b64('h,1')}:${free}:30`, { type: 4, nat: 'h,1', timeoutSeconds: 30 }],
    ];
    for (const [tail, change] of rows) {
      const expected = fieldsOf({ timeSeconds: 1_795_257_433, ...change });
      assert.deepEqual(decodeFields(signed(`${START}:${tail}`)), expected, tail);
    }
  });

  const user = (name: string): string => `0123456789012345:${b64(name)}:1795257433:3.0.0:1:${MESSAGE}`;
  const at = (seconds: string): string => `0123456789012345:YWxpY2U:${seconds}:3.0.0:1:${MESSAGE}`;
  const malformed: readonly [what: string, text: string][] = [
    ['no user', `0123456789012345::1795257433:3.0.0:1:${MESSAGE}`],
    ['a user of 49 bytes', user('a'.repeat(49))],
    ...Array.from('"/\\[]:;|=,+*?<>').map((char): [string, string] => [
      `${char} in the user`,
      user(`a${char}b`),
    ]),
    ['UTF-8 in the user', user('\xc3\xa9')],
    ['a control character in the user', user('a\nb')],
    ['a padded user', `0123456789012345:YWxpY2U=:1795257433:3.0.0:1:${MESSAGE}`],
    ['spare bits in the user', `0123456789012345:YWxpY2V:1795257433:3.0.0:1:${MESSAGE}`],
    ['no time', at('')],
    ['a time of 13 digits', at('0001795257433')],
    ['a time with a sign', at('+1795257433')],
    ['a time of 2^32', at('4294967296')],
    ['no version', `0123456789012345:YWxpY2U:1795257433::1:${MESSAGE}`],
    ['a version of nine characters', `0123456789012345:YWxpY2U:1795257433:123.45.67:1:${MESSAGE}`],
    ['type 7', `${START}:7:${MESSAGE}`],
    ['a type of two digits', `${START}:01:${MESSAGE}`],
    ['no type', `${START}::${MESSAGE}`],
    ['no message', `${START}:1:`],
    ['nothing behind the type', `${START}:1`],
    ['a message of 193 bytes', `${START}:1:${b64('m'.repeat(193))}`],
    ['a zero byte in the message', `${START}:1:${b64('1.2.3.4,tcp/22\0')}`],
    ['a padded message', `${START}:1:${MESSAGE}=`],
    ['a message in the alphabet for addresses', `${START}:1:${b64('>>>???').replaceAll('/', '_')}`],
    ['two fields too many', `${START}:1:${MESSAGE}:YQ:YQ`],
    ['an empty field of old', `${START}:1:${MESSAGE}:`],
    ['a field of old that is no base64', `${START}:1:${MESSAGE}:-`],
    ['no inner target', `${START}:2:${MESSAGE}`],
    ['an empty inner target', `${START}:2:${MESSAGE}:`],
    ['an inner target of 77 bytes', `${START}:2:${MESSAGE}:${b64(`${'h'.repeat(74)},22`)}`],
    ['no time-out', `${START}:3:${MESSAGE}`],
    ['a time-out of 65537', `${START}:3:${MESSAGE}:65537`],
    ['a time-out with a sign', `${START}:3:${MESSAGE}:-1`],
    ['a time-out of six digits', `${START}:3:${MESSAGE}:000060`],
    ['an inner target for a time-out', `${START}:4:${MESSAGE}:${b64('h,1')}`],
  ];
  for (const [what, text] of malformed) {
    it(`are refused with ${what}`, () => {
      assert.equal(decodeFields(signed(text)), 'malformed');
    });
  }

  const good = encodeFields(fieldsOf(), 'sha256').toString();
  const foreign: readonly [what: string, text: string][] = [
    ['nothing', ''],
    ['15 digits', good.slice(1)],
    ['17 digits', `0${good}`],
    ['a letter among the digits', `a${good.slice(1)}`],
    ['a byte that cannot be printed', `${good}\x80`],
    ['a line feed at the end', `${good}\n`],
  ];
  for (const [what, text] of foreign) {
    it(`are foreign with ${what} in the beginning or anywhere`, () => {
      assert.equal(decodeFields(Buffer.from(text, 'latin1')), 'foreign');
    });
  }

  const digests: readonly [what: string, text: string][] = [
    ['another user', good.replace('YWxpY2U', 'YWxpY2V')],
    ['no digest', good.slice(0, good.lastIndexOf(':'))],
    ['an empty digest', good.slice(0, good.lastIndexOf(':') + 1)],
    ['a digest cut off', good.slice(0, -1)],
    ['a padded digest', `${good}=`],
    ['spare bits in the digest', good.slice(0, -1) + nextLetter(good.slice(-1))],
  ];
  for (const [what, text] of digests) {
    it(`are refused for their digest with ${what}`, () => {
      assert.equal(decodeFields(Buffer.from(text, 'latin1')), 'digest');
    });
  }
});

describe('an access message', () => {
  const good: readonly [message: string, address: string | null, ports: string][] = [
    ['198.51.100.7,tcp/22', '198.51.100.7', 'tcp/22'],
    ['0.0.0.0,udp/53', null, 'udp/53'],
    ['1.2.3.4,tcp/1,udp/65535,tcp/22', '1.2.3.4', 'tcp/1 udp/65535 tcp/22'],
    ['1.2.3.4,tcp/00022', '1.2.3.4', 'tcp/22'],
  ];
  for (const [message, address, ports] of good) {
    it(`is read: ${message}`, () => {
      const read = decodeAccess(message);
      assert.ok(read !== null);
      assert.equal(read.address === null ? null : formatAddress(read.address), address);
      assert.equal(read.ports.map(portText).join(' '), ports);
      if (!message.includes('000')) assert.equal(encodeAccess(read), message);
    });
  }

  for (const message of [
    ...['', ',', 'tcp/22', '1.2.3.4', '1.2.3.4,', '1.2.3.4,tcp/22,', '1.2.3.4,,tcp/22', ' 1.2.3.4,tcp/22'],
    ...[
      '1.2.3.4,TCP/22',
      '1.2.3.4,tcpx/22',
      '1.2.3.4,icmp/1',
      '1.2.3.4,none/0',
      '1.2.3.4,tcp/0',
      '1.2.3.4,tcp/',
    ],
    ...['1.2.3.4,tcp/65536', '1.2.3.4,tcp/22-25', '1.2.3.4,tcp/-1', '1.2.3.4,tcp/000022', '1.2.3.4,tcp/2 2'],
    ...['256.1.1.1,tcp/22', '010.1.1.1,tcp/22', '010.099.1.1,tcp/22', '1.2.3,tcp/22', '1.2.3.4.5,tcp/22'],
    ...[
      '::1,tcp/22',
      '::ffff:1.2.3.4,tcp/22',
      '1.2.3.4/24,tcp/22',
      'host,tcp/22',
      '0,tcp/22',
      '0x1.2.3.4,tcp/22',
    ],
    ...['1.2.3.4,tcp/22;id', '1.2.3.4,/bin/true', '1.2.3.4, tcp/22', '1.2.3.4,tcp/٢٢'],
  ]) {
    it(`is refused: '${message}'`, () => {
      assert.equal(decodeAccess(message), null);
    });
  }
});

describe('an inner target', () => {
  const rows: readonly [nat: string, target: string | null][] = [
    ['10.0.0.5,22', '10.0.0.5:22'],
    ['host.example,65535', 'host.example:65535'],
    [`${'h'.repeat(70)},1`, `${'h'.repeat(70)}:1`],
    [`${'h'.repeat(71)},1`, null],
    ...['', ',22', 'h', 'h,', 'h,0', 'h,65536', 'h,22,23', 'h:22', 'h,22 ', 'h h,22', 'h/h,22'].map(
      (nat): [string, null] => [nat, null],
    ),
    ...['h?,22', 'h",22', "h',22", 'h\\,22', 'h,000022'].map((nat): [string, null] => [nat, null]),
  ];
  for (const [nat, target] of rows) {
    it(`is ${target ?? 'refused'}: '${nat}'`, () => {
      assert.equal(decodeTarget(nat), target);
    });
  }
});

describe('base64 without padding', () => {
  it('has one spelling', () => {
    for (const text of ['', 'YQ', 'YWI', 'YWJj', '+/+/']) {
      assert.equal(formatBareBase64(parseBareBase64(text) ?? assert.fail(text)), text);
    }
    for (const text of ['Y', 'YR', 'YWJ', 'YQ==', 'YWI=', 'YQ\n', ' YQ', '-_-_', 'YWJjZ', 'Y!Q']) {
      assert.equal(parseBareBase64(text), null, text);
    }
  });
});

/** Base64's next letter: only the last of six bits is another. */
function nextLetter(letter: string): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  return letters[letters.indexOf(letter) ^ 1] ?? '';
}
