// The clients that knock with the real fwknop (protocols/fwknop.md): their two keys, each a passphrase, base64 or in a
// file, as in an access.conf of fwknopd.

import { printable } from '../errors.ts';
import { hashBytes } from '../crypto/hashes.ts';
import { MOST_HMAC_KEY_BYTES, MOST_KEY_BYTES } from '../scheme/fwknop-clients.ts';
import { clientSchemas, limitsOf, type FwknopEntry } from './client-schemas.ts';
import type { KeyOwners } from './owners.ts';
import type { FwknopClientConfig } from './schema.ts';
import type { Section } from './section.ts';
import { checkExposed, secretOf, type SecretContext } from './secrets.ts';

interface KeyContext {
  readonly owners: KeyOwners;
  readonly secrets: SecretContext;
}

/** A key, and the three ways to give it. */
interface KeyPlace {
  readonly text: 'key' | 'hmac_key';
  readonly base64: 'key_base64' | 'hmac_key_base64';
  readonly file: 'key_file' | 'hmac_key_file';
  readonly most: number;
}

const KEY: KeyPlace = { text: 'key', base64: 'key_base64', file: 'key_file', most: MOST_KEY_BYTES };
const HMAC_KEY: KeyPlace = {
  ...{ text: 'hmac_key', base64: 'hmac_key_base64', file: 'hmac_key_file' },
  most: MOST_HMAC_KEY_BYTES,
};
const MAKE = 'fwknop --key-gen makes both';
const LEAST_BYTES = 16;
const MOST_BITS = 256;

/** The client of a section of scheme fwknop; `null` after reporting what is wrong with it. */
export async function fwknopClient(
  name: string,
  section: Section,
  context: KeyContext,
): Promise<FwknopClientConfig | null> {
  section.refuseStrangers(Object.keys(clientSchemas.fwknop.entries));
  const key = await keyOf(section, KEY, { ...context, name });
  const hmacKey = isUnsigned(section) ? null : await keyOf(section, HMAC_KEY, { ...context, name });
  const entry = section.parse(clientSchemas.fwknop);
  if (entry === null || key === null) return null;
  if (hmacKey === null && entry.hmac === undefined) return null;
  checkPorts(section, entry);
  if (hmacKey !== null && entry.encryption_mode === 'legacy') {
    const advice = 'write hmac: none, or another mode';
    section.warning('encryption_mode', `fwknop sends no HMAC in the mode legacy (${advice})`);
  }
  return {
    name,
    scheme: 'fwknop',
    services: [...new Set(entry.services)],
    bits: bitsOf(entry, hmacKey ?? key),
    key: {
      ...{ key, hmacKey, hmacDigest: entry.hmac_digest, encryptionMode: entry.encryption_mode },
      ...{ ports: entry.ports, nat: entry.nat },
      mayClaim: [entry.may_claim ?? []].flat(),
      requireAddress: entry.require_address,
    },
    ...limitsOf(entry),
  };
}

/** Whether there is no HMAC, and it is said so. */
function isUnsigned(section: Section): boolean {
  if (!section.has('hmac')) return false;
  const given = [HMAC_KEY.text, HMAC_KEY.base64, HMAC_KEY.file].find((each) => section.has(each));
  if (given !== undefined) section.error('hmac', `hmac and ${given} are both given (keep one)`);
  else if (section.value('hmac') === 'none') section.warning('hmac', UNSIGNED);
  return true;
}

const UNSIGNED =
  'hmac: none: forged knocks are told by decrypting them, and in the modes cfb, ofb and ctr a knock can be altered on its way (give it an hmac_key_base64)';

async function keyOf(
  section: Section,
  place: KeyPlace,
  { name, owners, secrets }: KeyContext & { readonly name: string },
): Promise<Buffer | null> {
  const { text, base64, file, most } = place;
  const [given, second] = [text, base64, file].filter((each) => section.has(each));
  if (given === undefined) {
    const none = place === HMAC_KEY ? ', or hmac: none for a client without' : '';
    section.error(null, `${base64} is missing (${MAKE}${none})`);
    return null;
  }
  if (second !== undefined) {
    section.error(second, `${given} and ${second} are both given (keep one)`);
    return null;
  }
  const key =
    given === text
      ? passphraseOf(section, place, secrets)
      : await secretOf(section, { key: base64, file, bytes: [1, most] }, secrets);
  if (key === null) return null;
  const owner = owners.take(name, key);
  if (owner !== null) section.error(given, `${given} is ${printable(owner)} (give each its own: ${MAKE})`);
  if (key.length < LEAST_BYTES) {
    const advice = `whoever records a knock can search for it; ${MAKE}`;
    section.warning(given, `${given} has ${key.length} bytes, less than ${LEAST_BYTES} (${advice})`);
  }
  return key;
}

/** What is no text is the schema's business. */
function passphraseOf(
  section: Section,
  { text, file, most }: KeyPlace,
  secrets: SecretContext,
): Buffer | null {
  const value = section.value(text);
  if (typeof value !== 'string') return null;
  checkExposed(section, { key: text, file }, secrets);
  const key = Buffer.from(value, 'utf8');
  if (key.length >= 1 && key.length <= most) return key;
  section.error(text, `${text} must be 1 to ${most} bytes, not ${key.length} (${MAKE})`);
  return null;
}

function checkPorts(section: Section, { ports, services }: FwknopEntry): void {
  const other = Object.values(ports).find((name) => !services.includes(name));
  if (other === undefined) return;
  section.error('ports', `ports name ${printable(other, 60)}, which is none of its services (add it there)`);
}

/** To forge a knock is to guess the key that signs, or where nothing is signed the key that encrypts. */
function bitsOf({ hmac, hmac_digest: digest }: FwknopEntry, key: Uint8Array): number {
  const most = hmac === undefined ? Math.min(MOST_BITS, 8 * hashBytes(digest)) : MOST_BITS;
  return Math.min(most, 8 * key.length);
}
