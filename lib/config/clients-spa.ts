// The clients that knock with single packets (protocols/spa.md): whose key is what, and what the gateway itself needs
// before it can hear them.

import { printable } from '../errors.ts';
import { parseSshPublicKey, sshKeyType } from '../crypto/ssh-key.ts';
import { serviceIdOf, SPA_KEY_BYTES } from '../scheme/spa-keys.ts';
import { clientSchemas, limitsOf } from './client-schemas.ts';
import type { KeyOwners } from './owners.ts';
import type { SpaClientConfig } from './schema.ts';
import type { Section } from './section.ts';
import { SECRET_COMMAND, secretOf, type SecretContext } from './secrets.ts';

const KEYS = ['key', 'secret', 'secret_file'] as const;
const SIGNATURE_BITS = 128;
const SECRET_BITS = 256;

/** The client of a section of scheme spa; `null` after reporting what is wrong with it. */
export async function spaClient(
  name: string,
  section: Section,
  { owners, secrets }: { readonly owners: KeyOwners; readonly secrets: SecretContext },
): Promise<SpaClientConfig | null> {
  const schema = clientSchemas.spa;
  section.refuseStrangers(Object.keys(schema.entries));
  const [given, second] = KEYS.filter((each) => section.has(each));
  if (given === undefined) {
    section.error(null, "key is missing (add key: and the line of the client's .pub file, in quotes)");
  } else if (second !== undefined) {
    section.error(second, `${given} and ${second} are both given (keep one)`);
  }
  const key = await keyOf(section, second === undefined ? given : undefined, secrets);
  const owner = key === null ? null : owners.take(name, key.bytes);
  if (given !== undefined && owner !== null) {
    const what = given === 'key' ? 'key' : 'secret';
    const advice =
      given === 'key' ? 'one client, one key: remove one of them' : `give each its own: ${SECRET_COMMAND}`;
    section.error(given, `${what} is ${printable(owner)} (${advice})`);
  }
  const entry = section.parse(schema);
  if (entry === null || key === null) return null;
  if (entry.no_clock) section.warning('no_clock', NO_CLOCK);
  const { bind, widest_prefix: widestPrefix, services } = entry;
  return {
    name,
    scheme: 'spa',
    services: [...new Set(services)],
    bits: 'publicKey' in key.client ? SIGNATURE_BITS : SECRET_BITS,
    key: entry.no_clock ? { ...key.client, clock: false } : key.client,
    bind,
    widestPrefix,
    ...limitsOf(entry),
  };
}

const NO_CLOCK =
  'no_clock: a recorded knock works once more if the replay state is ever lost, and the kernel no longer filters forged knocks (give it a clock)';

interface ClientKey {
  /** What no other client may have. */
  readonly bytes: Uint8Array;
  readonly client: SpaClientConfig['key'];
}

async function keyOf(
  section: Section,
  given: (typeof KEYS)[number] | undefined,
  secrets: SecretContext,
): Promise<ClientKey | null> {
  if (given === undefined) return null;
  if (given !== 'key') {
    const secret = await secretOf(section, { key: 'secret', bytes: [SPA_KEY_BYTES, SPA_KEY_BYTES] }, secrets);
    return secret === null ? null : { bytes: secret, client: { secret } };
  }
  const line = section.value('key');
  if (typeof line !== 'string') return null;
  const parsed = parseSshPublicKey(line);
  if (parsed !== null) return { bytes: parsed.blob, client: { publicKey: line } };
  section.error('key', publicKeyProblem(line));
  return null;
}

/** Why a text is not the public key of a client. Never shows it: it may be the private one. */
export function publicKeyProblem(text: string): string {
  const type = sshKeyType(text);
  if (type !== null && type !== 'ssh-ed25519') {
    const rule = 'only ssh-ed25519 keys can sign knocks (make one: ssh-keygen -t ed25519)';
    return `key must not be of type ${printable(type, 60)}: ${rule}`;
  }
  if (/\bPRIVATE KEY\b/u.test(text)) {
    return 'key must be the public one, this is a private key (paste the line of the .pub file; the private one stays with the client)';
  }
  return "key must be an OpenSSH public key (paste the line of the client's .pub file)";
}

/** What the gateway must have once there is a client of this scheme. */
export function checkSpaGateway(root: Section): void {
  if (!root.has('gateway')) {
    root.error(null, 'gateway is missing: SPA clients name it in their knocks (add gateway: gw.example)');
  }
  if (!root.has('access_key') && !root.has('access_key_file')) {
    const advice =
      'portknock keygen --secret --out gateway.key makes one, then add access_key_file: gateway.key';
    root.error(null, `access_key_file is missing: SPA clients need it (${advice})`);
  }
  checkServiceIds(root);
}

/** A knock names services by four bytes each. */
function checkServiceIds(root: Section): void {
  const owners = new Map<number, string>();
  for (const name of root.names('services') ?? []) {
    const id = serviceIdOf(name);
    const other = owners.get(id);
    owners.set(id, name);
    if (other === undefined) continue;
    const both = `${printable(other, 60)} and ${printable(name, 60)}`;
    root.error('services', `services ${both} have the same id in SPA knocks (rename one)`);
  }
}
