// The rules of one service, for nftables-rules.ts: what a packet needs to be let through, and when that spends the grant.
// A local service's packets are decided about on their way in, one behind the gateway on their way through.

import { formatMask } from '../address.ts';
import type { Service } from './driver.ts';
import { familyOf, formatTarget, isForwarded, type Forwarded } from './forward.ts';
import { setName, type Group } from './nftables-sets.ts';

/** What names a port of this host. */
export type Place = Pick<Service, 'protocol' | 'port'>;

export const PENDING = '0x10000000';
export const OPEN = '0x20000000';
/** Its address was changed and nothing else is decided, or it was reset before it was open. */
export const SENT_ON = '0x30000000';
export const MARK_BITS = 'ct mark & 0x30000000';
export const SYN = 'tcp flags & (fin | syn | rst | ack) == syn';
export const NO_SYN = 'tcp flags & (fin | syn | rst | ack) != syn';
const OPEN_CONNECTION = `${NO_SYN} ${MARK_BITS} == ${OPEN} accept`;
const OPEN_FLOW = `${MARK_BITS} == ${OPEN} accept`;
const REPLIES = 'ct direction reply accept';
/** A spent grant is remembered until it has left `list()`. */
const SPENT_GRACE_MS = 2000;

/** What decides about a service's packets, by chain. */
export function serviceRules(
  service: Service,
  groups: readonly Group[],
): Readonly<Record<string, readonly string[]>> {
  const name = chainOf(service);
  if (isForwarded(service)) return forwardedRules(service, groups);
  if (service.protocol === 'udp') return { [name]: [OPEN_FLOW, ...udpRules(groups), 'goto shut-udp'] };
  return {
    [name]: [
      // After a reset by the server, conntrack calls a new SYN on the same ports ESTABLISHED: a mark never admits a SYN
      // to an open connection.
      OPEN_CONNECTION,
      `${MARK_BITS} == ${PENDING} goto ${pendingOf(service)}`,
      `${NO_SYN} jump adopt`,
      ...groups.map((group) => `${SYN} ct state new ${mayBegin(group)} goto now-pending`),
      'goto shut-tcp',
    ],
    [pendingOf(service)]: pendingRules(service, { groups, reset: 'now-new' }),
  };
}

/**
 * The source with a grant is sent on by a rule that only the first packet of a flow comes by, and the flow is marked; its
 * packets never come by `input` again. What decides about a local service's packets decides about these in `forward`.
 */
function forwardedRules(service: Forwarded, groups: readonly Group[]): ReturnType<typeof serviceRules> {
  const { protocol, to } = service;
  const ip = familyOf(service) === 6 ? 'ip6' : 'ip';
  const marks = `ct mark set ct mark & 0xcfffffff ^ ${SENT_ON}`;
  const sends = [`meta l4proto ${protocol} ${marks} dnat ${ip} to ${formatTarget(to)}`];
  const dnat = { [sendOnOf(service)]: sends };
  if (protocol === 'udp') {
    return {
      [chainOf(service)]: [OPEN_FLOW, 'goto shut-udp'],
      ...dnat,
      // Where the service was before, nothing begins: what comes here as new was sent on a moment ago.
      [forwardOf(service)]: [REPLIES, OPEN_FLOW, ...udpRules(groups), 'drop'],
    };
  }
  return {
    // Sessions of a local service that had the port before.
    [chainOf(service)]: [OPEN_CONNECTION, `${NO_SYN} jump adopt`, 'goto shut-tcp'],
    ...dnat,
    [forwardOf(service)]: [
      REPLIES,
      OPEN_CONNECTION,
      // One that was begun when the service was elsewhere.
      `${ip} daddr . tcp dport != { ${to.host} . ${to.port} } reject with tcp reset`,
      `${MARK_BITS} == ${PENDING} goto ${pendingOf(service)}`,
      ...groups.map((group) => `${SYN} ct state new ${mayBegin(group)} goto now-pending`),
      'reject with tcp reset',
    ],
    [pendingOf(service)]: pendingRules(service, { groups, reset: 'now-sent-on' }),
  };
}

/** What is left of a service that was forwarded before: its connections live on, and no new one comes through. */
export function formerRules(former: Place): readonly string[] {
  return former.protocol === 'udp'
    ? [REPLIES, OPEN_FLOW, 'drop']
    : [REPLIES, OPEN_CONNECTION, 'reject with tcp reset'];
}

/** Which first packets are sent on, for a chain that sees nothing else of a flow. */
export function sendOnRules(service: Forwarded, groups: readonly Group[]): readonly string[] {
  const { protocol, port } = service;
  const first = `fib daddr type local ${protocol} dport ${port}${protocol === 'tcp' ? ` ${SYN}` : ''}`;
  return groups.map((group) => `${first} ${mayBegin(group)} goto ${sendOnOf(service)}`);
}

function pendingRules(
  service: Service,
  { groups, reset }: { readonly groups: readonly Group[]; readonly reset: string },
): readonly string[] {
  return [
    ...repeatedSyns(service, groups),
    ...completions(service, groups),
    `tcp flags & rst == rst goto ${reset}`,
    'reject with tcp reset',
  ];
}

/** A SYN sent once more because the first or its answer was lost. Where nothing is counted later, it counts as a first. */
function repeatedSyns({ connections }: Service, groups: readonly Group[]): string[] {
  const gates = connections === 'unlimited' ? groups.map((group) => `${mayBegin(group)} `) : [''];
  return gates.map((gate) => `${SYN} ct state new,established ${gate}accept`);
}

/**
 * ASSURED: conntrack saw this very handshake through. ESTABLISHED alone would do for a blind attacker: his forged SYN
 * makes the real client answer our SYN-ACK with a reset, and after it conntrack lets any acknowledgement pass.
 */
function completions(service: Service, groups: readonly Group[]): string[] {
  const completes =
    'tcp flags & (syn | rst | ack) == ack ct state established ct status assured ct direction original';
  if (service.connections === 'unlimited') return [`${completes} goto now-open`];
  return groups.flatMap((group) => spends(group).map((spend) => `${completes} ${spend} goto now-open`));
}

/** A datagram completes no handshake: the first one spends the grant, and who can spoof the source can spend it too. */
function udpRules(groups: readonly Group[]): string[] {
  const fresh = groups.flatMap((group) =>
    group.service.connections === 'unlimited'
      ? [mayBegin(group)]
      : spends(group).map((spend) => `${mayBegin(group)} ${spend}`),
  );
  return fresh.map((rule) => `ct state new ${rule} goto now-open`);
}

function mayBegin(group: Group): string {
  const source = sourceOf(group);
  const gate = `${source} @${setName(group, 'gate')}`;
  return group.service.connections === 'unlimited'
    ? gate
    : `${gate} ${source} != @${setName(group, 'spent')}`;
}

/** Looking an element up counts in it: exactly as many look-ups match as its limit says. */
function spends(group: Group): string[] {
  const source = sourceOf(group);
  const seconds = Math.ceil((group.service.openForMs + SPENT_GRACE_MS) / 1000);
  const last = `${source} @${setName(group, 'left')} add @${setName(group, 'spent')} { ${source} timeout ${seconds}s }`;
  return group.service.connections === 1 ? [last] : [`${source} @${setName(group, 'more')}`, last];
}

function sourceOf({ family, width }: Group): string {
  const source = family === 4 ? 'ip saddr' : 'ip6 saddr';
  return width === null ? source : `${source} & ${formatMask(width)}`;
}

/** The chains that a service has. */
export function chainsOf(service: Service): readonly string[] {
  const own = service.protocol === 'tcp' ? [chainOf(service), pendingOf(service)] : [chainOf(service)];
  return isForwarded(service) ? [...own, sendOnOf(service), forwardOf(service)] : own;
}

/** The chain that decides about a service's packets. */
export function chainOf({ protocol, port }: Place): string {
  return `${protocol}-${port}`;
}

function pendingOf(service: Service): string {
  return `${chainOf(service)}-pending`;
}

/** The chain that decides about packets of a service that are on their way to where it lives. */
export function forwardOf(place: Place): string {
  return `${chainOf(place)}-forward`;
}

function sendOnOf(place: Place): string {
  return `${chainOf(place)}-send-on`;
}
