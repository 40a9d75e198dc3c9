// The clients of the SPA scheme on the gateway: found by the 8-byte id in a knock, each with what proves its knocks.

import type { KeyObject } from 'node:crypto';
import { printable } from '../errors.ts';
import { ctr } from '../crypto/cipher.ts';
import { ed25519PublicKey, verifySshsig } from '../crypto/sshsig.ts';
import { parseSshPublicKey } from '../crypto/ssh-key.ts';
import { BODY, PROOF, PROOF_BYTES, signedMessage, type Suite } from './spa-format.ts';
import { sharedKeyOf, signerIdOf } from './spa-keys.ts';

/** A client of the SPA scheme: an OpenSSH public key line (`ssh-ed25519 AAAA... comment`), or 32 shared bytes. */
export type SpaClient = ({ readonly publicKey: string } | { readonly secret: Uint8Array }) & {
  /**
   * False for a device without a clock: its knocks may be of any age. They still work only once. One such client, and
   * the hint is asked of nobody: forged packets then reach the daemon, and die at the gateway tag.
   */
  readonly clock?: boolean;
};

/** A client at the gateway. */
export interface KnownClient {
  readonly name: string;
  readonly suite: Suite;
  readonly hasClock: boolean;
  /** Nonce and tag of the last datagram that proved to be the client's, and where it came from. */
  last: { readonly mark: string; readonly source: string } | null;
  /** Whether the proof in `content` is this client's. */
  proves(nonce: Buffer, content: Buffer): boolean;
  /** The body in the clear. */
  body(nonce: Buffer, content: Buffer): Buffer;
}

/** Clients by suite and id. @throws TypeError, RangeError for a key that cannot be used or that two clients share */
export function knownClients(
  clients: Readonly<Record<string, SpaClient>>,
): (suite: Suite, id: string) => KnownClient | undefined {
  const byId = new Map<string, KnownClient>();
  for (const [name, client] of Object.entries(clients)) {
    const [id, known] = 'secret' in client ? sharing(name, client) : signing(name, client);
    const key = `${known.suite} ${id.toString('latin1')}`;
    const owner = byId.get(key);
    if (owner !== undefined) {
      throw new TypeError(`key of ${printable(name)} must not be that of ${printable(owner.name)}`);
    }
    byId.set(key, known);
  }
  return (suite, id) => byId.get(`${suite} ${id}`);
}

function sharing(
  name: string,
  { secret, clock = true }: SpaClient & { readonly secret: Uint8Array },
): [Buffer, KnownClient] {
  const { id, encryption, mac } = sharedKeyOf(secret);
  const known: KnownClient = {
    name,
    suite: 1,
    hasClock: clock,
    last: null,
    proves: (nonce, content) =>
      mac
        .add(nonce, 0, nonce.length)
        .add(content, 0, PROOF)
        .isTag(content.subarray(PROOF, PROOF + PROOF_BYTES[1]), PROOF_BYTES[1]),
    body: (nonce, content) => ctr(encryption, nonce, content.subarray(BODY, PROOF)),
  };
  return [id, known];
}

function signing(
  name: string,
  { publicKey, clock = true }: SpaClient & { readonly publicKey: string },
): [Buffer, KnownClient] {
  const parsed = parseSshPublicKey(publicKey);
  if (parsed === null)
    throw new TypeError(`publicKey of ${printable(name)} must be a line ssh-ed25519 AAAA...`);
  // Made when it is needed: a key object costs memory and 20 us, and there may be 10,000 clients.
  let key: KeyObject | null = null;
  const known: KnownClient = {
    name,
    suite: 2,
    hasClock: clock,
    last: null,
    proves(nonce, content) {
      key ??= ed25519PublicKey(parsed.key);
      return verifySshsig(
        key,
        signedMessage(nonce, content),
        content.subarray(PROOF, PROOF + PROOF_BYTES[2]),
      );
    },
    body: (_nonce, content) => content.subarray(BODY, PROOF),
  };
  return [signerIdOf(parsed.blob), known];
}
