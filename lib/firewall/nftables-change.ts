// A change of the whole table: one transaction, which takes the place of the rules before it, so there is no moment
// without rules, and when it fails those before it stay. Sets of services that stay keep their elements.

import { KnockError, messageOf } from '../errors.ts';
import type { Service } from './driver.ts';
import { forwardingWarnings, requireTarget } from './forward.ts';
import { forwardWarnings } from './host-forward.ts';
import { closedPorts, findFirewalls, hostWarnings, kernelAnswer } from './host.ts';
import { livePeers, type LivePeer } from './live-peers.ts';
import { formerIn } from './nftables-forward.ts';
import {
  COMMENT,
  hostForwardRules,
  hostRules,
  PRIORITY,
  TABLE,
  tableText,
  type ShutStatements,
} from './nftables-rules.ts';
import { chainOf } from './nftables-service.ts';
import { readNft, type NftRule, type NftState } from './nftables-state.ts';
import { run } from './run.ts';
import type { Widths } from './width.ts';

/** What strangers get at a protected port; see `NftablesOptions.protect`. */
export type NftProtect = boolean | 'drop' | 'reject';

/** What the kernel is to do. */
export interface NftPlan {
  readonly services: ReadonlyMap<string, Service>;
  readonly widths: Widths;
  readonly shut: { readonly tcp: ShutStatements; readonly udp: ShutStatements };
  /** `inet filter input`: where our rules are inserted. */
  readonly chain: string | null;
  /** The same for what goes on to other hosts: `inet filter forward`. */
  readonly forwardChain: string | null;
}

/** The kernel counts in 32 bits. */
const MOST_CONNECTIONS = 2 ** 32 - 1;

/**
 * What a protected port answers to strangers. Warns of what on this host would stop those who have a grant.
 *
 * @throws KnockError `ERR_FIREWALL_MISSING` when nft is not installed
 */
export async function lookAround({
  protect,
  chain,
  forwardChain,
  services,
  warning,
}: Pick<NftPlan, 'chain' | 'forwardChain'> & {
  readonly protect: NftProtect;
  readonly services: readonly Service[];
  readonly warning: (message: string) => void;
}): Promise<NftPlan['shut']> {
  let firewalls: Awaited<ReturnType<typeof findFirewalls>> = { input: [], forward: [] };
  try {
    firewalls = await findFirewalls();
  } catch (error) {
    warning(
      `cannot tell which firewalls this host has: ${messageOf(error)} (check that granted ports get through)`,
    );
  }
  for (const line of [
    ...hostWarnings(firewalls.input, { services, chain }),
    ...forwardWarnings(firewalls.forward, { services, chain: forwardChain }),
    ...forwardingWarnings(services),
  ])
    warning(line);
  const shutOf = (protocol: 'tcp' | 'udp'): ShutStatements => {
    if (protect === true) return closedPorts(firewalls.input, protocol);
    const statement = protect === false ? '' : protect === 'drop' ? 'drop' : kernelAnswer(protocol);
    return { 4: statement, 6: statement };
  };
  return { tcp: shutOf('tcp'), udp: shutOf('udp') };
}

/**
 * Puts `plan` in the place of whatever is in our table; elements stay in the sets of the services in `keeps`.
 *
 * @throws KnockError `ERR_FIREWALL_*`; what was in force before still is
 */
export async function setTable(plan: NftPlan, keeps: ReadonlySet<string>): Promise<void> {
  const state = await readNft();
  const services = [...plan.services.values()];
  const chains = state.chains.filter(isOurs).map(({ name }) => name);
  const peers = await livePeers(new Set(services.map(({ port }) => port)));
  await apply(
    tableText({
      ...{ services, widths: plan.widths, shut: plan.shut, keeps },
      peers: peers.filter((peer) => livesOn(peer, chains)),
      present:
        keeps.size > 0 && state.tables.has(TABLE) ? { chains, sets: state.sets.get(TABLE) ?? [] } : null,
      former: formerIn(chains),
      extra: [
        ...guestRules(state).map(removal),
        ...(plan.chain === null ? [] : hostRules(requireChain(state, plan.chain, 'input'), services)),
        ...(plan.forwardChain === null
          ? []
          : hostForwardRules(requireChain(state, plan.forwardChain, 'forward'), services)),
      ],
    }),
  );
}

/**
 * Removes every rule of ours.
 *
 * @throws KnockError `ERR_FIREWALL_*`
 */
export async function removeTable(): Promise<void> {
  const state = await readNft();
  const lines = guestRules(state).map(removal);
  if (state.tables.has(TABLE)) lines.push(`delete table ${TABLE}`);
  if (lines.length > 0) await apply([...lines, ''].join('\n'));
}

async function apply(input: string): Promise<void> {
  await run('nft', ['-f', '-'], { input, ifMissing: 'install the Debian package nftables' });
}

/** Where rules of ours decide already, half a connection is not one yet: it has to spend a grant like any other. */
function livesOn({ halfOpen, localPort }: LivePeer, chains: readonly string[]): boolean {
  return !halfOpen || !chains.includes(chainOf({ protocol: 'tcp', port: localPort }));
}

/** Rules of ours in tables of others. */
function guestRules({ rules }: NftState): readonly NftRule[] {
  return rules.filter((rule) => rule.comment === COMMENT && !isOurs(rule));
}

function removal({ family, table, chain, handle }: NftRule): string {
  return `delete rule ${family} ${table} ${chain} handle ${handle}`;
}

function requireChain({ chains }: NftState, wanted: string, hook: 'input' | 'forward'): string {
  const found = chains.find(({ family, table, name }) => `${family} ${table} ${name}` === wanted);
  if (found === undefined) throw unsupported(`there is no chain ${wanted} (nft list chains)`);
  if (/^ip6? (?:filter|mangle|raw|security|nat) [A-Z]+$/u.test(wanted))
    throw unsupported(
      `chain ${wanted} belongs to iptables, which could not read our rules (use the iptables driver)`,
    );
  if (found.hook !== null && (found.hook !== hook || found.priority <= PRIORITY))
    throw unsupported(
      `chain ${wanted} is not asked after ours: hook ${found.hook}, priority ${found.priority} (name one of hook ${hook}, priority 0)`,
    );
  return wanted;
}

function unsupported(message: string): KnockError {
  return new KnockError('ERR_FIREWALL_UNSUPPORTED', `nftables: ${message}`);
}

function isOurs({ family, table }: { readonly family: string; readonly table: string }): boolean {
  return `${family} ${table}` === TABLE;
}

/** @throws KnockError `ERR_FIREWALL_UNSUPPORTED` for a service that nftables has no rules for */
export function requireExpressible(service: Service): void {
  const { name, connections } = service;
  requireTarget('nftables', service);
  if (connections === 'unlimited' || connections <= MOST_CONNECTIONS) return;
  throw new KnockError(
    'ERR_FIREWALL_UNSUPPORTED',
    `service ${name}: nftables admits at most ${MOST_CONNECTIONS} connections per knock, got ${connections} (or say unlimited)`,
  );
}
