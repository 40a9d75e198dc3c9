// The `metrics` key: where portknockd offers its metrics. Only on loopback or a unix socket, unless it is said that they
// are for others: a port that answers tells a stranger what the closed ones do not.

import { isAbsolute } from 'node:path';
import * as v from 'valibot';
import { formatAddress, isLoopback, parseAddress } from '../address.ts';
import type { Section } from './section.ts';
import { oneOf, value } from './values.ts';

/** Where metrics are offered. */
export type MetricsConfig =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** sockaddr_un; a longer path would be cut off. */
const MOST_PATH_BYTES = 107;
const USUAL = '127.0.0.1:9469';

export const metricsSchema = v.object({
  listen: value(
    'listen must be an address with a port, or unix: and an absolute path',
    `write ${USUAL}, "[::1]:9469" or unix:/run/portknock/metrics.sock`,
    parseListen,
  ),
  allow_remote: v.optional(oneOf('allow_remote', [true, false]), false),
});

/** The metrics that a configuration asks for; `null` for none, or after reporting what is wrong with them. */
export function metricsOf(root: Section): MetricsConfig | null {
  if (!root.has('metrics')) return null;
  const section = root.section('metrics');
  if (section === null) {
    root.error('metrics', `metrics must be a map (write metrics: { listen: ${USUAL} })`);
    return null;
  }
  section.refuseStrangers(Object.keys(metricsSchema.entries));
  const settings = section.parse(metricsSchema);
  if (settings === null) return null;
  const { listen, allow_remote: allowRemote } = settings;
  if (listen.kind === 'unix') return listen;
  const address = parseAddress(listen.host);
  if (!allowRemote && (address === null || !isLoopback(address))) {
    section.error(
      'listen',
      `listen ${listen.host} is not a loopback address: everybody there would see that a gateway runs here (write ${USUAL}, or add allow_remote: true)`,
    );
  }
  return listen;
}

function parseListen(input: unknown): MetricsConfig | null {
  if (typeof input !== 'string') return null;
  if (input.startsWith('unix:')) {
    const path = input.slice('unix:'.length);
    const fits = isAbsolute(path) && Buffer.byteLength(path) <= MOST_PATH_BYTES && !/\p{Cc}/u.test(path);
    return fits ? { kind: 'unix', path } : null;
  }
  const parts = /^(?:\[([^\]]+)\]|([\d.]+)):(\d{1,5})$/u.exec(input);
  const address = parseAddress(parts?.[1] ?? parts?.[2] ?? '');
  const port = Number(parts?.[3]);
  if (address === null || (address.family === 6) !== (parts?.[1] !== undefined)) return null;
  return port >= 1 && port <= 65_535 ? { kind: 'tcp', host: formatAddress(address), port } : null;
}
