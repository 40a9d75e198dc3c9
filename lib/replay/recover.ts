// What an opened store makes of the file it finds. Good records always count. Where something may be lost, all knocks
// are refused until every one that could have been recorded has expired, and the file says so before anything goes on.

import type { FileHandle } from 'node:fs/promises';
import { printable } from '../errors.ts';
import * as disk from './disk.ts';
import * as log from './log.ts';
import type { ReplayContext } from './store.ts';

/** A sound file, open for appending, and what is in it. */
export interface Recovered extends log.LogHead {
  readonly handle: FileHandle;
  readonly floors: log.Floors;
  readonly once: log.Once;
  readonly slots: number;
  readonly usedSlots: number;
}

/** @throws KnockError `ERR_REPLAY_UNREADABLE`, `ERR_REPLAY_WRITE`; system errors of reading as they come */
export async function recover(files: disk.Files, path: string, context: ReplayContext): Promise<Recovered> {
  const found = await disk.readFile(files, path);
  try {
    const decoded = found === null ? null : decode(path, found.bytes);
    const { refuseUntil, problem } = judge(decoded, context);
    const origin = decoded?.origin ?? 'store';
    let recovered: Recovered;
    if (found !== null && decoded?.state === 'sound' && decoded.refuseUntil === refuseUntil) {
      recovered = { ...decoded, handle: found.handle };
    } else {
      const { floors, once } = decoded ?? {
        floors: new Map<string, bigint>(),
        once: new Map<string, number>(),
      };
      recovered = await rewrite(files, path, { origin, refuseUntil, floors, once });
      await found?.handle.close();
    }
    if (problem !== null) context.warning(`replay file ${printable(path)} ${problem}`);
    return recovered;
  } catch (error) {
    await found?.handle.close().catch(() => undefined);
    throw error;
  }
}

/** Replaces the file by one with a record per client and id. @throws KnockError `ERR_REPLAY_WRITE` */
export async function rewrite(
  files: disk.Files,
  path: string,
  { floors, once, ...head }: log.LogHead & { readonly floors: log.Floors; readonly once: log.Once },
): Promise<Recovered> {
  const bytes = log.encodeLog(floors, head, once);
  const usedSlots = floors.size + once.size;
  try {
    const handle = await disk.replaceFile(files, path, bytes);
    return { ...head, handle, floors, once, slots: log.slotsFor(usedSlots), usedSlots };
  } catch (error) {
    throw disk.writeError(path, error);
  }
}

function decode(path: string, bytes: Buffer): log.DecodedLog {
  const decoded = log.decodeLog(bytes);
  if (decoded === 'foreign') throw disk.unreadable(path, 'it is not a replay file');
  if (decoded === 'newer') throw disk.unreadable(path, 'a newer portknock wrote it', 'update portknock');
  return decoded;
}

/** Until when to refuse (in the past: not at all), and what to tell the operator. */
function judge(
  decoded: log.DecodedLog | null,
  { clock, windowMs }: ReplayContext,
): { refuseUntil: number; problem: string | null } {
  const latest = clock.now() + windowMs;
  const refused = (until: number): string =>
    `(knocks are refused until ${new Date(until).toISOString()}, when every recorded one has expired)`;
  if (decoded === null) return { refuseUntil: latest, problem: `was missing ${refused(latest)}` };
  if (decoded.state === 'damaged') {
    return { refuseUntil: latest, problem: `was damaged: ${decoded.problem} ${refused(latest)}` };
  }
  // A stored end beyond one window from now was written by a clock that has since been set back.
  const refuseUntil = Math.min(decoded.refuseUntil, latest);
  if (refuseUntil > clock.now()) {
    return { refuseUntil, problem: `was missing or damaged at an earlier start ${refused(refuseUntil)}` };
  }
  const torn = 'ended in an unfinished record, which was dropped (no knock was granted for it)';
  return { refuseUntil, problem: decoded.state === 'torn' ? torn : null };
}
