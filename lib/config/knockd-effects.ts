// What the commands of a door come to here: a port opened by our firewall driver, the closing of one, programs with their
// arguments, or nothing that is done without a shell.

import { printable } from '../errors.ts';
import type { Placed } from './knockd-lines.ts';
import { stockRule, type StockPort } from './knockd-stock.ts';
import { wordsOf } from './knockd-words.ts';

/** What happens when a sequence is complete. */
export type Effect =
  | { readonly kind: 'nothing' }
  | {
      readonly kind: 'grant';
      readonly ports: readonly StockPort[];
      /** Whether a command takes it back. */
      readonly ends: boolean;
      readonly remarks: readonly string[];
    }
  | { readonly kind: 'closing'; readonly ports: readonly StockPort[] }
  | { readonly kind: 'programs'; readonly open: readonly string[]; readonly close: readonly string[] | null }
  | { readonly kind: 'refused'; readonly line: number; readonly message: string };

export interface EffectOptions {
  /** Of the sources that it is for. */
  readonly family: 4 | 6;
  readonly allowShell: boolean;
}

type Text = Placed<string> | null;

const SHELL = ['/bin/sh', '-c'];
/** What the command driver would take for a placeholder of its own. */
const PLACE = /\{[A-Za-z_]+\}/u;

/** What a door's two commands come to. */
export function effectOf(start: Text, stop: Text, options: EffectOptions): Effect {
  if (start === null || start.value === '') return { kind: 'nothing' };
  const rule = ruleOf(start);
  const undoing = stop === null || stop.value === '' ? null : stop;
  const undo = undoing === null ? null : ruleOf(undoing);
  if (rule?.change === 'remove' && undoing === null) return { kind: 'closing', ports: rule.ports };
  const isWhole = undoing === null || (undo?.change === 'remove' && isSame(rule?.ports, undo.ports));
  if (rule?.change !== 'add' || !isWhole) return programs(start, undoing, options);
  const { families, ports, remarks } = rule;
  // iptables takes no IPv6 address, ip6tables no IPv4 address.
  if (!families.includes(options.family)) return { kind: 'nothing' };
  return { kind: 'grant', ports, ends: undoing !== null, remarks };
}

/** Whether two effects are the same. */
export function isSameEffect(one: Effect, other: Effect): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function programs(start: Placed<string>, stop: Text, { allowShell }: EffectOptions): Effect {
  const open = argvOf(start, allowShell);
  const close = stop === null ? null : argvOf(stop, allowShell);
  if ('message' in open) return { kind: 'refused', ...open };
  if (close !== null && 'message' in close) return { kind: 'refused', ...close };
  return { kind: 'programs', open: open.argv, close: close?.argv ?? null };
}

function argvOf(
  { line, value }: Placed<string>,
  allowShell: boolean,
): { readonly argv: readonly string[] } | { readonly line: number; readonly message: string } {
  const place = PLACE.exec(value)?.[0];
  if (place !== undefined) {
    return {
      line,
      message: `command has ${printable(place, 40)}, a placeholder of ours (put it into a script)`,
    };
  }
  const words = wordsOf(value);
  const argv = 'argv' in words ? words.argv : [...SHELL, value];
  if ('shell' in words && !allowShell) {
    const advice = 'put it into a script and name that, or say --allow-shell';
    return { line, message: `command needs a shell for '${words.shell}' (${advice})` };
  }
  if (argv[0]?.includes('%IP%') === true) {
    return { line, message: 'command must name one program, not one for each address (name it)' };
  }
  return { argv: argv.map((word) => word.replaceAll('%IP%', '{ip}')) };
}

function ruleOf({ value }: Placed<string>) {
  const words = wordsOf(value);
  return 'argv' in words ? stockRule(words.argv) : null;
}

function isSame(one: readonly StockPort[] | undefined, other: readonly StockPort[]): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
