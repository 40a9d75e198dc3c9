// A server on a unix socket: with its permissions from the first moment on, in the place of one that a dead process left,
// and never in that of a living one or of a file.

import { once } from 'node:events';
import { lstatSync, unlinkSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { KnockError, printable, systemCode } from '../lib/knocker.ts';

export interface UnixPlace {
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  /** What it is for, in messages: `control socket`. */
  readonly what: string;
  /** Where its path is from: `state_dir`. */
  readonly key: string;
  /** What another one there means, with what to do. */
  readonly taken: string;
}

/** sockaddr_un; a longer name would be cut off. */
const MOST_PATH_BYTES = 107;
const PATIENCE_MS = 5000;

/** @throws KnockError `ERR_EXISTS` when somebody answers there, `ERR_WRITE` when there can be no socket */
export async function listenUnix(server: Server, place: UnixPlace): Promise<void> {
  const { path, key, taken } = place;
  if (Buffer.byteLength(path) > MOST_PATH_BYTES) {
    throw failure(place, `its path is longer than ${MOST_PATH_BYTES} bytes`, `use a shorter ${key}`);
  }
  for (let tries = 2; ; tries -= 1) {
    try {
      await bind(server, place);
      return;
    } catch (error) {
      if (systemCode(error) !== 'EADDRINUSE') throw failure(place, systemCode(error), `check ${key}`);
      if (await isAnswered(path)) throw new KnockError('ERR_EXISTS', taken);
      if (tries === 0 || !removeSocket(path)) throw failure(place, 'something else is there', 'remove it');
    }
  }
}

/** Node binds within the call, so the mask is ours for that long, and the socket is never open to others. */
async function bind(server: Server, { path, mode }: UnixPlace): Promise<void> {
  const mask = process.umask(0o777 & ~mode);
  try {
    server.listen(path);
  } finally {
    process.umask(mask);
  }
  await once(server, 'listening');
}

/** A process that died leaves its socket behind, and nobody behind that. */
async function isAnswered(path: string): Promise<boolean> {
  const socket = connect({ path });
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(PATIENCE_MS) });
    return true;
  } catch (error) {
    return !['ECONNREFUSED', 'ENOENT', 'ENOTSOCK'].includes(systemCode(error));
  } finally {
    socket.destroy();
  }
}

/** False when it is none. */
function removeSocket(path: string): boolean {
  try {
    if (!lstatSync(path).isSocket()) return false;
    unlinkSync(path);
  } catch (error) {
    return systemCode(error) === 'ENOENT';
  }
  return true;
}

function failure({ path, what }: UnixPlace, problem: string, advice: string): KnockError {
  const message = `${what} cannot be made: ${printable(path, 1000)}: ${printable(problem)} (${advice})`;
  return new KnockError('ERR_WRITE', message);
}
