// Replay state in a file: an append log in which a record is on stable storage before its claim is granted. Whatever
// happens to the file, it never starts from zero: what cannot be trusted refuses knocks for one window.
// Rewriting the file from memory is the only repair: after damage, when the log is full, and after a failed write.

import type { FileHandle } from 'node:fs/promises';
import { messageOf, printable } from '../errors.ts';
import * as disk from './disk.ts';
import { lockReplay } from './lock.ts';
import * as log from './log.ts';
import { OnceClaims, onceKey } from './once.ts';
import { recover, rewrite } from './recover.ts';
import type { ClaimResult, ReplayContext, ReplayStore } from './store.ts';
import { RefusalWindow } from './window.ts';

/**
 * A durable replay store in the file `path` (0600; its directory is made if missing, 0700). Only one process may have
 * it open. Where the file is missing or damaged, claims answer `window` for `windowMs`, also across restarts.
 * @example
 * const replay = fileReplay('/var/lib/portknock/replay');
 */
export function fileReplay(path: string): ReplayStore {
  return new FileReplay(path, disk.hostFiles);
}

/**
 * Makes an empty replay file for a gateway that has never accepted a knock, so that its first start refuses nothing.
 * @throws KnockError `ERR_REPLAY_WRITE` when it exists already or cannot be written
 */
export async function createReplayFile(path: string): Promise<void> {
  try {
    await disk.createFile(
      disk.hostFiles,
      path,
      log.encodeLog(new Map(), { origin: 'deliberate', refuseUntil: 0 }),
    );
  } catch (error) {
    throw disk.writeError(path, error);
  }
}

/** {@link fileReplay} on other file operations, for tests. */
export function fileReplayOn(files: disk.Files, path: string): ReplayStore {
  return new FileReplay(path, files);
}

interface Waiting {
  readonly key: string;
  readonly counter: bigint;
  readonly isOnce: boolean;
  readonly resolve: (result: ClaimResult) => void;
}

interface OpenState {
  readonly context: ReplayContext;
  readonly window: RefusalWindow;
  readonly unlock: () => Promise<void>;
  readonly origin: log.Origin;
  /** Highest counter per client, those not durable yet or failed included: they stay refused. */
  readonly floors: log.Floors;
  /** Those not durable yet or failed included, as well. */
  readonly once: OnceClaims;
  handle: FileHandle;
  slots: number;
  usedSlots: number;
  /** The last write failed: what the file holds after its last good record is unknown. */
  isBroken: boolean;
}

class FileReplay implements ReplayStore {
  readonly name = 'file';
  readonly durable = true;
  readonly #path: string;
  readonly #files: disk.Files;
  #state: OpenState | null = null;
  #isBusy = false;
  #waiting: Waiting[] = [];
  #drained: Promise<void> | null = null;

  constructor(path: string, files: disk.Files) {
    this.#path = path;
    this.#files = disk.syncedFiles(files);
  }

  async open(context: ReplayContext): Promise<void> {
    if (this.#state !== null || this.#isBusy)
      throw disk.unreadable(this.#path, 'it is open already', 'close it first');
    this.#isBusy = true;
    try {
      await disk.makeDirectory(this.#files, this.#path);
      const unlock = await lockReplay(this.#path);
      try {
        const { refuseUntil, once: ends, ...found } = await recover(this.#files, this.#path, context);
        const { clock, windowMs } = context;
        const window = new RefusalWindow(clock, windowMs, refuseUntil);
        const once = new OnceClaims(clock, windowMs, ends);
        this.#state = { ...found, once, context, window, unlock, isBroken: false };
      } catch (error) {
        await unlock();
        throw error;
      }
    } catch (error) {
      throw disk.readError(this.#path, error);
    } finally {
      this.#isBusy = false;
    }
  }

  claim(client: string, counter: bigint): Promise<ClaimResult> {
    const state = this.#state;
    if (state === null || !log.isCounter(counter)) return Promise.resolve('failed');
    if (state.window.isRefusing()) return Promise.resolve('window');
    const key = log.clientKey(client);
    const floor = state.floors.get(key);
    if (floor !== undefined && counter <= floor) return Promise.resolve('replayed');
    state.floors.set(key, counter);
    return this.#write(state, { key, counter, isOnce: false });
  }

  claimOnce(client: string, id: string, untilMs: number): Promise<ClaimResult> {
    const state = this.#state;
    const counter = BigInt(Math.ceil(untilMs));
    if (state === null || !log.isCounter(counter)) return Promise.resolve('failed');
    if (state.window.isRefusing()) return Promise.resolve('window');
    const key = log.clientKey(onceKey(client, id));
    if (state.once.has(key) || state.once.mayBeForgotten(untilMs)) return Promise.resolve('replayed');
    if (!state.once.add(key, { client, untilMs: Number(counter) })) return Promise.resolve('failed');
    return this.#write(state, { key, counter, isOnce: true });
  }

  wasClaimed(client: string, id: string): boolean {
    return this.#state?.once.has(log.clientKey(onceKey(client, id))) ?? false;
  }

  floor(client: string): bigint | null {
    return this.#state?.floors.get(log.clientKey(client)) ?? null;
  }

  async close(): Promise<void> {
    const state = this.#state;
    this.#state = null;
    if (state === null) return;
    this.#isBusy = true;
    await this.#drained;
    state.window.close();
    state.once.close();
    await state.handle.close().catch(() => undefined);
    await state.unlock();
    this.#isBusy = false;
  }

  #write(state: OpenState, record: Omit<Waiting, 'resolve'>): Promise<ClaimResult> {
    return new Promise((resolve) => {
      this.#waiting.push({ ...record, resolve });
      this.#drained ??= this.#drain(state);
    });
  }

  /** Writes what waits, one batch after the other; what arrives during a write shares the next one. */
  async #drain(state: OpenState): Promise<void> {
    // One turn later, so that the claims of one turn share a write.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      const result = await this.#commit(state, batch);
      for (const { resolve } of batch) resolve(result);
    }
    this.#drained = null;
  }

  async #commit(state: OpenState, batch: readonly Waiting[]): Promise<ClaimResult> {
    const { warning } = state.context;
    try {
      // The floors in memory include the batch, so a new file holds its records too.
      if (state.isBroken || state.usedSlots + batch.length > state.slots) await this.#rewrite(state);
      else await append(state, batch);
    } catch (error) {
      if (!state.isBroken) {
        warning(
          `${messageOf(disk.writeError(this.#path, error))}; knocks are refused until it can be written`,
        );
      }
      state.isBroken = true;
      return 'failed';
    }
    if (state.isBroken) warning(`replay file ${printable(this.#path)} can be written again`);
    state.isBroken = false;
    return 'claimed';
  }

  async #rewrite(state: OpenState): Promise<void> {
    const { origin, window, floors } = state;
    const once = state.once.ends();
    const fresh = await rewrite(this.#files, this.#path, {
      ...{ origin, floors, once },
      refuseUntil: window.untilMs,
    });
    await state.handle.close().catch(() => undefined);
    state.handle = fresh.handle;
    state.slots = fresh.slots;
    state.usedSlots = fresh.usedSlots;
  }
}

async function append(state: OpenState, batch: readonly Waiting[]): Promise<void> {
  const bytes = Buffer.alloc(batch.length * log.SLOT_BYTES);
  batch.forEach(({ key, counter, isOnce }, i) => {
    log.encodeRecord(bytes, i * log.SLOT_BYTES, { key, counter, isOnce, slot: state.usedSlots + i });
  });
  await disk.writeAll(state.handle, bytes, log.offsetOf(state.usedSlots));
  state.usedSlots += batch.length;
}
