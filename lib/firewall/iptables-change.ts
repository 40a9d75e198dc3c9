// A change of the whole ruleset: one transaction per family, which takes the place of the rules before it, so there is no
// moment without rules. Lists that the new rules name as well keep their entries, with their times. When one family
// fails, what was in force before is put back.

import { KnockError, messageOf } from '../errors.ts';
import type { Service } from './driver.ts';
import {
  changeFilter,
  closedPortLooks,
  readFilter,
  removeRules,
  type FilterState,
  type Tables,
} from './iptables-host.ts';
import { listGroups, type RecentList, type Widths } from './iptables-lists.ts';
import { chainOf, MAIN, setupText, type Shut } from './iptables-rules.ts';
import { livePeers, type LivePeer } from './live-peers.ts';
import type { RecentLists } from './recent-file.ts';

/** What strangers get at a protected port; see `IptablesOptions.protect`. */
export type Protect = boolean | 'drop' | 'reject';

/** What the kernel is to do. */
export interface Plan {
  readonly families: readonly Tables[];
  readonly protect: Protect;
  readonly lists: RecentLists;
  readonly services: ReadonlyMap<string, Service>;
  readonly widths: Widths;
  readonly warning: (message: string) => void;
}

/** Every list that the rules of a plan name, and so keep alive. */
export function listsIn({ services, widths }: Plan): readonly RecentList[] {
  return [...services.values()].flatMap((service) =>
    listGroups(service, widths.get(service.name) ?? []).flat(),
  );
}

/**
 * Puts `plan` in the place of `earlier` (`null`: nothing that this process set up), in all its families or in one, and
 * empties the lists in `fresh`.
 *
 * @throws KnockError `ERR_FIREWALL_*`; `earlier` is in force then
 */
export async function putInForce(
  plan: Plan,
  {
    earlier,
    fresh,
    families = plan.families,
  }: {
    readonly earlier: Plan | null;
    readonly fresh: readonly RecentList[];
    readonly families?: readonly Tables[];
  },
): Promise<void> {
  const before = new Map<Tables, FilterState>();
  for (const tables of families) before.set(tables, await readFilter(tables));
  const changed: Tables[] = [];
  try {
    const peers = await livePeers(new Set([...plan.services.values()].map(({ port }) => port)));
    for (const [tables, state] of before) {
      changed.push(tables);
      await setFamily(plan, { tables, state, peers });
    }
    // What they hold is of grants that have ended, or of an earlier run and without an end that we know of.
    for (const list of fresh) await plan.lists.clear(list);
  } catch (error) {
    await putBack(earlier, changed, before).catch((reason: unknown) => {
      plan.warning(`the rules before cannot be put back: ${messageOf(reason)} (the ports stay closed)`);
    });
    plan.lists.keep(earlier === null ? [] : listsIn(earlier));
    throw error;
  }
  plan.lists.keep(listsIn(plan));
}

async function setFamily(
  plan: Plan,
  {
    tables,
    state,
    peers,
  }: { readonly tables: Tables; readonly state: FilterState; readonly peers: readonly LivePeer[] },
): Promise<void> {
  const { family } = tables;
  const text = setupText({
    family,
    services: [...plan.services.values()],
    widths: plan.widths,
    peers: peers.filter((peer) => peer.family === family && livesOn(peer, state)),
    shut: { tcp: shutOf(plan, state, 'tcp'), udp: shutOf(plan, state, 'udp') },
    present: state.present,
    jumps: state.jumps,
    extra: plan.lists.rules(family, listsIn(plan)),
  });
  await changeFilter(tables, text);
  if (comesFirst(await readFilter(tables))) return;
  throw new KnockError(
    'ERR_FIREWALL_COMMAND',
    `${tables.restore} took the rules, but INPUT does not start with them (is another program changing it?)`,
  );
}

/** Where rules of ours decide already, half a connection is not one yet: it has to spend a grant like any other. */
function livesOn(peer: LivePeer, { present }: FilterState): boolean {
  return !peer.halfOpen || !present.includes(chainOf({ protocol: 'tcp', port: peer.localPort }));
}

/** Without an earlier set-up: no rules of ours, or an earlier run's place taken, which keeps ports shut. */
async function putBack(
  earlier: Plan | null,
  changed: readonly Tables[],
  before: ReadonlyMap<Tables, FilterState>,
): Promise<void> {
  const peers =
    earlier === null ? [] : await livePeers(new Set([...earlier.services.values()].map(({ port }) => port)));
  for (const tables of changed) {
    const state = await readFilter(tables);
    if (rulesIn(state) === rulesIn(before.get(tables))) continue;
    if (earlier !== null) await setFamily(earlier, { tables, state, peers });
    else if (before.get(tables)?.jumps.length === 0) await removeRules(tables, state);
  }
}

function rulesIn(state: FilterState | undefined): string | undefined {
  return state?.text
    .split('\n')
    .filter((line) => line.startsWith('-A '))
    .join('\n');
}

function shutOf({ protect }: Plan, { text }: FilterState, protocol: 'tcp' | 'udp'): Shut {
  if (protect === true) return closedPortLooks(text, protocol);
  if (protect === false) return 'return';
  if (protect === 'drop') return 'drop';
  return { rejectWith: protocol === 'tcp' ? 'tcp-reset' : 'port-unreach' };
}

/** Rules that the host put before ours would decide about the protected ports. */
function comesFirst({ text }: FilterState): boolean {
  return text.split('\n').find((line) => line.startsWith('-A INPUT ')) === `-A INPUT -j ${MAIN}`;
}
