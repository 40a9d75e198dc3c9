// What a knock asks the grant manager for, and the grant that comes of it.

import { randomBytes } from 'node:crypto';
import type { Grant, Opening, Service } from '../firewall/driver.ts';

/** What to open, and for whom. */
export interface IssueRequest {
  readonly client: string;
  /** Canonical text of an address or a prefix. */
  readonly source: string;
  readonly services: readonly string[];
  /** Unix milliseconds at which the grants end even if their service's time is longer. */
  readonly until?: number;
}

/** What to take back. */
export type RevokeRequest = Pick<IssueRequest, 'client' | 'services'>;

/** A new grant for one service of a request. */
export function grantOf(service: Service, request: IssueRequest, nowMs: number): Grant {
  const { client, source, until = Infinity } = request;
  const { name, protocol, port, openForMs, connections } = service;
  const id = randomBytes(8).toString('hex');
  const openUntil = Math.min(until, nowMs + openForMs);
  return { id, client, source, service: name, protocol, port, openUntil, connections };
}

export function keyOf({ service, source }: Opening): string {
  return `${service} ${source}`;
}
