// The fields within a packet of fwknop (protocols/fwknop.md 1.1 and 1.2), written and read: lengths and characters by the
// limits of the real program, base64 in its canonical spelling only. What the message means is in fwknop-message.ts.

import { formatBareBase64, parseBareBase64 } from '../base64.ts';
import { HASH_NAMES, hashBytes, hashOf, type HashName } from '../crypto/hashes.ts';
import { equalBytes } from '../crypto/mac.ts';

/** What a packet asks for, by fwknop's numbers. */
export const COMMAND = 0;
export const ACCESS = 1;
export const NAT = 2;
export const ACCESS_TIMEOUT = 3;
export const NAT_TIMEOUT = 4;
export const LOCAL_NAT = 5;
export const LOCAL_NAT_TIMEOUT = 6;

/** 0 to 6. */
export type MessageType = 0 | 1 | 2 | 3 | 4 | 5 | 6;

/** The fields of a packet, without the digest. */
export interface Fields {
  /** 16 decimal digits. */
  readonly rand: string;
  readonly user: string;
  /** Unix seconds by the client's clock. */
  readonly timeSeconds: number;
  /** Of the client program; means nothing. */
  readonly version: string;
  readonly type: MessageType;
  readonly message: string;
  /** Of NAT messages: the inner target, `HOST,PORT`. */
  readonly nat: string | null;
  /** Of messages with a time-out: for how long to open. */
  readonly timeoutSeconds: number | null;
}

/**
 * Why a text is no packet's content:
 * - `foreign`: it does not even start as one, so the key or the mode was another
 * - `digest`: the digest at its end is that of another text
 * - `malformed`: a field breaks the format
 */
export type FieldsFault = 'foreign' | 'digest' | 'malformed';

const RAND = /^\d{16}:/u;
const PRINTABLE = /^[\x20-\x7e]*$/u;
const USER = /^(?:(?!["/\\[\]:;|=,+*?<>])[\x20-\x7e]){1,48}$/u;
const TIME = /^\d{1,12}$/u;
const VERSION = /^[^:]{1,8}$/u;
const TYPE = /^[0-6]$/u;
const TIMEOUT = /^\d{1,5}$/u;
const LATEST_SECONDS = 2 ** 32 - 1;
const LONGEST_TIMEOUT_SECONDS = 65_536;
const MOST_MESSAGE_BYTES = 192;
const MOST_NAT_BYTES = 76;

/** The fields as text, with their digest behind. */
export function encodeFields(fields: Fields, digest: HashName): Buffer {
  const { rand, user, timeSeconds, version, type, message, nat, timeoutSeconds } = fields;
  const text = [
    ...[rand, bare(user), timeSeconds, version, type, bare(message)],
    ...(nat === null ? [] : [bare(nat)]),
    ...(timeoutSeconds === null ? [] : [timeoutSeconds]),
  ].join(':');
  return Buffer.from(`${text}:${formatBareBase64(hashOf(digest, Buffer.from(text, 'latin1')))}`, 'latin1');
}

/** What {@link encodeFields} wrote, or what is wrong with it. */
export function decodeFields(plain: Buffer): Fields | FieldsFault {
  const whole = plain.toString('latin1');
  if (!RAND.test(whole) || !PRINTABLE.test(whole)) return 'foreign';
  const end = whole.lastIndexOf(':');
  const text = whole.slice(0, end);
  if (!isDigestOf(plain.subarray(0, end), whole.slice(end + 1))) return 'digest';
  const [rand = '', user64 = '', time = '', version = '', type = '', message64 = '', ...rest] =
    text.split(':');
  const user = parseBareBase64(user64)?.toString('latin1') ?? '';
  const message = parseBareBase64(message64)?.toString('latin1') ?? '';
  if (!isUser(user) || !VERSION.test(version)) return 'malformed';
  if (!TIME.test(time) || Number(time) > LATEST_SECONDS || !TYPE.test(type)) return 'malformed';
  if (message === '' || message.length > MOST_MESSAGE_BYTES || !PRINTABLE.test(message)) return 'malformed';
  const number = Number(type) as MessageType;
  const extra = decodeExtra(number, rest);
  if (extra === null) return 'malformed';
  return { rand, user, timeSeconds: Number(time), version, type: number, message, ...extra };
}

/** Whether fwknop takes a text for the name of a user. */
export function isUser(text: string): boolean {
  return USER.test(text);
}

/** Whether messages of this type name an inner target. */
export function hasNat(type: MessageType): boolean {
  return type === NAT || type === NAT_TIMEOUT || type === LOCAL_NAT || type === LOCAL_NAT_TIMEOUT;
}

/** Whether messages of this type say for how long to open. */
export function hasTimeout(type: MessageType): boolean {
  return type === ACCESS_TIMEOUT || type === NAT_TIMEOUT || type === LOCAL_NAT_TIMEOUT;
}

/** What stands behind the message: inner target, a field of old that is ignored, time-out. */
function decodeExtra(
  type: MessageType,
  parts: readonly string[],
): Pick<Fields, 'nat' | 'timeoutSeconds'> | null {
  const left = [...parts];
  const nat64 = hasNat(type) ? left.shift() : null;
  const timeout = hasTimeout(type) ? left.pop() : null;
  if (nat64 === undefined || timeout === undefined || left.length > 1) return null;
  const nat = nat64 === null ? null : (parseBareBase64(nat64)?.toString('latin1') ?? '');
  if (nat !== null && (nat === '' || nat.length > MOST_NAT_BYTES || !PRINTABLE.test(nat))) return null;
  if (left.some((serverAuth) => serverAuth === '' || parseBareBase64(serverAuth) === null)) return null;
  if (timeout === null) return { nat, timeoutSeconds: null };
  if (!TIMEOUT.test(timeout) || Number(timeout) > LONGEST_TIMEOUT_SECONDS) return null;
  return { nat, timeoutSeconds: Number(timeout) };
}

/** Its length tells the hash, or two of which it may be. */
function isDigestOf(text: Buffer, digest64: string): boolean {
  const digest = parseBareBase64(digest64);
  if (digest === null) return false;
  return HASH_NAMES.some(
    (name) => hashBytes(name) === digest.length && equalBytes(hashOf(name, text), digest),
  );
}

function bare(text: string): string {
  return formatBareBase64(Buffer.from(text, 'latin1'));
}
