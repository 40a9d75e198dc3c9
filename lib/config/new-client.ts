// A new client: what its entry in the configuration says, and what its profile says then.

import { formatSshPublicKey, parseSshPublicKey } from '../crypto/ssh-key.ts';
import type { Profile } from '../knocker/profile.ts';
import { publicKeyProblem } from './clients-spa.ts';
import type { ClientConfig, GatewayConfig } from './schema.ts';

/** How a new client will knock. */
export type NewClient =
  | ({
      readonly scheme: 'spa';
      /** What its knocks must say of their source; `observed` unless said. */
      readonly bind?: 'observed' | 'exact' | 'prefix';
    } & (
      | {
          /** Its public key, `ssh-ed25519 AAAA... comment`. */
          readonly key: string;
        }
      | {
          /** A shared secret is made. */
          readonly psk: true;
        }
    ))
  | { readonly scheme: 'one-time'; readonly digest?: 'sha256' | 'md5'; readonly carrier?: 'udp' | 'tcp' }
  | { readonly scheme: 'sequence'; readonly sequence: readonly string[] };

/** Whether the client gets a secret file. */
export function hasSecretFile(client: NewClient): boolean {
  return client.scheme === 'one-time' || (client.scheme === 'spa' && 'psk' in client);
}

/** What stands in the configuration. @throws RangeError for a key that cannot sign knocks */
export function entryOf(
  { source }: GatewayConfig,
  { name, client, services }: { name: string; client: NewClient; services: readonly string[] },
): Record<string, unknown> {
  const { scheme } = client;
  if (scheme === 'sequence') return { scheme, sequence: client.sequence, services };
  if (scheme === 'spa') {
    const bind = client.bind === undefined || client.bind === 'observed' ? {} : { bind: client.bind };
    const key = 'key' in client ? { key: publicLine(client.key) } : { secret_file: `${name}.key` };
    return { scheme, ...key, ...bind, services };
  }
  const { digest = 'sha256', carrier = 'udp' } = client;
  return {
    scheme,
    secret_file: `${name}.key`,
    digest,
    ...(carrier === 'udp' ? {} : { carrier }),
    // Knocks outside of the bound ports would never be heard.
    ...(source.kind === 'socket' ? { ports: source.ports.join('-') } : {}),
    services,
  };
}

/** The profile of a client that the configuration has. */
export function profileOf(config: GatewayConfig, name: string, host: string): Profile {
  const client = config.clients.find((each) => each.name === name);
  if (client === undefined) throw new Error('the client that was added must be there');
  const services = Object.fromEntries(
    client.services.map((each) => [each, config.services[each]?.port ?? 0]),
  );
  const base = { host, client: name, services };
  switch (client.scheme) {
    case 'spa':
      return { ...base, scheme: 'spa', ...spaFields(config, client) };
    case 'one-time':
      return { ...base, scheme: 'one-time', ...oneTimeFields(client) };
    case 'sequence':
      return { ...base, scheme: 'sequence', sequence: client.sequence };
    case 'fwknop':
      return { ...base, scheme: 'fwknop', ...fwknopFields(config, client) };
    case 'sequence-list':
      throw new Error('a client with a list of sequences has no profile');
  }
}

function spaFields(config: GatewayConfig, { key, bind }: ClientConfig & { scheme: 'spa' }) {
  const { gateway, knockPort: port, accessKeys } = config;
  const [accessKey] = accessKeys;
  if (gateway === null || accessKey === undefined)
    throw new Error('a gateway with SPA clients must have both');
  return { gateway, port, accessKey, key: 'publicKey' in key ? key.publicKey : key.secret, bind };
}

function oneTimeFields({ key }: ClientConfig & { scheme: 'one-time' }) {
  const { secret, digest, knocks, ports, stepSeconds: step, carrier } = key;
  return { secret, digest, knocks, ports, step, carrier };
}

function fwknopFields(
  { knockPort: port }: GatewayConfig,
  { name, key }: ClientConfig & { scheme: 'fwknop' },
) {
  const { encryptionMode, hmacDigest } = key;
  const own = { user: name, key: key.key, hmacKey: key.hmacKey, encryptionMode, hmacDigest };
  return { port, ...own, digest: 'sha256', source: 'observed', timeoutSeconds: null } as const;
}

/** Written anew: of what was given only the key and the comment get into the file. */
function publicLine(text: string): string {
  const parsed = parseSshPublicKey(text);
  if (parsed === null) throw new RangeError(publicKeyProblem(text));
  return formatSshPublicKey(parsed.blob, parsed.comment);
}
