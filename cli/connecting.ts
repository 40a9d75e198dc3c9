// One run of `portknock connect`: which service is meant, the way in, the stream.

import { isKnockError, KnockError, printable, type Profile } from '../lib/knocker.ts';
import { UsageError } from './args.ts';
import type { Client } from './client.ts';
import { relay } from './relay.ts';
import { warnOfClock } from './sending.ts';

/** Where the stream goes. */
export interface Destination {
  readonly service: string;
  readonly port: number;
  /** Absent: the profile's host. */
  readonly host?: string;
}

/** What `HOST PORT` means; without it, the profile's host and only service. @throws UsageError */
export function destinationOf(profile: Profile, words: readonly string[]): Destination {
  const [host, text] = words;
  const services = Object.entries(profile.services);
  const known = services.map(([name, port]) => `${port} (${name})`).join(', ');
  if (host === undefined) {
    const [only, ...more] = services;
    if (only !== undefined && more.length === 0) return { service: only[0], port: only[1] };
    throw new UsageError(`HOST PORT is missing, and the profile has several services: ${known}`);
  }
  if (text === undefined) throw new UsageError(`PORT is missing behind ${printable(host)} (one of ${known})`);
  const found = services.find(([, port]) => String(port) === text);
  if (found === undefined) {
    throw new UsageError(`PORT must be one of the profile's services, ${known}, not '${printable(text)}'`);
  }
  const [service, port] = found;
  return host === profile.host ? { service, port } : { service, port, host };
}

/** Connects, and hands the connection to standard input and output. @throws KnockError */
export async function connectAndRelay(
  { profile, knocker, clockWarning }: Client,
  { service, port, host, timeoutMs }: Destination & { readonly timeoutMs: number },
): Promise<void> {
  const options = host === undefined ? { timeoutMs } : { timeoutMs, host };
  const socket = await knocker.connect(service, options).catch(async (error: unknown) => {
    await warnOfClock(clockWarning);
    throw host === undefined ? error : withAdvice(error, host, profile);
  });
  const { broke } = await relay(socket);
  if (broke === null) return;
  const place = `port ${port} of ${printable(host ?? profile.host)}`;
  throw new KnockError('ERR_SEND', `connection to ${place} broke: ${printable(broke.message)}`, {
    cause: broke,
  });
}

/** ssh hands over what was typed when its configuration knows no HostName for it. */
function withAdvice(error: unknown, host: string, profile: Profile): unknown {
  const shown = printable(host);
  if (!isKnockError(error) || error.code !== 'ERR_RESOLVE' || !error.message.includes(`'${shown}'`))
    return error;
  const advice = `if it is only a name of yours, give it a HostName in ~/.ssh/config, such as ${profile.host}`;
  return new KnockError('ERR_RESOLVE', `host has no address: '${shown}' (${advice})`, { cause: error });
}
