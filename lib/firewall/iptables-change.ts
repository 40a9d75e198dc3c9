// A change of the whole ruleset: one transaction per family, which takes the place of the rules before it, so there is no
// moment without rules. Lists that the new rules name as well keep their entries, with their times. When one family
// fails, what was in force before is put back.

import { KnockError, messageOf } from '../errors.ts';
import type { Service } from './driver.ts';
import { requireTarget } from './forward.ts';
import { FORWARD, formerIn } from './iptables-forward.ts';
import {
  changeFilter,
  closedPortLooks,
  readFilter,
  type FilterState,
  type Patience,
  type Tables,
} from './iptables-host.ts';
import type { RecentList } from './iptables-lists.ts';
import { listsIn, type Plan } from './iptables-plan.ts';
import { makesOf, removeRules } from './iptables-made.ts';
import { MAIN, MOST_CONNECTIONS, setupText } from './iptables-rules.ts';
import { chainOf, type Shut } from './iptables-service.ts';
import { livePeers, type LivePeer } from './live-peers.ts';

/** What strangers get at a protected port; see `IptablesOptions.protect`. */
export type Protect = boolean | 'drop' | 'reject';

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
    lockSeconds,
    families = plan.families,
    afterwards = () => Promise.resolve(),
  }: {
    readonly earlier: Plan | null;
    readonly fresh: readonly RecentList[];
    /** How long to wait for another program that changes the tables. */
    readonly lockSeconds: number;
    readonly families?: readonly Tables[];
    /** What belongs to the change: when it fails, all of it did. */
    readonly afterwards?: () => Promise<void>;
  },
): Promise<void> {
  const before = new Map<Tables, FilterState>();
  for (const tables of families) before.set(tables, await readFilter(tables));
  const changed: Tables[] = [];
  try {
    const peers = await livePeers(new Set([...plan.services.values()].map(({ port }) => port)));
    for (const [tables, state] of before) {
      changed.push(tables);
      await setFamily(plan, { tables, state, peers, lockSeconds });
    }
    // What they hold is of grants that have ended, or of an earlier run and without an end that we know of.
    for (const list of fresh) await plan.lists.clear(list);
    await afterwards();
  } catch (error) {
    const { warning } = plan;
    await putBack({ earlier, changed, before, patience: { lockSeconds, warning } }).catch(
      (reason: unknown) => {
        warning(`the rules before cannot be put back: ${messageOf(reason)} (the ports stay closed)`);
      },
    );
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
    lockSeconds,
  }: {
    readonly tables: Tables;
    readonly state: FilterState;
    readonly peers: readonly LivePeer[];
    readonly lockSeconds: number;
  },
): Promise<void> {
  const { family } = tables;
  const services = [...plan.services.values()];
  const text = setupText({
    family,
    services,
    widths: plan.widths,
    peers: peers.filter((peer) => peer.family === family && livesOn(peer, state)),
    shut: { tcp: shutOf(plan, state, 'tcp'), udp: shutOf(plan, state, 'udp') },
    present: state.present,
    jumps: state.jumps,
    former: formerIn(state.present),
    ...(await makesOf(tables, { filter: state, services })),
    extra: plan.lists.rules(family, listsIn(plan)),
  });
  await changeFilter(tables, text, { lockSeconds, warning: plan.warning });
  const other = hasOthersFirst(await readFilter(tables));
  if (other === undefined) return;
  throw new KnockError(
    'ERR_FIREWALL_COMMAND',
    `${tables.restore} took the rules, but ${other} does not start with them (is another program changing it?)`,
  );
}

/** Where rules of ours decide already, half a connection is not one yet: it has to spend a grant like any other. */
function livesOn(peer: LivePeer, { present }: FilterState): boolean {
  return !peer.halfOpen || !present.includes(chainOf({ protocol: 'tcp', port: peer.localPort }));
}

/** Without an earlier set-up: no rules of ours, or an earlier run's place taken, which keeps ports shut. */
async function putBack({
  earlier,
  changed,
  before,
  patience,
}: {
  readonly earlier: Plan | null;
  readonly changed: readonly Tables[];
  readonly before: ReadonlyMap<Tables, FilterState>;
  readonly patience: Patience;
}): Promise<void> {
  const { lockSeconds } = patience;
  const peers =
    earlier === null ? [] : await livePeers(new Set([...earlier.services.values()].map(({ port }) => port)));
  for (const tables of changed) {
    const state = await readFilter(tables);
    if (rulesIn(state) === rulesIn(before.get(tables))) continue;
    if (earlier !== null) await setFamily(earlier, { tables, state, peers, lockSeconds });
    else if (before.get(tables)?.jumps.length === 0) await removeRules(tables, state, patience);
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

/** Rules that the host put before ours would decide about the protected ports: the chain that has them, or `undefined`. */
function hasOthersFirst({ text, present }: FilterState): string | undefined {
  const jumps = [
    ['INPUT', MAIN] as const,
    ...(present.includes(FORWARD) ? [['FORWARD', FORWARD] as const] : []),
  ];
  const lines = text.split('\n');
  return jumps.find(
    ([chain, ours]) => lines.find((line) => line.startsWith(`-A ${chain} `)) !== `-A ${chain} -j ${ours}`,
  )?.[0];
}

/** @throws KnockError `ERR_FIREWALL_UNSUPPORTED` for a service that iptables has no rules for */
export function requireExpressible(service: Service): void {
  const { name, connections } = service;
  requireTarget('iptables', service);
  if (connections === 'unlimited' || connections <= MOST_CONNECTIONS) return;
  throw new KnockError(
    'ERR_FIREWALL_UNSUPPORTED',
    `service ${name}: iptables admits at most ${MOST_CONNECTIONS} connections per knock, got ${connections} (or say unlimited)`,
  );
}
