// The part of the iptables ruleset that sends connections on to where services live, behind the gateway: in `nat`, which
// first packets get another destination; in `filter`, the way through this host that only their flows have, decided about
// as for a local service. A packet that is neither marked nor sent on by us is none of our business.

import type { Service } from './driver.ts';
import { familyOf, formatTarget, isForwarded, type Forwarded } from './forward.ts';
import { beginnings, groupsOf, OPEN_RULES, tcpRules, udpRules, type Place } from './iptables-service.ts';
import type { Widths } from './width.ts';

/** What stands in the table `nat`. */
export interface NatState {
  /** Chains of ours. */
  readonly present: readonly string[];
  /** Rules of other chains that jump to ours. */
  readonly jumps: readonly string[];
  /** There is no table yet. */
  readonly makesTable: boolean;
  /** There is no chain PREROUTING yet. */
  readonly makesBase: boolean;
}

interface Forwarding {
  readonly family: 4 | 6;
  readonly services: readonly Service[];
  readonly widths: Widths;
  readonly former: readonly Place[];
  readonly present: readonly string[];
  readonly makesForward: boolean;
  readonly nat: NatState;
}

/** Says that there was no table, or no such chain of the kernel's, before our first rule. */
export const MADE = 'PK-MADE';
export const MADE_BASE = 'PK-MADE-BASE';
export const FORWARD = 'PK-FORWARD';
const SEND_ON = 'PK-SEND-ON';
const SENT_ON = 'PK-SENT-ON';
/** Its address was changed and nothing else is decided, or it was reset before it was open. */
const SENT_ON_MARK = '0x30000000/0x30000000';
const FORWARD_CHAIN = /^PK-F-(tcp|udp)-(\d+)$/u;
const NOTHING: { readonly chains: readonly string[]; readonly rules: readonly string[] } = {
  chains: [],
  rules: [],
};

/** Chains and rules for `filter`; of a host where nothing is, or was, sent on, none. */
export function forwardLines(forwarding: Forwarding): typeof NOTHING {
  const { family, former, present, makesForward } = forwarding;
  const forwarded = forwardedIn(forwarding);
  const gone = former.filter((place) => !forwarded.some((one) => forwardOf(one) === forwardOf(place)));
  const places = [...forwarded, ...gone];
  if (places.length === 0) return NOTHING;
  const made = makesForward || present.includes(MADE_BASE) ? [MADE_BASE] : [];
  return {
    chains: [FORWARD, SENT_ON, ...made, ...places.map(forwardOf)],
    rules: [
      ...markRules(SENT_ON, 'ACCEPT'),
      ...forwarded.flatMap((service) => chainRules(forwardOf(service), wayOf(service, forwarding))),
      ...gone.flatMap((place) => chainRules(forwardOf(place), formerWay(place, family))),
      ...places.map(
        (place) =>
          `-A ${FORWARD} -m connmark ! --mark 0x0/0x30000000 -m conntrack --ctstate DNAT ` +
          `--ctproto ${place.protocol === 'tcp' ? 6 : 17} --ctorigdstport ${place.port} -j ${forwardOf(place)}`,
      ),
      `-I FORWARD 1 -j ${FORWARD}`,
    ],
  };
}

/** What is in `nat`: nothing, unless something is sent on, or was: its connections need the table. */
export function natLines(forwarding: Forwarding): readonly string[] {
  const { nat } = forwarding;
  const forwarded = forwardedIn(forwarding);
  if (forwarded.length === 0 && nat.present.length === 0 && nat.jumps.length === 0) return [];
  const made = [
    ...(nat.makesTable || nat.present.includes(MADE) ? [MADE] : []),
    ...(nat.makesBase || nat.present.includes(MADE_BASE) ? [MADE_BASE] : []),
  ];
  const chains = [SEND_ON, ...made, ...forwarded.map(sendOnOf)];
  const stale = nat.present.filter((chain) => !chains.includes(chain));
  return [
    ...nat.jumps.map((rule) => rule.replace(/^-A/u, '-D')),
    ...[...stale, ...chains].map((chain) => `:${chain} - [0:0]`),
    ...stale.map((chain) => `-X ${chain}`),
    ...forwarded.flatMap((service) => [
      ...markRules(sendOnOf(service), null),
      `-A ${sendOnOf(service)} -p ${service.protocol} -j DNAT --to-destination ${formatTarget(service.to)}`,
    ]),
    ...forwarded.flatMap((service) =>
      beginnings(service, groupsOf(service, forwarding)).map(
        (gate) => `-A ${SEND_ON} ${firstPacket(service)} ${gate} -j ${sendOnOf(service)}`,
      ),
    ),
    `-I PREROUTING 1 -j ${SEND_ON}`,
  ];
}

/** Ports that are sent on by chains of ours in `filter`. */
export function formerIn(present: readonly string[]): readonly Place[] {
  return present.flatMap((chain) => {
    const [, protocol = '', port = ''] = FORWARD_CHAIN.exec(chain) ?? [];
    return protocol === 'tcp' || protocol === 'udp' ? [{ protocol, port: Number(port) }] : [];
  });
}

/** Whether a family has something to send on. */
export function sendsOn(services: readonly Service[], family: 4 | 6): boolean {
  return services.some((service) => isForwarded(service) && familyOf(service) === family);
}

function forwardedIn({ services, family }: Pick<Forwarding, 'services' | 'family'>): readonly Forwarded[] {
  return services.filter(isForwarded).filter((service) => familyOf(service) === family);
}

/** `nat` sees nothing but the first packet of a flow. */
function firstPacket({ protocol, port }: Place): string {
  const syn = protocol === 'tcp' ? ' --syn' : '';
  return `-p ${protocol} --dport ${port}${syn} -m addrtype --dst-type LOCAL`;
}

function wayOf(service: Forwarded, forwarding: Forwarding): readonly string[] {
  const { protocol, to } = service;
  const groups = groupsOf(service, forwarding);
  const end = endOf(protocol);
  return [
    ...passing(forwarding.family),
    OPEN_RULES[protocol],
    // One that was begun when the service was elsewhere.
    `-p ${protocol} ! -d ${to.host} ${end}`,
    `-p ${protocol} ! --dport ${to.port} ${end}`,
    ...(protocol === 'tcp'
      ? tcpRules(service, { groups, reset: SENT_ON, adopt: [] })
      : udpRules(service, groups)),
    `-p ${protocol} ${end}`,
  ];
}

/** What is left of a service that was forwarded before: its connections live on, and no new one comes through. */
function formerWay({ protocol }: Place, family: 4 | 6): readonly string[] {
  return [...passing(family), OPEN_RULES[protocol], `-p ${protocol} ${endOf(protocol)}`];
}

/** Answers, and what routers on the way say about a connection, as that a packet is too big. */
function passing(family: 4 | 6): readonly string[] {
  return [
    '-m conntrack --ctdir REPLY -j ACCEPT',
    `-p ${family === 4 ? 'icmp' : 'ipv6-icmp'} -m conntrack --ctstate RELATED -j ACCEPT`,
  ];
}

/** Strangers never come here, so that it need not look like a closed port. */
function endOf(protocol: 'tcp' | 'udp'): string {
  return protocol === 'tcp' ? '-j REJECT --reject-with tcp-reset' : '-j DROP';
}

function markRules(chain: string, end: 'ACCEPT' | null): readonly string[] {
  return chainRules(chain, [
    `-j CONNMARK --set-mark ${SENT_ON_MARK}`,
    ...(end === null ? [] : [`-j ${end}`]),
  ]);
}

function chainRules(chain: string, rules: readonly string[]): readonly string[] {
  return rules.map((rule) => `-A ${chain} ${rule}`);
}

function forwardOf({ protocol, port }: Place): string {
  return `PK-F-${protocol}-${port}`;
}

function sendOnOf({ protocol, port }: Place): string {
  return `PK-S-${protocol}-${port}`;
}
