// What a grant opens to, out of its text: one address, or every address of a prefix. Text that is not canonical would
// be a second key for the same opening, so it is refused.

import { formatPrefix, isWholeAddress, parsePrefix, type Prefix } from '../address.ts';
import { KnockError, printable } from '../errors.ts';

/**
 * Reads a grant's source.
 *
 * @throws KnockError `ERR_FIREWALL_UNSUPPORTED` for text that is not canonical, and for a prefix that is everybody
 */
export function readSource(driver: string, source: string): Prefix {
  const prefix = parsePrefix(source);
  if (prefix !== null && prefix.length > 0 && formatPrefix(prefix) === source) return prefix;
  throw new KnockError(
    'ERR_FIREWALL_UNSUPPORTED',
    `${driver}: source must be an address or a prefix in canonical text, got '${printable(source)}'`,
  );
}

/** The prefix that a grant's source is; `null` when it is one address. */
export function prefixOf(driver: string, source: string): Prefix | null {
  const prefix = readSource(driver, source);
  return isWholeAddress(prefix) ? null : prefix;
}
