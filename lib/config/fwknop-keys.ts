// The keys of a stanza of access.conf, as the keys of a client of ours: what can be no client is refused without ever being
// shown.

import { createHash } from 'node:crypto';
import { parseBase64 } from '../base64.ts';
import { HASH_NAMES } from '../crypto/hashes.ts';
import { printable } from '../errors.ts';
import { ENCRYPTION_MODES } from '../scheme/fwknop-cipher.ts';
import { MOST_HMAC_KEY_BYTES, MOST_KEY_BYTES } from '../scheme/fwknop-clients.ts';
import type { FwknopStanza } from './fwknop-file.ts';

/** Why a stanza can be no client; `line` where it is not the stanza's own. */
export class Refusal extends Error {
  readonly line: number | undefined;

  constructor(message: string, line?: number) {
    super(message);
    this.line = line;
  }
}

/** What a fresh access.conf has in place of keys. */
const UNCHANGED = '__CHANGEME__';

interface Key {
  /** As the configuration has it. */
  readonly values: Readonly<Record<string, string>>;
  readonly hash: string;
}

/** The keys in our words, and their hashes; `owners` has the stanzas of earlier ones, which no other may have. */
export function keysOf(
  stanza: FwknopStanza,
  owners: ReadonlyMap<string, number>,
): { readonly hashes: readonly string[] } & Readonly<Record<string, unknown>> {
  const key = keyOf(stanza, 'KEY', MOST_KEY_BYTES);
  if (key === null) throw new Refusal('it has no KEY, and GPG packets are not supported');
  const hmac = keyOf(stanza, 'HMAC_KEY', MOST_HMAC_KEY_BYTES);
  if (hmac?.hash === key.hash) throw new Refusal('KEY and HMAC_KEY are the same');
  const digest = wordOf(stanza, 'HMAC_DIGEST_TYPE', HASH_NAMES);
  const mode = wordOf(stanza, 'ENCRYPTION_MODE', ENCRYPTION_MODES);
  const hashes = hmac === null ? [key.hash] : [key.hash, hmac.hash];
  const earlier = hashes.map((hash) => owners.get(hash)).find((line) => line !== undefined);
  if (earlier !== undefined)
    throw new Refusal(`it has a key of the stanza of line ${earlier} (give each its own)`);
  return {
    hashes,
    ...key.values,
    ...(hmac === null ? { hmac: 'none' } : hmac.values),
    ...(digest === null || hmac === null ? {} : { hmac_digest: digest }),
    ...(mode === null ? {} : { encryption_mode: mode }),
  };
}

function keyOf({ values }: FwknopStanza, name: 'KEY' | 'HMAC_KEY', most: number): Key | null {
  const base64 = values.get(`${name}_BASE64`);
  const given = base64 ?? values.get(name);
  if (given === undefined) return null;
  const { line, value } = given;
  const shown = base64 === undefined ? name : `${name}_BASE64`;
  if (value === UNCHANGED) throw new Refusal(`${shown} was never set`, line);
  const bytes = base64 === undefined ? Buffer.from(value, 'utf8') : parseBase64(value);
  if (bytes === null) throw new Refusal(`${shown} is not base64`, line);
  if (bytes.length < 1 || bytes.length > most)
    throw new Refusal(`${shown} must be 1 to ${most} bytes, not ${bytes.length}`, line);
  return {
    values: { [shown.toLowerCase()]: value },
    hash: createHash('sha256').update(bytes).digest('base64'),
  };
}

function wordOf<const T extends string>(
  { values }: FwknopStanza,
  name: string,
  words: readonly T[],
): T | null {
  const given = values.get(name);
  if (given === undefined) return null;
  const found = words.find((word) => word === given.value.toLowerCase());
  if (found !== undefined) return found;
  throw new Refusal(`${name} must be ${words.join(', ')}, not ${printable(given.value, 60)}`, given.line);
}
