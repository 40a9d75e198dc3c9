// The iptables ruleset as text for iptables-restore. One connection is spent on the packet that completes the
// handshake, never on the SYN: a spoofed SYN cannot burn a grant, a repeated SYN is not refused, and a second
// completion is. Two bits of the connection mark say how far a connection got.
// A TCP service that admits N connections has N+7 rules in its chain, and N+1 more for each prefix length of the family
// that it was ever opened to; one that admits any number has 5 and 2 more; over UDP N+2 and N more.

import type { Service } from './driver.ts';
import { forwardLines, MADE, natLines, type NatState } from './iptables-forward.ts';
import {
  ADOPT,
  chainOf,
  NO_MARK,
  OPEN,
  OPEN_MARK,
  PENDING,
  PENDING_MARK,
  RESET,
  serviceRules,
  type Place,
  type Shut,
} from './iptables-service.ts';
import type { LivePeer } from './live-peers.ts';
import type { Widths } from './width.ts';

export const MAIN = 'PORTKNOCK';
/** Every chain of ours, and nobody else's, is called like this. */
export const OURS = /^(?:PORTKNOCK|PK-[A-Za-z0-9-]+)$/u;

/** One list, and some rules, per connection that a knock admits. */
export const MOST_CONNECTIONS = 16;

export interface Ruleset {
  readonly family: 4 | 6;
  readonly services: readonly Service[];
  /** Those of the other family are left out. */
  readonly widths: Widths;
  /** Connections that were there before the rules, and must live on. */
  readonly peers: readonly LivePeer[];
  readonly shut: { readonly tcp: Shut; readonly udp: Shut };
  /** Chains of ours that stand in the kernel now. */
  readonly present: readonly string[];
  /** Rules of other chains that jump to ours, as iptables-save prints them. */
  readonly jumps: readonly string[];
  /** There is no table yet. */
  readonly makesTable: boolean;
  /** More lines for the transaction, with chains of their own. */
  readonly extra: readonly string[];
  /** Ports that were sent on before, whatever they are now: their connections go through our rules. */
  readonly former: readonly Place[];
  /** There is no chain FORWARD yet. */
  readonly makesForward: boolean;
  readonly nat: NatState;
}

/** Input for `iptables-restore --noflush`: puts the whole ruleset in place of any earlier one, in one transaction. */
export function setupText(ruleset: Ruleset): string {
  const { services, peers, present, jumps, makesTable, extra } = ruleset;
  const made = makesTable || present.includes(MADE) ? [MADE] : [];
  const forward = forwardLines(ruleset);
  const chains = [MAIN, OPEN, PENDING, RESET, ADOPT, ...made, ...services.map(chainOf), ...forward.chains];
  const stale = present.filter((chain) => !chains.includes(chain));
  const filter = transaction('filter', [
    ...jumps.map(removeRule),
    ...[...stale, ...chains].map((chain) => `:${chain} - [0:0]`),
    ...stale.map((chain) => `-X ${chain}`),
    ...extra,
    `-A ${OPEN} -j CONNMARK --set-mark ${OPEN_MARK}`,
    `-A ${OPEN} -j ACCEPT`,
    `-A ${PENDING} -j CONNMARK --set-mark ${PENDING_MARK}`,
    `-A ${PENDING} -j ACCEPT`,
    `-A ${RESET} -j CONNMARK --set-mark ${NO_MARK}`,
    `-A ${RESET} -j ACCEPT`,
    ...peers.map(
      (peer) =>
        `-A ${ADOPT} -p tcp -s ${peer.address} --sport ${peer.port} --dport ${peer.localPort} -j ${OPEN}`,
    ),
    ...services.flatMap((service) =>
      serviceRules(service, ruleset).map((rule) => `-A ${chainOf(service)} ${rule}`),
    ),
    // Loopback is not the outside: whoever is on the host reaches the service anyway.
    `-A ${MAIN} -i lo -j RETURN`,
    ...services.map(
      (service) => `-A ${MAIN} -p ${service.protocol} --dport ${service.port} -j ${chainOf(service)}`,
    ),
    ...forward.rules,
    `-I INPUT 1 -j ${MAIN}`,
  ]);
  const nat = natLines(ruleset);
  // First the ports are closed and the ways through decided about, then packets are sent there.
  return nat.length === 0 ? filter : filter + transaction('nat', nat);
}

/** Input for `iptables-restore --noflush`: removes every rule and chain of ours. */
export function teardownText(
  filter: Pick<Ruleset, 'present' | 'jumps'>,
  nat: Pick<Ruleset, 'present' | 'jumps'>,
): string {
  const text = (table: 'nat' | 'filter', { present, jumps }: typeof filter): string =>
    present.length === 0 && jumps.length === 0
      ? ''
      : transaction(table, [
          ...jumps.map(removeRule),
          ...present.map((chain) => `:${chain} - [0:0]`),
          ...present.map((chain) => `-X ${chain}`),
        ]);
  // Nothing is sent on to a way through that nobody decides about.
  return text('nat', nat) + text('filter', filter);
}

function removeRule(rule: string): string {
  return rule.replace(/^-A/u, '-D');
}

function transaction(table: 'filter' | 'nat', lines: readonly string[]): string {
  return [`*${table}`, ...lines, 'COMMIT', ''].join('\n');
}
