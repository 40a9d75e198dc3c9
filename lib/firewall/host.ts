// Which firewalls rule this host, and what that means for a driver with a table of its own: an accept there does not
// override a drop elsewhere, so what the host drops stays shut also for those with a grant. (firewall.md 4.4)

import { KnockError } from '../errors.ts';
import type { Service, Target } from './driver.ts';
import { closedPortLooks, readAllFilters, type FilterState, type Tables } from './iptables-host.ts';
import { TABLE, type ShutStatements } from './nftables-rules.ts';
import { readNft, type NftChain, type NftState } from './nftables-state.ts';
import { outcomeOf, type Outcome, type Probe, type Verdict } from './nftables-verdict.ts';

/** Programs and kernel interfaces that can rule a host. */
export type FirewallKind = 'iptables-legacy' | 'iptables-nft' | 'nftables' | 'ufw' | 'firewalld';

/** Packets for this host, or those on their way to others. */
export type HostHook = 'input' | 'forward';

/** A chain that packets go through. */
export interface HostFirewall {
  readonly kind: FirewallKind;
  /** In words. */
  readonly where: string;
  /** `inet filter input`, for a chain of nftables; `null` for one of iptables. */
  readonly chain: string | null;
  readonly families: readonly (4 | 6)[];
  /** When it is asked: the lower, the earlier. */
  readonly priority: number;
  /** What it does with the first packet of a connection. */
  readonly outcome: (probe: Probe) => Outcome;
}

/**
 * Every chain of the host that decides about packets of each kind, in the order in which they are asked; ours left out.
 *
 * @throws KnockError `ERR_FIREWALL_*`
 */
export async function findFirewalls(): Promise<Readonly<Record<HostHook, readonly HostFirewall[]>>> {
  const state = await readNft().catch((error: unknown) => {
    if (error instanceof KnockError && error.code === 'ERR_FIREWALL_MISSING') return null;
    throw error;
  });
  const filters = await readAllFilters();
  return { input: firewallsIn(state, filters), forward: firewallsIn(state, filters, 'forward') };
}

/** The same, from what was read. */
export function firewallsIn(
  state: NftState | null,
  filters: readonly (readonly [Tables, FilterState])[],
  hook: HostHook = 'input',
): readonly HostFirewall[] {
  const native = (state?.chains ?? []).filter((chain) => chain.hook === hook && !isOurs(chain));
  const viaIptables = filters.filter(([, filter]) => holdsAnything(filter, hook));
  return [
    ...native.filter((chain) => !isOfIptables(chain)).map((chain) => nativeFirewall(state, chain)),
    ...viaIptables.map(([tables, filter]) => iptablesFirewall(tables, filter)),
  ].sort((one, other) => one.priority - other.priority);
}

/** What a closed port of this host answers to a packet: the first firewall that ends it, or else the kernel. */
export function closedPorts(firewalls: readonly HostFirewall[], protocol: 'tcp' | 'udp'): ShutStatements {
  const statement = (family: 4 | 6): string => {
    const probe: Probe = { protocol, family, port: null };
    const verdicts = firewalls
      .filter(({ families }) => families.includes(family))
      .map(({ outcome }) => outcome(probe).verdict ?? 'accept');
    const verdict: Verdict = verdicts.find((one) => one !== 'accept') ?? 'accept';
    return verdict === 'accept' ? kernelAnswer(protocol) : verdict;
  };
  return { 4: statement(4), 6: statement(6) };
}

/** What a kernel answers where nothing listens. */
export function kernelAnswer(
  protocol: 'tcp' | 'udp',
): 'reject with tcp reset' | 'reject with icmpx type port-unreachable' {
  return protocol === 'tcp' ? 'reject with tcp reset' : 'reject with icmpx type port-unreachable';
}

/**
 * One line for each firewall that would stop those who have a grant.
 *
 * @param chain - where our rules are inserted, so that it does not
 */
export function hostWarnings(
  firewalls: readonly HostFirewall[],
  { services, chain }: { readonly services: readonly Service[]; readonly chain: string | null },
): readonly string[] {
  return firewalls.flatMap((firewall) => {
    if (isPassed(firewall, firewalls, chain)) return [];
    const stopped = services.filter(({ protocol, port }) =>
      firewall.families.every((family) => stops(firewall.outcome({ protocol, family, port }))),
    );
    if (stopped.length === 0) return [];
    const ports = stopped.map(({ protocol, port }) => `${port}/${protocol}`);
    return [
      `${firewall.where} does not let ${ports.join(', ')} through, also with a grant: a table of ours can only close ` +
        `what the host's own firewall leaves open (${adviceOf(firewall, stopped)})`,
    ];
  });
}

/** Whether our rules in `chain` let through there; which chain calls one without a hook is not looked at. */
export function isPassed(
  { chain: own }: HostFirewall,
  firewalls: readonly HostFirewall[],
  chain: string | null,
): boolean {
  if (own === null || chain === null || own === chain) return own !== null && own === chain;
  const tableOf = (place: string): string => place.split(' ', 2).join(' ');
  return !firewalls.some((one) => one.chain === chain) && tableOf(own) === tableOf(chain);
}

function adviceOf({ kind, chain }: HostFirewall, [first]: readonly Service[]): string {
  const port = `${first?.port ?? 0}/${first?.protocol ?? 'tcp'}`;
  switch (kind) {
    case 'ufw':
      return `ufw allow ${port}: our table comes before it and keeps the port closed; or use the iptables driver`;
    case 'firewalld':
      return `firewall-cmd --permanent --add-port=${port}: our table comes before it and keeps the port closed`;
    case 'iptables-legacy':
    case 'iptables-nft':
      return 'use the iptables driver, or accept the port in INPUT: our table comes before it and keeps it closed';
    case 'nftables':
      return `say chain: '${chain ?? ''}', or accept the port there: our table comes before it and keeps it closed`;
  }
}

/** Nothing gets through. */
export function stops({ verdict, mayAccept }: Outcome): boolean {
  return verdict !== 'accept' && !mayAccept;
}

function nativeFirewall(state: NftState | null, chain: NftChain): HostFirewall {
  const { family, table, name, priority } = chain;
  const firewalld = table === 'firewalld';
  const place = `${family} ${table} ${name}`;
  return {
    kind: firewalld ? 'firewalld' : 'nftables',
    where: firewalld ? 'firewalld' : `nftables (chain ${place})`,
    chain: place,
    families: family === 'inet' ? [4, 6] : family === 'ip6' ? [6] : family === 'ip' ? [4] : [],
    priority,
    outcome: (probe) =>
      state === null ? { verdict: 'accept', mayAccept: false } : outcomeOf(state, chain, probe),
  };
}

function iptablesFirewall({ backend, family }: Tables, { text }: FilterState): HostFirewall {
  const kind: FirewallKind = /^:ufw6?-/mu.test(text)
    ? 'ufw'
    : /^:(?:INPUT_ZONES|IN_public) /mu.test(text)
      ? 'firewalld'
      : `iptables-${backend}`;
  const version = family === 6 ? ' for IPv6' : '';
  return {
    kind,
    where: (kind === `iptables-${backend}` ? kind : `${kind} (iptables-${backend})`) + version,
    chain: null,
    families: [family],
    priority: 0,
    outcome: (probe) =>
      probe.to === undefined ? iptablesOutcome(text, probe) : forwardOutcome(text, probe.to, probe),
  };
}

function iptablesOutcome(text: string, { protocol, family, port }: Probe): Outcome {
  const looks = closedPortLooks(text, protocol);
  // It cannot tell an accepting chain from one that rejects as the kernel does.
  const kernel = protocol === 'tcp' ? 'tcp-reset' : 'port-unreach';
  if (looks === 'return' || (looks !== 'drop' && looks.rejectWith === kernel)) {
    return { verdict: 'accept', mayAccept: true };
  }
  const verdict = looks === 'drop' ? 'drop' : rejection(looks.rejectWith, family);
  return { verdict, mayAccept: port !== null && namesPort(text, { protocol, port }) };
}

/** A rule that accepts and names where the packet goes, or that its destination was changed, may be for it. */
function forwardOutcome(text: string, { host, port }: Target, { protocol, family }: Probe): Outcome {
  const looks = closedPortLooks(text, protocol, 'FORWARD');
  // Where the chain accepts what comes to its end, this says what the kernel says of a closed port.
  const kernel = protocol === 'tcp' ? 'tcp-reset' : 'port-unreach';
  const accepts = looks !== 'drop' && looks !== 'return' && looks.rejectWith === kernel;
  const named = text.split('\n').some((line) => {
    if (!/^-A (?!INPUT |OUTPUT ).* -j ACCEPT\b/u.test(line)) return false;
    return (
      / --ct\w+ (?:\w+,)*DNAT\b/u.test(line) ||
      [` -d ${host}`, ` --dport ${port} `].some((part) => line.includes(part))
    );
  });
  if (accepts) return { verdict: 'accept', mayAccept: true };
  const verdict = looks === 'drop' || looks === 'return' ? 'drop' : rejection(looks.rejectWith, family);
  return { verdict, mayAccept: named };
}

/** Whether a rule that does not drop names the port; where it stands and what else it asks is not looked at. */
function namesPort(
  text: string,
  { protocol, port }: { readonly protocol: string; readonly port: number },
): boolean {
  return text.split('\n').some((line) => {
    if (!line.includes(`-p ${protocol} `) || / -j (?:DROP|REJECT|LOG)\b/u.test(line)) return false;
    const list = / --dports? (\S+)/u.exec(line)?.[1] ?? '';
    return list.split(',').some((one) => {
      const [least = '', most = least] = one.split(':');
      return least !== '' && port >= Number(least) && port <= Number(most);
    });
  });
}

/** The names of iptables' extension REJECT, as nft has them. */
function rejection(type: string, family: 4 | 6): Verdict {
  if (type === 'tcp-reset') return 'reject with tcp reset';
  const name = type
    .replace(/^icmp6?-/u, '')
    .replace(/^adm-/u, 'admin-')
    .replace(/^proto-/u, 'prot-')
    .replace(/-unreach$/u, '-unreachable');
  const known = family === 4 ? V4_REASONS : V6_REASONS;
  return `reject with ${family === 4 ? 'icmp' : 'icmpv6'} type ${known.includes(name) ? name : 'port-unreachable'}`;
}

const V4_REASONS: readonly string[] = [
  ...['net-unreachable', 'host-unreachable', 'prot-unreachable', 'port-unreachable'],
  ...['net-prohibited', 'host-prohibited', 'admin-prohibited'],
];
const V6_REASONS: readonly string[] = [
  'no-route',
  'admin-prohibited',
  'addr-unreachable',
  'port-unreachable',
];

function isOurs({ family, table }: NftChain): boolean {
  return `${family} ${table}` === TABLE;
}

/** Chains that the iptables programs keep in nftables have their names from iptables. */
function isOfIptables({ family, table, name }: NftChain): boolean {
  return (
    (family === 'ip' || family === 'ip6') &&
    /^(?:filter|mangle|raw|security|nat)$/u.test(table) &&
    (name === 'INPUT' || name === 'FORWARD')
  );
}

function holdsAnything({ text }: FilterState, hook: HostHook): boolean {
  return (hook === 'input' ? /^-A INPUT |^:INPUT (?!ACCEPT)/mu : /^-A FORWARD |^:FORWARD (?!ACCEPT)/mu).test(
    text,
  );
}
