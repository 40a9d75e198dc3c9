// From a host's name to addresses to try: those of one family together, families in the resolver's order.

import { lookup } from 'node:dns/promises';
import { KnockError, printable } from '../errors.ts';
import { unlessAborted } from './wait.ts';

/** Addresses of one family. */
export type Addresses = readonly [string, ...string[]];

export interface ResolveOptions {
  /** Only this family. */
  readonly family: 4 | 6 | undefined;
  readonly signal: AbortSignal | undefined;
}

/** @throws KnockError `ERR_RESOLVE`; the signal's reason */
export async function resolveHost(
  host: string,
  { family, signal }: ResolveOptions,
): Promise<ReadonlyMap<number, Addresses>> {
  const shown = printable(host);
  let found: readonly { readonly address: string; readonly family: number }[];
  try {
    found = await unlessAborted(lookup(host, { all: true, family: family ?? 0 }), signal);
  } catch (cause) {
    signal?.throwIfAborted();
    throw new KnockError('ERR_RESOLVE', `host has no address: '${shown}' (check the name and the DNS)`, {
      cause,
    });
  }
  const byFamily = new Map<number, Addresses>();
  for (const { address, family: of } of found) {
    // The resolver hands out a literal address of the other family all the same.
    if (family !== undefined && of !== family) continue;
    const earlier = byFamily.get(of);
    if (earlier === undefined) byFamily.set(of, [address]);
    else if (!earlier.includes(address)) byFamily.set(of, [...earlier, address]);
  }
  if (byFamily.size > 0) return byFamily;
  throw new KnockError(
    'ERR_RESOLVE',
    `host has no IPv${family ?? ''} address: '${shown}' (use the other family)`,
  );
}
