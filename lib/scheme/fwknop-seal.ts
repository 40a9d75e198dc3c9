// The client's half of fwknop (protocols/fwknop.md 1.1): one packet that a real fwknopd, or our gateway, takes for one of
// the real client. What fwknopd would drop for its length is refused here.

import { randomBytes, randomInt } from 'node:crypto';
import type { Address } from '../address.ts';
import { formatBareBase64 } from '../base64.ts';
import { hmacOf, type HashName } from '../crypto/hashes.ts';
import { SALT_BYTES } from '../crypto/salted.ts';
import { LEAST_CHARACTERS, MOST_CHARACTERS, PREFIX, wrap, type EncryptionMode } from './fwknop-cipher.ts';
import { ACCESS, ACCESS_TIMEOUT, encodeFields, type Fields } from './fwknop-format.ts';
import { encodeAccess, type AccessPort } from './fwknop-message.ts';

/** How packets are encrypted and signed. */
export interface FwknopCipher {
  readonly key: Uint8Array;
  readonly mode: EncryptionMode;
  /** `null`: without. */
  readonly hmac: { readonly key: Uint8Array; readonly digest: HashName } | null;
  /** The hash within. */
  readonly digest: HashName;
}

/** What a knock says. */
export interface FwknopKnock {
  readonly user: string;
  readonly timeMs: number;
  /** Whom to open for; `null`: wherever it comes from. */
  readonly address: Address | null;
  readonly ports: readonly AccessPort[];
  /** `null`: as long as the gateway has it. */
  readonly timeoutSeconds: number | null;
}

/** What is drawn by lot; given only by tests. */
export interface FwknopLots {
  /** 16 decimal digits. */
  readonly rand: string;
  /** 8 bytes. */
  readonly salt: Uint8Array;
}

/** What our packets say is the version of the client program: the one whose format this is. */
const VERSION = '3.0.0';

/** An access knock as one packet. @throws RangeError when it is too long for fwknopd, or too short */
export function sealFwknop(knock: FwknopKnock, cipher: FwknopCipher, lots: FwknopLots = drawLots()): Buffer {
  const { user, timeMs, timeoutSeconds } = knock;
  const fields: Fields = {
    ...{ rand: lots.rand, user, version: VERSION, nat: null, timeoutSeconds },
    timeSeconds: Math.floor(timeMs / 1000),
    type: timeoutSeconds === null ? ACCESS : ACCESS_TIMEOUT,
    message: encodeAccess(knock),
  };
  const packet = sealFields(fields, cipher, lots.salt);
  if (packet.length >= LEAST_CHARACTERS && packet.length <= MOST_CHARACTERS) return packet;
  throw new RangeError(
    `knock must have ${LEAST_CHARACTERS} to ${MOST_CHARACTERS} characters, got ${packet.length}`,
  );
}

/** Any fields as a packet. */
export function sealFields(fields: Fields, cipher: FwknopCipher, salt: Uint8Array): Buffer {
  const { key, mode, hmac, digest } = cipher;
  const text = Buffer.from(wrap(encodeFields(fields, digest), { mode, key, salt }), 'latin1');
  const mac = hmac === null ? '' : formatBareBase64(hmacOf(hmac.digest, hmac.key, text));
  return Buffer.concat([text.subarray(PREFIX.length), Buffer.from(mac, 'latin1')]);
}

function drawLots(): FwknopLots {
  const rand = Array.from({ length: 16 }, () => randomInt(10)).join('');
  return { rand, salt: randomBytes(SALT_BYTES) };
}
