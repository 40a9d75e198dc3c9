// The grammar of knockd.conf (protocols/knockd.md, section 1.2): sections, `key = value` lines, what is known where. Values
// and problems come out; a text is never an exception. What the doors mean for us is decided in knockd-doors.ts.

import { printable } from '../errors.ts';
import { knockdLines, trimmed, type Placed } from './knockd-lines.ts';
import {
  parseKnockdFlags,
  parseKnockdSeconds,
  parseKnockdSequence,
  type KnockdFlags,
  type KnockdKnock,
  type Remarks,
} from './knockd-values.ts';
import type { ConfigProblem } from './problems.ts';
import { didYouMean } from './similar.ts';

/** A section other than `[options]`. */
export interface KnockdDoor {
  readonly name: string;
  readonly line: number;
  readonly sequence: Placed<readonly KnockdKnock[]> | null;
  /** The path of a file with a sequence a line. */
  readonly oneTimeFile: Placed<string> | null;
  readonly seqTimeout: Placed<number> | null;
  readonly cmdTimeout: Placed<number> | null;
  readonly tcpFlags: Placed<KnockdFlags> | null;
  readonly target: Placed<string> | null;
  readonly start: Placed<string> | null;
  readonly start6: Placed<string> | null;
  readonly stop: Placed<string> | null;
  readonly stop6: Placed<string> | null;
}

/** A whole file. */
export interface KnockdFile {
  readonly interface: Placed<string> | null;
  /** Directives that say how knockd itself logs and runs. */
  readonly housekeeping: readonly Placed<string>[];
  readonly doors: readonly KnockdDoor[];
  readonly errors: readonly ConfigProblem[];
  readonly warnings: readonly ConfigProblem[];
}

export interface KnockdFileOptions {
  /** The file's name, for messages. */
  readonly file: string;
  /** Whether quirks are errors. */
  readonly strict?: boolean;
}

type Draft = { -readonly [K in keyof KnockdDoor]: KnockdDoor[K] };
type TextKey = 'oneTimeFile' | 'target' | 'start' | 'start6' | 'stop' | 'stop6';

/** A directive as it is read. */
interface Directive {
  readonly key: string;
  readonly value: string;
  readonly line: number;
}

const MOST_NAME = 127;
const OPTION_KEYS = ['USESYSLOG', 'LOGFILE', 'PIDFILE', 'INTERFACE'];
const TEXT_KEYS: Readonly<Record<string, TextKey>> = {
  ONE_TIME_SEQUENCES: 'oneTimeFile',
  TARGET: 'target',
  START_COMMAND: 'start',
  COMMAND: 'start',
  START_COMMAND_6: 'start6',
  COMMAND_6: 'start6',
  STOP_COMMAND: 'stop',
  STOP_COMMAND_6: 'stop6',
};
const TIME_KEYS: Readonly<Record<string, 'seqTimeout' | 'cmdTimeout'>> = {
  SEQ_TIMEOUT: 'seqTimeout',
  TIMEOUT: 'seqTimeout',
  CMD_TIMEOUT: 'cmdTimeout',
};
const DOOR_KEYS = ['SEQUENCE', 'TCPFLAGS', ...Object.keys(TEXT_KEYS), ...Object.keys(TIME_KEYS)];

/** Reads a knockd.conf, with everything that is wrong with it. */
export function parseKnockdFile(text: string, { file, strict = false }: KnockdFileOptions): KnockdFile {
  const reader = new Reader(file, strict);
  for (const { line, value } of knockdLines(text)) reader.read(value, line);
  return reader.finish();
}

class Reader {
  readonly #file: string;
  readonly #strict: boolean;
  readonly #errors: ConfigProblem[] = [];
  readonly #warnings: ConfigProblem[] = [];
  readonly #doors: Draft[] = [];
  readonly #housekeeping: Placed<string>[] = [];
  #interface: Placed<string> | null = null;
  #section: Draft | 'options' | null = null;
  /** Doors whose sequence is there, but is none. */
  readonly #faulty = new Set<Draft>();

  constructor(file: string, strict: boolean) {
    this.#file = file;
    this.#strict = strict;
  }

  read(text: string, line: number): void {
    if (text === '' || text.startsWith('#')) return;
    const { error } = this.#remarks(line);
    if (text.startsWith('[') && text.endsWith(']')) {
      this.#begin(text.slice(1, -1), line);
      return;
    }
    if (this.#section === null) {
      error(`line belongs to no section: '${printable(text, 60)}' (put [options] or [NAME] before)`);
      // What follows is of the same section that is none.
      this.#section = doorAt('', line);
      return;
    }
    const at = text.indexOf('=');
    const key = trimmed(at < 0 ? text : text.slice(0, at)).toUpperCase();
    if (at >= 0) {
      this.#directive({ key, value: trimmed(text.slice(at + 1)), line });
    } else if (key === 'USESYSLOG') {
      this.#housekeeping.push({ line, value: key });
    } else {
      error(`line is no 'key = value': '${printable(text, 60)}' (comments begin with #)`);
    }
  }

  finish(): KnockdFile {
    for (const door of this.#doors) {
      const { name, line, sequence, oneTimeFile } = door;
      if (sequence !== null || oneTimeFile !== null || this.#faulty.has(door)) continue;
      this.#remarks(line).error(
        `section '${printable(name)}' has no sequence (add sequence = 7000,9000:udp,8000)`,
      );
    }
    const inOrder = (problems: readonly ConfigProblem[]) =>
      problems.toSorted((one, two) => one.line - two.line);
    return {
      interface: this.#interface,
      housekeeping: this.#housekeeping,
      doors: this.#doors,
      errors: inOrder(this.#errors),
      warnings: inOrder(this.#warnings),
    };
  }

  #begin(name: string, line: number): void {
    if (name === '') this.#remarks(line).error('section has no name (write [openSSH])');
    this.#section = name === 'options' ? name : doorAt(name.slice(0, MOST_NAME), line);
    if (this.#section !== 'options') this.#doors.push(this.#section);
  }

  #directive(directive: Directive): void {
    const { key, value, line } = directive;
    const { error } = this.#remarks(line);
    const isOption = this.#section === 'options';
    const known = isOption ? OPTION_KEYS : DOOR_KEYS;
    if (key === 'USESYSLOG') {
      error('usesyslog takes no value (take it out)');
    } else if (!known.includes(key)) {
      const isElsewhere = (isOption ? DOOR_KEYS : OPTION_KEYS).includes(key);
      const advice = didYouMean(key, known)?.toLowerCase() ?? `known here: ${known.join(', ').toLowerCase()}`;
      const where = isOption ? 'a section of its own, not in [options]' : '[options]';
      const shown = printable(key.toLowerCase(), 60);
      error(
        isElsewhere ? `${shown} belongs in ${where} (move it)` : `key is not known: ${shown} (${advice})`,
      );
    } else if (this.#section === 'options') {
      if (key === 'INTERFACE') this.#interface = { line, value };
      else this.#housekeeping.push({ line, value: key });
    } else if (this.#section !== null) {
      this.#ofDoor(this.#section, directive);
    }
  }

  #ofDoor(door: Draft, { key, value, line }: Directive): void {
    const remarks = this.#remarks(line);
    const textKey = TEXT_KEYS[key];
    const timeKey = TIME_KEYS[key];
    if (textKey !== undefined) door[textKey] = { line, value };
    else if (timeKey !== undefined) {
      door[timeKey] = { line, value: parseKnockdSeconds(key.toLowerCase(), value, remarks) };
    } else if (key === 'TCPFLAGS') {
      const flags = parseKnockdFlags(value, remarks);
      const { set = [], clear = [] } = door.tcpFlags?.value ?? {};
      // Unlike all others it adds to what was said before.
      if (flags === null) return;
      door.tcpFlags = { line, value: { set: [...set, ...flags.set], clear: [...clear, ...flags.clear] } };
    } else {
      const knocks = parseKnockdSequence(value, remarks);
      if (knocks === null) this.#faulty.add(door);
      else door.sequence = { line, value: knocks };
    }
    if (
      door.sequence !== null &&
      door.oneTimeFile !== null &&
      (key === 'SEQUENCE' || textKey === 'oneTimeFile')
    ) {
      remarks.quirk('sequence and one_time_sequences are both given: the file counts (keep one)');
    }
  }

  #remarks(line: number): Remarks {
    const note = (list: ConfigProblem[], message: string): void => {
      list.push({ file: this.#file, line, column: 1, message });
    };
    return {
      error: (message) => {
        note(this.#errors, message);
      },
      quirk: (message) => {
        note(this.#strict ? this.#errors : this.#warnings, message);
      },
    };
  }
}

function doorAt(name: string, line: number): Draft {
  const [sequence, oneTimeFile, seqTimeout, cmdTimeout, tcpFlags] = [null, null, null, null, null];
  const [target, start, start6, stop, stop6] = [null, null, null, null, null];
  return {
    ...{ name, line, sequence, oneTimeFile, seqTimeout, cmdTimeout, tcpFlags },
    ...{ target, start, start6, stop, stop6 },
  };
}
