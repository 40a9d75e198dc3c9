// What every firewall driver must do, as cases for any test runner. Only what the contract of firewall/driver.ts says;
// where connections can be tried or time can pass, the cases that need it are added.

import type { FirewallDriver, Grant, Service } from '../firewall/driver.ts';
import type { ConformanceCase } from './case.ts';
import { connectionCases, contractCases, expiryCases, type DriverCase } from './driver-cases.ts';

/** {@link driverConformance}'s options; `D` is the driver's own type. */
export interface DriverSuiteOptions<D extends FirewallDriver> {
  /** A driver that was not set up, on a firewall without rules of ours. */
  readonly make: () => Promise<D>;
  /** Called after each case, torn down or not. */
  readonly dispose?: (driver: D) => Promise<void>;
  /** Tries one new connection from `source` and tells whether it was admitted. */
  readonly admits?: (driver: D, service: Service, source: string) => Promise<boolean>;
  /** Lets `ms` milliseconds pass for this driver. */
  readonly elapse?: (driver: D, ms: number) => Promise<void>;
  /** The wall clock, for `openUntil`; the host's unless given. */
  readonly now?: () => number;
  /** What to protect, at least two services; by default TCP ports 22 and 8443 and UDP port 5353. */
  readonly services?: readonly Service[];
  /** Two sources, by default one of IPv4 and one of IPv6. */
  readonly sources?: readonly [string, string];
}

const OPEN_FOR_MS = 3000;
const SERVICES: readonly Service[] = [
  { name: 'ssh', protocol: 'tcp', port: 22, openForMs: OPEN_FOR_MS, connections: 1 },
  { name: 'admin', protocol: 'tcp', port: 8443, openForMs: OPEN_FOR_MS, connections: 'unlimited' },
  { name: 'tunnel', protocol: 'udp', port: 5353, openForMs: OPEN_FOR_MS, connections: 'unlimited' },
];
const SOURCES = ['192.0.2.7', '2001:db8::7'] as const;
/**
 * The cases that a {@link FirewallDriver} must pass.
 * @example
 * for (const { title, run } of driverConformance({ make: async () => mock() })) it(title, run);
 */
export function driverConformance<D extends FirewallDriver>(
  options: DriverSuiteOptions<D>,
): ConformanceCase[] {
  const cases = [...contractCases<D>(), ...connectionCases(options), ...expiryCases(options)];
  return cases.map(({ title, body }) => ({ title, run: () => withBench(options, body) }));
}

async function withBench<D extends FirewallDriver>(
  options: DriverSuiteOptions<D>,
  body: DriverCase<D>['body'],
): Promise<void> {
  const services = options.services ?? SERVICES;
  const [first, second] = services;
  if (first === undefined || second === undefined) throw new RangeError('services must be at least two');
  const [here, there] = options.sources ?? SOURCES;
  const driver = await options.make();
  let count = 0;
  const grant = (service: Service, source: string): Grant => {
    const { name, protocol, port, connections, openForMs } = service;
    const openUntil = (options.now?.() ?? Date.now()) + openForMs;
    count += 1;
    return {
      id: `g${String(count)}`,
      client: 'alice',
      source,
      service: name,
      protocol,
      port,
      openUntil,
      connections,
    };
  };
  const setup = (): Promise<void> => driver.setup(services, { warning: () => undefined });
  try {
    await body({ driver, services, first, second, here, there, setup, grant });
  } finally {
    await driver.teardown();
    await options.dispose?.(driver);
  }
}
