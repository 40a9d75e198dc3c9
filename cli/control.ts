// How a running portknockd is spoken to: a unix socket in its state directory that only its owner can open, one line
// of JSON with the request, one with the answer. What can be asked for is the caller's table of commands.

import { once } from 'node:events';
import { lstatSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { KnockError, messageOf, printable, systemCode } from '../lib/knocker.ts';
import { asciiJson } from './report.ts';

/** The answer to a request: what it brought, or why not. */
export type Answer =
  { readonly ok: true; readonly [fact: string]: unknown } | { readonly ok: false; readonly message: string };

/** A request's own fields. */
export type Request = Readonly<Record<string, unknown>>;

/** What can be asked for, by name. */
export type Commands = Readonly<Record<string, (request: Request) => Promise<Answer>>>;

export interface ControlOptions {
  readonly path: string;
  readonly commands: Commands;
  /** How long a peer may keep us waiting, milliseconds. */
  readonly idleMs?: number;
}

const MOST_BYTES = 4096;
const MOST_CLIENTS = 16;
/** For the request to come in, not for what it takes. */
const IDLE_MS = 5000;
/** sockaddr_un; a longer name would be cut off. */
const MOST_PATH_BYTES = 107;

/** The socket of the portknockd with this state directory. */
export function controlPath(stateDir: string): string {
  return join(stateDir, 'portknockd.sock');
}

/**
 * Answers requests until the result is called.
 *
 * @throws KnockError `ERR_EXISTS` when another portknockd answers there, `ERR_WRITE` when there can be no socket
 */
export async function openControl({
  path,
  commands,
  idleMs = IDLE_MS,
}: ControlOptions): Promise<() => Promise<void>> {
  if (Buffer.byteLength(path) > MOST_PATH_BYTES) {
    throw failure(path, `its path is longer than ${MOST_PATH_BYTES} bytes`, 'use a shorter state_dir');
  }
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    serve(socket, { commands, idleMs });
  });
  server.maxConnections = MOST_CLIENTS;
  await listen(server, path);
  server.on('error', () => undefined);
  return async () => {
    server.close();
    await once(server, 'close', { signal: AbortSignal.timeout(100) }).catch(() => undefined);
  };
}

async function listen(server: Server, path: string): Promise<void> {
  for (let tries = 2; ; tries -= 1) {
    try {
      await bind(server, path);
      return;
    } catch (error) {
      if (systemCode(error) !== 'EADDRINUSE') throw failure(path, systemCode(error), 'check state_dir');
      if (await isAnswered(path)) {
        const message = `another portknockd uses this state directory: ${printable(path)} (stop it, or give each its own)`;
        throw new KnockError('ERR_EXISTS', message);
      }
      if (tries === 0 || !removeSocket(path)) throw failure(path, 'something else is there', 'remove it');
    }
  }
}

/** Node binds within the call, so the mask is ours for that long, and the socket is never open to others. */
async function bind(server: Server, path: string): Promise<void> {
  const mask = process.umask(0o177);
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
    await once(socket, 'connect', { signal: AbortSignal.timeout(IDLE_MS) });
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

function serve(socket: Socket, { commands, idleMs }: { commands: Commands; idleMs: number }): void {
  const hangUp = (): void => {
    socket.destroy();
  };
  // Not the socket's own: whoever babbles must not keep us either.
  let timer = setTimeout(hangUp, idleMs);
  const answer = (answered: Answer): void => {
    timer = setTimeout(hangUp, idleMs);
    socket.end(`${asciiJson(answered)}\n`);
  };
  let text = '';
  const take = (part: string): void => {
    text += part;
    const end = text.indexOf('\n');
    if (end < 0 && text.length <= MOST_BYTES) return;
    clearTimeout(timer);
    socket.off('data', take).off('end', hangUp).resume();
    if (end >= 0 && end <= MOST_BYTES) void run(text.slice(0, end), commands).then(answer);
    else answer({ ok: false, message: `request is longer than ${MOST_BYTES} bytes` });
  };
  socket
    .setEncoding('utf8')
    .on('data', take)
    // Whoever ends before the line does wants nothing.
    .on('end', hangUp)
    .on('error', () => undefined)
    .on('close', () => {
      clearTimeout(timer);
    });
}

async function run(line: string, commands: Commands): Promise<Answer> {
  const request = requestOf(line);
  if (request === null) return { ok: false, message: 'request is not a line of JSON with a command' };
  const { command } = request;
  const handler = Object.hasOwn(commands, command) ? commands[command] : undefined;
  if (handler === undefined)
    return { ok: false, message: `command is not known: '${printable(command, 40)}'` };
  try {
    return await handler(request);
  } catch (error) {
    return { ok: false, message: messageOf(error) };
  }
}

function requestOf(line: string): (Request & { readonly command: string }) | null {
  try {
    const value: unknown = JSON.parse(line);
    const { command } = value as { readonly command?: unknown };
    return typeof command === 'string' ? { ...(value as Request), command } : null;
  } catch {
    return null;
  }
}

function failure(path: string, problem: string, advice: string): KnockError {
  const message = `control socket cannot be made: ${printable(path, 1000)}: ${printable(problem)} (${advice})`;
  return new KnockError('ERR_WRITE', message);
}
