// What a profile holds for knocking at a real fwknopd: what its access.conf must have as well, and what a packet says.

import { isIPv4 } from 'node:net';
import { HASH_NAMES, type HashName } from '../crypto/hashes.ts';
import { ENCRYPTION_MODES, type EncryptionMode } from '../scheme/fwknop-cipher.ts';
import { isUser } from '../scheme/fwknop-format.ts';
import { base64, refuse, secretOf, whole, type Fields } from './profile-fields.ts';

/** The part of a profile that only fwknop has. */
export interface FwknopFields {
  /** UDP port of the knocks. */
  readonly port: number;
  /** The name that knocks say. */
  readonly user: string;
  /** 1 to 32 bytes. */
  readonly key: Uint8Array;
  readonly encryptionMode: EncryptionMode;
  /** 1 to 128 bytes; `null`: knocks have no HMAC. */
  readonly hmacKey: Uint8Array | null;
  readonly hmacDigest: HashName;
  /** The hash within a knock. */
  readonly digest: HashName;
  /** Whom knocks name: nobody (0.0.0.0, wherever they come from), the client's own address, or this IPv4 address. */
  readonly source: string;
  /** For how long to open, seconds; `null`: as long as the gateway has it. */
  readonly timeoutSeconds: number | null;
}

/** Its keys as JSON. */
export const FWKNOP_KEYS = [
  ...['port', 'user', 'key', 'encryption_mode', 'hmac_key', 'hmac_digest', 'digest'],
  ...['source', 'timeout'],
];

const MOST_KEY_BYTES = 32;
const MOST_HMAC_KEY_BYTES = 128;
const LONGEST_TIMEOUT_SECONDS = 65_536;

/** @throws KnockError `ERR_PROFILE` */
export function fwknopOf(fields: Fields): FwknopFields {
  const { user, hmac_key: hmacKey, source, timeout } = fields;
  if (typeof user !== 'string' || !isUser(user)) {
    refuse('user must be 1 to 48 letters, digits and signs that fwknop allows');
  }
  if (source !== 'observed' && source !== 'exact' && (typeof source !== 'string' || !isIPv4(source))) {
    refuse('source must be observed, exact or an IPv4 address');
  }
  return {
    port: whole('port', fields.port, 1, 65_535),
    user,
    key: secretOf('key', fields.key, [1, MOST_KEY_BYTES]),
    encryptionMode: oneOf('encryption_mode', fields.encryption_mode, ENCRYPTION_MODES),
    hmacKey: hmacKey === null ? null : secretOf('hmac_key', hmacKey, [1, MOST_HMAC_KEY_BYTES]),
    hmacDigest: oneOf('hmac_digest', fields.hmac_digest, HASH_NAMES),
    digest: oneOf('digest', fields.digest, HASH_NAMES),
    source,
    timeoutSeconds: timeout === null ? null : whole('timeout', timeout, 1, LONGEST_TIMEOUT_SECONDS),
  };
}

/** What {@link fwknopOf} reads. */
export function fwknopJson(profile: FwknopFields): Fields {
  const { port, user, key, encryptionMode, hmacKey, hmacDigest, digest, source, timeoutSeconds } = profile;
  return {
    ...{ port, user, key: base64(key), encryption_mode: encryptionMode },
    ...{ hmac_key: hmacKey === null ? null : base64(hmacKey), hmac_digest: hmacDigest },
    ...{ digest, source, timeout: timeoutSeconds },
  };
}

function oneOf<const T extends string>(name: string, value: unknown, words: readonly T[]): T {
  const found = words.find((word) => word === value);
  return found ?? refuse(`${name} must be ${words.slice(0, -1).join(', ')} or ${String(words.at(-1))}`);
}
