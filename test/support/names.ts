// Host names of a test's own: the resolver's answers, in its order, without a server and without /etc/hosts.

import dns from 'node:dns/promises';
import { syncBuiltinESMExports } from 'node:module';

export interface Lookup {
  readonly host: string;
  readonly family: number;
}

/** Runs `body` while the names have these addresses; tells it what was asked. */
export async function withNames(
  names: Readonly<Record<string, readonly string[]>>,
  body: (asked: readonly Lookup[]) => Promise<void>,
): Promise<void> {
  const { lookup } = dns;
  const asked: Lookup[] = [];
  const fake = (host: string, { family }: { family: number }): Promise<unknown> => {
    asked.push({ host, family });
    const addresses = (names[host] ?? []).map((address) => ({
      address,
      family: address.includes(':') ? 6 : 4,
    }));
    const fitting = addresses.filter((each) => family === 0 || each.family === family);
    if (fitting.length > 0) return Promise.resolve(fitting);
    return Promise.reject(Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND' }));
  };
  Object.assign(dns, { lookup: fake });
  syncBuiltinESMExports();
  try {
    await body(asked);
  } finally {
    Object.assign(dns, { lookup });
    syncBuiltinESMExports();
  }
}
