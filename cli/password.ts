// Where passwords come from: a file descriptor, the environment, the terminal. Never the command line, which other
// users can read.

import { fstatSync, read } from 'node:fs';
import { promisify } from 'node:util';
import { isKnockError, KnockError, messageOf, systemCode } from '../lib/knocker.ts';
import { UsageError } from './args.ts';
import { openTerminal, type Terminal } from './terminal.ts';

/** What is asked for, and where else it may come from. */
export interface Secret {
  /** `password of alice.knock`, printable. */
  readonly what: string;
  /** An environment variable. */
  readonly variable: 'PORTKNOCK_PASSWORD' | 'PORTKNOCK_PASSPHRASE';
  /** `--password-fd` */
  readonly fd?: number | undefined;
  /** How to do without a terminal. */
  readonly advice: string;
}

const readFd = promisify(read);
const TRIES = 3;
const MOST_BYTES = 4096;

/** The number of `--password-fd`. */
export function fdOption(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,6}$/u.test(text)) return Number(text);
  throw new UsageError(`--password-fd must be the number of an open file, not '${text}' (as in 3 3<FILE)`);
}

/**
 * Uses a secret; one that was typed wrong may be typed again. `use` rejects with `ERR_PASSWORD` when it is wrong.
 *
 * @throws KnockError `ERR_PASSWORD` when it is wrong, or there is nowhere to get it from
 */
export async function withSecret<T>(secret: Secret, use: (text: string) => Promise<T>): Promise<T> {
  const given = await givenSecret(secret);
  if (given !== null) return use(given);
  return onTerminal(secret, async (terminal) => {
    for (let left = TRIES - 1; ; left -= 1) {
      try {
        return await use(await typed(terminal, secret.what));
      } catch (error) {
        if (left === 0 || !isKnockError(error) || error.code !== 'ERR_PASSWORD') throw error;
      }
    }
  });
}

/** A new secret: on a terminal it is typed twice. @throws KnockError `ERR_PASSWORD` */
export async function newSecret(secret: Secret): Promise<string> {
  const given = await givenSecret(secret);
  if (given !== null) return given;
  return onTerminal(secret, async (terminal) => {
    for (let left = TRIES - 1; ; left -= 1) {
      const first = await typed(terminal, `new ${secret.what}`);
      if (first === (await typed(terminal, 'the same again'))) return first;
      if (left === 0) throw new KnockError('ERR_PASSWORD', 'passwords differ (type the same one twice)');
    }
  });
}

async function givenSecret({ fd, variable }: Secret): Promise<string | null> {
  return fd === undefined ? (process.env[variable] ?? null) : firstLineOf(fd);
}

async function onTerminal<T>({ what, advice }: Secret, go: (terminal: Terminal) => Promise<T>): Promise<T> {
  const terminal = openTerminal();
  if (terminal === null) {
    throw new KnockError('ERR_PASSWORD', `${what} is needed, and there is no terminal to ask on (${advice})`);
  }
  try {
    return await go(terminal);
  } finally {
    terminal.close();
  }
}

async function typed(terminal: Terminal, what: string): Promise<string> {
  const line = await terminal.ask(`${what}: `);
  if (line !== null) return line;
  throw new UsageError(`${what} was not given`);
}

async function firstLineOf(fd: number): Promise<string> {
  try {
    const stat = fstatSync(fd);
    // Of what Node itself has open, nothing looks like this.
    const fits = stat.isFile() || stat.isFIFO() || stat.isSocket() || stat.isCharacterDevice();
    if (!fits) throw new Error('not an open file');
    const buffer = Buffer.alloc(MOST_BYTES);
    // A writer may keep the pipe open behind its line.
    for (let length = 0; length < MOST_BYTES;) {
      const { bytesRead } = await readFd(fd, buffer, length, MOST_BYTES - length, null);
      length += bytesRead;
      const [line = '', ...rest] = buffer.toString('utf8', 0, length).split('\n');
      if (rest.length > 0 || bytesRead === 0) return line.replace(/\r$/u, '');
    }
    throw new Error(`no line of less than ${MOST_BYTES} bytes`);
  } catch (cause) {
    const why = systemCode(cause) === '' ? messageOf(cause) : systemCode(cause);
    throw new UsageError(`--password-fd ${fd} cannot be read: ${why} (open it: ${fd}<FILE)`);
  }
}
