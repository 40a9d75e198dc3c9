// The gateway's order of checks of a packet of fwknop (protocols/fwknop.md, "What we do"): length and spelling, then the
// MAC of every client whose packets could have this length, and only then decryption and what is inside. Replay is
// claimed after all of it, in the pipeline, by the authenticated bytes.

import { formatAddress, prefixContains, sameAddress, type Address } from '../address.ts';
import { parseBareBase64 } from '../base64.ts';
import { HASH_NAMES, hashBytes } from '../crypto/hashes.ts';
import { sha256 } from '../crypto/mac.ts';
import { UDP, sourceOf, type PacketView } from '../packet/view.ts';
import {
  bareLength,
  isEnvelope,
  LEAST_CHARACTERS,
  MOST_CHARACTERS,
  MOST_GPG_CHARACTERS,
  ownBytes,
  PREFIX,
  spellingOf,
  startsSalted,
  unwrap,
} from './fwknop-cipher.ts';
import type { ClientGroup, KnownFwknopClient } from './fwknop-clients.ts';
import { COMMAND, decodeFields, hasNat, type Fields, type FieldsFault } from './fwknop-format.ts';
import { ANYWHERE, decodeAccess, decodeTarget, portText, type AccessMessage } from './fwknop-message.ts';
import type { KnockRequest, Match, Rejection, RejectReason } from './scheme.ts';

/** How old a packet may be by the client's clock, as with fwknopd; and how far ahead, where fwknopd allows as much. */
export const PAST_MS = 120_000;
export const FUTURE_MS = 30_000;

const MALFORMED: Match = { kind: 'reject', reason: 'malformed' };
const GPG: Match = { kind: 'reject', reason: 'gpg-packet' };
const HMAC: Match = { kind: 'reject', reason: 'hmac-mismatch' };
const DECRYPT: Match = { kind: 'reject', reason: 'decrypt-failed' };

/** Of every kind of HMAC, and of none: who uses another kind than is configured is told so. */
const MAC_CHARACTERS = [0, ...new Set(HASH_NAMES.map((name) => bareLength(hashBytes(name))))];

/** A packet with the client whose it is, and what was in it. */
interface Opened {
  readonly client: KnownFwknopClient;
  /** Header, salt and ciphertext. */
  readonly envelope: Buffer;
  readonly content: Fields | FieldsFault;
}

/** The gateway's side of the scheme. */
export class FwknopGate {
  readonly #port: number;
  readonly #groups: readonly ClientGroup[];
  /** The text that MACs cover: what is never sent, and what was. */
  readonly #text = Buffer.alloc(PREFIX.length + MOST_CHARACTERS);

  constructor({ port, groups }: { readonly port: number; readonly groups: readonly ClientGroup[] }) {
    this.#port = port;
    this.#groups = groups;
    this.#text.write(PREFIX, 'latin1');
  }

  match(packet: PacketView): Match | null {
    const { bytes, payloadStart: start, payloadLength: length } = packet;
    if (packet.protocol !== UDP || packet.dstPort !== this.#port) return null;
    if (length < LEAST_CHARACTERS || length > MOST_GPG_CHARACTERS) return null;
    const spelling = spellingOf(bytes, start, start + length);
    // Knocks of another scheme may come to the same port.
    if (spelling === 'binary') return null;
    if (spelling === 'text') return MALFORMED;
    if (length > MOST_CHARACTERS) return GPG;
    const sent = bytes.toString('latin1', start, start + length);
    if (!startsSalted(sent)) return MALFORMED;
    bytes.copy(this.#text, PREFIX.length, start, start + length);
    const opened = this.#open(sent);
    return 'kind' in opened ? opened : judge(opened, packet);
  }

  #open(sent: string): Opened | Match {
    let wasCompared = false;
    let refusal = MAC_CHARACTERS.some((mac) => isEnvelope(PREFIX.length + sent.length - mac))
      ? HMAC
      : MALFORMED;
    for (const { macCharacters, clients, owner } of this.#groups) {
      const split = sent.length - macCharacters;
      if (!isEnvelope(PREFIX.length + split)) continue;
      const mac = parseBareBase64(sent.slice(split));
      if (mac === null) continue;
      if (macCharacters === 0) {
        const opened = openUnsigned(sent, clients);
        if (opened !== null) return opened;
        if (!wasCompared) refusal = DECRYPT;
        continue;
      }
      const client = owner(this.#text, PREFIX.length + split, mac);
      if (client !== undefined) return openSigned(sent.slice(0, split), client);
      wasCompared = true;
    }
    return refusal;
  }
}

function openSigned(sent: string, client: KnownFwknopClient): Opened | Match {
  const envelope = parseBareBase64(`${PREFIX}${sent}`);
  // Who has the HMAC key can spell badly as well as anybody.
  if (envelope === null) return reject(client, 'malformed');
  const plain = unwrap(envelope, client);
  return { client, envelope, content: plain === null ? 'foreign' : decodeFields(plain) };
}

/** Without a MAC only the digest inside says whose key it was. */
function openUnsigned(sent: string, clients: readonly KnownFwknopClient[]): Opened | null {
  const envelope = parseBareBase64(`${PREFIX}${sent}`);
  if (envelope === null) return null;
  for (const client of clients) {
    const plain = unwrap(envelope, client);
    const content = plain === null ? 'foreign' : decodeFields(plain);
    if (content !== 'foreign') return { client, envelope, content };
  }
  return null;
}

/** What a client's own packet asks for, against what it may. */
function judge({ client, envelope, content }: Opened, packet: PacketView): Match {
  if (typeof content === 'string') return reject(client, REASONS[content]);
  const sentMs = content.timeSeconds * 1000;
  const clockOffsetMs = sentMs - packet.timeMs;
  if (clockOffsetMs > FUTURE_MS) return reject(client, 'future', { clockOffsetMs });
  if (clockOffsetMs < -PAST_MS) return reject(client, 'stale', { clockOffsetMs });
  if (content.type === COMMAND) return reject(client, 'command-refused');
  const message = decodeAccess(content.message);
  if (message === null) return reject(client, 'malformed');
  const services = servicesOf(content, message, client);
  if ('kind' in services) return services;
  const claim = claimOf(message.address, client, sourceOf(packet));
  if (claim === null) {
    const detail = message.address === null ? ANYWHERE : formatAddress(message.address);
    return reject(client, 'source-mismatch', { detail });
  }
  const { timeoutSeconds } = content;
  return {
    kind: 'request',
    client: client.name,
    services,
    counter: null,
    once: {
      id: sha256(ownBytes(envelope)).toString('hex'),
      // By the packet alone, so that the same packet always says the same.
      untilMs: sentMs + 2 * PAST_MS,
    },
    ...claim,
    // As with fwknopd from now on, and not by the client's clock: one knock acts once, so a late one is no second one.
    ...(timeoutSeconds === null || timeoutSeconds === 0
      ? {}
      : { until: packet.timeMs + timeoutSeconds * 1000 }),
  };
}

const REASONS = {
  foreign: 'decrypt-failed',
  digest: 'digest-mismatch',
  malformed: 'malformed',
} as const satisfies Readonly<Record<FieldsFault, RejectReason>>;

/** The services that every one of the named ports stands for, or the first that is refused. */
function servicesOf(
  { type, nat }: Fields,
  { ports }: AccessMessage,
  client: KnownFwknopClient,
): readonly string[] | Rejection {
  const target = nat === null ? null : decodeTarget(nat);
  if (nat !== null && target === null) return reject(client, 'malformed');
  if (hasNat(type) && !client.nat) return reject(client, 'nat-refused', { detail: target ?? '' });
  const names = new Set<string>();
  for (const port of ports) {
    const service = client.ports.get(portText(port));
    if (service === undefined) return reject(client, 'port-refused', { detail: portText(port) });
    if (target !== null && service.to !== target) return reject(client, 'nat-refused', { detail: target });
    names.add(service.name);
  }
  return [...names];
}

/** Whom to open for; `null` when the client may not name this address. */
function claimOf(
  address: Address | null,
  { mayClaim, requireAddress }: KnownFwknopClient,
  source: Address,
): Pick<KnockRequest, 'claim' | 'elsewhere'> | null {
  if (address === null) return requireAddress ? null : {};
  const claim = { address, length: 32 };
  if (sameAddress(address, source)) return { claim };
  return mayClaim.some((prefix) => prefixContains(prefix, address)) ? { claim, elsewhere: true } : null;
}

function reject(
  { name: client }: KnownFwknopClient,
  reason: RejectReason,
  more: Pick<Rejection, 'clockOffsetMs' | 'detail'> = {},
): Rejection {
  return { kind: 'reject', reason, client, ...more };
}
