// The key schedule of the hashed one-time sequence (protocols/one-time.md): which ports and which tags belong
// to a step. Both sides use it: the gateway to know what to expect, the client to know what to send.

import { hmac, label, type Digest } from '../crypto/mac.ts';

/** What client and gateway share. */
export interface OneTimeKey {
  /** 16 to 64 bytes; 32 recommended. */
  readonly secret: Uint8Array;
  /** `sha256` unless said; `md5` (HMAC-MD5) only for devices that have nothing else. */
  readonly digest?: Digest;
  /** Knocks in the sequence, 2 to 16; 5 unless said. */
  readonly knocks?: number;
  /** Inclusive port range; 20000 to 52767 unless said. */
  readonly ports?: readonly [low: number, high: number];
  /** Seconds per step; 10 unless said. */
  readonly stepSeconds?: number;
  /** `udp` unless said. `tcp` carries no tags: its strength is the ports alone, 75 bits with the defaults. */
  readonly carrier?: 'udp' | 'tcp';
}

/** One knock: where to, and for the udp carrier with which 16-byte payload. */
export interface OneTimeKnock {
  readonly port: number;
  readonly tag: Buffer;
}

export const TAG_LENGTH = 16;
/** Steps before and after the present one whose knocks are accepted. */
export const STEPS_AROUND = 3;

const PORT_LABEL = label('portknock/1 one-time port');
const TAG_LABEL = label('portknock/1 one-time tag');

/** The key with every default filled in. @throws TypeError, RangeError for a value outside its bounds */
export function completeKey(key: OneTimeKey): Required<OneTimeKey> {
  const {
    secret,
    digest = 'sha256',
    knocks = 5,
    ports = [20000, 52767],
    stepSeconds = 10,
    carrier = 'udp',
  } = key;
  if (!(secret instanceof Uint8Array)) throw new TypeError('secret must be a Uint8Array');
  requireRange('secret length', secret.length, 16, 64);
  requireRange('knocks', knocks, 2, 16);
  requireRange('ports[0]', ports[0], 1, 65535);
  requireRange('ports[1]', ports[1], ports[0], 65535);
  requireRange('stepSeconds', stepSeconds, 1, 3600);
  if (!['sha256', 'md5'].includes(digest)) throw new TypeError('digest must be sha256 or md5');
  if (!['udp', 'tcp'].includes(carrier)) throw new TypeError('carrier must be udp or tcp');
  return { secret, digest, knocks, ports, stepSeconds, carrier };
}

/** The step that `timeMs` (Unix milliseconds) falls in. */
export function stepAt(timeMs: number, stepSeconds: number): number {
  return Math.floor(timeMs / (stepSeconds * 1000));
}

/**
 * The knocks of one step, in order (protocols/one-time.md).
 *
 * @example
 * ```ts
 * const [first] = oneTimeKnocks({ secret: randomBytes(32) }, Math.floor(Date.now() / 10_000));
 * ```
 */
export function oneTimeKnocks(key: OneTimeKey, step: number): readonly OneTimeKnock[] {
  const { secret, digest, knocks, ports } = completeKey(key);
  const [low, high] = ports;
  return Array.from({ length: knocks }, (_, index) => {
    const place = Buffer.alloc(11);
    place.writeBigUInt64BE(BigInt(step), 0);
    place.writeUInt8(index, 8);
    const draw = hmac(digest, secret, Buffer.concat([PORT_LABEL, place.subarray(0, 9)])).readUInt32BE(0);
    const port = low + (draw % (high - low + 1));
    place.writeUInt16BE(port, 9);
    return { port, tag: hmac(digest, secret, Buffer.concat([TAG_LABEL, place])).subarray(0, TAG_LENGTH) };
  });
}

/**
 * How many bits an outsider has to guess: each tag has 128 (udp carrier), but never more than the secret;
 * without tags (tcp carrier) it is the ports alone.
 */
export function oneTimeBits(key: OneTimeKey): number {
  const { secret, knocks, ports, carrier } = completeKey(key);
  const perKnock = carrier === 'udp' ? TAG_LENGTH * 8 : Math.log2(ports[1] - ports[0] + 1);
  return Math.floor(Math.min(secret.length * 8, knocks * perKnock));
}

function requireRange(name: string, value: number, low: number, high: number): void {
  if (!Number.isInteger(value) || value < low || value > high) {
    throw new RangeError(`${name} must be a whole number from ${low} to ${high}, got ${value}`);
  }
}
