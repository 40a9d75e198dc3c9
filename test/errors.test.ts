// What is thrown can be told apart, and what is printed cannot do anything to a terminal or a log.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { isKnockError, KnockError, messageOf, printable, systemCode } from '../lib/errors.ts';

describe('printable', () => {
  const rows: readonly [what: string, text: string, shown: string][] = [
    ['plain text', 'alice at [2001:db8::1]', 'alice at [2001:db8::1]'],
    ['nothing', '', ''],
    ['a line feed', 'a\nb', 'a\\u{a}b'],
    ['a carriage return', 'a\rb', 'a\\u{d}b'],
    ['a zero byte', '\0', '\\u{0}'],
    ['a tab', '\t', '\\u{9}'],
    ['an ANSI colour', '\x1b[31mred', '\\u{1b}[31mred'],
    ['an eight-bit control sequence', '\x9b2J', '\\u{9b}2J'],
    ['delete', '\x7f', '\\u{7f}'],
    ['a letter of another alphabet', 'é', '\\u{e9}'],
    ['a character of two UTF-16 units', '\u{1f600}', '\\u{1f600}'],
    ['half of such a character', '\ud83d', '\\u{d83d}'],
    ['a line separator', '\u2028', '\\u{2028}'],
    ['a reversal of the writing direction', '\u202egnp', '\\u{202e}gnp'],
    ['a backslash, so that an escape cannot be forged', '\\u{a}', '\\\\u{a}'],
  ];
  for (const [what, text, shown] of rows) {
    it(`shows ${what} on one line`, () => assert.equal(printable(text), shown));
  }

  it('cuts what is too long, and says so', () => {
    assert.equal(printable('x'.repeat(200)), 'x'.repeat(200));
    assert.equal(printable('x'.repeat(201)), `${'x'.repeat(200)}...`);
    assert.equal(printable('abcdef', 3), 'abc...');
  });

  it('gives printable ASCII of bounded length for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        assert.match(printable(text, 100), /^[\x20-\x7e]{0,1000}$/u);
      }),
    );
  });

  it('never shows two texts the same way', () => {
    const unit = fc.constantFrom('\\', 'u', '{', '}', 'a', '\n', '0', 'é');
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 8 }), fc.string({ unit, maxLength: 8 }), (one, other) => {
        assert.equal(printable(one) === printable(other), one === other);
      }),
    );
  });
});

describe('KnockError', () => {
  it('carries its code and its cause', () => {
    const cause = new Error('deep');
    const error = new KnockError('ERR_CAPTURE', 'capture failed', { cause });
    assert.ok(error instanceof Error);
    assert.deepEqual(
      [error.name, error.code, error.message],
      ['KnockError', 'ERR_CAPTURE', 'capture failed'],
    );
    assert.equal(error.cause, cause);
    assert.equal('cause' in new KnockError('ERR_CAPTURE', 'x'), false);
  });

  it('is known across copies of the package by its brand, and by nothing else', () => {
    const foreign = Object.assign(new Error('x'), { [Symbol.for('portknock.KnockError')]: true });
    assert.equal(isKnockError(new KnockError('ERR_SEND', 'x')), true);
    assert.equal(isKnockError(foreign), true);
    const strangers = [null, undefined, 7, 'ERR_SEND', {}, new Error('x'), { code: 'ERR_SEND' }];
    const unmarked = { [Symbol.for('portknock.KnockError')]: 'yes' };
    for (const value of [...strangers, unmarked]) assert.equal(isKnockError(value), false);
  });
});

describe('systemCode and messageOf', () => {
  it('read what there is, and take anything', () => {
    assert.equal(systemCode(Object.assign(new Error('x'), { code: 'ENOENT' })), 'ENOENT');
    for (const value of [null, undefined, 'x', {}, { code: 2 }]) assert.equal(systemCode(value), '');
    assert.deepEqual([new Error('why'), 'text', null].map(messageOf), ['why', 'text', 'null']);
  });
});
