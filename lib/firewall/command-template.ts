// Commands with places for what a grant says. They are filled argument by argument: whatever is put in, there are as many
// arguments as the template has, and none that the template did not mean as one becomes an option.

import { KnockError, printable } from '../errors.ts';
import type { Grant } from './driver.ts';

/** A checked template. */
export interface Command {
  /** What it is for. */
  readonly name: string;
  readonly argv: readonly [program: string, ...args: readonly string[]];
}

const PLACES = ['ip', 'port', 'protocol', 'seconds', 'client'] as const;
type Place = (typeof PLACES)[number];
const PLACE = /\{([A-Za-z_]+)\}/gu;
/** What a program could take for an option, or a file name for another folder, is no name of a client. */
const CLIENT = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/u;

/**
 * Checks a template.
 *
 * @throws RangeError for an empty one, an unknown placeholder, one in the program's name, or one where there is no grant
 */
export function commandOf(name: string, argv: readonly string[], hasGrant: boolean): Command {
  const [program = '', ...args] = argv;
  if (program === '') throw new RangeError(`${name} must be a program and its arguments, got nothing`);
  if (program.search(PLACE) >= 0)
    throw new RangeError(
      `${name} must name one program, got '${printable(program)}' (placeholders are for arguments)`,
    );
  for (const arg of argv) {
    if (arg.includes('\0'))
      throw new RangeError(`${name} must not hold a NUL character, got '${printable(arg)}'`);
    for (const [place, word = ''] of arg.matchAll(PLACE)) {
      if (!hasGrant) throw new RangeError(`${name} is about no grant, got '${place}' (take it out)`);
      if (!isPlace(word))
        throw new RangeError(`${name} has an unknown placeholder, got '${printable(place)}' (${names()})`);
    }
  }
  return { name, argv: [program, ...args] };
}

/**
 * The program and its arguments for a grant.
 *
 * @throws KnockError `ERR_FIREWALL_UNSUPPORTED` for a client whose name could be mistaken
 */
export function fill(
  { argv: [program, ...args] }: Command,
  grant: Grant | null,
  seconds: number,
): readonly [program: string, ...args: readonly string[]] {
  if (grant === null) return [program, ...args];
  if (!CLIENT.test(grant.client)) {
    throw new KnockError(
      'ERR_FIREWALL_UNSUPPORTED',
      `command: client must be a plain name, got '${printable(grant.client)}' (letters, digits and . _ @ -)`,
    );
  }
  const { source, port, protocol, client } = grant;
  const values: Readonly<Record<Place, string>> = {
    ...{ ip: source, port: String(port), protocol, seconds: String(seconds), client },
  };
  // One pass: what was put in is not looked at again.
  return [
    program,
    ...args.map((arg) => arg.replace(PLACE, (place, word: string) => (isPlace(word) ? values[word] : place))),
  ];
}

function isPlace(word: string): word is Place {
  return (PLACES as readonly string[]).includes(word);
}

function names(): string {
  return PLACES.map((place) => `{${place}}`).join(' ');
}
