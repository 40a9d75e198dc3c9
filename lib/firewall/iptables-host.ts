// What the host has: which iptables back-end rules it, which programs that means, and what its closed ports look like.

import { existsSync, readFileSync } from 'node:fs';
import { KnockError } from '../errors.ts';
import { OURS } from './iptables-rules.ts';
import type { Shut } from './iptables-service.ts';
import { run } from './run.ts';

/** Which kernel interface the iptables programs speak. */
export type Backend = 'legacy' | 'nft';

/** One family's programs, as one back-end names them. */
export interface Tables {
  readonly family: 4 | 6;
  readonly backend: Backend;
  readonly save: string;
  readonly restore: string;
}

/** What stands in a table. */
export interface FilterState {
  /** Chains of ours. */
  readonly present: readonly string[];
  /** Rules of other chains that jump to ours. */
  readonly jumps: readonly string[];
  /** The table as iptables-save prints it. */
  readonly text: string;
}

/** How long a change waits for a program that holds the lock of the tables (of the legacy back-end: the other has none). */
export interface Patience {
  readonly lockSeconds: number;
  readonly warning: (message: string) => void;
}

/** After this long the operator is told what is waited for. */
const SLOW_MS = 2000;
/** For the change itself. */
const CHANGE_MS = 10_000;

/** Programs for every address family that the host speaks. */
export function tablesOf(backend: Backend): readonly Tables[] {
  const families: (4 | 6)[] = existsSync('/proc/sys/net/ipv6') ? [4, 6] : [4];
  return families.map((family) => {
    const name = family === 4 ? 'iptables' : 'ip6tables';
    return { family, backend, save: `${name}-${backend}-save`, restore: `${name}-${backend}-restore` };
  });
}

/**
 * The back-end whose rules decide on this host: the one that `iptables` means, unless only the other holds rules.
 *
 * @throws KnockError `ERR_FIREWALL_MISSING` when iptables is not installed
 */
export async function findBackend(warning: (message: string) => void): Promise<Backend> {
  const version = await run('iptables', ['-V']);
  const usual: Backend = version.includes('nf_tables') ? 'nft' : 'legacy';
  const other: Backend = usual === 'nft' ? 'legacy' : 'nft';
  const filters = await readAllFilters();
  const holds = (backend: Backend): boolean =>
    filters.some(([tables, state]) => tables.backend === backend && holdsRules(state));
  if (!holds(other)) return usual;
  if (!holds(usual)) return other;
  warning(
    `both iptables-legacy and iptables-nft hold rules; using ${usual}, and a port that the other drops stays shut ` +
      '(keep the rules of one, or say firewall_backend)',
  );
  return usual;
}

/** Whether a back-end may hold anything: asking the legacy programs would create their tables. */
function isInUse(backend: Backend): boolean {
  if (backend === 'nft') return true;
  return ['ip_tables_names', 'ip6_tables_names'].some((name) => {
    try {
      return readFileSync(`/proc/net/${name}`, 'latin1').split('\n').includes('filter');
    } catch {
      return false;
    }
  });
}

/**
 * A liberal conntrack takes an acknowledgement of anything for the end of a handshake, and a handshake's end spends a
 * grant: whoever forges the client's address could use it up (never use it). `null`: it is strict.
 */
export function trackingWarning(): string | null {
  try {
    if (readFileSync('/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal', 'latin1').trim() !== '1')
      return null;
  } catch {
    return null;
  }
  return (
    'nf_conntrack_tcp_be_liberal is 1: forged packets can use up openings ' +
    '(sysctl net.netfilter.nf_conntrack_tcp_be_liberal=0)'
  );
}

/** Every filter table that exists, of both back-ends. */
export async function readAllFilters(): Promise<readonly (readonly [Tables, FilterState])[]> {
  const found: [Tables, FilterState][] = [];
  for (const tables of (['nft', 'legacy'] as const).filter(isInUse).flatMap(tablesOf)) {
    try {
      found.push([tables, await readFilter(tables)]);
    } catch (error) {
      // A back-end that is not installed holds nothing.
      if (!(error instanceof KnockError) || error.code !== 'ERR_FIREWALL_MISSING') throw error;
    }
  }
  return found;
}

/** Reads a table. */
export async function readFilter(tables: Tables, table: 'filter' | 'nat' = 'filter'): Promise<FilterState> {
  const text = await run(tables.save, ['-t', table]);
  const lines = text.split('\n');
  const chains = lines.flatMap((line) => /^:(\S+) /u.exec(line)?.[1] ?? []);
  const jumps = lines.filter((line) => {
    const [, chain = '', target = ''] = /^-A (\S+) (?:.* )?-[jg] (\S+)/u.exec(line) ?? [];
    return OURS.test(target) && !OURS.test(chain);
  });
  return { present: chains.filter((chain) => OURS.test(chain)), jumps, text };
}

/**
 * Changes a filter table in one transaction.
 *
 * @throws KnockError `ERR_FIREWALL_*`
 */
export async function changeFilter(
  { backend, restore }: Tables,
  text: string,
  { lockSeconds, warning }: Patience,
): Promise<void> {
  const waits = `${restore} waits for another program that holds the lock of the tables, at most ${lockSeconds} s`;
  const slow = setTimeout(() => {
    if (backend === 'legacy') warning(waits);
  }, SLOW_MS);
  try {
    const timeoutMs = lockSeconds * 1000 + CHANGE_MS;
    await run(restore, ['--noflush', '-w', String(lockSeconds)], { input: text, timeoutMs });
  } catch (error) {
    if (!(error instanceof KnockError) || !/xtables[. ]lock/u.test(error.message)) throw error;
    throw new KnockError(
      'ERR_FIREWALL_COMMAND',
      `${restore} failed: another program holds the lock of the tables for more than ${lockSeconds} s (try again when it is done)`,
      { cause: error },
    );
  } finally {
    clearTimeout(slow);
  }
}

/**
 * What happens on this host to a packet for a port that nothing listens on and no rule names: the first rule for
 * everything of its protocol that ends in a verdict, or else the chain's policy.
 */
export function closedPortLooks(text: string, protocol: 'tcp' | 'udp', chain = 'INPUT'): Shut {
  const verdict = walk(text.split('\n'), chain, protocol, 0);
  if (verdict === 'ACCEPT') return { rejectWith: protocol === 'tcp' ? 'tcp-reset' : 'port-unreach' };
  if (verdict === null || verdict === 'DROP') return 'drop';
  return { rejectWith: verdict };
}

/** Conditions that a packet to a closed port of this host, the first of its connection, meets anyway. */
const ALWAYS_MET =
  / -m (?:comment --comment (?:"(?:[^"\\]|\\.)*"|\S+)|addrtype --dst-type LOCAL|(?:conntrack --ctstate|state --state) (?:[A-Z]+,)*NEW(?:,[A-Z]+)*)(?= )/gu;

/** ACCEPT, DROP, the type of a REJECT, or null when the chain returns. */
function walk(lines: readonly string[], chain: string, protocol: string, depth: number): string | null {
  const all = new RegExp(
    `^-A ${escapeRegExp(chain)}(?: -p ${protocol})?(?: -m ${protocol})? -([jg]) (\\S+)(?: --reject-with (\\S+))?\\s*$`,
    'u',
  );
  for (const line of lines) {
    const [, jump = '', target = '', type = ''] = all.exec(line.replace(ALWAYS_MET, '')) ?? [];
    if (target === '' || OURS.test(target)) continue;
    if (target === 'ACCEPT' || target === 'DROP') return target;
    if (target === 'REJECT') return type === '' ? 'port-unreach' : type;
    if (target === 'RETURN') break;
    if (depth === 16 || !lines.some((other) => other.startsWith(`:${target} `))) continue;
    const inner = walk(lines, target, protocol, depth + 1);
    if (inner !== null) return inner;
    // A chain that was gone to returns to where this one would.
    if (jump === 'g') break;
  }
  const policy = lines.find((line) => line.startsWith(`:${chain} `))?.split(' ')[1] ?? 'ACCEPT';
  return policy === '-' ? null : policy;
}

function holdsRules({ text, jumps }: FilterState): boolean {
  const rules = text.split('\n').filter((line) => line.startsWith('-A INPUT ') && !jumps.includes(line));
  return rules.length > 0 || /^:INPUT (?!ACCEPT)/mu.test(text);
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/gu, '\\$&');
}
