// Tables and chains of the kernel's that are there because of us, and what stands of ours in `nat`: only the nft back-end
// makes them when a first rule needs them, and only we know then that nobody else did.

import type { Service } from './driver.ts';
import { FORWARD, MADE, MADE_BASE, sendsOn, type NatState } from './iptables-forward.ts';
import { changeFilter, readFilter, type FilterState, type Patience, type Tables } from './iptables-host.ts';
import { teardownText } from './iptables-rules.ts';
import { attempt, run } from './run.ts';

type Table = 'filter' | 'nat';

/** What a first rule of ours would make. */
export interface Makes {
  readonly makesTable: boolean;
  readonly makesForward: boolean;
  readonly nat: NatState;
}

const CHAINS = {
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
  nat: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
} as const;
const NONE: FilterState = { present: [], jumps: [], text: '' };

/** What would be made now for `services`, where `filter` is as it is. */
export async function makesOf(
  tables: Tables,
  { filter, services }: { readonly filter: FilterState; readonly services: readonly Service[] },
): Promise<Makes> {
  const isNeeded = sendsOn(services, tables.family);
  const { present, jumps } = await natOf(tables, filter, isNeeded);
  const isKnown = filter.present.length > 0 && !isNeeded;
  const there = isKnown ? new Set(['filter', 'nat']) : await tablesIn(tables);
  const bases = isNeeded ? await basesOf(tables) : null;
  const makes = (base: string): boolean => bases !== null && !bases.has(base);
  return {
    makesTable: filter.present.length === 0 && !there.has('filter'),
    makesForward: makes('filter FORWARD'),
    nat: {
      ...{ present, jumps },
      makesTable: present.length === 0 && !there.has('nat'),
      makesBase: makes('nat PREROUTING'),
    },
  };
}

/** Removes every rule of ours from the tables of a family, and what is there because of us. */
export async function removeRules(tables: Tables, filter: FilterState, patience: Patience): Promise<void> {
  const nat = await natOf(tables, filter, false);
  const text = teardownText(filter, nat);
  if (text === '') return;
  await changeFilter(tables, text, patience);
  await removeMade(tables, 'nat', nat);
  await removeMade(tables, 'filter', filter);
}

/** Looked at only where it is ours too: the programs cannot read every table that others make. */
async function natOf(tables: Tables, { present }: FilterState, isNeeded: boolean): Promise<FilterState> {
  return isNeeded || present.includes(FORWARD) ? readFilter(tables, 'nat') : NONE;
}

/** Asking for a table by its name would show one in any case, and make that of the legacy programs. */
async function tablesIn({ backend, save }: Tables): Promise<ReadonlySet<string>> {
  // Nothing but the unloading of its module takes a legacy table away again.
  if (backend === 'legacy') return new Set(['filter', 'nat']);
  const { status, stdout } = await attempt(save, []);
  if (status !== 0) return new Set(['filter', 'nat']);
  return new Set([...stdout.matchAll(/^\*(\w+)$/gmu)].map(([, table = '']) => table));
}

/** Chains of the kernel's as `table chain`; iptables-save shows them all, also where there are none. `null`: not known. */
async function basesOf({ backend, family }: Tables): Promise<ReadonlySet<string> | null> {
  if (backend === 'legacy') return null;
  const { status, stdout } = await attempt('nft', ['list', 'chains', family === 4 ? 'ip' : 'ip6']);
  if (status !== 0) return null;
  const found = new Set<string>();
  let table = '';
  for (const line of stdout.split('\n')) {
    const [, name, chain] = /^(?:table \S+ (\S+)|\tchain (\S+)) \{/u.exec(line) ?? [];
    table = name ?? table;
    if (chain !== undefined) found.add(`${table} ${chain}`);
  }
  return found;
}

/**
 * The chains that our first rules made, then the table around them. No step takes anything away that another program puts
 * there meanwhile: one fails where there is a rule or another policy, the other where there is a base chain.
 */
async function removeMade(tables: Tables, table: Table, { present }: FilterState): Promise<void> {
  const program = tables.save.replace('-save', '');
  const ours = table === 'nat' ? ['PREROUTING'] : ['INPUT', 'FORWARD'];
  const isMade = present.includes(MADE) && isBare(await readFilter(tables, table), table);
  const made = isMade ? ours : present.includes(MADE_BASE) ? ours.slice(-1) : [];
  const bases = made.length === 0 ? null : await basesOf(tables);
  try {
    for (const chain of made)
      if (bases?.has(`${table} ${chain}`) ?? chain !== 'FORWARD')
        await run(program, ['-t', table, '-X', chain]);
    if (!isMade) return;
    const place = `${tables.family === 4 ? 'ip' : 'ip6'} ${table}`;
    const create = CHAINS[table].map((chain) => `create chain ${place} ${chain}`);
    await run('nft', ['-f', '-'], { input: [...create, `delete table ${place}`, ''].join('\n') });
  } catch {
    // An empty table or chain does nothing, and without nft nobody sees it.
  }
}

/** The base chains of the table, as iptables has them, and nothing else. */
function isBare({ text }: FilterState, table: Table): boolean {
  const bases = CHAINS[table].map((chain) => `${chain} ACCEPT `).join('|');
  return !new RegExp(`^-|^:(?!${bases})`, 'mu').test(text);
}
