// Addresses in and out of text, against node:net and a slow model; which of them may hold a grant; prefixes.

import assert from 'node:assert/strict';
import { BlockList, isIP } from 'node:net';
import fc from 'fast-check';
import {
  firstAddress,
  formatAddress,
  formatMask,
  formatPrefix,
  isLoopback,
  isUnicastSource,
  isWholeAddress,
  parseAddress,
  parsePrefix,
  prefixContains,
  sameAddress,
  type Address,
} from '../lib/address.ts';

const octet = fc.integer({ min: 0, max: 255 });
const group = fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 0xffff }));
const v4Text = fc.tuple(octet, octet, octet, octet).map((octets) => octets.join('.'));
const v6Groups = fc.array(group, { minLength: 8, maxLength: 8 }).filter((groups) => !isMapped(groups));
/** The address written in one of the many ways that are allowed. */
const v6Text = fc
  .record({ groups: v6Groups, upper: fc.boolean(), pad: fc.boolean(), cut: fc.nat(7), dotted: fc.boolean() })
  .map(({ groups, ...style }) => ({ groups, text: spelt(groups, style) }));

function isMapped(groups: readonly number[]): boolean {
  return groups.slice(0, 5).every((one) => one === 0) && groups[5] === 0xffff;
}

/** Whether it is the IPv6 text of an IPv4 address, by node's URL, which writes every address in one way. */
function isMappedText(text: string): boolean {
  return isIP(text) === 6 && /^\[::ffff:[^:]+:[^:]+\]$/u.test(new URL(`http://[${text}]`).hostname);
}

function spelt(
  groups: readonly number[],
  { upper, pad, cut, dotted }: { upper: boolean; pad: boolean; cut: number; dotted: boolean },
): string {
  const hex = groups.map((one) => one.toString(16).padStart(pad ? 4 : 1, '0'));
  const tail = groups.slice(6).flatMap((one) => [one >> 8, one & 255]);
  const parts = dotted ? [...hex.slice(0, 6), tail.join('.')] : hex;
  let zeros = 0;
  while (cut + zeros < (dotted ? 6 : 8) && groups[cut + zeros] === 0) zeros += 1;
  const text =
    zeros === 0 ? parts.join(':') : `${parts.slice(0, cut).join(':')}::${parts.slice(cut + zeros).join(':')}`;
  return upper ? text.toUpperCase() : text;
}

/** RFC 5952 as a person would do it: all groups, then the longest and first run of zeros of two or more replaced. */
function modelText(groups: readonly number[]): string {
  const hex = groups.map((one) => one.toString(16));
  for (let length = 8; length >= 2; length -= 1) {
    for (let at = 0; at + length <= 8; at += 1) {
      if (!groups.slice(at, at + length).every((one) => one === 0)) continue;
      return `${hex.slice(0, at).join(':')}::${hex.slice(at + length).join(':')}`;
    }
  }
  return hex.join(':');
}

function parsed(text: string): Address {
  const address = parseAddress(text);
  assert.ok(address !== null, text);
  return address;
}

describe('parseAddress and formatAddress', () => {
  it('give back any IPv4 text', () => {
    fc.assert(fc.property(v4Text, (text) => assert.equal(formatAddress(parsed(text)), text)));
  });

  it('give any spelling of an IPv6 address the one text of RFC 5952, which node:net takes for the same', () => {
    fc.assert(
      fc.property(v6Text, ({ groups, text }) => {
        assert.equal(isIP(text), 6, text);
        const address = parsed(text);
        const canonical = formatAddress(address);
        assert.equal(canonical, modelText(groups), text);
        assert.deepEqual(parseAddress(canonical), address);
        const list = new BlockList();
        list.addAddress(text, 'ipv6');
        assert.ok(list.check(canonical, 'ipv6'));
      }),
      { numRuns: 1000 },
    );
  });

  it('hold an address as four int32 words in network order', () => {
    assert.deepEqual(parseAddress('255.1.2.3'), { family: 4, words: [0, 0, 0xffff, 0xff010203 | 0] });
    assert.deepEqual(parseAddress('ffff:2::ff:8'), { family: 6, words: [-65534, 0, 0, 0xff0008] });
  });

  const canonical: readonly [text: string, shown: string][] = [
    // RFC 5952, sections 1, 2 and 4
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8::1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8::0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:DB8:0:0:1::1', '2001:db8::1:0:0:1'],
    ['2001:db8:aaaa:bbbb:cccc:dddd::1', '2001:db8:aaaa:bbbb:cccc:dddd:0:1'],
    ['2001:db8:0:0:0:0:2:1', '2001:db8::2:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:0', '2001:db8:0:0:1::'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['::192.0.2.33', '::c000:221'],
    ['FE80::1', 'fe80::1'],
  ];
  for (const [text, shown] of canonical) {
    it(`write ${text} as ${shown}`, () => assert.equal(formatAddress(parsed(text)), shown));
  }

  it('take nothing but an address', () => {
    const refused = [
      ...[
        '',
        ' ',
        'localhost',
        '1.2.3',
        '1.2.3.4.5',
        '1.2.3.256',
        '01.2.3.4',
        '0x1.2.3.4',
        '1.2.3.4 ',
        '1.2.3.-4',
      ],
      ...['::ffff:192.0.2.1', '::FFFF:c000:201', '0:0:0:0:0:ffff:1.2.3.4', '::fFfF:0:0'],
      ...[
        'fe80::1%eth0',
        'fe80::1%',
        '1::2::3',
        ':::',
        '1:2:3:4:5:6:7',
        '1:2:3:4:5:6:7:8:9',
        '12345::',
        'g::',
      ],
      ...[
        '[::1]',
        '::1/128',
        '1.2.3.4/32',
        '1.2.3.4:80',
        '１.2.3.4',
        '1.2.3.4\n',
        '\0::1',
        '::1.2.3',
        '4294967295',
      ],
    ];
    for (const text of refused) assert.equal(parseAddress(text), null, JSON.stringify(text));
  });

  it('agree with node:net on whether any text is an address', () => {
    const unit = fc.constantFrom(...'0123456789abcdefF:.:.%/ '.split(''));
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit, maxLength: 24 }), v4Text), (text) => {
        const expected = text.includes('%') || isMappedText(text) ? 0 : isIP(text);
        const family = parseAddress(text)?.family ?? 0;
        if (expected !== 0 || family !== 0) assert.equal(family, expected, text);
      }),
      {
        numRuns: 2000,
        examples: ['::ffff:1', '::ffff:1:2', '::ffff:1:2:3', '0::0:FFFF:1.2.3.4'].map((text) => [text]),
      },
    );
  });
});

describe('sameAddress', () => {
  it('compares family and every word', () => {
    const texts = ['1.2.3.4', '1.2.3.5', '::1', '1::', '0:0:1::', '0:0:0:0:1::', '2001:db8::1'];
    for (const one of texts) {
      for (const other of texts) assert.equal(sameAddress(parsed(one), parsed(other)), one === other);
    }
    const mapped: Address = { family: 6, words: parsed('1.2.3.4').words };
    assert.equal(sameAddress(parsed('1.2.3.4'), mapped), false);
  });
});

describe('isUnicastSource and isLoopback', () => {
  const rows: readonly [text: string, unicast: boolean, loopback?: boolean][] = [
    ['0.0.0.0', false],
    ['0.255.255.255', false],
    ['1.0.0.0', true],
    ['10.0.0.1', true],
    ['126.255.255.255', true],
    ['127.0.0.0', false, true],
    ['127.0.0.1', false, true],
    ['127.255.255.255', false, true],
    ['128.0.0.0', true],
    ['169.254.1.1', true],
    ['192.0.2.7', true],
    ['223.255.255.255', true],
    ['224.0.0.1', false],
    ['239.255.255.255', false],
    ['240.0.0.1', false],
    ['255.255.255.255', false],
    ['::', false],
    ['::1', false, true],
    ['::2', false],
    ['::192.0.2.1', false],
    ['0:0:0:0:0:1::', true],
    ['64:ff9b::c000:201', true],
    ['2001:db8::1', true],
    ['fe80::1', true],
    ['fd00::1', true],
    ['fec0::1', true],
    ['feff::1', true],
    ['ff00::', false],
    ['ff02::1', false],
    ['ffff::', false],
  ];
  for (const [text, unicast, loopback = false] of rows) {
    it(`say of ${text}: ${unicast ? '' : 'not '}a unicast source${loopback ? ', loopback' : ''}`, () => {
      assert.equal(isUnicastSource(parsed(text)), unicast);
      assert.equal(isLoopback(parsed(text)), loopback);
    });
  }

  it('refuse an IPv4 address in an IPv6 packet, whatever it maps to', () => {
    for (const text of ['192.0.2.7', '127.0.0.1', '0.0.0.0', '255.255.255.255']) {
      assert.equal(isUnicastSource({ family: 6, words: parsed(text).words }), false);
    }
  });
});

describe('formatPrefix, firstAddress and formatMask', () => {
  const rows: readonly [text: string, shown: string, mask: string][] = [
    ['192.0.2.7', '192.0.2.7', '255.255.255.255'],
    ['192.0.2.7/32', '192.0.2.7', '255.255.255.255'],
    ['192.0.2.7/31', '192.0.2.6/31', '255.255.255.254'],
    ['192.0.2.99/24', '192.0.2.0/24', '255.255.255.0'],
    ['255.255.255.255/9', '255.128.0.0/9', '255.128.0.0'],
    ['200.1.1.1/1', '128.0.0.0/1', '128.0.0.0'],
    ['1.2.3.4/0', '0.0.0.0/0', '0.0.0.0'],
    ['2001:db8::1', '2001:db8::1', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['2001:DB8:0::1/128', '2001:db8::1', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
    ['2001:db8::ff/127', '2001:db8::fe/127', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe'],
    ['2001:db8::1:2:3:4/64', '2001:db8::/64', 'ffff:ffff:ffff:ffff::'],
    ['2001:db8:1:abcd::1/56', '2001:db8:1:ab00::/56', 'ffff:ffff:ffff:ff00::'],
    ['2001:db8:ffff::/33', '2001:db8:8000::/33', 'ffff:ffff:8000::'],
    ['2001:db8:ffff::/32', '2001:db8::/32', 'ffff:ffff::'],
    ['ffff::1/0', '::/0', '::'],
  ];
  for (const [text, shown, mask] of rows) {
    it(`write ${text} as ${shown}, with the mask ${mask}`, () => {
      const prefix = prefixed(text);
      assert.equal(formatPrefix(prefix), shown);
      assert.deepEqual(formatPrefix(prefixed(shown)), shown);
      assert.equal(formatMask({ family: prefix.address.family, length: prefix.length }), mask);
      assert.equal(isWholeAddress(prefix), !shown.includes('/'));
    });
  }

  it('find the lowest address that node:net takes for one of the prefix', () => {
    for (const [texts, longest, family] of [
      [v4Text, 32, 'ipv4'],
      [v6Text.map(({ text }) => text), 128, 'ipv6'],
    ] as const) {
      fc.assert(
        fc.property(texts, fc.integer({ min: 1, max: longest }), (text, length) => {
          const prefix = prefixed(`${text}/${length}`);
          const first = firstAddress(prefix);
          const list = new BlockList();
          list.addSubnet(text, length, family);
          assert.ok(list.check(formatAddress(first), family));
          const below = before(first);
          if (below !== null) assert.ok(!list.check(below, family), `${below} in ${text}/${length}`);
        }),
      );
    }
  });

  function prefixed(text: string) {
    const prefix = parsePrefix(text);
    assert.ok(prefix !== null, text);
    return prefix;
  }

  /** The address one lower, by arithmetic on one big number; null when there is none that has a text. */
  function before({ family, words }: Address): string | null {
    const value = words.reduce((sum, word) => (sum << 32n) | BigInt(word >>> 0), 0n) - 1n;
    if (value < 0n || (family === 4 && value >> 32n !== 0xffffn)) return null;
    const word = (i: number): number => Number((value >> BigInt(96 - 32 * i)) & 0xffffffffn) | 0;
    const text = formatAddress({ family, words: [word(0), word(1), word(2), word(3)] });
    return parseAddress(text) === null ? null : text;
  }
});

describe('parsePrefix and prefixContains', () => {
  const rows: readonly [prefix: string, inside: readonly string[], outside: readonly string[]][] = [
    ['192.0.2.7', ['192.0.2.7'], ['192.0.2.6', '192.0.2.8', '::c000:207']],
    ['192.0.2.7/32', ['192.0.2.7'], ['192.0.2.6']],
    ['192.0.2.0/24', ['192.0.2.0', '192.0.2.255'], ['192.0.1.255', '192.0.3.0']],
    ['192.0.2.99/24', ['192.0.2.0', '192.0.2.255'], ['192.0.3.0']],
    ['128.0.0.0/1', ['128.0.0.0', '255.255.255.255'], ['127.255.255.255', '8000::']],
    ['10.0.0.0/31', ['10.0.0.0', '10.0.0.1'], ['10.0.0.2']],
    ['0.0.0.0/0', ['0.0.0.0', '255.255.255.255'], ['::', '::1']],
    ['::/0', ['::', 'ffff::'], ['0.0.0.0', '1.2.3.4']],
    [
      '2001:db8::/32',
      ['2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff'],
      ['2001:db7:ffff::', '2001:db9::'],
    ],
    ['2001:db8::/33', ['2001:db8:7fff::'], ['2001:db8:8000::']],
    ['2001:db8:0:aa00::/56', ['2001:db8:0:aaff::1'], ['2001:db8:0:ab00::', '2001:db8:0:a9ff::']],
    ['2001:db8::/64', ['2001:db8::ffff:ffff:ffff:ffff'], ['2001:db8:0:1::']],
    ['2001:db8::/96', ['2001:db8::ffff:ffff'], ['2001:db8::1:0:0']],
    ['2001:db8::1/127', ['2001:db8::', '2001:db8::1'], ['2001:db8::2']],
    ['2001:db8::1/128', ['2001:db8::1'], ['2001:db8::2', '2001:db8::']],
  ];
  for (const [text, inside, outside] of rows) {
    it(`know what lies in ${text}`, () => {
      const prefix = parsePrefix(text);
      assert.ok(prefix !== null);
      for (const one of inside) assert.equal(prefixContains(prefix, parsed(one)), true, one);
      for (const one of outside) assert.equal(prefixContains(prefix, parsed(one)), false, one);
    });
  }

  it('agree with node:net for any prefix and address', () => {
    const families = [
      [v4Text, 32, 'ipv4'],
      [v6Text.map(({ text }) => text), 128, 'ipv6'],
    ] as const;
    for (const [texts, longest, family] of families) {
      const near = fc.tuple(texts, texts, fc.integer({ min: 0, max: longest }), fc.boolean());
      fc.assert(
        fc.property(near, ([network, other, length, same]) => {
          const list = new BlockList();
          list.addSubnet(network, length, family);
          const address = same ? flipped(parsed(network), length) : parsed(other);
          const prefix = parsePrefix(`${network}/${length}`);
          assert.ok(prefix !== null);
          assert.equal(prefixContains(prefix, address), list.check(formatAddress(address), family));
        }),
      );
    }
  });

  it('take nothing but a prefix', () => {
    const refused = [
      ...['', '/', '/8', '1.2.3.4/', '1.2.3.4/33', '1.2.3.4/-1', '1.2.3.4/+8', '1.2.3.4/8.0', '1.2.3.4/ 8'],
      ...[
        '1.2.3.4/1e1',
        '1.2.3.4/0x8',
        '1.2.3.4/8/8',
        '1.2.3/8',
        '::/129',
        '::/',
        '::ffff:1.2.3.4/128',
        'x/8',
      ],
    ];
    for (const text of refused) assert.equal(parsePrefix(text), null, text);
  });

  /** The address with the bit after `length` turned over: still inside, unless the prefix is the whole address. */
  function flipped({ family, words }: Address, length: number): Address {
    const at = length + (family === 4 ? 96 : 0);
    const turned = words.map((word, i) => (i === at >> 5 ? word ^ (1 << (31 - (at & 31))) : word));
    const address: Address = { family, words: turned as [number, number, number, number] };
    return family === 6 && parseAddress(formatAddress(address)) === null ? { family, words } : address;
  }
});
