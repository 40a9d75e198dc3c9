// The iptables rules of one service, for iptables-rules.ts: what a packet needs to be let through, and when that spends the
// grant. A local service's packets are decided about on their way in, those of one behind the gateway in
// iptables-forward.ts.

import type { Service } from './driver.ts';
import { isForwarded } from './forward.ts';
import { listGroups, nameOf, type RecentList } from './iptables-lists.ts';
import type { Widths } from './width.ts';

/** What an unauthorised packet to a protected port gets; `return` leaves it to the host's own rules. */
export type Shut = 'drop' | 'return' | { readonly rejectWith: string };

/** What names a port of this host. */
export type Place = Pick<Service, 'protocol' | 'port'>;

export interface ServicePlace {
  readonly family: 4 | 6;
  /** Those of the other family are left out. */
  readonly widths: Widths;
  readonly shut: { readonly tcp: Shut; readonly udp: Shut };
}

export const OPEN = 'PK-OPEN';
export const PENDING = 'PK-PENDING';
export const RESET = 'PK-RESET';
export const ADOPT = 'PK-ADOPT';
export const PENDING_MARK = '0x10000000/0x30000000';
export const NO_MARK = '0x0/0x30000000';
export const OPEN_MARK = '0x20000000/0x30000000';
/** After a reset by the server, conntrack calls a new SYN on the same ports ESTABLISHED: marks never admit a SYN to an open connection. */
export const OPEN_RULES = {
  tcp: `-m connmark --mark ${OPEN_MARK} -p tcp ! --syn -j ACCEPT`,
  udp: `-m connmark --mark ${OPEN_MARK} -j ACCEPT`,
} as const;
const ADOPT_RULE = `-p tcp ! --syn -j ${ADOPT}`;

/** What decides about packets for this host, in the chain of the service. */
export function serviceRules(service: Service, place: ServicePlace): string[] {
  const { protocol } = service;
  const groups = groupsOf(service, place);
  const rules = isForwarded(service)
    ? // Sessions of a local service that had the port before.
      [OPEN_RULES[protocol], ...(protocol === 'tcp' ? [ADOPT_RULE] : [])]
    : protocol === 'tcp'
      ? [OPEN_RULES.tcp, ...tcpRules(service, { groups, reset: RESET, adopt: [ADOPT_RULE] })]
      : [OPEN_RULES.udp, ...udpRules(service, groups)];
  return [...rules, shutRule(place.shut[protocol])];
}

/** The lists of a service, as one family knows them. */
export function groupsOf(
  service: Service,
  { family, widths }: Pick<ServicePlace, 'family' | 'widths'>,
): readonly (readonly RecentList[])[] {
  return listGroups(
    service,
    (widths.get(service.name) ?? []).filter((width) => width.family === family),
  );
}

/** What of a service's packets is let through that is not of an open connection. */
export function tcpRules(
  service: Service,
  {
    groups,
    reset,
    adopt,
  }: {
    readonly groups: readonly (readonly RecentList[])[];
    /** Where one goes that is reset before it was open. */
    readonly reset: string;
    readonly adopt: readonly string[];
  },
): string[] {
  const admits = beginnings(service, groups);
  const fresh = (target: string): string[] =>
    admits.map((gate) => `-p tcp --syn -m conntrack --ctstate NEW ${gate} -j ${target}`);
  if (service.connections === 'unlimited')
    return [...adopt, ...fresh(OPEN), ...admits.map((gate) => `${repeatedSyn(OPEN_MARK)} ${gate} -j ACCEPT`)];
  // ASSURED: conntrack saw this very handshake through. ESTABLISHED alone would do for a blind attacker: his forged
  // SYN makes the real client answer our SYN-ACK with a reset, and after it conntrack lets any acknowledgement pass.
  const completes =
    `-m connmark --mark ${PENDING_MARK} -m conntrack --ctstate ESTABLISHED --ctstatus ASSURED --ctdir ORIGINAL ` +
    '-p tcp --tcp-flags SYN,RST,ACK ACK';
  return [
    `${repeatedSyn(PENDING_MARK)} -j ACCEPT`,
    ...groups.flat().map((list) => `${completes} ${spent(service, list)} -j ${OPEN}`),
    `-m connmark --mark ${PENDING_MARK} -p tcp --tcp-flags RST RST -j ${reset}`,
    `-m connmark --mark ${PENDING_MARK} -p tcp -j REJECT --reject-with tcp-reset`,
    ...adopt,
    ...fresh(PENDING),
  ];
}

/** A SYN sent once more because the first or its answer was lost: the server has not answered, or only with SYN-ACK. */
function repeatedSyn(mark: string): string {
  return `-m connmark --mark ${mark} -p tcp --syn -m conntrack --ctstate NEW,ESTABLISHED`;
}

/** A datagram completes no handshake: the first one spends the grant, and who can spoof the source can spend it too. */
export function udpRules(service: Service, groups: readonly (readonly RecentList[])[]): string[] {
  const takes = service.connections === 'unlimited' ? held : spent;
  return groups.flat().map((list) => `-m conntrack --ctstate NEW ${takes(service, list)} -j ${OPEN}`);
}

/** Whose connections may begin. */
export function beginnings(service: Service, groups: readonly (readonly RecentList[])[]): string[] {
  // Each list admits a datagram; of a TCP service's, the last is the gate.
  const gates = service.protocol === 'udp' ? groups.flat() : groups.flatMap((lists) => lists.slice(-1));
  return gates.map((gate) => held(service, gate));
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
export function chainOf({ protocol, port }: Place): string {
  return `PK-${protocol}-${port}`;
}
