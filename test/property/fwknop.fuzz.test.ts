// Random and mutated packets through the fwknop scheme, on each of its layers: nothing throws, nothing is taken for a
// knock that is not one. And what is sealed is opened again, field by field.
// A failure prints the seed: PORTKNOCK_FUZZ_SEED=... runs it again.

import assert from 'node:assert/strict';
import { formatBareBase64 } from '../../lib/base64.ts';
import { HASH_NAMES, hashOf, hmacOf } from '../../lib/crypto/hashes.ts';
import { ENCRYPTION_MODES, wrap } from '../../lib/scheme/fwknop-cipher.ts';
import { decodeFields, encodeFields, hasNat, hasTimeout } from '../../lib/scheme/fwknop-format.ts';
import { sealFields } from '../../lib/scheme/fwknop-seal.ts';
import type { Fields, MessageType } from '../../lib/scheme/fwknop-format.ts';
import {
  arrive,
  CIPHER,
  fieldsOf,
  gatewayOf,
  HMAC_KEY,
  KEY,
  PHONE,
  said,
  SOURCE,
} from '../support/fwknop-knocks.ts';
import { random, type Random } from '../support/random.ts';

const PACKETS = process.env['PORTKNOCK_SLOW'] === '1' ? 1_000_000 : 5_000;
const SEED = Number(process.env['PORTKNOCK_FUZZ_SEED'] ?? Date.now() % 2 ** 31);
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

const gateway = gatewayOf({
  clients: { phone: { ...PHONE, nat: true }, bare: { key: 'bare', hmacKey: null } },
});

function text(rng: Random, alphabet: string, length: number): string {
  return Array.from({ length }, () => alphabet.charAt(rng(alphabet.length))).join('');
}

function signed(plain: Buffer, rng: Random): string {
  const salt = Buffer.from(Array.from({ length: 8 }, () => rng(256)));
  const full = wrap(plain, { mode: 'cbc', key: Buffer.from(KEY), salt });
  return full.slice(10) + formatBareBase64(hmacOf('sha256', Buffer.from(HMAC_KEY), Buffer.from(full)));
}

/** A packet of real fields, some characters of which are others. */
function changed(plain: string, rng: Random): string {
  const chars = Array.from(plain);
  for (let i = rng(4); i > 0; i -= 1) chars[rng(chars.length)] = String.fromCharCode(rng(128));
  return chars.join('');
}

const LAYERS: readonly [what: string, make: (rng: Random) => string | Buffer][] = [
  ['bytes', (rng) => Buffer.from(Array.from({ length: rng(1600) }, () => rng(256)))],
  ['text', (rng) => Buffer.from(Array.from({ length: rng(500) }, () => 32 + rng(96)))],
  ['base64', (rng) => `${text(rng, '89+/', 1)}${text(rng, LETTERS, 139 + rng(260))}`],
  ['a right HMAC', (rng) => signed(Buffer.from(Array.from({ length: 60 + rng(100) }, () => rng(256))), rng)],
  [
    'a right start',
    (rng) => signed(Buffer.from(`0123456789012345:${text(rng, `${LETTERS}::::0123`, 60 + rng(100))}`), rng),
  ],
  [
    'a right digest',
    (rng) => {
      const good = encodeFields(
        fieldsOf({
          ...{ type: rng(7) as MessageType, nat: 'h,1', timeoutSeconds: 1 },
          // Some of long ago: a change alone makes hardly any so.
          ...(rng(8) === 0 ? { timeSeconds: 1_000_000_000 } : {}),
        }),
        'sha256',
      );
      const whole = good.toString('latin1');
      const inner = changed(whole.slice(0, whole.lastIndexOf(':')), rng);
      return signed(Buffer.from(`${inner}:${formatBareBase64(hashOf('sha256', Buffer.from(inner)))}`), rng);
    },
  ],
];

/** What each layer must have led to at least once, or it tests nothing. */
const EXPECTED: readonly (readonly string[])[] = [
  ['ignored'],
  ['malformed', 'ignored'],
  ['malformed', 'hmac-mismatch'],
  ['decrypt-failed'],
  ['digest-mismatch'],
  ['malformed', 'stale'],
];

describe(`fwknop() and random packets (seed ${SEED})`, function () {
  this.timeout(PACKETS * 20);
  for (const [index, [what, make]] of LAYERS.entries()) {
    it(`with ${what} throw nothing, and are hardly ever a knock`, () => {
      const rng = random(SEED + index);
      const verdicts = new Map<string, number>();
      for (let i = 0; i < PACKETS; i += 1) {
        const match = arrive(gateway, make(rng));
        const word = said(match).split(' ')[0] ?? '';
        verdicts.set(word, (verdicts.get(word) ?? 0) + 1);
        // Only what has the right digest may be asked for, and only what the client may have.
        if (match?.kind === 'request') {
          assert.equal(what, 'a right digest');
          assert.ok(match.services?.every((name) => name === 'ssh' || name === 'dns' || name === 'nas'));
        }
      }
      assert.deepEqual(
        [...(EXPECTED[index] ?? [])].filter((word) => !verdicts.has(word)),
        [],
      );
    });
  }

  it('are opened again when they were sealed, whatever the fields', () => {
    const rng = random(SEED);
    const name = "abcXYZ019 .-_@!#$%&'()^`{}~";
    for (let i = 0; i < PACKETS / 10; i += 1) {
      const type = rng(7) as MessageType;
      const fields: Fields = {
        rand: text(rng, '0123456789', 16),
        user: text(rng, name, 1 + rng(48)),
        timeSeconds: rng(2 ** 31),
        version: text(rng, '0123456789.', 1 + rng(8)),
        type,
        message: `${SOURCE},tcp/${1 + rng(65_535)}`,
        nat: hasNat(type) ? `10.0.0.${rng(256)},${1 + rng(65_535)}` : null,
        timeoutSeconds: hasTimeout(type) ? rng(65_537) : null,
      };
      const digest = HASH_NAMES[rng(HASH_NAMES.length)] ?? 'md5';
      assert.deepEqual(decodeFields(encodeFields(fields, digest)), fields);
      const mode = ENCRYPTION_MODES[rng(ENCRYPTION_MODES.length)] ?? 'cbc';
      const sealed = sealFields(fields, { ...CIPHER, mode, digest }, Buffer.alloc(8, i));
      assert.match(sealed.toString(), /^[89+/][A-Za-z0-9+/]+$/u);
    }
  });
});
