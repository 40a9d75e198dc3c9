// Standard input and output through a connection, as ssh wants it of a ProxyCommand: each direction ends on its own,
// nothing is held back, and nothing of ours is ever written among the stream.

import { fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';

/** How a relayed stream ended: in good order, or because the connection broke. */
export type RelayEnd = { readonly broke: null } | { readonly broke: Error };

/** Pipes until both directions have ended, or nothing more can come of it. */
export async function relay(socket: Socket): Promise<RelayEnd> {
  const { stdin } = process;
  const stdout = openStdout();
  socket.allowHalfOpen = true;
  socket.setNoDelay(true);
  let serverEnded = false;
  const end = new Promise<RelayEnd>((resolve) => {
    socket.once('end', () => {
      serverEnded = true;
    });
    // After its end, the server owes us nothing: what it refuses to take then does not make the stream less whole.
    socket.once('error', (error) => {
      resolve({ broke: serverEnded ? null : error });
    });
    socket.once('close', () => {
      resolve({ broke: null });
    });
    // Whoever reads us has gone, like `| head`: there is nobody left to do it for.
    stdout.once('error', () => {
      resolve({ broke: null });
    });
    stdin.once('error', () => socket.end());
  });
  stdin.pipe(socket);
  socket.pipe(stdout);
  const how = await end;
  stdin.unpipe(socket);
  stdin.destroy();
  socket.destroy();
  return how;
}

/**
 * Standard output as a stream whose end closes it: process.stdout stays open to the end of the process. Files and
 * terminals have no reader that waits for the end.
 */
function openStdout(): Writable {
  const stat = fstatSync(1);
  if (!stat.isFIFO() && !stat.isSocket()) return process.stdout;
  return new Socket({ fd: 1, readable: false, writable: true });
}
