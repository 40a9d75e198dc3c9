// A guard with a mock firewall: services, clients, and a grant that is right in every way.

import { parsePrefix } from '../../lib/address.ts';
import type { Grant, Service } from '../../lib/firewall/driver.ts';
import { mock, type MockDriver } from '../../lib/firewall/mock.ts';
import { Guard } from '../../lib/privilege/guard.ts';
import type { GuardRules } from '../../lib/privilege/rules.ts';
import type { CaptureNeed } from '../../lib/scheme/scheme.ts';
import { virtualClock, type VirtualClock } from '../../lib/testing/clock.ts';

export const service = (name: string, port: number, more: Partial<Service> = {}): Service => ({
  ...{ name, port, protocol: 'tcp', openForMs: 30_000, connections: 1 },
  ...more,
});

export const need = (port: number): CaptureNeed => ({ protocol: 'tcp-syn', ports: [port, port] });

export const RULES: GuardRules = {
  services: [
    service('ssh', 22),
    service('admin', 8443, { connections: 'unlimited' }),
    service('nas', 2222, { to: { host: '10.0.0.5', port: 22 } }),
    service('nas6', 2223, { to: { host: 'fd00::5', port: 22 } }),
  ],
  clients: [
    { name: 'alice', services: ['ssh', 'nas', 'nas6'], bind: 'prefix', widestPrefix: [24, 56] },
    { name: 'bob', services: ['admin'], bind: 'exact' },
    { name: 'late', services: ['ssh'], expiresAt: 0 },
    { name: 'near', services: ['ssh'], bind: 'prefix', from: ['192.0.2.128/25', 'fd00:1::/48'] },
    { name: 'fwk', services: ['ssh'], bind: 'exact', from: ['192.0.2.0/24'] },
  ],
  elsewhere: new Map([['fwk', [parsePrefix('198.51.100.0/24')].flatMap((one) => one ?? [])]]),
  source: { loopback: false, checksDestination: true },
  needs: [need(7000)],
  mark: () => Promise.resolve(),
};

export const grantAt = (nowMs: number, changes: Partial<Grant> = {}): Grant => ({
  ...{ id: 'a1', client: 'alice', source: '192.0.2.7', service: 'ssh', protocol: 'tcp', port: 22 },
  ...{ connections: 1, openUntil: nowMs + 30_000 },
  ...changes,
});

export interface GuardBench {
  readonly clock: VirtualClock;
  readonly driver: MockDriver;
  readonly guard: Guard;
  readonly refused: string[];
  /** What the next reload reads. */
  next: GuardRules;
}

export function guardBench(device: string | null = 'eth0', ends = true): GuardBench {
  const clock = virtualClock(1_700_000_000_000);
  const driver = mock({ clock });
  const refused: string[] = [];
  const own = ends ? driver : Object.assign(Object.create(driver) as MockDriver, { endsByItself: false });
  const bench: GuardBench = {
    ...{ clock, driver, refused, next: RULES },
    guard: new Guard({
      first: { driver: own, device, rules: RULES },
      reload: () => Promise.resolve({ next: bench.next, told: 'files' }),
      clock,
      warning: () => undefined,
      refused: (why) => refused.push(why),
    }),
  };
  return bench;
}
