// Where a savefile's bytes come from: a regular file (one buffer, read over and over), a pipe, or a stream.

import { open, type FileHandle } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { KnockError, messageOf, printable, systemCode } from '../errors.ts';

/** Chunks of a savefile, one at a time. */
export interface ByteSource {
  /** The next chunk, valid until next() is called again; `null` at the end. Lets timers and I/O run in between. */
  next(): Promise<Buffer | null>;
  /** Lets go of the file or stream, also while next() is pending (which may then fail). */
  close(): Promise<void>;
}

/** Opens `path`. @throws KnockError `ERR_SAVEFILE` */
export async function fileBytes(path: string, name: string, chunkBytes: number): Promise<ByteSource> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'r');
    const stat = await handle.stat();
    if (stat.isDirectory()) throw new KnockError('ERR_SAVEFILE', `${name}: a directory (name a savefile)`);
    if (stat.isFile()) return regularFile(handle, name, chunkBytes);
    return streamBytes(handle.createReadStream({ highWaterMark: chunkBytes }), name);
  } catch (error) {
    await handle?.close();
    throw error instanceof KnockError ? error : unreadable(name, error);
  }
}

/** Reads a stream of bytes; it is destroyed when we are done. */
export function streamBytes(stream: Readable, name: string): ByteSource {
  const chunks: AsyncIterator<unknown, unknown> = stream[Symbol.asyncIterator]();
  return {
    async next() {
      // A stream with chunks at hand would give them without ever returning to the event loop.
      await setImmediate();
      const { done, value } = await chunks.next().catch((error: unknown) => {
        throw unreadable(name, error);
      });
      if (done === true) return null;
      if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      throw new KnockError(
        'ERR_SAVEFILE',
        `${name}: the stream gives ${typeof value}s (give it no encoding)`,
      );
    },
    close() {
      stream.destroy();
      return Promise.resolve();
    },
  };
}

function regularFile(handle: FileHandle, name: string, chunkBytes: number): ByteSource {
  const buffer = Buffer.allocUnsafeSlow(chunkBytes);
  return {
    async next() {
      try {
        const { bytesRead } = await handle.read(buffer, 0, chunkBytes, null);
        return bytesRead === 0 ? null : buffer.subarray(0, bytesRead);
      } catch (error) {
        throw unreadable(name, error);
      }
    },
    close: () => handle.close(),
  };
}

function unreadable(name: string, cause: unknown): KnockError {
  const advice: Record<string, string> = {
    ENOENT: 'no such file',
    EACCES: 'no permission to read it',
    EPERM: 'no permission to read it',
  };
  const why = advice[systemCode(cause)] ?? printable(messageOf(cause));
  return new KnockError('ERR_SAVEFILE', `${name}: ${why}`, { cause });
}
