// Getting through an opening that admits one connection: a loop of knocks and connection attempts.
// An attempt is never given up because the next one starts: on a slow link its answer may still be under way, and it
// may be the very one that the gateway admits. The first that is connected ends the others; if it stays so, it wins.
// Two can be connected before this process hears of the first. The gateway admits one of them, and to the other it is
// silent: whoever hears a word wins. If nobody does, both go, and from then on attempts are an answer's time apart.

import { connect, type Socket } from 'node:net';
import type { Clock } from '../clock.ts';
import { wait } from './wait.ts';

export interface ReachTask {
  readonly address: string;
  readonly port: number;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
  /** Whether attempts may go on while the next knock is sent. */
  readonly keepAttempts: boolean;
  /** Knocks once and resolves to 0, or resolves to the milliseconds until it may. */
  readonly knock: (stop: AbortSignal) => Promise<number>;
  /** Called when even the first knock would come after the time is up. */
  readonly refuseAhead: (waitMs: number) => never;
}

/** A lost knock costs a round, so they begin short, and grow: a fresh knock is cheap. */
const FIRST_ROUND_MS = 300;
const ROUND_GROWTH = 1.5;
const LONGEST_ROUND_MS = 2000;
/** Where the next knock ends the attempts, a handshake needs its time, also on a slow link. */
const WHOLE_ROUND_MS = 1500;
const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 1000;
/** Older attempts are on links too slow to live. */
const ATTEMPT_MS = 3000;
/** A refusal may come from a process that has other things to do as well, as that of a gate. */
const LEAST_SETTLE_MS = 50;
/** Services that neither speak first nor hang up with their client are rare. */
const HANG_UP_MS = 500;

/** The accepted connection, or `null` when the time was up. @throws the signal's reason, and what `knock` threw */
export async function reach(task: ReachTask): Promise<Socket | null> {
  const { clock, signal } = task;
  const stop = new AbortController();
  const giveUp = (): void => {
    stop.abort();
  };
  const cancelTimeout = clock.after(task.timeoutMs, giveUp);
  signal?.addEventListener('abort', giveUp, { once: true });
  const attempts = new Attempts(task, giveUp);
  try {
    signal?.throwIfAborted();
    await rounds(task, attempts, stop.signal);
  } catch (error) {
    // Our own stop is how a winner and the time limit interrupt the loop.
    if (!stop.signal.aborted) throw error;
  } finally {
    cancelTimeout();
    signal?.removeEventListener('abort', giveUp);
    attempts.end();
  }
  signal?.throwIfAborted();
  return attempts.winner;
}

/**
 * Ends a connection that had only to be made. Resolves when the other side has said something, be it its own end: then
 * the connection has used up its opening. A handshake whose last packet is lost or late has not, and would use up the
 * next one instead; if nothing is heard for long, a reset makes sure that it never completes.
 */
export async function hangUp(socket: Socket, clock: Clock): Promise<void> {
  const isHeard = await new Promise<boolean>((resolve) => {
    const cancel = clock.after(HANG_UP_MS, () => {
      resolve(false);
    });
    const heard = (): void => {
      cancel();
      resolve(true);
    };
    socket
      .on('error', () => undefined)
      .once('readable', heard)
      .once('close', heard)
      .end();
    if (socket.readableLength > 0 || socket.destroyed) heard();
  });
  // libuv refuses a reset while end() is still at work, and the socket would then keep the process alive for ever.
  if (isHeard) socket.destroy();
  else socket.resetAndDestroy();
}

async function rounds(task: ReachTask, attempts: Attempts, stop: AbortSignal): Promise<never> {
  let roundMs = task.keepAttempts ? FIRST_ROUND_MS : WHOLE_ROUND_MS;
  for (let knocked = false; ;) {
    // Another knock would open the port once more than it is used.
    while (attempts.isJudging) await wait(task.clock, FIRST_PAUSE_MS, stop);
    if (!task.keepAttempts) attempts.abandon();
    const waitMs = await task.knock(stop);
    if (waitMs > 0 && !knocked) {
      if (waitMs >= task.timeoutMs) task.refuseAhead(waitMs);
      await wait(task.clock, waitMs, stop);
      continue;
    }
    knocked = true;
    await attemptFor(waitMs > 0 ? waitMs : roundMs, { task, attempts, stop });
    if (task.keepAttempts) roundMs = Math.min(ROUND_GROWTH * roundMs, LONGEST_ROUND_MS);
  }
}

async function attemptFor(
  ms: number,
  { task, attempts, stop }: { task: ReachTask; attempts: Attempts; stop: AbortSignal },
): Promise<void> {
  let pauseMs = attempts.leastPauseMs;
  for (let elapsedMs = 0; elapsedMs < ms;) {
    attempts.start();
    const restMs = Math.min(pauseMs, ms - elapsedMs);
    await wait(task.clock, restMs, stop);
    elapsedMs += restMs;
    pauseMs = Math.max(attempts.leastPauseMs, Math.min(2 * pauseMs, LONGEST_PAUSE_MS));
  }
}

/** The attempts under way. */
class Attempts {
  winner: Socket | null = null;
  /** Between attempts, at least. */
  leastPauseMs = FIRST_PAUSE_MS;
  readonly #task: ReachTask;
  readonly #won: () => void;
  /** Each with what undoes our timers and listeners on it. */
  readonly #open = new Map<Socket, () => void>();

  constructor(task: ReachTask, won: () => void) {
    this.#task = task;
    this.#won = won;
  }

  /** Whether one is connected, and may be the winner in a moment. */
  get isJudging(): boolean {
    return [...this.#open.keys()].some(isConnected);
  }

  start(): void {
    if (this.isJudging) return;
    const { address: host, port, clock } = this.#task;
    const socket = connect({ host, port });
    const beganMs = performance.now();
    const drop = (): void => {
      this.#drop(socket);
    };
    let cancelTimer = clock.after(ATTEMPT_MS, drop);
    const ignore = (): void => undefined; // 'close' follows every 'error'
    const settle = (): void => {
      // The rest would compete with it for the opening: unanswered, their handshakes never complete.
      this.abandon();
      cancelTimer();
      const waitMs = settleMs(performance.now() - beganMs);
      cancelTimer = clock.after(waitMs, () => {
        if (this.#open.size === 1) this.#win(socket);
        else this.#apart(waitMs);
      });
      // A refusal after the handshake is a reset or a hang-up without a byte.
      socket.on('readable', judge);
    };
    const judge = (): void => {
      if (socket.readableLength === 0) drop();
      else if (this.#open.size === 1) this.#win(socket);
      else {
        // What the others have sent may be under way, and would use up a next opening: the moment has to pass.
        socket.off('readable', judge);
        for (const other of [...this.#open.keys()]) if (other !== socket) this.#drop(other);
      }
    };
    socket.on('error', ignore).on('close', drop).once('connect', settle);
    this.#open.set(socket, () => {
      cancelTimer();
      socket.off('close', drop).off('connect', settle).off('readable', judge);
      if (socket === this.winner) socket.off('error', ignore);
    });
  }

  /** Gives up every attempt that is not connected. */
  abandon(): void {
    for (const socket of [...this.#open.keys()]) if (!isConnected(socket)) this.#drop(socket);
  }

  /** Gives up everything but the winner. */
  end(): void {
    for (const socket of [...this.#open.keys()]) this.#drop(socket);
  }

  /** Several are connected and none has heard a word: nobody here can say which of them the gateway has let in. */
  #apart(pauseMs: number): void {
    this.leastPauseMs = pauseMs;
    this.end();
  }

  #win(socket: Socket): void {
    this.winner = socket;
    this.#release(socket);
    this.#won();
  }

  #drop(socket: Socket): void {
    this.#release(socket);
    // An orderly end would be repeated until it completes the handshake, in a later opening.
    if (isConnected(socket)) socket.resetAndDestroy();
    else socket.destroy();
  }

  #release(socket: Socket): void {
    this.#open.get(socket)?.();
    this.#open.delete(socket);
  }
}

/**
 * Whether the kernel has connected it. 'connect' comes a turn of the event loop later, and closing it in between would
 * leave the gateway with a connection that nobody knows of. Node has no public question for that.
 */
function isConnected(socket: Socket): boolean {
  const { _handle: handle } = socket as Socket & {
    readonly _handle?: { getpeername?(result: object): number } | null;
  };
  return !socket.destroyed && (!socket.connecting || handle?.getpeername?.({}) === 0);
}

/** Long enough for a refusal after the handshake to come back: a round trip and a little more. */
function settleMs(handshakeMs: number): number {
  return Math.min(LEAST_SETTLE_MS + 1.25 * handshakeMs, 500);
}
