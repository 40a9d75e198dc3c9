// What a knock asks the grant manager for, and the grant that comes of it.

import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Grant, Opening, Service } from '../firewall/driver.ts';

/** What to open, and for whom. */
export interface IssueRequest {
  readonly client: string;
  /** Canonical text of an address or a prefix. */
  readonly source: string;
  readonly services: readonly string[];
  /** Unix milliseconds at which the grants end even if their service's time is longer. */
  readonly until?: number;
  /** Asked when the grants are recorded, before they are opened: what takes long goes on meanwhile. */
  readonly isAllowed?: () => Promise<boolean>;
}

/** What to take back. */
export type RevokeRequest = Pick<IssueRequest, 'client' | 'services'>;

/** A new grant for one service of a request. */
export function grantOf(service: Service, request: IssueRequest, nowMs: number): Grant {
  const { client, source, until = Infinity } = request;
  const { name, protocol, port, openForMs, connections, to } = service;
  const id = randomBytes(8).toString('hex');
  const openUntil = Math.min(until, nowMs + openForMs);
  const grant: Grant = { id, client, source, service: name, protocol, port, openUntil, connections };
  return to === undefined ? grant : { ...grant, to };
}

/** Whether it is allowed, and its time is not over then. */
export async function isTimely(
  { isAllowed, until = Infinity }: IssueRequest,
  clock: Clock,
): Promise<boolean> {
  return (await isAllowed?.()) !== false && until > clock.now();
}

/** The same grant, begun that much later. */
export function later(grant: Grant, { until = Infinity }: IssueRequest, ms: number): Grant {
  return { ...grant, openUntil: Math.min(until, grant.openUntil + Math.max(0, ms)) };
}

/**
 * Of recorded grants, the last one for each service and source: it took the place of those before it. None lasts longer
 * than its service's time from now, wherever the clock was set since.
 */
export function latest(
  recorded: readonly Grant[],
  services: ReadonlyMap<string, Service>,
  nowMs: number,
): readonly Grant[] {
  const last = new Map(recorded.map((grant) => [keyOf(grant), grant]));
  return [...last.values()].map((grant) => {
    const most = nowMs + (services.get(grant.service)?.openForMs ?? 0);
    return grant.openUntil <= most ? grant : { ...grant, openUntil: most };
  });
}

export function keyOf({ service, source }: Opening): string {
  return `${service} ${source}`;
}
