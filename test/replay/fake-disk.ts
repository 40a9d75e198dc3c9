// A disk that can lose power. Everything written is there at once for whoever reads, but survives a power cut only as
// far as it was synced; what was not may survive too, sector by sector. Faults can be put before any operation.

import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Files } from '../../lib/replay/disk.ts';

const SECTOR_BYTES = 512;

interface Inode {
  /** What a reader sees. */
  bytes: Buffer;
  /** What is certainly on the platters. */
  synced: Buffer;
}

type Names = Map<string, Inode>;

/** `kill`: the process died; `power`: only what was synced is left; `mixed`: and any of the rest. */
export type Crash = 'kill' | 'power' | 'mixed';

/** What to do before operation number `step`: nothing, fail with this code, or (a write) stop half way and fail. */
export type Plan = (step: number, operation: string) => string | null;

export class FakeDisk {
  steps = 0;
  plan: Plan = () => null;
  /** Decides what of the unsynced survives; from 0 to 1. */
  random: () => number = Math.random;
  #names: Names = new Map();
  #syncedNames: Names = new Map();

  readonly files = {
    open: (path: string, flags: number) => this.#open(path, flags),
    rename: (from: string, to: string) => this.#rename(from, to),
    unlink: (path: string) => this.#unlink(path),
    mkdir: () => Promise.resolve(undefined),
  } as unknown as Files;

  /** What `path` holds now. */
  read(path: string): Buffer {
    return Buffer.from(this.#find(path).bytes);
  }

  write(path: string, bytes: Buffer): void {
    this.#names.set(basename(path), { bytes: Buffer.from(bytes), synced: Buffer.from(bytes) });
    this.#syncedNames = new Map(this.#names);
  }

  /** The disk that the next process finds. */
  after(crash: Crash): FakeDisk {
    const next = new FakeDisk();
    next.random = this.random;
    const takesSynced = crash === 'power' || (crash === 'mixed' && this.random() < 0.5);
    for (const [name, inode] of takesSynced ? this.#syncedNames : this.#names) {
      const bytes =
        crash === 'kill' ? inode.bytes : crash === 'power' ? inode.synced : mixed(inode, this.random);
      next.write(name, bytes);
    }
    return next;
  }

  async #open(path: string, flags: number): Promise<FileHandle> {
    await this.#step('open');
    if ((flags & constants.O_DIRECTORY) !== 0) return this.#directoryHandle();
    const name = basename(path);
    if ((flags & constants.O_CREAT) !== 0) {
      if (this.#names.has(name)) throw systemError('EEXIST');
      this.#names.set(name, { bytes: Buffer.alloc(0), synced: Buffer.alloc(0) });
    }
    return this.#fileHandle(this.#find(path), (flags & constants.O_DSYNC) !== 0);
  }

  #directoryHandle(): FileHandle {
    const sync = async (): Promise<void> => {
      await this.#step('sync-directory');
      this.#syncedNames = new Map(this.#names);
    };
    return { sync, close: () => Promise.resolve() } as unknown as FileHandle;
  }

  #fileHandle(inode: Inode, syncsWrites: boolean): FileHandle {
    const sync = async (): Promise<void> => {
      await this.#step('sync');
      inode.synced = Buffer.from(inode.bytes);
    };
    const write = async (bytes: Buffer, start: number, length: number, position: number) => {
      const cut = Math.floor(length * this.random());
      const half = (): void => put(inode, bytes.subarray(start, start + cut), position);
      await this.#step('write', half);
      put(inode, bytes.subarray(start, start + length), position);
      if (syncsWrites) await sync();
      return { bytesWritten: length };
    };
    return {
      stat: () => Promise.resolve({ isFile: () => true, mode: 0o600 }),
      readFile: () => Promise.resolve(Buffer.from(inode.bytes)),
      write,
      datasync: sync,
      sync,
      close: () => Promise.resolve(),
    } as unknown as FileHandle;
  }

  async #rename(from: string, to: string): Promise<void> {
    await this.#step('rename');
    this.#names.set(basename(to), this.#find(from));
    this.#names.delete(basename(from));
  }

  async #unlink(path: string): Promise<void> {
    await this.#step('unlink');
    this.#find(path);
    this.#names.delete(basename(path));
  }

  #find(path: string): Inode {
    const inode = this.#names.get(basename(path));
    if (inode === undefined) throw systemError('ENOENT');
    return inode;
  }

  async #step(operation: string, onFailure: () => void = () => undefined): Promise<void> {
    const step = this.steps;
    this.steps += 1;
    await Promise.resolve();
    const failure = this.plan(step, operation);
    if (failure === null) return;
    onFailure();
    throw systemError(failure);
  }
}

function put(inode: Inode, bytes: Buffer, position: number): void {
  const grown = Buffer.alloc(Math.max(inode.bytes.length, position + bytes.length));
  inode.bytes.copy(grown);
  bytes.copy(grown, position);
  inode.bytes = grown;
}

function mixed({ bytes, synced }: Inode, random: () => number): Buffer {
  const size = random() < 0.5 ? bytes.length : synced.length;
  const result = Buffer.alloc(size);
  for (let at = 0; at < size; at += SECTOR_BYTES) {
    const from = random() < 0.5 ? bytes : synced;
    from.subarray(at, at + SECTOR_BYTES).copy(result, at);
  }
  return result;
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: as planned`), { code });
}
