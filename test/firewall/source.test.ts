// Whom a grant is for: only canonical text, since any other would be a second name for the same opening.

import assert from 'node:assert/strict';
import { isKnockError } from '../../lib/errors.ts';
import { prefixOf, readSource } from '../../lib/firewall/source.ts';

describe('readSource', () => {
  for (const [text, family, length] of [
    ['192.0.2.7', 4, 32],
    ['192.0.2.0/24', 4, 24],
    ['128.0.0.0/1', 4, 1],
    ['2001:db8::7', 6, 128],
    ['2001:db8:1::/56', 6, 56],
    ['2001:db8::fe/127', 6, 127],
  ] as const) {
    it(`takes ${text}`, () => {
      const prefix = readSource('x', text);
      assert.deepEqual([prefix.address.family, prefix.length], [family, length]);
      assert.deepEqual(prefixOf('x', text), text.includes('/') ? prefix : null);
    });
  }

  for (const [what, text] of [
    ['bits beyond the length', '192.0.2.7/24'],
    ['bits beyond the length of IPv6', '2001:db8:1::1/56'],
    ['an address written as a prefix', '192.0.2.7/32'],
    ['an IPv6 address written as a prefix', '2001:db8::7/128'],
    ['everybody', '0.0.0.0/0'],
    ['everybody over IPv6', '::/0'],
    ['capitals', '2001:DB8::/32'],
    ['zeros written out', '2001:db8:0:0::/64'],
    ['a length with a leading zero', '192.0.2.0/024'],
    ['a length that is too long', '192.0.2.0/33'],
    ['a netmask', '192.0.2.0/255.255.255.0'],
    ['a line break', '192.0.2.7\n'],
    ['a name', 'localhost'],
    ['nothing', ''],
  ] as const) {
    it(`refuses ${what}, on one line`, () => {
      assert.throws(
        () => readSource('x', text),
        (error) =>
          isKnockError(error) &&
          error.code === 'ERR_FIREWALL_UNSUPPORTED' &&
          /^x: source must be .+, got '.*'$/u.test(error.message),
      );
    });
  }
});
