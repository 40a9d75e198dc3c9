// What the host's own firewalls make of connections that were sent on to where a service lives: a table of ours can only
// let through what they leave open.

import type { Service } from './driver.ts';
import { familyOf, formatTarget, isForwarded, type Forwarded } from './forward.ts';
import { isPassed, stops, type HostFirewall } from './host.ts';

/**
 * One line for each firewall that would stop those who have a grant on their way.
 *
 * @param chain - where our rules for them are inserted, so that it does not
 */
export function forwardWarnings(
  firewalls: readonly HostFirewall[],
  { services, chain }: { readonly services: readonly Service[]; readonly chain: string | null },
): readonly string[] {
  return firewalls.flatMap((firewall) => {
    if (isPassed(firewall, firewalls, chain)) return [];
    const [first, ...more] = services.filter(isForwarded).filter((service) => isStopped(service, firewall));
    if (first === undefined) return [];
    const names = [first, ...more].map(({ name, to }) => `${name} at ${formatTarget(to)}`);
    return [
      `${firewall.where} does not let connections on to ${names.join(', ')}, also with a grant: a table of ours can only ` +
        `close what the host's own firewall leaves open (${adviceOf(firewall, first)})`,
    ];
  });
}

function isStopped(service: Forwarded, { families, outcome }: HostFirewall): boolean {
  const { protocol, to } = service;
  const family = familyOf(service) ?? 4;
  return families.includes(family) && stops(outcome({ protocol, family, port: to.port, to }));
}

function adviceOf({ kind, chain }: HostFirewall, { protocol, to }: Forwarded): string {
  switch (kind) {
    case 'ufw':
      return `ufw route allow proto ${protocol} to ${to.host} port ${to.port}; or use the iptables driver`;
    case 'firewalld':
      return 'let it forward to that zone: firewall-cmd --permanent --add-forward';
    case 'iptables-legacy':
    case 'iptables-nft':
      return 'use the iptables driver, or accept it in FORWARD';
    case 'nftables':
      return `say forward_chain: '${chain ?? ''}', or accept it there`;
  }
}
