// The marks in files of one-time sequences: a `#` at the beginning of the line of a sequence that was used, as knockd makes
// it. The replay store is what counts; the marks are for whoever reads the file, for knockd if it comes back, and for
// the day when the store's file is lost.

import { readFile } from 'node:fs/promises';
import { messageOf, printable } from '../errors.ts';
import type { ReplayContext, ReplayStore } from '../replay/store.ts';
import { sequenceAccount } from '../scheme/sequence-list.ts';
import type { KnockPort } from '../scheme/sequence.ts';
import { sequenceLines } from './clients-list.ts';
import type { ClientConfig } from './schema.ts';
import { replaceFile } from './write.ts';

/** Where the sequence of an account stands. */
interface Place {
  readonly file: string;
  readonly knocks: readonly KnockPort[];
}

/** What the accounts of such sequences begin with. */
const SCHEME = 'sequence-list';

/** Marks what is claimed, before anything opens. `markBy`: marks in place of this process, which may not. */
export function markingReplay(
  store: ReplayStore,
  {
    clients,
    markBy = (account) => markAccount(account, clients()),
  }: {
    readonly clients: () => readonly ClientConfig[];
    readonly markBy?: ((account: string) => Promise<void>) | undefined;
  },
): ReplayStore {
  let warning: ReplayContext['warning'] = () => undefined;
  /** One file is changed by one at a time. */
  let queue: Promise<unknown> = Promise.resolve();
  const mark = async (account: string): Promise<void> => {
    const place = placeOf(account, clients());
    if (place === null) return;
    try {
      await markBy(account);
    } catch (error) {
      warning(
        `sequence was used, and is not marked so in ${printable(place.file, 1000)}: ${messageOf(error)}`,
      );
    }
  };
  return {
    name: store.name,
    durable: store.durable,
    open(context) {
      warning = context.warning;
      return store.open(context);
    },
    async claim(account, counter) {
      const result = await store.claim(account, counter);
      if (result !== 'claimed') return result;
      const turn = queue.then(() => mark(account));
      queue = turn;
      await turn;
      return result;
    },
    claimOnce: (account, id, untilMs) => store.claimOnce(account, id, untilMs),
    wasClaimed: (account, id) => store.wasClaimed(account, id),
    floor: (account) => store.floor(account),
    close: () => store.close(),
  };
}

/** Marks the sequence of an account; does nothing when there is none. @throws KnockError `ERR_WRITE`, system errors */
export async function markAccount(account: string, clients: readonly ClientConfig[]): Promise<void> {
  const place = placeOf(account, clients);
  if (place !== null) await markUsed(place);
}

/** Puts `#` in front of the sequence, in place of a blank there; a file without it is left alone. */
export async function markUsed({ file, knocks }: Place): Promise<void> {
  const text = await readFile(file, 'utf8');
  const wanted = sequenceAccount('', knocks);
  const lines = text.split('\n');
  for (const { line, knocks: found } of sequenceLines(text)) {
    if (found === null || sequenceAccount('', found) !== wanted) continue;
    lines[line - 1] = (lines[line - 1] ?? '').replace(/^[ \t]?/u, '#');
  }
  const marked = lines.join('\n');
  if (marked !== text) await replaceFile(file, { from: text, to: marked });
}

function placeOf(account: string, clients: readonly ClientConfig[]): Place | null {
  for (const client of clients) {
    if (client.scheme !== 'sequence-list') continue;
    const knocks = client.sequences.find(
      (each) => `${SCHEME} ${sequenceAccount(client.name, each)}` === account,
    );
    if (knocks !== undefined) return { file: client.file, knocks };
  }
  return null;
}
