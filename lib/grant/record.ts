// A grant out of the journal's JSON: of the form that we write, or none. Drivers hand parts of it to programs.

import { formatPrefix, parsePrefix } from '../address.ts';
import { isTarget, type Grant } from '../firewall/driver.ts';

/** As driver.ts says of them. */
const ID = /^[a-z0-9]+$/u;
const SERVICE = /^[a-z0-9][a-z0-9-]{0,31}$/u;

/** `null` for anything that is no grant. */
export function grantIn(value: unknown): Grant | null {
  if (typeof value !== 'object' || value === null) return null;
  const fields = value as Record<string, unknown>;
  const { id, client, source, service, protocol, port, openUntil, connections, to } = fields;
  if (typeof id !== 'string' || !ID.test(id)) return null;
  if (typeof client !== 'string') return null;
  if (typeof source !== 'string' || !isCanonical(source)) return null;
  if (typeof service !== 'string' || !SERVICE.test(service)) return null;
  if (protocol !== 'tcp' && protocol !== 'udp') return null;
  if ((!isWhole(port, 65_535) && port !== 0) || typeof openUntil !== 'number') return null;
  if (connections !== 'unlimited' && !isWhole(connections, Number.MAX_SAFE_INTEGER)) return null;
  const grant: Grant = { id, client, source, service, protocol, port, openUntil, connections };
  if (to === undefined) return grant;
  return isTarget(to) ? { ...grant, to: { host: to.host, port: to.port } } : null;
}

function isWhole(value: unknown, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= most;
}

function isCanonical(source: string): boolean {
  const prefix = parsePrefix(source);
  return prefix !== null && formatPrefix(prefix) === source;
}
