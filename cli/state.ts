// The client's memory across runs: the last one-time step or SPA counter it used, one small file per secret. It only
// spares the client a refused knock (the gateway keeps the real account), so a host without a home is no reason to
// give up.

import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import {
  messageOf,
  printable,
  systemCode,
  type KnockState,
  type OneTimeProfile,
  type SpaProfile,
} from '../lib/knocker.ts';
import { lockFile, type LockOptions } from './lock.ts';
import { keyBlobOf } from './public-key.ts';
import { writeWhole } from './private-file.ts';

/** A client's memory in a file. */
export interface FileState extends KnockState {
  readonly path: string;
}

/** Beyond any clock: what is higher was not written by us. */
const HIGHEST = 2n ** 63n;

/** The state of the client with this profile; `warn` is called at most once, and then the state lives in memory. */
export function fileState(
  profile: OneTimeProfile | SpaProfile,
  warn: (message: string) => void,
  lock: LockOptions = {},
): FileState {
  const path = statePath(profile);
  let remembered: bigint | undefined;
  let warned = false;
  let unlock = (): Promise<void> => Promise.resolve();
  const complain = (error: unknown): void => {
    const why = printable(systemCode(error) || messageOf(error));
    if (!warned) warn(`last knock is not remembered: ${why} (check ${path})`);
    warned = true;
  };
  return {
    path,
    load: async () => {
      await makeFolder(path).catch(() => undefined);
      unlock = await lockFile(`${path}.lock`, lock);
      const free = unlock;
      try {
        return latest(remembered, await readValue(path));
      } catch (error) {
        if (systemCode(error) !== 'ENOENT') complain(error);
        return remembered;
      } finally {
        // Who loads and means to save does so at once; who does not must not keep others waiting.
        setImmediate(() => {
          if (unlock === free) void free();
        });
      }
    },
    save: async (value) => {
      remembered = value;
      const free = unlock;
      unlock = () => Promise.resolve();
      await makeFolder(path)
        .then(() => writeWhole(path, `${value}\n`))
        .catch(complain)
        .finally(free);
    },
  };
}

function statePath(profile: OneTimeProfile | SpaProfile): string {
  const name = profile.scheme === 'spa' ? `${spaId(profile)}.counter` : `${idOf(profile.secret)}.step`;
  return join(stateHome(), 'portknock', name);
}

/** XDG base directory specification: a relative path there is to be ignored. */
function stateHome(): string {
  const { XDG_STATE_HOME: given = '', HOME: home = '' } = process.env;
  if (isAbsolute(given)) return given;
  return join(home === '' ? homedir() : home, '.local', 'state');
}

/** A counter belongs to a key at a gateway. */
function spaId({ key, gateway }: SpaProfile): string {
  const bytes = typeof key === 'string' ? keyBlobOf(key) : key;
  return idOf(Buffer.concat([bytes, Buffer.from(`\0${gateway}`)]));
}

/** Tells secrets apart without telling them. */
function idOf(secret: Uint8Array): string {
  return createHash('sha256').update('portknock/1 client state\0').update(secret).digest('hex').slice(0, 32);
}

/** Level by level: mkdir's own `recursive` never returns below /proc. */
async function makeFolder(path: string): Promise<void> {
  const folder = dirname(path);
  const make = (): Promise<string> => mkdir(folder, { mode: 0o700 }).then(() => '', codeUnlessThere);
  if ((await make()) !== 'ENOENT') return;
  await makeFolder(folder);
  const code = await make();
  if (code !== '') throw Object.assign(new Error(code), { code });
}

/** The code of a refusal; none when the folder is there, and that is all that was wanted. */
function codeUnlessThere(error: unknown): string {
  const code = systemCode(error);
  return code === 'EEXIST' ? '' : code;
}

async function readValue(path: string): Promise<bigint> {
  const text = await readFile(path, 'latin1');
  const value = /^\d{1,20}\n$/u.test(text) ? BigInt(text.trim()) : HIGHEST;
  if (value >= HIGHEST) throw new Error('the file is damaged');
  return value;
}

function latest(one: bigint | undefined, other: bigint): bigint {
  return one === undefined || other > one ? other : one;
}
