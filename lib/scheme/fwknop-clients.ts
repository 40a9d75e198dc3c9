// The clients of the fwknop scheme on the gateway: whose key encrypts, whose HMAC is right, and which service a port that
// a client names stands for.

import { parseBase64 } from '../base64.ts';
import { parsePrefix, type Prefix } from '../address.ts';
import { HASH_NAMES, HmacKeys, hashBytes, type HashName } from '../crypto/hashes.ts';
import { printable } from '../errors.ts';
import {
  bareLength,
  ENCRYPTION_MODES,
  MOST_CHARACTERS,
  PREFIX,
  type EncryptionMode,
} from './fwknop-cipher.ts';
import { parseAccessPort, portText } from './fwknop-message.ts';

/** The keys of a client, as text (taken as UTF-8), bytes or base64; an HMAC key of `null`: it uses none. */
export type FwknopKeys = ({ readonly key: string | Uint8Array } | { readonly keyBase64: string }) &
  ({ readonly hmacKey: string | Uint8Array | null } | { readonly hmacKeyBase64: string });

/** A client of the fwknop scheme: what its stanza in fwknopd's access.conf says. */
export type FwknopClient = FwknopKeys & {
  /** `sha256` unless said. */
  readonly hmacDigest?: HashName;
  /** `cbc` unless said. */
  readonly encryptionMode?: EncryptionMode;
  /** What it may open; all services unless said. */
  readonly services?: readonly string[];
  /** Services for ports that the client knows by another number than the service has: `{ 'tcp/22': 'ssh' }`. */
  readonly ports?: Readonly<Record<string, string>>;
  /** Addresses that its knocks may name though they come from elsewhere, as `ADDRESS` or `ADDRESS/LENGTH`. */
  readonly mayClaim?: readonly string[];
  /** Whether its knocks must name an address: 0.0.0.0, whoever sends it, is refused then. */
  readonly requireAddress?: boolean;
  /** Whether it may ask for forwarded ports. */
  readonly nat?: boolean;
};

/** A service as the scheme sees it. */
export interface FwknopService {
  /** `tcp` unless said. */
  readonly protocol?: 'tcp' | 'udp';
  readonly port: number;
  /** Where its connections are forwarded to, `HOST:PORT`; NAT messages must name just that. */
  readonly to?: string;
}

/** A client at the gateway. */
export interface KnownFwknopClient {
  readonly name: string;
  readonly key: Uint8Array;
  readonly mode: EncryptionMode;
  /** `null`: it uses none. */
  readonly hmac: { readonly hash: HashName; readonly key: Uint8Array } | null;
  /** Services by the ports that the client may name, `tcp/22`. */
  readonly ports: ReadonlyMap<string, KnownService>;
  readonly mayClaim: readonly Prefix[];
  readonly requireAddress: boolean;
  readonly nat: boolean;
}

/** What a port stands for. */
export interface KnownService {
  readonly name: string;
  readonly to: string | null;
}

/** Clients with one kind of HMAC, or without. */
export interface ClientGroup {
  /** 0 without HMAC. */
  readonly macCharacters: number;
  readonly clients: readonly KnownFwknopClient[];
  /** Whose MAC it is of `bytes[0..end)`. */
  readonly owner: (bytes: Buffer, end: number, mac: Buffer) => KnownFwknopClient | undefined;
}

export const MOST_KEY_BYTES = 32;
export const MOST_HMAC_KEY_BYTES = 128;
/** Of the text that a MAC covers. */
const MOST_BYTES = PREFIX.length + MOST_CHARACTERS;

/**
 * Clients by their HMAC, those without one last: they cost a decryption each.
 *
 * @throws TypeError, RangeError for a client that cannot be
 */
export function groupsOf(
  clients: Readonly<Record<string, FwknopClient>>,
  services: Readonly<Record<string, FwknopService>>,
): readonly ClientGroup[] {
  const known = Object.entries(clients).map(([name, client]) => knownClient(name, client, services));
  return [...HASH_NAMES, null]
    .map((hash) =>
      groupOf(
        hash,
        known.filter(({ hmac }) => (hmac?.hash ?? null) === hash),
      ),
    )
    .filter(({ clients: members }) => members.length > 0);
}

function groupOf(hash: HashName | null, clients: readonly KnownFwknopClient[]): ClientGroup {
  if (hash === null) return { macCharacters: 0, clients, owner: () => undefined };
  const macCharacters = bareLength(hashBytes(hash));
  const keys = clients.map(({ hmac }) => hmac?.key ?? Buffer.alloc(0));
  const macs = new HmacKeys(hash, keys, MOST_BYTES);
  const owner: ClientGroup['owner'] = (bytes, end, mac) => clients[macs.find(bytes, end, mac)];
  return { macCharacters, clients, owner };
}

function knownClient(
  name: string,
  client: FwknopClient,
  services: Readonly<Record<string, FwknopService>>,
): KnownFwknopClient {
  const { hmacDigest = 'sha256', encryptionMode = 'cbc', mayClaim = [] } = client;
  const { requireAddress = false, nat = false } = client;
  const of = ` of client ${printable(name)}`;
  if (!HASH_NAMES.includes(hmacDigest)) {
    throw new TypeError(`hmacDigest${of} must be ${HASH_NAMES.join(', ')}, got '${printable(hmacDigest)}'`);
  }
  if (!ENCRYPTION_MODES.includes(encryptionMode)) {
    const modes = ENCRYPTION_MODES.join(', ');
    throw new TypeError(`encryptionMode${of} must be ${modes}, got '${printable(encryptionMode)}'`);
  }
  const key = bytesOf(`key${of}`, 'keyBase64' in client ? { base64: client.keyBase64 } : client.key);
  const hmacKey = hmacKeyOf(of, client);
  requireLength(`key${of}`, key, MOST_KEY_BYTES);
  if (hmacKey !== null) requireLength(`hmacKey${of}`, hmacKey, MOST_HMAC_KEY_BYTES);
  if (hmacKey?.equals(key) === true) throw new TypeError(`hmacKey${of} must not be its key`);
  return {
    ...{ name, key, mode: encryptionMode, requireAddress, nat },
    hmac: hmacKey === null ? null : { hash: hmacDigest, key: hmacKey },
    ports: portsOf(of, client, services),
    mayClaim: mayClaim.map((text) => prefixOf(of, text)),
  };
}

function hmacKeyOf(of: string, client: FwknopClient): Buffer | null {
  if ('hmacKeyBase64' in client) return bytesOf(`hmacKey${of}`, { base64: client.hmacKeyBase64 });
  return client.hmacKey === null ? null : bytesOf(`hmacKey${of}`, client.hmacKey);
}

function bytesOf(name: string, key: string | Uint8Array | { readonly base64: string }): Buffer {
  if (typeof key === 'string') return Buffer.from(key, 'utf8');
  if (key instanceof Uint8Array) return Buffer.from(key);
  const bytes = parseBase64(key.base64);
  if (bytes === null) throw new TypeError(`${name} must be base64`);
  return bytes;
}

function requireLength(name: string, key: Buffer, most: number): void {
  if (key.length >= 1 && key.length <= most) return;
  throw new RangeError(`${name} must have 1 to ${most} bytes, got ${key.length}`);
}

function prefixOf(of: string, text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix !== null) return prefix;
  throw new TypeError(`mayClaim${of} must hold addresses or prefixes, got '${printable(text)}'`);
}

/** What the client may name: its services' own ports, and those that it calls otherwise. */
function portsOf(
  of: string,
  { services: allowed, ports = {} }: FwknopClient,
  services: Readonly<Record<string, FwknopService>>,
): ReadonlyMap<string, KnownService> {
  const find = (name: string): KnownService => {
    const service = Object.hasOwn(services, name) ? services[name] : undefined;
    if (service === undefined) {
      throw new TypeError(`services${of} must be configured, got '${printable(name)}'`);
    }
    return { name, to: service.to ?? null };
  };
  const names = allowed ?? Object.keys(services);
  const found = new Map<string, KnownService>();
  for (const name of names) {
    const known = find(name);
    const { protocol = 'tcp', port = 0 } = services[name] ?? {};
    found.set(portText({ protocol, port }), known);
  }
  for (const [text, name] of Object.entries(ports)) {
    const port = parseAccessPort(text);
    if (port === null) throw new TypeError(`ports${of} must be like tcp/22, got '${printable(text)}'`);
    if (!names.includes(name)) {
      throw new TypeError(`ports${of} must name its services, got '${printable(name)}'`);
    }
    found.set(portText(port), find(name));
  }
  return found;
}
