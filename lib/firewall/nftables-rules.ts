// The nftables ruleset as text for `nft -f -` (firewall.md 4.2). One connection is spent on the packet that completes the
// handshake, never on the SYN: a spoofed SYN cannot burn a grant, a repeated SYN is not refused, and a second completion
// is. Two bits of the connection mark say how far a connection got. That exactly one of racing packets gets a grant's
// last connection is the kernel's limit of one, counted in the element itself.

import type { Service } from './driver.ts';
import type { LivePeer } from './live-peers.ts';
import { forwardingRules, hostForwards } from './nftables-forward.ts';
import {
  chainOf,
  chainsOf,
  MARK_BITS,
  NO_SYN,
  OPEN,
  PENDING,
  serviceRules,
  SYN,
  type Place,
} from './nftables-service.ts';
import { groupsOf, kindsOf, limitOf, setName, type Group, type SetKind } from './nftables-sets.ts';
import type { Widths } from './width.ts';

/** Our table, and nobody else's. */
export const TABLE = 'inet portknock';
/** What our rules in other tables are called. */
export const COMMENT = 'portknock';
/** Kernel sets that grow as packets come have to be limited. */
export const MOST_GRANTS = 65_535;
/** A chain as `family table chain`, in letters that nft and its listings read alike. */
export const CHAIN = /^(?:inet|ip|ip6) [A-Za-z_][\w.-]{0,127} [A-Za-z_][\w.-]{0,127}$/u;
/** Before the chains of the host's own firewall, which are at `filter`. */
export const PRIORITY = -5;

/** What an unauthorised packet to a protected port gets, by family: a statement, or nothing, for the host's own rules. */
export type ShutStatements = Readonly<Record<4 | 6, string>>;

export interface NftRuleset {
  readonly services: readonly Service[];
  readonly widths: Widths;
  /** Connections that were there before the rules, and must live on. */
  readonly peers: readonly LivePeer[];
  readonly shut: { readonly tcp: ShutStatements; readonly udp: ShutStatements };
  /** What stands in our table now; `null`: nothing that is worth keeping. */
  readonly present: { readonly chains: readonly string[]; readonly sets: readonly string[] } | null;
  /** Names of the services whose sets keep their elements. */
  readonly keeps: ReadonlySet<string>;
  /** Ports that were sent on before, whatever they are now: their connections go through our table. */
  readonly former: readonly Place[];
  /** Lines about other tables, for the same transaction. */
  readonly extra: readonly string[];
}

/** The chains that the kernel calls. */
const HOOKS: Readonly<Record<string, string>> = {
  input: `type filter hook input priority ${PRIORITY}; policy accept;`,
  forward: `type filter hook forward priority ${PRIORITY}; policy accept;`,
  // Before the host's own, at -100.
  'send-on': `type nat hook prerouting priority ${PRIORITY - 100}; policy accept;`,
};
const COMMON_CHAINS = ['now-open', 'now-pending', 'now-new', 'adopt', 'shut-tcp', 'shut-udp'];

/** Input for `nft -f -`: puts the whole ruleset in place of any earlier one, in one transaction. */
export function tableText(ruleset: NftRuleset): string {
  const { services, widths, peers, shut, present, keeps, extra } = ruleset;
  const groups = services.flatMap((service) => groupsOf(service, widths));
  const sets = new Map(groups.flatMap((group) => declarations(group)));
  const forwarding = forwardingRules(ruleset);
  const chains = [...COMMON_CHAINS, ...services.flatMap(chainsOf), ...forwarding.chains];
  const kept = new Set(
    groups
      .filter(({ service }) => keeps.has(service.name))
      .flatMap((group) => kindsOf(group.service).map((kind) => setName(group, kind)))
      .filter((name) => present?.sets.includes(name) === true),
  );
  const add = (chain: string, rules: readonly string[]): string[] =>
    rules.map((rule) => `add rule ${TABLE} ${chain} ${rule}`);
  return [
    `add table ${TABLE}`,
    ...(present === null
      ? [`delete table ${TABLE}`, `add table ${TABLE}`]
      : [
          `flush table ${TABLE}`,
          ...present.sets.filter((name) => !kept.has(name)).map((name) => `delete set ${TABLE} ${name}`),
          ...present.chains
            .filter((name) => ![...chains, ...Object.keys(HOOKS)].includes(name))
            .map((name) => `delete chain ${TABLE} ${name}`),
        ]),
    ...[...sets].flatMap(([name, body]) => (kept.has(name) ? [] : [`add set ${TABLE} ${name} { ${body} }`])),
    ...([4, 6] as const).map(
      (family) =>
        `add set ${TABLE} adopt-v${family} { type ipv${family}_addr . inet_service . inet_service; }`,
    ),
    ...[...new Set(peers.map(adopted))],
    ...['input', ...forwarding.bases].map((chain) => `add chain ${TABLE} ${chain} { ${HOOKS[chain]} }`),
    ...chains.map((chain) => `add chain ${TABLE} ${chain}`),
    ...add('now-open', [`ct mark set ct mark & 0xcfffffff ^ ${OPEN} accept`]),
    ...add('now-pending', [`ct mark set ct mark & 0xcfffffff ^ ${PENDING} accept`]),
    ...add('now-new', ['ct mark set ct mark & 0xcfffffff accept']),
    ...add('adopt', [
      'ip saddr . tcp sport . tcp dport @adopt-v4 goto now-open',
      'ip6 saddr . tcp sport . tcp dport @adopt-v6 goto now-open',
    ]),
    ...(['tcp', 'udp'] as const).flatMap((protocol) => add(`shut-${protocol}`, shutRules(shut[protocol]))),
    ...services.flatMap((service) =>
      Object.entries(serviceRules(service, groupsOf(service, widths))).flatMap(([chain, rules]) =>
        add(chain, rules),
      ),
    ),
    ...Object.entries(forwarding.rules).flatMap(([chain, rules]) => add(chain, rules)),
    // Loopback is not the outside: whoever is on the host reaches the service anyway.
    ...add('input', ['iif lo accept', ...dispatch(services, 'tcp'), ...dispatch(services, 'udp')]),
    ...extra,
    '',
  ].join('\n');
}

/** Rules for a chain of the host that would drop what our table let through: they admit nothing that it did not mark. */
export function hostRules(chain: string, services: readonly Service[]): readonly string[] {
  const rules = (['tcp', 'udp'] as const).flatMap((protocol) => {
    const ports = services.filter((service) => service.protocol === protocol).map(({ port }) => port);
    if (ports.length === 0) return [];
    const to = `${protocol} dport { ${ports.join(', ')} }`;
    if (protocol === 'udp') return [`${to} ${MARK_BITS} == ${OPEN}`];
    return [
      `${to} ${SYN} ct state new,established ${MARK_BITS} == ${PENDING}`,
      `${to} ${NO_SYN} ${MARK_BITS} == ${OPEN}`,
    ];
  });
  return rules.map((rule) => guestRule(chain, rule));
}

/** The same for a chain that packets for other hosts go through. */
export function hostForwardRules(chain: string, services: readonly Service[]): readonly string[] {
  return hostForwards(services).map((rule) => guestRule(chain, rule));
}

function guestRule(chain: string, condition: string): string {
  return `insert rule ${chain} ${condition} accept comment "${COMMENT}"`;
}

function declarations(group: Group): (readonly [name: string, body: string])[] {
  const type = `type ipv${group.family}_addr; size ${MOST_GRANTS}; flags dynamic,timeout;`;
  const counts = (kind: SetKind): boolean => kind === 'left' || kind === 'more';
  return kindsOf(group.service).map((kind) => [
    setName(group, kind),
    counts(kind) ? `${type} ${limitOf(1)};` : type,
  ]);
}

function adopted({ family, address, port, localPort }: LivePeer): string {
  return `add element ${TABLE} adopt-v${family} { ${address} . ${port} . ${localPort} }`;
}

function shutRules(shut: ShutStatements): string[] {
  if (shut[4] === shut[6]) return shut[4] === '' ? [] : [shut[4]];
  return ([4, 6] as const).flatMap((family) =>
    shut[family] === '' ? [] : [`meta nfproto ipv${family} ${shut[family]}`],
  );
}

function dispatch(services: readonly Service[], protocol: 'tcp' | 'udp'): string[] {
  const ports = services.filter((service) => service.protocol === protocol);
  if (ports.length === 0) return [];
  const verdicts = ports.map((service) => `${service.port} : goto ${chainOf(service)}`);
  return [`${protocol} dport vmap { ${verdicts.join(', ')} }`];
}
