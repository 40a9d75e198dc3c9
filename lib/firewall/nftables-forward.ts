// The part of the nftables ruleset that sends connections on to where services live, behind the gateway: which first
// packets get another destination, and the way through this host that only their flows have. A packet that is neither
// marked nor sent on by us is none of our business.

import type { Service } from './driver.ts';
import { isForwarded } from './forward.ts';
import {
  formerRules,
  forwardOf,
  MARK_BITS,
  NO_SYN,
  OPEN,
  PENDING,
  sendOnRules,
  SENT_ON,
  SYN,
  type Place,
} from './nftables-service.ts';
import { groupsOf } from './nftables-sets.ts';
import type { Widths } from './width.ts';

/** More of the table. */
export interface ForwardingRules {
  /** Chains that the kernel calls, as nftables-rules.ts describes them. */
  readonly bases: readonly string[];
  readonly chains: readonly string[];
  readonly rules: Readonly<Record<string, readonly string[]>>;
}

const FORWARD_CHAIN = /^(tcp|udp)-(\d+)-forward$/u;

/** The rules of a host where services are, or were, sent on; of another, none. */
export function forwardingRules({
  services,
  widths,
  former,
}: {
  readonly services: readonly Service[];
  readonly widths: Widths;
  readonly former: readonly Place[];
}): ForwardingRules {
  const forwarded = services.filter(isForwarded);
  const gone = former.filter((place) => !forwarded.some((one) => forwardOf(one) === forwardOf(place)));
  const places = [...forwarded, ...gone];
  if (places.length === 0) return { bases: [], chains: [], rules: {} };
  return {
    bases: ['forward', 'send-on'],
    chains: ['now-sent-on', ...gone.map(forwardOf)],
    rules: {
      'now-sent-on': [`ct mark set ct mark & 0xcfffffff ^ ${SENT_ON} accept`],
      ...Object.fromEntries(gone.map((place) => [forwardOf(place), formerRules(place)])),
      'send-on': forwarded.flatMap((service) => sendOnRules(service, groupsOf(service, widths))),
      forward: (['tcp', 'udp'] as const).flatMap((protocol) => dispatch(places, protocol)),
    },
  };
}

/** Ports that are sent on by the chains of a table of ours. */
export function formerIn(chains: readonly string[]): readonly Place[] {
  return chains.flatMap((chain) => {
    const [, protocol = '', port = ''] = FORWARD_CHAIN.exec(chain) ?? [];
    return protocol === 'tcp' || protocol === 'udp' ? [{ protocol, port: Number(port) }] : [];
  });
}

/** What a chain of the host is to accept that would drop what our table lets through on its way to where services live. */
export function hostForwards(services: readonly Service[]): readonly string[] {
  const rules = (['tcp', 'udp'] as const).flatMap((protocol) => {
    const ports = services.filter(isForwarded).filter((service) => service.protocol === protocol);
    if (ports.length === 0) return [];
    const flow = `${flowOf(protocol)} proto-dst { ${ports.map(({ port }) => port).join(', ')} }`;
    const open = `${MARK_BITS} == ${OPEN}`;
    const ways =
      protocol === 'udp'
        ? [open]
        : [`${SYN} ct state new,established ${MARK_BITS} == ${PENDING}`, `${NO_SYN} ${open}`];
    return ['ct direction reply', ...ways].map((rule) => `${flow} ${rule}`);
  });
  // What routers on the way say about a connection, as that a packet is too big.
  const said = `meta l4proto { icmp, ipv6-icmp } ct state related ct status dnat ${MARK_BITS} == ${OPEN}`;
  return rules.length === 0 ? [] : [...rules, said];
}

function dispatch(places: readonly Place[], protocol: 'tcp' | 'udp'): string[] {
  const verdicts = places
    .filter((place) => place.protocol === protocol)
    .map((place) => `${place.port} : goto ${forwardOf(place)}`);
  return verdicts.length === 0 ? [] : [`${flowOf(protocol)} proto-dst vmap { ${verdicts.join(', ')} }`];
}

/** What we sent on and marked, by the port that was asked for. */
function flowOf(protocol: 'tcp' | 'udp'): string {
  return `meta l4proto ${protocol} ct status dnat ${MARK_BITS} != 0x0 ct original`;
}
