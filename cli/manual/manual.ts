// What a command is given and what it says of itself: one description, from which come the options that parseArgs
// knows, --help, the man pages and the shell completion.

/** What a shell offers for a value: names from the system, or one of these words. */
export type Completes = 'file' | 'directory' | 'host' | 'interface' | 'user' | readonly string[];

/**
 * Paragraphs. One that begins with two spaces is a block of lines that stay as they are. In the others a word of a
 * command line is marked by backquotes where nothing else tells that it is one; options and values need no mark.
 */
export type Text = readonly string[];

interface AnyOption {
  /** One letter or digit. */
  readonly short?: string;
  /** What it does, or what its value is, as the end of a sentence without a full stop. */
  readonly says: string;
  /** The heading that it stands under, as `With --knockd`; none: before all headings. */
  readonly group?: string;
}

/** An option that is given or not. */
export interface Flag extends AnyOption {
  readonly type: 'boolean';
  readonly default?: false;
}

/** An option with a value. */
export interface Valued extends AnyOption {
  readonly type: 'string';
  /** In capitals, as usage lines write it. */
  readonly value: string;
  /** May be given again. */
  readonly multiple?: boolean;
  /** What it is unless given. */
  readonly default?: string;
  /** The same in words, where the command finds out what that is. */
  readonly usual?: string;
  readonly completes?: Completes;
}

export type Option = Flag | Valued;

/** A word beside the options. */
export interface Operand {
  readonly name: string;
  readonly optional?: true;
  readonly completes?: Completes;
}

/** Commands under one heading. */
export interface Commands {
  readonly title: string;
  readonly commands: readonly Manual[];
}

/** A command. Names of things (environment, files) are keys, what is said of them the values. */
export interface Manual {
  /** As typed: `portknock send`. */
  readonly program: string;
  /** What it does, in less than a line. */
  readonly summary: string;
  /** What comes behind the program in each usage line. */
  readonly usage: readonly string[];
  readonly about: Text;
  readonly commands?: readonly Commands[];
  readonly operands: readonly Operand[];
  readonly options: Readonly<Record<string, Option>>;
  /** What is to be said after the options. */
  readonly notes?: Text;
  readonly environment?: Readonly<Record<string, string>>;
  /** In the man page only. */
  readonly files?: Readonly<Record<string, string>>;
  readonly examples?: Text;
  readonly exits: readonly [done: string, failed: string | null, usage: string];
  /** Other man pages, as `ssh_config(5)`. */
  readonly see?: readonly string[];
}

/** What every command has. */
export const EVERYWHERE = {
  help: { type: 'boolean', short: 'h', says: 'print this help' },
  version: { type: 'boolean', short: 'V', says: 'print the version' },
} as const satisfies Manual['options'];
