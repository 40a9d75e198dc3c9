// The bytes of a replay file, by hand: where everything stands, and what is made of bytes that are wrong.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import * as log from '../../lib/replay/log.ts';

const ALICE = log.clientKey('alice');
const BOB = log.clientKey('bob');
const HEAD: log.LogHead = { origin: 'store', refuseUntil: 1_700_000_020_000 };

function decode(bytes: Buffer): log.DecodedLog {
  const decoded = log.decodeLog(bytes);
  assert.ok(typeof decoded === 'object');
  return decoded;
}

/** A file with six records of two clients, as appending them one by one leaves it. */
function sixRecords(): Buffer {
  const bytes = log.encodeLog(new Map(), HEAD);
  for (let slot = 0; slot < 6; slot += 1) {
    const record = { key: slot % 2 === 0 ? ALICE : BOB, counter: BigInt(100 + slot), slot };
    log.encodeRecord(bytes, log.offsetOf(slot), record);
  }
  return bytes;
}

describe('the replay log', () => {
  it('has a header of named fields', () => {
    const bytes = log.encodeLog(new Map(), HEAD);
    const fields = Buffer.concat([
      Buffer.from('pkreplay'),
      Buffer.from('00000001', 'hex'),
      Buffer.from('00000665', 'hex'),
      Buffer.from('0000018bcfe5b620', 'hex'),
      Buffer.from('0000000000000000', 'hex'),
    ]);
    assert.equal(HEAD.refuseUntil, 0x18bcfe5b620);
    assert.equal(bytes.toString('hex', 0, 32), fields.toString('hex'));
    assert.equal(
      bytes.toString('hex', 32, 40),
      createHash('sha256').update(fields).digest('hex').slice(0, 16),
    );
    assert.equal(bytes.length, 40 + 1637 * 40);
    assert.ok(bytes.subarray(40).every((byte) => byte === 0));
  });

  it('has records of named fields', () => {
    const bytes = log.encodeLog(new Map([[ALICE, 0x0102030405060708n]]), HEAD);
    const fields = Buffer.concat([
      createHash('sha256').update('alice').digest().subarray(0, 16),
      Buffer.from('0102030405060708', 'hex'),
      Buffer.alloc(8),
    ]);
    assert.equal(bytes.toString('hex', 40, 72), fields.toString('hex'));
    assert.equal(
      bytes.toString('hex', 72, 80),
      createHash('sha256').update(fields).digest('hex').slice(0, 16),
    );
  });

  it('reads back what it wrote', () => {
    const floors = new Map([
      [ALICE, 0n],
      [BOB, 2n ** 64n - 1n],
    ]);
    for (const origin of ['store', 'deliberate'] as const) {
      const decoded = decode(log.encodeLog(floors, { origin, refuseUntil: 0 }));
      const { slots, usedSlots } = { slots: 1637, usedSlots: 2 };
      assert.deepEqual(decoded, {
        origin,
        refuseUntil: 0,
        floors,
        once: new Map(),
        slots,
        usedSlots,
        state: 'sound',
        problem: '',
      });
    }
  });

  it('keeps the highest counter of a client, wherever it stands', () => {
    const bytes = log.encodeLog(new Map(), HEAD);
    for (const [slot, counter] of [7n, 9n, 8n].entries()) {
      log.encodeRecord(bytes, log.offsetOf(slot), { key: ALICE, counter, slot });
    }
    assert.deepEqual(decode(bytes).floors, new Map([[ALICE, 9n]]));
  });

  it('has room for four records per client', () => {
    assert.equal(log.slotsFor(0), 1637);
    assert.equal(log.slotsFor(409), 1637);
    assert.equal(log.slotsFor(410), 1640);
    const floors = new Map(Array.from({ length: 1000 }, (_, i) => [log.clientKey(String(i)), 1n]));
    const decoded = decode(log.encodeLog(floors, HEAD));
    assert.equal(decoded.slots, 4000);
    assert.deepEqual(decoded.floors, floors);
  });

  it('tells other files and later versions apart from damage', () => {
    assert.equal(log.decodeLog(Buffer.from('#!/bin/sh\n')), 'foreign');
    assert.equal(log.decodeLog(Buffer.alloc(65_520)), 'foreign');
    const newer = log.encodeLog(new Map(), HEAD);
    newer.writeUInt32BE(2, 8);
    createHash('sha256').update(newer.subarray(0, 32)).digest().copy(newer, 32, 0, 8);
    assert.equal(log.decodeLog(newer), 'newer');
    assert.equal(decode(Buffer.alloc(0)).state, 'damaged');
    assert.equal(decode(Buffer.from('pkrep')).state, 'damaged');
  });

  it('knows a file that was cut at any length, and one that has grown', () => {
    const whole = sixRecords();
    const records = log.offsetOf(6);
    for (let length = 0; length < whole.length; length += length < records + 80 ? 1 : 37) {
      assert.equal(decode(whole.subarray(0, length)).state, 'damaged', `cut at ${String(length)}`);
    }
    assert.equal(decode(Buffer.concat([whole, Buffer.alloc(40)])).state, 'damaged');
    assert.equal(decode(Buffer.concat([whole, Buffer.alloc(1)])).state, 'damaged');
  });

  it('knows a changed byte wherever it is, and keeps what the other records say', () => {
    const whole = sixRecords();
    for (let at = 0; at < log.offsetOf(6); at += 1) {
      for (const mask of [0x01, 0x80, 0xff, whole[at] ?? 0]) {
        if (mask === 0) continue;
        const bytes = Buffer.from(whole);
        bytes.writeUInt8((whole[at] ?? 0) ^ mask, at);
        const decoded = log.decodeLog(bytes);
        if (at < 8) assert.equal(decoded, 'foreign');
        else {
          assert.ok(typeof decoded === 'object');
          assert.equal(decoded.state, 'damaged', `byte ${String(at)} ^ ${String(mask)}`);
          const hit = Math.floor(at / 40) - 1;
          assert.equal(decoded.floors.get(ALICE), hit === 4 ? 102n : 104n);
          assert.equal(decoded.floors.get(BOB), hit === 5 ? 103n : 105n);
        }
      }
    }
  });

  it('takes a last record that was not written to its end for torn, and only that', () => {
    const whole = sixRecords();
    const start = log.offsetOf(5);
    for (let cut = 1; cut < 40; cut += 1) {
      const bytes = Buffer.from(whole).fill(0, start + cut, start + 40);
      const { state, floors } = decode(bytes);
      assert.equal(state, cut <= 32 ? 'torn' : 'damaged', `cut at ${String(cut)}`);
      assert.deepEqual([floors.get(ALICE), floors.get(BOB)], [104n, 103n]);
    }
    const inTheMiddle = Buffer.from(whole).fill(0, log.offsetOf(2) + 20, log.offsetOf(3));
    assert.equal(decode(inTheMiddle).state, 'damaged');
    const hole = Buffer.from(whole).fill(0, log.offsetOf(2), log.offsetOf(3));
    assert.equal(decode(hole).state, 'damaged');
  });

  it('does not take a good record in the wrong place for sound', () => {
    const bytes = sixRecords();
    bytes.copy(bytes, log.offsetOf(6), log.offsetOf(0), log.offsetOf(1));
    assert.equal(decode(bytes).state, 'damaged');
  });
});
