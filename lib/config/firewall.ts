// The `firewall` key (design.md section 3, "Gateway"): a driver's name, or a map with a driver and its settings. What a
// driver refuses is refused here, with its place in the file, before anything is touched.

import * as v from 'valibot';
import { messageOf } from '../errors.ts';
import { commandOf } from '../firewall/command-template.ts';
import { CHAIN } from '../firewall/nftables-rules.ts';
import type { ServiceCommands, ServiceEntry } from './schema.ts';
import type { Section } from './section.ts';
import { argv, duration, oneOf, text, value } from './values.ts';

/** Which driver, and what it needs to know. */
export type FirewallConfig =
  | { readonly driver: 'iptables' | 'mock' }
  | {
      readonly driver: 'nftables';
      /** A chain of the host that would drop what a grant admits: `family table chain`. */
      readonly chain: string | null;
      /** The same for what goes on to services behind the gateway. */
      readonly forwardChain: string | null;
    }
  | ({ readonly driver: 'command' } & CommandsConfig);

/** Programs and their arguments. */
export interface CommandsConfig {
  readonly open: readonly string[];
  readonly close: readonly string[];
  readonly setup: readonly string[] | null;
  readonly teardown: readonly string[] | null;
  readonly timeoutMs: number;
}

const DRIVERS = ['iptables', 'nftables', 'command', 'mock'] as const;
const COMMANDS = '{ driver: command, open: [...], close: [...] }';

const nameSchema = v.object({
  firewall: v.optional(
    value('firewall must be iptables, nftables or mock', `or ${COMMANDS}`, (input) =>
      input === 'iptables' || input === 'nftables' || input === 'mock' ? input : null,
    ),
    'iptables',
  ),
});
const driverSchema = v.object({ driver: oneOf('driver', DRIVERS) });
export const nftablesSchema = v.object({
  driver: v.unknown(),
  chain: v.optional(text('chain', 'family, table and chain', CHAIN, 'as in inet filter input')),
  forward_chain: v.optional(
    text('forward_chain', 'family, table and chain', CHAIN, 'as in inet filter forward'),
  ),
});
export const commandSchema = v.object({
  driver: v.unknown(),
  open: argv('open'),
  close: argv('close'),
  setup: v.optional(argv('setup')),
  teardown: v.optional(argv('teardown')),
  timeout: v.optional(duration('timeout', { lowMs: 100, highMs: 60_000, stepMs: 1 }), '5s'),
});

/** The firewall that a configuration names; `null` after reporting what is wrong with it. */
export function firewallOf(root: Section): FirewallConfig | null {
  const section = root.section('firewall');
  const firewall = section === null ? named(root) : described(section);
  const driver = firewall?.driver;
  if (driver === 'nftables' || driver === 'command') {
    refuse(root, 'firewall_backend', `is of the iptables driver, not of ${driver}`);
  }
  if (driver === 'command')
    refuse(root, 'protect', 'is not of the command driver: its setup closes the ports');
  return firewall;
}

function named(root: Section): FirewallConfig | null {
  const settings = root.parse(nameSchema);
  if (settings === null) return null;
  const { firewall: driver } = settings;
  return driver === 'nftables' ? { driver, chain: null, forwardChain: null } : { driver };
}

function described(section: Section): FirewallConfig | null {
  const driver = section.parse(driverSchema)?.driver;
  switch (driver) {
    case undefined:
      return null;
    case 'iptables':
    case 'mock':
      section.refuseStrangers(['driver']);
      return { driver };
    case 'nftables': {
      section.refuseStrangers(Object.keys(nftablesSchema.entries));
      const settings = section.parse(nftablesSchema);
      if (settings === null) return null;
      const { chain = null, forward_chain: forwardChain = null } = settings;
      return { driver, chain, forwardChain };
    }
    case 'command':
      section.refuseStrangers(Object.keys(commandSchema.entries));
      return commands(section);
  }
}

function commands(section: Section): FirewallConfig | null {
  const settings = section.parse(commandSchema);
  if (settings === null) return null;
  const { open, close, setup = null, teardown = null, timeout: timeoutMs } = settings;
  checkCommands(section, { open, close }, true);
  checkCommands(section, { setup, teardown }, false);
  return { driver: 'command', open, close, setup, teardown, timeoutMs };
}

/** The commands of a service; `null` when it has none, or after reporting what is wrong with them. */
export function serviceCommandsOf(section: Section, entry: ServiceEntry): ServiceCommands | null {
  const { open, close, open_6: open6 = null, close_6: close6 = null, timeout: timeoutMs = 5000 } = entry;
  for (const [one, other] of [
    ['open', 'close'],
    ['open_6', 'close_6'],
    ['open_6', 'open'],
  ] as const) {
    if (section.has(one) && !section.has(other)) {
      const advice = other === 'close' ? ', or [true] when nothing is to be undone' : '';
      section.error(one, `${one} is given without ${other} (add ${other}: [...]${advice})`);
    }
  }
  if (open === undefined || close === undefined) return null;
  checkCommands(section, { open, close, open_6: open6, close_6: close6 }, true);
  return { open, close, open6, close6, timeoutMs };
}

function checkCommands(
  section: Section,
  commands: Readonly<Record<string, readonly string[] | null>>,
  hasGrant: boolean,
): void {
  for (const [name, command] of Object.entries(commands)) {
    try {
      if (command !== null) commandOf(name, command, hasGrant);
    } catch (error) {
      section.error(name, messageOf(error));
    }
  }
}

function refuse(root: Section, key: string, problem: string): void {
  if (root.has(key)) root.error(key, `${key} ${problem} (take it out)`);
}
