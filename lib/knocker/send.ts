// How knocks leave this host: datagrams from one socket, or single SYNs in order. No root, no raw sockets.
// Whatever the gateway answers means nothing (closed ports answer, or not, as they always do); only this host's
// own refusal to send is a failure.

import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import { KnockError, messageOf, printable, systemCode } from '../errors.ts';
import type { OneTimeKnock } from '../scheme/one-time-key.ts';
import type { KnockPort } from '../scheme/sequence.ts';
import { wait } from './wait.ts';

/** One datagram, to each of the addresses. @throws KnockError `ERR_SEND` when not even one could be sent */
export async function sendDatagram(
  addresses: readonly [string, ...string[]],
  port: number,
  datagram: Buffer,
): Promise<void> {
  const socket = datagramSocket(addresses[0]);
  try {
    const sent = await Promise.allSettled(
      addresses.map((address) => sendOne(socket, datagram, port, address)),
    );
    const [first] = sent;
    if (first?.status === 'rejected' && sent.every(({ status }) => status === 'rejected')) throw first.reason;
  } finally {
    socket.close();
  }
}

/** One datagram per knock, all from one socket and so from one source. @throws KnockError `ERR_SEND` */
export async function sendTagged(
  address: string,
  knocks: readonly OneTimeKnock[],
  signal?: AbortSignal,
): Promise<void> {
  const socket = datagramSocket(address);
  try {
    for (const { port, tag } of knocks) {
      signal?.throwIfAborted();
      await sendOne(socket, tag, port, address);
    }
  } finally {
    socket.close();
  }
}

/**
 * One packet per knock, in order: a SYN that is never retransmitted, or a datagram of one zero byte.
 * `delayMs` between them keeps the order on the way.
 *
 * @throws KnockError `ERR_SEND`
 */
export async function sendInOrder(
  address: string,
  knocks: readonly KnockPort[],
  { delayMs, clock, signal }: { delayMs: number; clock: Clock; signal: AbortSignal | undefined },
): Promise<void> {
  await localAddress(address);
  for (const [index, { port, protocol }] of knocks.entries()) {
    const delay = index === knocks.length - 1 ? 0 : delayMs;
    signal?.throwIfAborted();
    if (protocol === 'udp') await sendZero(address, port);
    const socket = protocol === 'tcp' ? connect({ host: address, port }) : null;
    // Refused, reset, unreachable: all of it is what a closed port may answer.
    socket?.on('error', () => undefined);
    try {
      // connect(2) is called by the next turn; closing before a second has passed prevents the retransmit.
      await nextTurn();
      if (delay > 0) await wait(clock, delay, signal);
    } finally {
      socket?.destroy();
    }
  }
}

async function sendZero(address: string, port: number): Promise<void> {
  const socket = datagramSocket(address);
  try {
    await sendOne(socket, Buffer.alloc(1), port, address);
  } finally {
    socket.close();
  }
}

function datagramSocket(address: string): DatagramSocket {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  // Failures arrive by the callbacks of send and connect.
  socket.on('error', () => undefined);
  return socket;
}

function sendOne(socket: DatagramSocket, payload: Buffer, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(payload, port, address, (error) => {
      if (error === null) resolve();
      else reject(sendError(address, error));
    });
  });
}

/**
 * The address that this host sends to `address` from, by asking the kernel for a route: a connected UDP socket, which
 * sends nothing. An "unreachable" of a later SYN may come from the gateway's firewall and is as good as silence; here
 * it can only come from this host.
 *
 * @throws KnockError `ERR_SEND` when there is no route
 */
export async function localAddress(address: string): Promise<string> {
  const socket = datagramSocket(address);
  try {
    return await new Promise<string>((resolve, reject) => {
      // @types/node does not say that the callback is handed the error.
      const done = (error?: Error): void => {
        if (error instanceof Error) reject(sendError(address, error));
        else resolve(socket.address().address);
      };
      socket.connect(9, address, done);
    });
  } finally {
    socket.close();
  }
}

function sendError(address: string, cause: unknown): KnockError {
  const code = systemCode(cause);
  const why = code === '' ? messageOf(cause) : code;
  const advice =
    code === 'EPERM' || code === 'EACCES'
      ? 'a firewall of this host forbids it'
      : 'check the network and the address family';
  return new KnockError(
    'ERR_SEND',
    `knock to ${printable(address)} could not be sent: ${printable(why)} (${advice})`,
    {
      cause,
    },
  );
}
