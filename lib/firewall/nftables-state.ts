// What stands in the kernel's nftables, read from `nft -j list ruleset` (libnftables-json(5)) without the elements of
// sets. Only what the driver needs to know; what is of another form than expected is as if it were not there.

import { KnockError } from '../errors.ts';
import { run } from './run.ts';

/** A chain. Those with a hook are called by the kernel, in the order of their priorities. */
export interface NftChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook: string | null;
  readonly priority: number;
  readonly policy: string;
}

export interface NftRule {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly handle: number;
  readonly comment: string;
  /** Statements, as libnftables-json(5) has them. */
  readonly statements: readonly unknown[];
}

export interface NftState {
  readonly chains: readonly NftChain[];
  readonly rules: readonly NftRule[];
  /** Names of the sets of each table (`inet portknock`). */
  readonly sets: ReadonlyMap<string, readonly string[]>;
  /** `inet portknock`. */
  readonly tables: ReadonlySet<string>;
}

/**
 * Reads all tables.
 *
 * @throws KnockError `ERR_FIREWALL_MISSING` when nft is not installed, `ERR_FIREWALL_PERMISSION`, `ERR_FIREWALL_COMMAND`
 */
export async function readNft(): Promise<NftState> {
  return parseState(
    await run('nft', ['-j', '-t', 'list', 'ruleset'], {
      ifMissing: 'install the Debian package nftables',
    }),
  );
}

/** @throws KnockError `ERR_FIREWALL_COMMAND` when it is no JSON */
export function parseState(text: string): NftState {
  const chains: NftChain[] = [];
  const rules: NftRule[] = [];
  const sets = new Map<string, string[]>();
  const tables = new Set<string>();
  for (const item of itemsIn(text)) {
    const [kind = '', body] = Object.entries(recordOf(item))[0] ?? [];
    const fields = recordOf(body);
    const [family, table, name] = [textOf(fields.family), textOf(fields.table), textOf(fields.name)];
    const place = `${family} ${table}`;
    if (kind === 'table') tables.add(`${family} ${name}`);
    if (kind === 'set') sets.set(place, [...(sets.get(place) ?? []), name]);
    if (kind === 'chain') {
      const hook = typeof fields.hook === 'string' ? fields.hook : null;
      chains.push({
        ...{ family, table, name, hook },
        ...{ priority: Number(fields.prio ?? 0), policy: textOf(fields.policy) },
      });
    }
    if (kind === 'rule') {
      const statements = Array.isArray(fields.expr) ? (fields.expr as readonly unknown[]) : [];
      rules.push({
        ...{ family, table, chain: textOf(fields.chain), statements },
        ...{ handle: Number(fields.handle), comment: textOf(fields.comment) },
      });
    }
  }
  return { chains, rules, sets, tables };
}

/** The fields of an object; none of anything else. */
export function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function itemsIn(text: string): readonly unknown[] {
  // Nothing at all is listed as no text.
  if (text.trim() === '') return [];
  try {
    const { nftables } = recordOf(JSON.parse(text));
    return Array.isArray(nftables) ? nftables : [];
  } catch (cause) {
    throw new KnockError(
      'ERR_FIREWALL_COMMAND',
      'nft listed what is no JSON (is it built with JSON support?)',
      {
        cause,
      },
    );
  }
}
