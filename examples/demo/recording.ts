// A recorded knock, and sending it once more: the same bytes in the same order, from the same address and port.
// As a program: `recording.ts send FILE`, and `recording.ts record INTERFACE FILE` where tcpdump cannot run.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { openSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { captureFile, formatAddress, liveCapture, systemClock, type PacketSink } from '../../lib/index.ts';
import { decode } from '../../lib/packet/decode.ts';
import { destinationOf, PacketView, sourceOf, UDP } from '../../lib/packet/view.ts';
import { pcapHeader, pcapPacket } from '../../test/support/savefile.ts';

export interface Datagram {
  readonly from: { readonly address: string; readonly port: number };
  readonly to: { readonly address: string; readonly port: number };
  readonly payload: Buffer;
}

/** The datagram in a frame, copied out of it; null when there is none. */
export function datagramOf(...frame: Parameters<PacketSink['frame']>): Datagram | null {
  const view = new PacketView();
  if (decode(view, ...frame) !== null || view.protocol !== UDP) return null;
  const { bytes, payloadStart, payloadLength } = view;
  return {
    from: { address: formatAddress(sourceOf(view)), port: view.srcPort },
    to: { address: formatAddress(destinationOf(view)), port: view.dstPort },
    payload: Buffer.from(bytes.subarray(payloadStart, payloadStart + payloadLength)),
  };
}

export async function readRecording(path: string): Promise<Datagram[]> {
  const found: Datagram[] = [];
  const source = captureFile(path);
  await new Promise<void>((resolve, reject) => {
    const sink: PacketSink = {
      frame: (...frame) => {
        const datagram = datagramOf(...frame);
        if (datagram !== null) found.push(datagram);
      },
      end: resolve,
      error: reject,
      warning: () => undefined,
      dropped: () => undefined,
    };
    source.open({ sink, clock: systemClock, needs: [] }).catch(reject);
  });
  return found;
}

export async function sendAgain(datagrams: readonly Datagram[]): Promise<void> {
  for (const { from, to, payload } of datagrams) {
    const socket = createSocket(from.address.includes(':') ? 'udp6' : 'udp4');
    socket.bind(from.port, from.address);
    await once(socket, 'listening');
    await new Promise<void>((resolve, reject) => {
      socket.send(payload, to.port, to.address, (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
    socket.close();
    await once(socket, 'close');
  }
}

/** Writes every UDP packet that arrives at `device` to a savefile, until SIGINT. Says "listening on" once it does. */
async function record(device: string, path: string): Promise<void> {
  const file = openSync(path, 'w');
  let link: number | null = null;
  const sink: PacketSink = {
    frame: (bytes, start, captured, wire, frameLink, timeMs) => {
      if (link === null) writeSync(file, pcapHeader({ link: frameLink }));
      link = frameLink;
      writeSync(file, pcapPacket({ bytes: bytes.subarray(start, start + captured), wire, timeMs }));
    },
    end: () => undefined,
    error: (error) => {
      throw error;
    },
    warning: () => undefined,
    dropped: () => undefined,
  };
  const source = liveCapture({ interface: device });
  await source.open({ sink, clock: systemClock, needs: [{ protocol: 'udp', ports: [1, 65_535] }] });
  console.error(`listening on ${device}`);
  await once(process, 'SIGINT');
  await source.close();
}

const [, program, verb, first = '', second = ''] = process.argv;
if (program === fileURLToPath(import.meta.url)) {
  if (verb === 'record') {
    await record(first, second);
  } else {
    const datagrams = await readRecording(first);
    await sendAgain(datagrams);
    const from = datagrams[0]?.from;
    console.log(`${datagrams.length} datagrams sent from ${from?.address ?? '?'} port ${from?.port ?? '?'}`);
  }
}
