// Whose a key is: two clients with one key could act as each other, and the gateway's own key is known to them all.
// Hashes are compared, so that nothing here holds a secret.

import { createHash } from 'node:crypto';

/** The keys of a configuration, secret and public ones, each with its first owner. */
export class KeyOwners {
  readonly #owners = new Map<string, string>();

  constructor(accessKeys: readonly Uint8Array[]) {
    for (const key of accessKeys)
      this.#owners.set(hashOf(key), "the gateway's access key, known to every client");
  }

  /** Notes the key as the client's, or says whose it is already. */
  take(client: string, key: Uint8Array): string | null {
    const hash = hashOf(key);
    const owner = this.#owners.get(hash);
    if (owner === undefined) this.#owners.set(hash, `that of client ${client}`);
    return owner ?? null;
  }
}

function hashOf(key: Uint8Array): string {
  return createHash('sha256').update(key).digest('base64');
}
