// How a running portknockd is spoken to: a unix socket in its state directory that only its owner can open, one line
// of JSON with the request, one with the answer. What can be asked for is the caller's table of commands. A long answer
// is made bit by bit: whoever knocks meanwhile must not wait for a listing.

import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { messageOf, printable, systemClock, type Clock } from '../lib/knocker.ts';
import { asciiJson } from './report.ts';
import { requestFault, type Fields, type Request } from './requests.ts';
import { listenUnix } from './unix-server.ts';

/** The answer to a request: what it brought, or why not. */
export type Answer =
  | { readonly ok: true; readonly rows?: Iterable<unknown>; readonly [fact: string]: unknown }
  | { readonly ok: false; readonly message: string };

/** Something that can be asked for. */
export interface Command {
  /** What a request for it may and must have; it has been checked when `run` gets it. */
  readonly takes: Fields;
  readonly run: (request: Request) => Answer | Promise<Answer>;
}

/** What can be asked for, by name. */
export type Commands = Readonly<Record<string, Command>>;

export interface ControlOptions {
  readonly path: string;
  readonly commands: Commands;
  /** How long a peer may keep us waiting, milliseconds. */
  readonly idleMs?: number;
  readonly clock?: Clock;
}

const MOST_BYTES = 4096;
const MOST_CLIENTS = 16;
/** For the request to come in, not for what it takes. */
const IDLE_MS = 5000;
/** What is made of an answer before others have their turn: a millisecond's work. */
const ROWS_AT_ONCE = 64;

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
  clock = systemClock,
}: ControlOptions): Promise<() => Promise<void>> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    serve(socket, commands, (run) => clock.after(idleMs, run));
  });
  server.maxConnections = MOST_CLIENTS;
  await listenUnix(server, {
    ...{ path, mode: 0o600, what: 'control socket', key: 'state_dir' },
    taken: `another portknockd uses this state directory: ${printable(path)} (stop it, or give each its own)`,
  });
  server.on('error', () => undefined);
  return async () => {
    server.close();
    await once(server, 'close', { signal: AbortSignal.timeout(100) }).catch(() => undefined);
  };
}

function serve(socket: Socket, commands: Commands, idle: (run: () => void) => () => void): void {
  const hangUp = (): void => {
    socket.destroy();
  };
  // Not the socket's own: whoever babbles must not keep us either.
  let cancel = idle(hangUp);
  const answer = (answered: Answer): void => {
    cancel = idle(hangUp);
    const takes = (): void => {
      cancel();
      cancel = idle(hangUp);
    };
    // A peer that is gone has had enough.
    pipeline(partsOf(answered, takes), socket).catch(() => undefined);
  };
  let text = '';
  const take = (part: string): void => {
    text += part;
    const end = text.indexOf('\n');
    if (end < 0 && text.length <= MOST_BYTES) return;
    cancel();
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
      cancel();
    });
}

/** `taken` is told when the peer has taken what was made. */
async function* partsOf(answer: Answer, taken: () => void): AsyncGenerator<string> {
  if (!answer.ok || answer.rows === undefined) {
    yield `${asciiJson(answer)}\n`;
    return;
  }
  const { rows, ...facts } = answer;
  let text = `${asciiJson(facts).slice(0, -1)},"rows":[`;
  let count = 0;
  for (const row of rows) {
    text += `${count === 0 ? '' : ','}${asciiJson(row)}`;
    count += 1;
    if (count % ROWS_AT_ONCE > 0) continue;
    yield text;
    taken();
    text = '';
    await nextTurn();
  }
  yield `${text}]}\n`;
}

async function run(line: string, commands: Commands): Promise<Answer> {
  const request = requestOf(line);
  if (request === null) return { ok: false, message: 'request is not a line of JSON with a command' };
  const { command } = request;
  const known = Object.hasOwn(commands, command) ? commands[command] : undefined;
  if (known === undefined) return { ok: false, message: `command is not known: '${printable(command, 40)}'` };
  const fault = requestFault(command, known.takes, request);
  if (fault !== null) return { ok: false, message: fault };
  try {
    return await known.run(request);
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
