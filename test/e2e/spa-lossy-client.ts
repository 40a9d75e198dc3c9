// The client of spa-lossy.test.ts, a process inside the outside namespace: every order is one fresh Knocker that gets to
// the service, one after the other.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { Knocker, messageOf, parseProfile } from '../../lib/knocker.ts';
import type { Namespace } from '../support/netns.ts';

/** `connect`: through the knocker's own connection. `wait`: knockAndWait, and then a connection like anybody's. */
export interface Order {
  readonly how: 'connect' | 'wait';
  readonly profile: string;
  readonly timeoutMs: number;
}

export interface Outcome {
  /** What the service said first; or why nothing was heard. */
  readonly heard: string;
  /** Until then, milliseconds. */
  readonly ms: number;
  /** Until the knocker was content. */
  readonly knockMs: number;
  readonly knocks: number;
}

export interface Client {
  get(order: Order): Promise<Outcome>;
  stop(): Promise<void>;
}

/** As long as the opening lasts. */
const PLAIN_TIMEOUT_MS = 120_000;

export async function startClient(space: Namespace): Promise<Client> {
  const child = space.spawn(process.execPath, ['--import', 'tsx', fileURLToPath(import.meta.url)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  await once(child, 'message');
  return {
    async get(order) {
      const answer = once(child, 'message');
      child.send(order);
      return (await answer)[0] as Outcome;
    },
    async stop() {
      const gone = once(child, 'exit');
      child.disconnect();
      await gone;
    },
  };
}

async function fulfil({ how, profile: text, timeoutMs }: Order): Promise<Outcome> {
  const profile = parseProfile(text);
  let knocks = 0;
  let last: bigint | undefined;
  const knocker = new Knocker(profile, {
    state: {
      load: () => Promise.resolve(last),
      save: (value) => {
        knocks += 1;
        last = value;
        return Promise.resolve();
      },
    },
  });
  const began = performance.now();
  let knockMs = Number.NaN;
  const heard = await (async () => {
    if (how === 'connect') {
      const socket = await knocker.connect('ssh', { timeoutMs });
      knockMs = performance.now() - began;
      return firstWords(socket, timeoutMs);
    }
    await knocker.knockAndWait('ssh', { timeoutMs });
    knockMs = performance.now() - began;
    // Anybody's connection is at the mercy of the kernel, which repeats what is lost after 1 s, then 3, 7, 15 and so on.
    const plain = connect({ host: profile.host, port: profile.services.ssh ?? 0 });
    return firstWords(plain, PLAIN_TIMEOUT_MS);
  })().catch((error: unknown) => messageOf(error));
  return { heard, ms: performance.now() - began, knockMs, knocks };
}

async function firstWords(socket: Socket, timeoutMs: number): Promise<string> {
  try {
    // As ssh does: it is also what completes a handshake whose last acknowledgement was lost.
    socket.write('SSH-2.0-visitor\r\n');
    const [chunk] = (await once(socket, 'data', { signal: AbortSignal.timeout(timeoutMs) })) as [Buffer];
    return chunk.toString();
  } finally {
    socket.on('error', () => undefined).destroy();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.on('disconnect', () => process.exit(0));
  process.on('message', (order: Order) => {
    void fulfil(order).then((outcome) => process.send?.(outcome));
  });
  process.send?.('ready');
}
