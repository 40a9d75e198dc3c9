// What every firewall driver must do, as cases for any test runner. Only what the contract of firewall/driver.ts says;
// where connections can be tried or time can pass, the cases that need it are added.

import { formatPrefix, parseAddress, parsePrefix, prefixContains } from '../address.ts';
import type { FirewallDriver, Grant, Service, Target } from '../firewall/driver.ts';
import type { ConformanceCase } from './case.ts';
import { againCases } from './driver-again-cases.ts';
import type { DriverCase } from './driver-bench.ts';
import { connectionCases, contractCases, expiryCases } from './driver-cases.ts';
import { forwardCases, NAS } from './driver-forward-cases.ts';
import { noPrefixCases, prefixCases } from './driver-prefix-cases.ts';

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
  /**
   * What to protect, at least two services; by default TCP ports 22 and 8443 and UDP port 5353. Where a case does not wait
   * for their end, they are open for a minute at least.
   */
  readonly services?: readonly Service[];
  /** Two sources, by default one of IPv4 and one of IPv6. */
  readonly sources?: readonly [string, string];
  /**
   * Prefixes in canonical text, the first around the first source and without the second, and the other way round; by
   * default the /24 and the /56 around them. `false`: the driver cannot open to a prefix, and must say so.
   */
  readonly prefixes?: readonly [string, string] | false;
  /** A service that the driver must refuse at set-up, where there is one. */
  readonly refused?: Service;
  /**
   * A service behind the gateway, of the first source's family; by default one at 198.51.100.5. `false`: the driver
   * cannot send connections on, and must say so at set-up.
   */
  readonly forwarded?: (Service & { readonly to: Target }) | false;
}

const OPEN_FOR_MS = 3000;
const LONG_MS = 60_000;
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
  const { forwarded = NAS } = options;
  const cases = [
    ...contractCases<D>(),
    ...connectionCases(options),
    ...expiryCases(options),
    ...(options.prefixes === false ? noPrefixCases<D>() : prefixCases(options)),
    ...againCases(options),
    ...forwardCases({ ...options, forwarded: forwarded && openForLong(forwarded) }),
  ];
  return cases.map(({ title, body, isTimed = false }) => {
    const services = options.services ?? SERVICES;
    const fitting = isTimed ? services : services.map(openForLong);
    return { title, run: () => withBench({ ...options, services: fitting }, body) };
  });
}

function openForLong<S extends Service>(service: S): S {
  return { ...service, openForMs: Math.max(service.openForMs, LONG_MS) };
}

async function withBench<D extends FirewallDriver>(
  options: DriverSuiteOptions<D>,
  body: DriverCase<D>['body'],
): Promise<void> {
  const services = options.services ?? SERVICES;
  const [first, second] = services;
  if (first === undefined || second === undefined) throw new RangeError('services must be at least two');
  const [here, there] = options.sources ?? SOURCES;
  const around = aroundOf([here, there], options.prefixes);
  const driver = await options.make();
  let count = 0;
  const grant = (service: Service, source: string): Grant => {
    const { name, protocol, port, connections, openForMs, to } = service;
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
      ...(to === undefined ? {} : { to }),
    };
  };
  const isOver = (grants: readonly Grant[]): boolean =>
    grants.some(({ openUntil }) => openUntil <= (options.now?.() ?? Date.now()));
  const setup = (wanted = services): Promise<void> => driver.setup(wanted, { warning: () => undefined });
  try {
    await body({ driver, services, first, second, here, there, around, setup, grant, isOver });
  } finally {
    await driver.teardown();
    await options.dispose?.(driver);
  }
}

function aroundOf(
  [here, there]: readonly [string, string],
  prefixes: readonly [string, string] | false | undefined,
): readonly [string, string] | null {
  if (prefixes === false) return null;
  const around = prefixes ?? ([wide(here), wide(there)] as const);
  if (
    holds(around[0], here) &&
    holds(around[1], there) &&
    !holds(around[0], there) &&
    !holds(around[1], here)
  )
    return around;
  throw new RangeError('prefixes must hold one source each and not the other (say which, or false)');
}

function wide(source: string): string {
  const address = parseAddress(source);
  return address === null ? source : formatPrefix({ address, length: address.family === 4 ? 24 : 56 });
}

function holds(prefix: string, source: string): boolean {
  const [outer, address] = [parsePrefix(prefix), parseAddress(source)];
  return outer !== null && address !== null && prefixContains(outer, address);
}
