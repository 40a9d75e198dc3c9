// The nftables ruleset as text for `nft -f -` (firewall.md 4.2). One connection is spent on the packet that completes the
// handshake, never on the SYN: a spoofed SYN cannot burn a grant, a repeated SYN is not refused, and a second completion
// is. Two bits of the connection mark say how far a connection got. That exactly one of racing packets gets a grant's
// last connection is the kernel's limit of one, counted in the element itself.

import { formatMask } from '../address.ts';
import type { Service } from './driver.ts';
import type { LivePeer } from './live-peers.ts';
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
  /** Lines about other tables, for the same transaction. */
  readonly extra: readonly string[];
}

const PENDING = '0x10000000';
const OPEN = '0x20000000';
const MARK_BITS = 'ct mark & 0x30000000';
const SYN = 'tcp flags & (fin | syn | rst | ack) == syn';
const NO_SYN = 'tcp flags & (fin | syn | rst | ack) != syn';
/** A spent grant is remembered until it has left `list()`. */
const SPENT_GRACE_MS = 2000;
const COMMON_CHAINS = ['now-open', 'now-pending', 'now-new', 'adopt', 'shut-tcp', 'shut-udp'];

/** Input for `nft -f -`: puts the whole ruleset in place of any earlier one, in one transaction. */
export function tableText(ruleset: NftRuleset): string {
  const { services, widths, peers, shut, present, keeps, extra } = ruleset;
  const groups = services.flatMap((service) => groupsOf(service, widths));
  const sets = new Map(groups.flatMap((group) => declarations(group)));
  const chains = [...COMMON_CHAINS, ...services.flatMap(chainsOf)];
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
            .filter((name) => name !== 'input' && !chains.includes(name))
            .map((name) => `delete chain ${TABLE} ${name}`),
        ]),
    ...[...sets].flatMap(([name, body]) => (kept.has(name) ? [] : [`add set ${TABLE} ${name} { ${body} }`])),
    ...([4, 6] as const).map(
      (family) =>
        `add set ${TABLE} adopt-v${family} { type ipv${family}_addr . inet_service . inet_service; }`,
    ),
    ...[...new Set(peers.map(adopted))],
    `add chain ${TABLE} input { type filter hook input priority ${PRIORITY}; policy accept; }`,
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
  return rules.map((rule) => `insert rule ${chain} ${rule} accept comment "${COMMENT}"`);
}

function serviceRules(
  service: Service,
  groups: readonly Group[],
): Readonly<Record<string, readonly string[]>> {
  const name = chainOf(service);
  if (service.protocol === 'udp') return { [name]: [...udpRules(groups), 'goto shut-udp'] };
  return {
    [name]: [
      // After a reset by the server, conntrack calls a new SYN on the same ports ESTABLISHED: a mark never admits a SYN
      // to an open connection.
      `${NO_SYN} ${MARK_BITS} == ${OPEN} accept`,
      `${MARK_BITS} == ${PENDING} goto ${pendingOf(service)}`,
      `${NO_SYN} jump adopt`,
      ...groups.map((group) => `${SYN} ct state new ${mayBegin(group)} goto now-pending`),
      'goto shut-tcp',
    ],
    [pendingOf(service)]: [
      ...repeatedSyns(service, groups),
      ...completions(service, groups),
      'tcp flags & rst == rst goto now-new',
      'reject with tcp reset',
    ],
  };
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
  return [`${MARK_BITS} == ${OPEN} accept`, ...fresh.map((rule) => `ct state new ${rule} goto now-open`)];
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

function chainsOf(service: Service): readonly string[] {
  return service.protocol === 'tcp' ? [chainOf(service), pendingOf(service)] : [chainOf(service)];
}

/** The chain that decides about a service's packets. */
export function chainOf({ protocol, port }: Pick<Service, 'protocol' | 'port'>): string {
  return `${protocol}-${port}`;
}

function pendingOf(service: Service): string {
  return `${chainOf(service)}-pending`;
}
