// A driver without a firewall: it records what it is asked, keeps its openings as a kernel would, and fails when told
// to. For tests, for dry runs and for trying the library without root.

import type { Clock } from '../clock.ts';
import { KnockError } from '../errors.ts';
import { Book } from './book.ts';
import type { FirewallDriver, Grant, Opening, Service } from './driver.ts';
import { requireTarget } from './forward.ts';

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
  /**
   * Plays one new connection from the address `source`: whether it is admitted, by a grant for it or else for a prefix
   * that holds it. The last admitted one of a grant closes it.
   */
  spend(service: string, source: string): boolean;
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
  const book = new Book('mock', options.clock);

  const begin = async (call: MockCall): Promise<void> => {
    calls.push(call);
    // A real driver answers later: whoever forgets to wait must notice.
    await Promise.resolve();
    const failure = failures.get(call.method)?.shift();
    if (failure !== undefined) throw failure;
  };

  return {
    name: 'mock',
    real: false,
    calls,
    get openings() {
      return book.grants({ lingering: false });
    },
    async setup(services) {
      await begin({ method: 'setup', services });
      for (const service of services) requireTarget('mock', service);
      book.setServices(services);
    },
    async open(grant) {
      await begin({ method: 'open', grant });
      book.open(grant);
    },
    async close(grant) {
      await begin({ method: 'close', grant });
      book.close(grant);
    },
    async list(): Promise<readonly Opening[]> {
      await begin({ method: 'list' });
      return book.grants({ lingering: true }).map(({ service, source }) => ({ service, source }));
    },
    async teardown() {
      await begin({ method: 'teardown' });
      book.setServices([]);
    },
    failNext(method, error) {
      const queue = failures.get(method) ?? [];
      failures.set(method, queue);
      queue.push(error ?? new KnockError('ERR_FIREWALL_COMMAND', `mock: ${method} failed as it was told to`));
    },
    spend: (service, source) => book.admit(service, source),
  };
}
