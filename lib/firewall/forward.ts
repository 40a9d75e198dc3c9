// Services that live behind the gateway: which of a grant's sources can get there, and what of this host keeps
// connections from them. Forwarding is the host's own business: what is missing is said, and nothing of it is changed.

import { readdirSync, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import type { Prefix } from '../address.ts';
import { KnockError, printable } from '../errors.ts';
import { isTarget, type Service, type Target } from './driver.ts';

/** A service that lives behind the gateway. */
export type Forwarded = Service & { readonly to: Target };

export function isForwarded(service: Service): service is Forwarded {
  return service.to !== undefined;
}

/** The family of the connections that get to a service; `null`: both. */
export function familyOf({ to }: { readonly to?: Target }): 4 | 6 | null {
  if (to === undefined) return null;
  return to.host.includes(':') ? 6 : 4;
}

/** `10.0.0.5:22`, `[fd00::5]:22`. */
export function formatTarget({ host, port }: Target): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether connections of the source's family get where the service is. */
export function getsTo(service: Service, { address: { family } }: Prefix): boolean {
  return (familyOf(service) ?? family) === family;
}

/** @throws KnockError `ERR_FIREWALL_UNSUPPORTED` for a source that does not get there */
export function requireFamily(driver: string, service: Service, source: Prefix): void {
  const { name, to } = service;
  if (to === undefined || getsTo(service, source)) return;
  const { family } = source.address;
  const other = family === 4 ? 6 : 4;
  throw new KnockError(
    'ERR_FIREWALL_UNSUPPORTED',
    `${driver}: service ${name} is at ${formatTarget(to)}, where IPv${family} does not get (knock over IPv${other})`,
  );
}

/** @throws KnockError `ERR_FIREWALL_UNSUPPORTED` for a service that packets cannot be sent on to */
export function requireTarget(driver: string, { name, to }: Service): void {
  if (to === undefined) return;
  if (!isTarget(to))
    throw new KnockError(
      'ERR_FIREWALL_UNSUPPORTED',
      `${driver}: service ${name}: to must be a unicast address and a port, got '${printable(JSON.stringify(to))}'`,
    );
  const own = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  if (own.some(({ address }) => address === to.host))
    throw new KnockError(
      'ERR_FIREWALL_UNSUPPORTED',
      `${driver}: service ${name}: ${to.host} is an address of this host (leave to out: the service is not behind it)`,
    );
}

/** For a driver that sends nothing on. @throws KnockError `ERR_FIREWALL_UNSUPPORTED` */
export function refuseTargets(driver: string, services: readonly Service[]): void {
  const service = services.find(isForwarded);
  if (service === undefined) return;
  throw new KnockError(
    'ERR_FIREWALL_UNSUPPORTED',
    `${driver}: service ${service.name}: connections cannot be sent on to ${formatTarget(service.to)} ` +
      '(use the iptables or the nftables driver)',
  );
}

/** One line for each family that this host does not forward, though a service needs it. */
export function forwardingWarnings(services: readonly Service[], forwards = forwardsFamily): string[] {
  return ([4, 6] as const).flatMap((family) => {
    const [first] = services.filter(isForwarded).filter((service) => familyOf(service) === family);
    if (first === undefined || forwards(family)) return [];
    const [key, more] =
      family === 4
        ? ['net.ipv4.ip_forward', '']
        : ['net.ipv6.conf.all.forwarding', '; where addresses come by router advertisement, accept_ra=2 too'];
    return [
      `${key} is 0: nothing gets through to service ${first.name} at ${formatTarget(first.to)}, also with a grant ` +
        `(sysctl -w ${key}=1, and put it into /etc/sysctl.d${more})`,
    ];
  });
}

/** IPv4 can be forwarded from single interfaces. */
function forwardsFamily(family: 4 | 6): boolean {
  const folder = `/proc/sys/net/ipv${family}/conf`;
  const isOn = (name: string): boolean => {
    try {
      return readFileSync(`${folder}/${name}/forwarding`, 'latin1').trim() !== '0';
    } catch {
      return false;
    }
  };
  if (family === 6) return isOn('all');
  try {
    return readdirSync(folder).some((name) => name !== 'lo' && name !== 'default' && isOn(name));
  } catch {
    // Without /proc nothing can be told.
    return true;
  }
}
