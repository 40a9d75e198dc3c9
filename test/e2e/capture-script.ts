// Run inside a namespace by renewal.test.ts and hint-flood.test.ts: a live capture whose hints change quickly, and a
// sender of numbered datagrams with those hints. `capture-script.ts watch DEVICE EPOCH_MS [plain]` until its input ends
// (a line `until COUNT` before: and so many have come or are lost); `capture-script.ts send HOST EPOCH_MS COUNT PER_SECOND`.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { liveCapture } from '../../lib/capture/live.ts';
import type { PacketSink } from '../../lib/capture/source.ts';
import { systemClock, type Clock } from '../../lib/clock.ts';
import { decode } from '../../lib/packet/decode.ts';
import { PacketView } from '../../lib/packet/view.ts';
import type { CaptureNeed } from '../../lib/scheme/scheme.ts';
import { DATAGRAM, hintOf, HINTED_PORT, PLAIN_PORT, portOf, skewOf, type Watched } from './numbered.ts';

/** For what was sent and has not come yet. */
const PATIENCE_MS = 20_000;
/** How much of its time a sender makes up for. */
const MOST_LATE_MS = 50;

/** The hourly epochs pass in `epochMs`, and so the checks that the capture makes each minute come sooner. */
function hastyClock(epochMs: number): Clock {
  const faster = 3_600_000 / epochMs;
  return { ...systemClock, after: (ms, run) => systemClock.after(ms < 60_000 ? ms : ms / faster, run) };
}

function needsFor(epochMs: number, more: readonly CaptureNeed[]): readonly CaptureNeed[] {
  const hints = (timeMs: number): number[] =>
    [-1, 0, 1].map((i) => hintOf(Math.floor(timeMs / epochMs) + i)).flatMap((hint) => [hint, ~hint]);
  return [
    { protocol: 'udp', ports: [HINTED_PORT, HINTED_PORT], payloadLength: [192, 480], hints },
    { protocol: 'udp', ports: [PLAIN_PORT, PLAIN_PORT] },
    ...more,
  ];
}

async function watch(device: string, epochMs: number, plain: boolean): Promise<void> {
  const numbers: number[] = [];
  const warnings: string[] = [];
  const view = new PacketView();
  let frames = 0;
  let lost = 0;
  const sink: PacketSink = {
    frame(bytes, start, captured, wire, link, timeMs) {
      frames += 1;
      if (decode(view, bytes, start, captured, wire, link, timeMs) !== null) return;
      if (view.payloadLength >= DATAGRAM.bytes)
        numbers.push(bytes.readUInt32BE(view.payloadStart + DATAGRAM.number));
    },
    end: () => undefined,
    warning: (message) => void warnings.push(message),
    dropped: (count) => void (lost += count),
    error(error) {
      throw error;
    },
  };
  const source = liveCapture({ interface: device });
  const needs = plain
    ? ([{ protocol: 'udp', ports: [HINTED_PORT, HINTED_PORT], payloadLength: [192, 480] }] as const)
    : needsFor(epochMs, []);
  await source.open({ sink, clock: hastyClock(epochMs), needs });
  writeSync(1, 'ready\n');
  // A line asks for other needs: one more port each time.
  let renewals = 0;
  let renewing: Promise<unknown> = Promise.resolve();
  let awaited = 0;
  const orders = createInterface({ input: process.stdin });
  orders.on('line', (line) => {
    if (line !== 'renew') awaited = Number(line.replace('until ', ''));
    else {
      renewals += 1;
      const more: CaptureNeed = { protocol: 'tcp-syn', ports: [renewals, renewals] };
      renewing = source.renew?.(needsFor(epochMs, [more])) ?? Promise.reject(new Error('no renew()'));
    }
  });
  await once(orders, 'close');
  await renewing;
  for (const deadline = Date.now() + PATIENCE_MS; numbers.length + lost < awaited && Date.now() < deadline;)
    await pause(50);
  // What comes twice.
  if (awaited > 0) await pause(500);
  await source.close();
  const watched: Watched = { frames, numbers, lost, renewals, warnings };
  process.stdout.write(`${JSON.stringify(watched)}\n`);
}

async function send(host: string, epochMs: number, count: number, perSecond: number): Promise<void> {
  const socket = createSocket('udp4');
  let began = performance.now();
  for (let number = 0; number < count;) {
    // What a machine that stood still did not send is not made up for: nobody could hear so many at once.
    const lateMs = performance.now() - began - (number / perSecond) * 1000;
    if (lateMs > MOST_LATE_MS) began += lateMs - MOST_LATE_MS;
    const due = Math.min(count, ((performance.now() - began) / 1000) * perSecond);
    for (; number < due; number += 1) {
      const bytes = Buffer.alloc(DATAGRAM.bytes, number);
      const word = Math.imul(number + 1, 0x9e3779b1);
      // Of a sender whose clock is a little behind or ahead, and of the second of two keys.
      const epoch = Math.floor((Date.now() + skewOf(number) * (epochMs / 30)) / epochMs);
      const hint = number % 2 === 0 ? hintOf(epoch) : ~hintOf(epoch);
      bytes.writeInt32BE(word, 0);
      bytes.writeInt32BE(word ^ hint, 4);
      bytes.writeUInt32BE(number, DATAGRAM.number);
      socket.send(bytes, portOf(number), host);
    }
    await pause(2);
  }
  socket.close();
}

const [, , role = '', target = '', epochMs = '', ...rest] = process.argv;
if (role === 'watch') await watch(target, Number(epochMs), rest[0] === 'plain');
else await send(target, Number(epochMs), Number(rest[0]), Number(rest[1]));
