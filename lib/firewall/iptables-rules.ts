// The iptables ruleset as text for iptables-restore. One connection is spent on the packet that completes the
// handshake, never on the SYN: a spoofed SYN cannot burn a grant, a repeated SYN is not refused, and a second
// completion is. Two bits of the connection mark say how far a connection got.
// A TCP service that admits N connections has N+7 rules in its chain, and N+1 more for each prefix length of the family
// that it was ever opened to; one that admits any number has 5 and 2 more; over UDP N+2 and N more.

import type { Service } from './driver.ts';
import { listGroups, nameOf, type RecentList } from './iptables-lists.ts';
import type { LivePeer } from './live-peers.ts';
import type { Widths } from './width.ts';

/** What an unauthorised packet to a protected port gets; `return` leaves it to the host's own rules. */
export type Shut = 'drop' | 'return' | { readonly rejectWith: string };

export const MAIN = 'PORTKNOCK';
/** Every chain of ours, and nobody else's, is called like this. */
export const OURS = /^(?:PORTKNOCK|PK-[A-Za-z0-9-]+)$/u;

/** Says that there was no table before our first rule. */
export const MADE = 'PK-MADE';
const OPEN = 'PK-OPEN';
const PENDING = 'PK-PENDING';
const RESET = 'PK-RESET';
const ADOPT = 'PK-ADOPT';
const PENDING_MARK = '0x10000000/0x30000000';
const NO_MARK = '0x0/0x30000000';
const OPEN_MARK = '0x20000000/0x30000000';
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
}

/** Input for `iptables-restore --noflush`: puts the whole ruleset in place of any earlier one, in one transaction. */
export function setupText(ruleset: Ruleset): string {
  const { services, peers, present, jumps, makesTable, extra } = ruleset;
  const made = makesTable || present.includes(MADE) ? [MADE] : [];
  const chains = [MAIN, OPEN, PENDING, RESET, ADOPT, ...made, ...services.map(chainOf)];
  const stale = present.filter((chain) => !chains.includes(chain));
  return transaction([
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
    ...services.flatMap((service) => serviceRules(service, ruleset)),
    // Loopback is not the outside: whoever is on the host reaches the service anyway.
    `-A ${MAIN} -i lo -j RETURN`,
    ...services.map(
      (service) => `-A ${MAIN} -p ${service.protocol} --dport ${service.port} -j ${chainOf(service)}`,
    ),
    `-I INPUT 1 -j ${MAIN}`,
  ]);
}

/** Input for `iptables-restore --noflush`: removes every rule and chain of ours. */
export function teardownText({ present, jumps }: Pick<Ruleset, 'present' | 'jumps'>): string {
  return transaction([
    ...jumps.map(removeRule),
    ...present.map((chain) => `:${chain} - [0:0]`),
    ...present.map((chain) => `-X ${chain}`),
  ]);
}

function serviceRules(service: Service, { family, widths, shut }: Ruleset): string[] {
  const chain = chainOf(service);
  const groups = listGroups(
    service,
    (widths.get(service.name) ?? []).filter((width) => width.family === family),
  );
  const rules = service.protocol === 'tcp' ? tcpRules(service, groups) : udpRules(service, groups);
  return [...rules, shutRule(shut[service.protocol])].map((rule) => `-A ${chain} ${rule}`);
}

function tcpRules(service: Service, groups: readonly (readonly RecentList[])[]): string[] {
  const admits = groups.flatMap((lists) => lists.slice(-1)).map((gate) => held(service, gate));
  // After a reset by the server, conntrack calls a new SYN on the same ports ESTABLISHED: marks never admit a SYN
  // to an open connection.
  const live = `-m connmark --mark ${OPEN_MARK} -p tcp ! --syn -j ACCEPT`;
  const adopt = `-p tcp ! --syn -j ${ADOPT}`;
  const fresh = (target: string): string[] =>
    admits.map((gate) => `-p tcp --syn -m conntrack --ctstate NEW ${gate} -j ${target}`);
  if (service.connections === 'unlimited')
    return [
      live,
      adopt,
      ...fresh(OPEN),
      ...admits.map((gate) => `${repeatedSyn(OPEN_MARK)} ${gate} -j ACCEPT`),
    ];
  // ASSURED: conntrack saw this very handshake through. ESTABLISHED alone would do for a blind attacker: his forged
  // SYN makes the real client answer our SYN-ACK with a reset, and after it conntrack lets any acknowledgement pass.
  const completes =
    `-m connmark --mark ${PENDING_MARK} -m conntrack --ctstate ESTABLISHED --ctstatus ASSURED --ctdir ORIGINAL ` +
    '-p tcp --tcp-flags SYN,RST,ACK ACK';
  return [
    live,
    `${repeatedSyn(PENDING_MARK)} -j ACCEPT`,
    ...groups.flat().map((list) => `${completes} ${spent(service, list)} -j ${OPEN}`),
    `-m connmark --mark ${PENDING_MARK} -p tcp --tcp-flags RST RST -j ${RESET}`,
    `-m connmark --mark ${PENDING_MARK} -p tcp -j REJECT --reject-with tcp-reset`,
    adopt,
    ...fresh(PENDING),
  ];
}

/** A SYN sent once more because the first or its answer was lost: the server has not answered, or only with SYN-ACK. */
function repeatedSyn(mark: string): string {
  return `-m connmark --mark ${mark} -p tcp --syn -m conntrack --ctstate NEW,ESTABLISHED`;
}

/** A datagram completes no handshake: the first one spends the grant, and who can spoof the source can spend it too. */
function udpRules(service: Service, groups: readonly (readonly RecentList[])[]): string[] {
  const takes = service.connections === 'unlimited' ? held : spent;
  const fresh = groups.flat().map((list) => `-m conntrack --ctstate NEW ${takes(service, list)} -j ${OPEN}`);
  return [`-m connmark --mark ${OPEN_MARK} -j ACCEPT`, ...fresh];
}

/** The source is in the list, and its time is not over. */
function held({ openForMs }: Service, list: RecentList): string {
  return `-m recent ${nameOf(list)} --rcheck --seconds ${Math.ceil(openForMs / 1000)}`;
}

/** And it is taken off: one step under the list's lock, so exactly one of racing packets gets each entry. */
function spent(service: Service, list: RecentList): string {
  return `${held(service, list)} -m recent ${nameOf(list)} --remove`;
}

function shutRule(shut: Shut): string {
  if (shut === 'drop') return '-j DROP';
  if (shut === 'return') return '-j RETURN';
  return shut.rejectWith === 'tcp-reset'
    ? '-p tcp -j REJECT --reject-with tcp-reset'
    : `-j REJECT --reject-with ${shut.rejectWith}`;
}

/** The chain that decides about a service's packets. */
export function chainOf({ protocol, port }: Pick<Service, 'protocol' | 'port'>): string {
  return `PK-${protocol}-${port}`;
}

function removeRule(rule: string): string {
  return rule.replace(/^-A/u, '-D');
}

function transaction(lines: readonly string[]): string {
  return ['*filter', ...lines, 'COMMIT', ''].join('\n');
}
