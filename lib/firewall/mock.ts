// A driver without a firewall: it records what it is asked, keeps its openings as a kernel would, and fails when told
// to. For tests, for dry runs and for trying the library without root.

import type { Clock } from '../clock.ts';
import { KnockError, printable } from '../errors.ts';
import { LINGER_MS, type FirewallDriver, type Grant, type Opening, type Service } from './driver.ts';

/** A method of {@link FirewallDriver}. */
export type DriverMethod = 'setup' | 'open' | 'close' | 'list' | 'teardown';

/** One recorded call. */
export interface MockCall {
  readonly method: DriverMethod;
  readonly grant?: Grant;
  readonly services?: readonly Service[];
}

/** {@link mock}'s options. */
export interface MockOptions {
  /** With a clock, openings end by themselves at their `openUntil`, as a kernel's do. */
  readonly clock?: Clock;
}

/** The driver that {@link mock} returns. */
export interface MockDriver extends FirewallDriver {
  /** Every call so far, the failed ones included. */
  readonly calls: readonly MockCall[];
  /** The grants that are open and unspent now. */
  readonly openings: readonly Grant[];
  /** Makes the next call of `method` reject with `error`, once; calls of this method queue up. */
  failNext(method: DriverMethod, error?: Error): void;
  /** Plays one new connection: whether it is admitted. The last admitted one of a grant closes it. */
  spend(service: string, source: string): boolean;
}

interface Open {
  readonly grant: Grant;
  left: number;
  /** Its time has ended; it is still listed for a moment. */
  over: boolean;
  cancel: () => void;
}

/**
 * A driver that changes nothing on the host.
 * @example
 * const driver = mock();
 * driver.failNext('open');
 */
export function mock(options: MockOptions = {}): MockDriver {
  const calls: MockCall[] = [];
  const failures = new Map<DriverMethod, Error[]>();
  const open = new Map<string, Open>();
  let services = new Map<string, Service>();

  const begin = async (call: MockCall): Promise<void> => {
    calls.push(call);
    // A real driver answers later: whoever forgets to wait must notice.
    await Promise.resolve();
    const failure = failures.get(call.method)?.shift();
    if (failure !== undefined) throw failure;
  };
  const drop = (key: string): void => {
    open.get(key)?.cancel();
    open.delete(key);
  };
  const dropAll = (): void => {
    for (const key of [...open.keys()]) drop(key);
  };

  return {
    name: 'mock',
    real: false,
    calls,
    get openings() {
      return [...open.values()].filter((one) => !one.over).map(({ grant }) => grant);
    },
    async setup(wanted) {
      await begin({ method: 'setup', services: wanted });
      dropAll();
      services = new Map(wanted.map((service) => [service.name, service]));
    },
    async open(grant) {
      await begin({ method: 'open', grant });
      requireService(services, grant);
      const key = keyOf(grant.service, grant.source);
      drop(key);
      const left = grant.connections === 'unlimited' ? Infinity : grant.connections;
      const entry: Open = { grant, left, over: false, cancel: () => undefined };
      const { clock } = options;
      const ms = grant.openUntil - (clock?.now() ?? 0);
      if (ms <= 0) return;
      open.set(key, entry);
      if (clock === undefined) return;
      const end = clock.after(ms, () => {
        entry.over = true;
      });
      const forget = clock.after(ms + LINGER_MS, () => open.delete(key));
      entry.cancel = () => {
        end();
        forget();
      };
    },
    async close(grant) {
      await begin({ method: 'close', grant });
      drop(keyOf(grant.service, grant.source));
    },
    async list(): Promise<readonly Opening[]> {
      await begin({ method: 'list' });
      return [...open.values()].map(({ grant: { service, source } }) => ({ service, source }));
    },
    async teardown() {
      await begin({ method: 'teardown' });
      dropAll();
      services = new Map();
    },
    failNext(method, error) {
      const queue = failures.get(method) ?? [];
      failures.set(method, queue);
      queue.push(error ?? new KnockError('ERR_FIREWALL_COMMAND', `mock: ${method} failed as it was told to`));
    },
    spend(service, source) {
      const key = keyOf(service, source);
      const found = open.get(key);
      if (found === undefined || found.over) return false;
      found.left -= 1;
      if (found.left <= 0) drop(key);
      return true;
    },
  };
}

/** Refuses what a real driver could not express: an unknown service, or one whose port the grant contradicts. */
function requireService(services: ReadonlyMap<string, Service>, grant: Grant): void {
  const service = services.get(grant.service);
  if (service?.port === grant.port && service.protocol === grant.protocol) return;
  const wanted = `${printable(grant.service)} on ${String(grant.port)}/${grant.protocol}`;
  throw new KnockError('ERR_FIREWALL_UNSUPPORTED', `mock: no such service was set up: ${wanted}`);
}

function keyOf(service: string, source: string): string {
  return `${service} ${source}`;
}
