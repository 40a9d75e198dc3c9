// The kernel sets of the nftables driver, and the text that changes their elements. A service has a group of sets for
// addresses of each family, and one for each prefix length that it was ever opened to, because a set that packets change
// cannot hold intervals: it holds first addresses, and is asked with masked ones.

import { firstAddress, formatAddress, parseAddress, type Prefix } from '../address.ts';
import { LINGER_MS, type Service } from './driver.ts';
import { familyOf } from './forward.ts';
import { widthOf, type Width, type Widths } from './width.ts';

/** What identifies the sets of one family, for addresses or for prefixes of one length. */
export interface Group {
  readonly service: Service;
  readonly family: 4 | 6;
  /** `null`: addresses. */
  readonly width: Width | null;
}

/**
 * `gate`: who may begin a connection now. `left`: a grant's last connection; `more`: those before it. `spent`: whose
 * last connection came.
 */
export type SetKind = 'gate' | 'left' | 'more' | 'spent';

/** A grant that comes, or (`until` null) one that goes. */
export interface Change {
  readonly service: Service;
  readonly source: Prefix;
  readonly connections: number | 'unlimited';
  /** Unix milliseconds. */
  readonly until: number | null;
  /** The sets hold nothing of this service and source, so that nothing has to be deleted first. */
  readonly isNew: boolean;
}

/** A service's groups, in the order in which they are spent: an address before a prefix, the longest prefix first. */
export function groupsOf(service: Service, widths: Widths): readonly Group[] {
  const prefixes = (widths.get(service.name) ?? []).toSorted((one, other) => other.length - one.length);
  const only = familyOf(service);
  return [
    ...([4, 6] as const).map((family) => ({ service, family, width: null })),
    ...prefixes.map((width) => ({ service, family: width.family, width })),
  ].filter(({ family }) => only === null || family === only);
}

/** The sets that a group of this service has. */
export function kindsOf({ connections }: Service): readonly SetKind[] {
  if (connections === 'unlimited') return ['gate'];
  return connections === 1 ? ['gate', 'left', 'spent'] : ['gate', 'more', 'left', 'spent'];
}

export function setName({ service, family, width }: Group, kind: SetKind): string {
  return `${groupName(service, family, width)}-${kind}`;
}

/**
 * One line, so one transaction, that makes all changes at once. No two of them may be for the same service and source.
 */
export function changeLine(table: string, changes: readonly Change[]): string {
  const now = Date.now();
  const sets = new Map<string, { readonly held: string[]; readonly comes: string[] }>();
  for (const change of changes) {
    const address = formatAddress(firstAddress(change.source));
    const group = groupOf(change);
    for (const kind of kindsOf(change.service)) {
      const name = setName(group, kind);
      const set = sets.get(name) ?? { held: [], comes: [] };
      sets.set(name, set);
      if (!change.isNew) set.held.push(address);
      const comes = elementOf(kind, address, { change, now });
      if (comes !== null) set.comes.push(comes);
    }
  }
  const commands: string[] = [];
  for (const [name, { held, comes }] of sets) {
    const command = (verb: string, elements: readonly string[]): string =>
      `${verb} element ${table} ${name} { ${elements.join(', ')} }`;
    // Deleting an absent element is an error, and an element that is there keeps its time and its count when added.
    if (held.length > 0) commands.push(command('add', held), command('delete', held));
    if (comes.length > 0) commands.push(command('add', comes));
  }
  return commands.join('; ');
}

/** One line for each set that an opening can be in. */
export function deleteLines(table: string, change: Change): readonly string[] {
  const address = formatAddress(firstAddress(change.source));
  return kindsOf(change.service).map(
    (kind) => `delete element ${table} ${setName(groupOf(change), kind)} { ${address} }`,
  );
}

export function groupOf({ service, source }: Pick<Change, 'service' | 'source'>): Group {
  return { service, family: source.address.family, width: widthOf(source) };
}

/** The addresses in each set, as `nft list set` prints them; canonical text. */
export function elementsIn(listing: string): ReadonlyMap<string, ReadonlySet<string>> {
  const [, ...sets] = listing.split(/^\tset (?=\S+ \{$)/mu);
  return new Map(
    sets.map((text) => {
      const inside = /\belements = \{([^}]*)\}/u.exec(text)?.[1] ?? '';
      const addresses = inside.split(',').flatMap((element) => {
        const address = parseAddress(element.trim().split(/\s/u)[0] ?? '');
        return address === null ? [] : [formatAddress(address)];
      });
      return [text.slice(0, text.indexOf(' ')), new Set(addresses)];
    }),
  );
}

/** What a set holds of a new grant; `null`: nothing. */
function elementOf(
  kind: SetKind,
  address: string,
  { change, now }: { readonly change: Change; readonly now: number },
): string | null {
  const { connections, until } = change;
  // Whatever the clock did since the grant was issued, it lasts no longer than its service says.
  const ms = until === null ? 0 : Math.ceil(Math.min(until - now, change.service.openForMs));
  if (ms <= 0 || kind === 'spent') return null;
  if (kind === 'gate') return `${address} timeout ${ms}ms`;
  // A connection that began in time may complete a little later.
  const timeout = `timeout ${ms + LINGER_MS}ms`;
  if (kind === 'left') return `${address} ${timeout}`;
  const before = connections === 'unlimited' ? 0 : connections - 1;
  return before === 0 ? null : `${address} ${limitOf(before)} ${timeout}`;
}

/** So many, and no more in any time that a grant can last. */
export function limitOf(connections: number): string {
  return `limit rate 1/week burst ${connections} packets`;
}

function groupName({ protocol, port }: Service, family: 4 | 6, width: Width | null): string {
  return `${protocol}-${port}-v${family}${width === null ? '' : `p${width.length}`}`;
}
