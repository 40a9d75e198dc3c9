// The client's memory across runs: the last one-time step it used, one small file per secret. It only spares the
// client a refused knock (the gateway keeps the real account), so a host without a home is no reason to give up.

import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { messageOf, systemCode, type KnockState } from '../lib/knocker.ts';

/** The state of the client with this secret; `warn` is called at most once, and then the state lives in memory. */
export function fileState(secret: Uint8Array, warn: (message: string) => void): KnockState {
  const directory = join(stateHome(), 'portknock');
  const path = join(directory, `${idOf(secret)}.step`);
  let remembered: number | undefined;
  let warned = false;
  const complain = (error: unknown): void => {
    if (!warned)
      warn(`last knock is not remembered: ${systemCode(error) || messageOf(error)} (check ${path})`);
    warned = true;
  };
  return {
    load: async () => {
      try {
        return latest(remembered, await readStep(path));
      } catch (error) {
        if (systemCode(error) !== 'ENOENT') complain(error);
        return remembered;
      }
    },
    save: async (step) => {
      remembered = step;
      await writeStep(directory, path, step).catch(complain);
    },
  };
}

/** XDG base directory specification: a relative path there is to be ignored. */
function stateHome(): string {
  const { XDG_STATE_HOME: given = '', HOME: home = '' } = process.env;
  if (isAbsolute(given)) return given;
  return join(home === '' ? homedir() : home, '.local', 'state');
}

/** Tells secrets apart without telling them. */
function idOf(secret: Uint8Array): string {
  return createHash('sha256').update('portknock/1 client state\0').update(secret).digest('hex').slice(0, 32);
}

async function readStep(path: string): Promise<number> {
  const text = await readFile(path, 'latin1');
  if (!/^\d{1,15}\n$/u.test(text)) throw new Error('the file is damaged');
  return Number(text);
}

/** On stable storage before anything is sent: a step must not be used twice. */
async function writeStep(directory: string, path: string, step: number): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(`${step}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const parent = await open(directory, 'r');
  await parent.sync().finally(() => parent.close());
}

function latest(one: number | undefined, other: number): number {
  return one === undefined ? other : Math.max(one, other);
}
