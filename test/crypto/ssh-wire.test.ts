// SSH's encoding of values (RFC 4251 section 5) and the armour around them.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  hasSshArmor,
  parseSshArmor,
  SshReader,
  sshArmor,
  sshString,
  sshUint32,
} from '../../lib/crypto/ssh-wire.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('values on the SSH wire', () => {
  it('are the examples of RFC 4251', () => {
    assert.deepEqual(sshUint32(699921578), hex('29 b7 f4 aa'));
    assert.deepEqual(sshString('testing'), hex('00 00 00 07 74 65 73 74 69 6e 67'));
    assert.deepEqual(sshString(''), hex('00 00 00 00'));
    assert.deepEqual(sshString('é'), hex('00 00 00 02 c3 a9'));
  });

  it('are read as they were written, in order, to the end', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 20 })), fc.nat(), (strings, number) => {
        const reader = new SshReader(
          Buffer.concat([sshUint32(number), ...strings.map((each) => sshString(each))]),
        );
        assert.equal(reader.uint32(), number);
        for (const each of strings) {
          assert.equal(reader.ended, false);
          assert.deepEqual(reader.string(), Buffer.from(each));
        }
        assert.deepEqual([reader.sound, reader.ended], [true, true]);
      }),
    );
  });

  it('may begin inside of a larger buffer', () => {
    const reader = new SshReader(hex('ff ff 00 00 00 01 61 07 62 ff').subarray(2, 9));
    assert.deepEqual([reader.text(), reader.byte(), reader.rest().toString()], ['a', 7, 'b']);
    assert.equal(reader.ended, true);
  });

  const short: readonly [
    what: string,
    bytes: string,
    read: (reader: SshReader) => unknown,
    gives: unknown,
  ][] = [
    ['a byte that is not there', '', (reader) => reader.byte(), 0],
    ['a number of three bytes', '00 00 01', (reader) => reader.uint32(), 0],
    ['a string without its length', '00 00', (reader) => reader.string().length, 0],
    ['a string that lacks a byte', '00 00 00 03 61 62', (reader) => reader.text(), ''],
    ['a string of 4 GiB', 'ff ff ff ff 61 62', (reader) => reader.text(), ''],
    ['more bytes than there are', '61 62', (reader) => reader.bytes(3).length, 0],
  ];
  for (const [what, bytes, read, gives] of short) {
    it(`are empty from then on after ${what}`, () => {
      const reader = new SshReader(hex(bytes));
      assert.equal(read(reader), gives);
      assert.equal(reader.sound, false);
      const later = [reader.uint32(), reader.byte(), reader.string().length, reader.rest().length];
      assert.deepEqual([...later, reader.sound, reader.ended], [0, 0, 0, 0, false, false]);
    });
  }

  it('leave no byte unnoticed behind them', () => {
    const reader = new SshReader(hex('00 00 00 01 61 00'));
    reader.string();
    assert.deepEqual([reader.sound, reader.ended], [true, false]);
  });
});

describe('armour', () => {
  const LABEL = 'TEST BYTES';
  const bytes = Buffer.from(Array.from({ length: 100 }, (_, i) => i));
  const text = sshArmor(LABEL, bytes);

  it('has lines of 70 characters between its borders', () => {
    const lines = text.split('\n');
    assert.deepEqual(
      lines.map(({ length }) => length),
      [26, 70, 66, 24, 0],
    );
    assert.deepEqual([lines[0], lines[3]], ['-----BEGIN TEST BYTES-----', '-----END TEST BYTES-----']);
  });

  it('gives back the bytes, with line ends of any system and space around it', () => {
    for (const each of [text, text.trim(), text.replaceAll('\n', '\r\n'), `\ufeff\n ${text}\n\n`]) {
      assert.deepEqual(parseSshArmor(LABEL, each), bytes);
      assert.equal(hasSshArmor(LABEL, each), true);
    }
  });

  const bad: readonly [what: string, text: string][] = [
    ['of another label', text.replaceAll('TEST', 'BEST')],
    ['without its end', text.slice(0, -10)],
    ['without its beginning', text.slice(1)],
    ['with text in front', `x${text}`],
    ['with text behind', `${text}x`],
    ['with a foreign character', text.replace('AAEC', 'AA*C')],
    ['with a character too few', text.replace('AAEC', 'AAE')],
    ['with a spelling of the same bytes that is not canonical', text.replace('Yw==', 'Yx==')],
    ['around nothing', sshArmor(LABEL, Buffer.alloc(0))],
    ['that is one border', '-----BEGIN TEST BYTES-----'],
    ['that is empty', ''],
  ];
  for (const [what, damaged] of bad) {
    it(`is refused ${what}`, () => assert.equal(parseSshArmor(LABEL, damaged), null));
  }
});
