// The layout of an SPA datagram (protocols/spa.md): named offsets, and writing and reading side by side. What is read
// here has been authenticated by the gateway tag before; what breaks a rule is a value, never an exception.

import type { Prefix } from '../address.ts';
import { label } from '../crypto/mac.ts';

/** In the datagram. */
export const NONCE = 0;
export const TAG = 16;
export const CONTENT = 32;
export const TAG_BYTES = 16;
export const LEAST_BYTES = 192;

/** In the content. */
const SUITE = 0;
const FLAGS = 1;
const PAD_LENGTH = 2;
export const AUDIENCE = 4;
export const CLIENT_ID = 12;
const COUNTER = 20;
const RESERVED = 28;
export const BODY = 32;
export const PROOF = 96;
export const ID_BYTES = 8;

/** In the body. */
const PREFIX_LENGTH = 0;
const SERVICE_COUNT = 1;
const BODY_RESERVED = 2;
const TTL = 4;
const ADDRESS = 8;
const SERVICES = 24;
export const BODY_BYTES = PROOF - BODY;
export const MOST_SERVICES = 8;

const SUITE_BYTES = { 0x11: 1, 0x12: 2 } as const;
export const PROOF_BYTES = { 1: 32, 2: 64 } as const;
const CLOSE_FLAG = 0x02;
const BIND_SHIFT = 2;
const KNOWN_FLAGS = 0x0e;
const BINDS = ['observed', 'exact', 'prefix'] as const;
/** IPv4 addresses stand as ::ffff:a.b.c.d, so their prefixes are that much longer. */
const V4_OFFSET = 96;
const V4_MARK = 0xffff;
const SIGNATURE_LABEL = label('portknock/1 client sig');

export type Suite = 1 | 2;
export type Bind = (typeof BINDS)[number];

/** The first 32 bytes of the content, without audience and client id. */
export interface Head {
  readonly suite: Suite;
  readonly close: boolean;
  readonly bind: Bind;
  /** u48 Unix milliseconds, then u16. */
  readonly counter: bigint;
}

/** What a knock asks for. */
export interface Body {
  /** For bind exact and prefix. */
  readonly claim: Prefix | null;
  /** 0: the gateway's own. */
  readonly ttlSeconds: number;
  readonly serviceIds: readonly number[];
}

/** The content up to the proof, with the body in the clear. */
export function encodeContent(
  head: Head,
  body: Body,
  { audience, clientId, padLength }: { audience: Uint8Array; clientId: Uint8Array; padLength: number },
): Buffer {
  const content = Buffer.alloc(PROOF);
  content[SUITE] = head.suite === 1 ? 0x11 : 0x12;
  content[FLAGS] = (head.close ? CLOSE_FLAG : 0) | (BINDS.indexOf(head.bind) << BIND_SHIFT);
  content.writeUInt16BE(padLength, PAD_LENGTH);
  content.set(audience, AUDIENCE);
  content.set(clientId, CLIENT_ID);
  content.writeBigUInt64BE(head.counter, COUNTER);
  encodeBody(content.subarray(BODY, PROOF), body);
  return content;
}

/** The head of a whole decrypted content, or null when it breaks a rule. */
export function decodeHead(content: Buffer): Head | null {
  const suite = SUITE_BYTES[content[SUITE] as keyof typeof SUITE_BYTES] as Suite | undefined;
  if (suite === undefined) return null;
  const flags = content[FLAGS] ?? 0;
  const bind = BINDS[(flags & KNOWN_FLAGS) >> BIND_SHIFT];
  if ((flags & ~KNOWN_FLAGS) !== 0 || bind === undefined) return null;
  if (content.readUInt16BE(PAD_LENGTH) !== content.length - PROOF - PROOF_BYTES[suite]) return null;
  if (content.readUInt32BE(RESERVED) !== 0) return null;
  return { suite, close: (flags & CLOSE_FLAG) !== 0, bind, counter: content.readBigUInt64BE(COUNTER) };
}

/** What a suite 2 client signs, as an SSHSIG of namespace portknock. */
export function signedMessage(nonce: Uint8Array, content: Uint8Array): Buffer {
  return Buffer.concat([SIGNATURE_LABEL, nonce, content.subarray(0, PROOF)]);
}

function encodeBody(bytes: Buffer, { claim, ttlSeconds, serviceIds }: Body): void {
  if (claim !== null) {
    bytes[PREFIX_LENGTH] = claim.length + (claim.address.family === 4 ? V4_OFFSET : 0);
    claim.address.words.forEach((word, i) => bytes.writeInt32BE(word, ADDRESS + 4 * i));
  }
  bytes[SERVICE_COUNT] = serviceIds.length;
  bytes.writeUInt32BE(ttlSeconds, TTL);
  serviceIds.forEach((id, i) => bytes.writeUInt32BE(id, SERVICES + 4 * i));
}

/** The body in the clear, or null when it breaks a rule. */
export function decodeBody(bytes: Buffer, bind: Bind): Body | null {
  const count = bytes[SERVICE_COUNT] ?? 0;
  if (count < 1 || count > MOST_SERVICES || bytes.readUInt16BE(BODY_RESERVED) !== 0) return null;
  if (!isZero(bytes, SERVICES + 4 * count, BODY_BYTES)) return null;
  const serviceIds = Array.from({ length: count }, (_, i) => bytes.readUInt32BE(SERVICES + 4 * i));
  const ttlSeconds = bytes.readUInt32BE(TTL);
  if (bind === 'observed') {
    const named = bytes[PREFIX_LENGTH] !== 0 || !isZero(bytes, ADDRESS, SERVICES);
    return named ? null : { claim: null, ttlSeconds, serviceIds };
  }
  const claim = decodeClaim(bytes, bind);
  return claim === null ? null : { claim, ttlSeconds, serviceIds };
}

function decodeClaim(bytes: Buffer, bind: 'exact' | 'prefix'): Prefix | null {
  const [a, b, c, d] = [0, 4, 8, 12].map((offset) => bytes.readInt32BE(ADDRESS + offset));
  const words = [a ?? 0, b ?? 0, c ?? 0, d ?? 0] as const;
  const family = words[0] === 0 && words[1] === 0 && words[2] === V4_MARK ? 4 : 6;
  const longest = family === 4 ? 32 : 128;
  const length = (bytes[PREFIX_LENGTH] ?? 0) - (family === 4 ? V4_OFFSET : 0);
  if (length < 0 || length > longest || (bind === 'exact' && length !== longest)) return null;
  return { address: { family, words }, length };
}

function isZero(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i += 1) if (bytes[i] !== 0) return false;
  return true;
}
