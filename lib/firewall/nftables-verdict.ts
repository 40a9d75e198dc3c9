// What a chain of the host does with a packet to some port, as far as that can be told without sending one: the first
// packet of a connection, from anywhere outside. A rule matches, or does not, or it depends on what we do not know.

import type { Target } from './driver.ts';
import { recordOf, textOf, type NftChain, type NftState } from './nftables-state.ts';

/** The first packet of a connection. */
export interface Probe {
  readonly protocol: 'tcp' | 'udp';
  readonly family: 4 | 6;
  /** `null`: a port that no rule names. */
  readonly port: number | null;
  /** It was sent on, and goes there. */
  readonly to?: Target;
}

/** `accept`, `drop`, or an nft statement that rejects. */
export type Verdict = 'accept' | 'drop' | `reject${string}`;

export interface Outcome {
  /** `null`: the chain came to its end. */
  readonly verdict: Verdict | null;
  /** Some packets of this kind are accepted before that. */
  readonly mayAccept: boolean;
}

type Truth = boolean | 'maybe';
/** What a rule says once it matches; `null`: nothing that ends it. */
type Saying = { readonly verb: string; readonly target: string; readonly verdict: Verdict | null } | null;

const DEEPEST = 16;

/** What a chain with a hook does. */
export function outcomeOf(state: NftState, chain: NftChain, probe: Probe): Outcome {
  const { verdict, mayAccept } = walk({ state, chain, probe, depth: 0 });
  return { verdict: verdict ?? (chain.policy === 'drop' ? 'drop' : 'accept'), mayAccept };
}

interface Walk {
  readonly state: NftState;
  readonly chain: Pick<NftChain, 'family' | 'table' | 'name'>;
  readonly probe: Probe;
  readonly depth: number;
}

function walk({ state, chain, probe, depth }: Walk): Outcome {
  let mayAccept = false;
  if (depth > DEEPEST) return { verdict: null, mayAccept };
  const { family, table, name } = chain;
  for (const rule of state.rules) {
    if (rule.family !== family || rule.table !== table || rule.chain !== name) continue;
    const { truth, saying } = read(rule.statements, probe);
    if (truth === false || saying === null) continue;
    if (saying.verb === 'return') {
      if (truth === true) break;
      continue;
    }
    const inner =
      saying.verdict === null
        ? walk({ state, chain: { ...chain, name: saying.target }, probe, depth: depth + 1 })
        : { verdict: saying.verdict, mayAccept: saying.verdict === 'accept' };
    mayAccept ||= inner.mayAccept;
    if (truth === 'maybe') continue;
    if (inner.verdict !== null) return { verdict: inner.verdict, mayAccept };
    // A chain that was gone to returns to where this one would.
    if (saying.verb === 'goto') break;
  }
  return { verdict: null, mayAccept };
}

function read(statements: readonly unknown[], probe: Probe): { truth: Truth; saying: Saying } {
  let truth: Truth = true;
  for (const statement of statements) {
    const [kind = '', body] = Object.entries(recordOf(statement))[0] ?? [];
    if (kind === 'match') truth = both(truth, matches(recordOf(body), probe));
    else if (kind === 'limit' || kind === 'xt' || kind === 'quota') truth = both(truth, 'maybe');
    else if (kind === 'vmap') {
      const found = lookUp(recordOf(body), probe);
      return { truth: both(truth, found.truth), saying: found.saying };
    } else if (kind !== 'reject' || canReject(recordOf(body), probe)) {
      const saying = sayingOf(kind, body);
      if (saying !== null) return { truth, saying };
    } else {
      return { truth: false, saying: null };
    }
  }
  return { truth, saying: null };
}

function sayingOf(verb: string, body: unknown): Saying {
  const target = textOf(recordOf(body).target);
  if (verb === 'jump' || verb === 'goto') return { verb, target, verdict: null };
  if (verb === 'return') return { verb, target, verdict: null };
  if (verb === 'accept' || verb === 'drop') return { verb, target, verdict: verb };
  return verb === 'reject' ? { verb, target, verdict: rejection(recordOf(body)) } : null;
}

/** What nft leaves out when it lists a rule: an ICMP answer is for its family, a reset for TCP. */
function canReject({ type }: Readonly<Record<string, unknown>>, { protocol, family }: Probe): boolean {
  if (type === 'tcp reset') return protocol === 'tcp';
  if (type === 'icmp') return family === 4;
  return type !== 'icmpv6' || family === 6;
}

/** Names from outside are never put into a ruleset unseen. */
function rejection({ type, expr }: Readonly<Record<string, unknown>>): Verdict {
  if (type === 'tcp reset') return 'reject with tcp reset';
  const [kind, reason] = [textOf(type), textOf(expr)];
  return /^icmp(?:x|v6)?$/u.test(kind) && /^[a-z][a-z-]{1,30}$/u.test(reason)
    ? `reject with ${kind} type ${reason}`
    : 'reject';
}

function matches({ op, left, right }: Readonly<Record<string, unknown>>, probe: Probe): Truth {
  const known = valuesOf(recordOf(left), probe);
  if (known === 'other') return false;
  if (known === null) return 'maybe';
  const truth = includes(right, known);
  return op === '!=' ? not(truth) : truth;
}

/** `ct state vmap { established : accept, new : jump fresh }`. */
function lookUp(
  { key, data }: Readonly<Record<string, unknown>>,
  probe: Probe,
): { truth: Truth; saying: Saying } {
  const known = valuesOf(recordOf(key), probe);
  const { set } = recordOf(data);
  if (known === 'other') return { truth: false, saying: null };
  const entries = Array.isArray(set) ? (set as readonly unknown[]) : [];
  for (const entry of entries) {
    const [value, verdict] = Array.isArray(entry) ? (entry as readonly unknown[]) : [];
    const truth = known === null ? 'maybe' : includes(value, known);
    const [verb = '', body] = Object.entries(recordOf(verdict))[0] ?? [];
    const saying = sayingOf(verb, body);
    // Of several that depend, one that accepts says most.
    if (truth === true || (truth === 'maybe' && saying?.verdict === 'accept')) return { truth, saying };
  }
  return { truth: false, saying: null };
}

/** What an expression is for the probe; `null`: not known; `other`: the probe has no such thing. */
function valuesOf(
  left: Readonly<Record<string, unknown>>,
  { protocol, family, port, to }: Probe,
): readonly (string | number)[] | null | 'other' {
  const { meta, ct, payload, fib } = left;
  const key = textOf(recordOf(meta).key);
  if (key === 'l4proto') return [protocol, protocol === 'tcp' ? 6 : 17];
  if (key === 'nfproto') return [`ipv${family}`];
  if (key === 'iif' || key === 'iifname') return ['an interface outside'];
  if (textOf(recordOf(ct).key) === 'state') return ['new'];
  if (textOf(recordOf(ct).key) === 'status' && to !== undefined) return ['dnat'];
  if (recordOf(fib).result === 'type') return [to === undefined ? 'local' : 'unicast'];
  const { protocol: header, field } = recordOf(payload);
  if (header === undefined) return null;
  if (header === 'ip' || header === 'ip6') {
    if ((header === 'ip') !== (family === 4)) return 'other';
    if (field === 'daddr' && to !== undefined) return [to.host];
    return field === 'protocol' || field === 'nexthdr' ? [protocol] : null;
  }
  if (header !== protocol && header !== 'th') return 'other';
  return field === 'dport' ? [port ?? 'a port that no rule names'] : null;
}

/** Whether a value, list, set or range holds one of the known values. */
function includes(right: unknown, known: readonly (string | number)[]): Truth {
  if (Array.isArray(right)) return any(right.map((one) => includes(one, known)));
  const { set, range, prefix } = recordOf(right);
  if (set !== undefined) return includes(set, known);
  if (prefix !== undefined) return 'maybe';
  if (Array.isArray(range)) {
    const [least, most] = range.map(Number);
    return known.some((one) => typeof one === 'number' && one >= Number(least) && one <= Number(most));
  }
  if (typeof right === 'number') return known.includes(right);
  if (typeof right !== 'string') return 'maybe';
  if (known.includes(right)) return true;
  // A port that no rule names is in no set; another may be. Which interface is outside is not known, but lo is not.
  if (right.startsWith('@')) return known.every((one) => typeof one === 'number') ? 'maybe' : false;
  return known.includes('an interface outside') && right !== 'lo' ? 'maybe' : false;
}

function any(truths: readonly Truth[]): Truth {
  if (truths.includes(true)) return true;
  return truths.includes('maybe') ? 'maybe' : false;
}

function both(one: Truth, other: Truth): Truth {
  if (one === false || other === false) return false;
  return one === true && other === true ? true : 'maybe';
}

function not(truth: Truth): Truth {
  return truth === 'maybe' ? truth : !truth;
}
