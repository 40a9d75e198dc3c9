// What the nftables driver is told about its host: what strangers get, and which chains of the host's own would drop what
// a grant admits.

import { printable } from '../errors.ts';
import type { NftPlan, NftProtect } from './nftables-change.ts';
import { CHAIN } from './nftables-rules.ts';

/** {@link nftables}'s options. */
export interface NftablesOptions {
  /**
   * What strangers get at a protected port: `true`, what the host's other closed ports give; `drop`; `reject`, a TCP
   * reset or ICMP port unreachable; `false`, whatever your own rules do.
   */
  readonly protect?: NftProtect;
  /**
   * A chain of the host that drops what it does not know, as `family table chain` (`inet filter input`): at its top goes
   * a rule that lets through what a grant admitted, and nothing else.
   */
  readonly chain?: string;
  /** The same for services behind the gateway: a chain with the hook `forward` (`inet filter forward`). */
  readonly forwardChain?: string;
}

/** The options, with every default filled in. */
export type NftPlace = Pick<NftPlan, 'chain' | 'forwardChain'> & { readonly protect: NftProtect };

/** @throws RangeError for a chain that is none */
export function placeOf({
  protect = true,
  chain = null,
  forwardChain = null,
}: {
  readonly protect?: NftProtect;
  readonly chain?: string | null;
  readonly forwardChain?: string | null;
}): NftPlace {
  for (const [name, value, example] of [
    ['chain', chain, 'inet filter input'],
    ['forwardChain', forwardChain, 'inet filter forward'],
  ] as const) {
    if (value !== null && !CHAIN.test(value))
      throw new RangeError(`${name} must be 'family table chain', got '${printable(value)}' (${example})`);
  }
  return { protect, chain, forwardChain };
}
