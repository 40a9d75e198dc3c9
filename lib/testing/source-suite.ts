// What every PacketSource must do, as cases for any test runner. Real sources need real time: a case fails when
// what it waits for has not come within its deadline, and does not wait longer than it must.

import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import type { PacketSource } from '../capture/source.ts';
import { isKnockError } from '../errors.ts';
import { decode } from '../packet/decode.ts';
import { PacketView } from '../packet/view.ts';
import type { ConformanceCase } from './case.ts';
import { recorder, within } from './recorder.ts';

/** A source to be tested, and the way to make packets reach it. */
export interface SourceHarness {
  /** Not yet opened. */
  readonly source: PacketSource;
  /** Makes at least two well-formed TCP or UDP packets reach the open source, now or soon. No-op for a savefile. */
  readonly send: () => void | Promise<void>;
  /** Releases what the harness holds beside the source; called once, after the source was closed. */
  dispose?(): void | Promise<void>;
  /** Another source of the same kind that cannot be opened (no such file, port taken...). */
  readonly broken?: PacketSource;
}

/** Makes a new harness for each case. */
export type SourceMaker = () => SourceHarness | Promise<SourceHarness>;

const CLOSE_MS = 5000;
const TURNS_AFTER_CLOSE = 20;

/**
 * The conformance suite for packet sources.
 * @example
 * for (const { title, run } of sourceConformance('my source', make)) it(title, run);
 */
export function sourceConformance(name: string, make: SourceMaker): ConformanceCase[] {
  const withHarness = (title: string, check: (harness: SourceHarness) => Promise<void>): ConformanceCase => ({
    title: `${name}: ${title}`,
    async run() {
      const harness = await make();
      try {
        await check(harness);
      } finally {
        await harness.source.close();
        await harness.broken?.close();
        await harness.dispose?.();
      }
    },
  });
  return [
    withHarness('has a name', ({ source }) => {
      assert.notEqual(source.name, '');
      return Promise.resolve();
    }),
    withHarness('opens before it delivers', opensFirst),
    withHarness('delivers whole, sound frames', deliversSoundFrames),
    withHarness('delivers no more once close() was called, also from inside a frame', closesFromInside),
    withHarness('delivers nothing and does not end after close()', staysClosed),
    withHarness('closes twice, and at once when nothing arrives', closesQuietly),
    withHarness('closes without ever having been opened', ({ source }) =>
      within(CLOSE_MS, 'close()', source.close()),
    ),
    withHarness('cannot be opened a second time', refusesSecondOpen),
    withHarness('rejects with a KnockError when it cannot be opened, and still closes', failsClearly),
  ];
}

async function opensFirst({ source, send }: SourceHarness): Promise<void> {
  const sink = recorder();
  let open = false;
  let early = 0;
  sink.onFrame = () => {
    if (!open) early += 1;
  };
  await source.open(sink.context).then(() => (open = true));
  await send();
  await sink.frames(1);
  assert.equal(early, 0, 'frames were delivered before open() resolved');
}

async function deliversSoundFrames({ source, send }: SourceHarness): Promise<void> {
  const sink = recorder();
  const view = new PacketView();
  const faults: unknown[] = [];
  sink.onFrame = (bytes, start, captured, wire, link, timeMs) => {
    const inside = start >= 0 && captured > 0 && start + captured <= bytes.length && captured <= wire;
    if (!inside) faults.push({ start, captured, wire, of: bytes.length });
    if (!Number.isFinite(timeMs)) faults.push({ timeMs });
    const fault = decode(view, bytes, start, captured, wire, link, timeMs);
    if (fault !== null) faults.push(fault);
  };
  await source.open(sink.context);
  await send();
  await sink.frames(2);
  assert.deepEqual(faults, []);
}

async function closesFromInside({ source, send }: SourceHarness): Promise<void> {
  const sink = recorder();
  const closing: Promise<void>[] = [];
  sink.onFrame = () => {
    if (closing.length === 0) closing.push(source.close());
  };
  await source.open(sink.context);
  await send();
  await sink.frames(1);
  await within(CLOSE_MS, 'close()', closing[0] ?? source.close());
  await turns();
  assert.equal(sink.frameCount, 1);
  assert.equal(sink.ends, 0);
}

async function staysClosed({ source, send }: SourceHarness): Promise<void> {
  const sink = recorder();
  await source.open(sink.context);
  const closing = source.close();
  const before = sink.frameCount;
  await send();
  await within(CLOSE_MS, 'close()', closing);
  await turns();
  assert.equal(sink.frameCount, before, 'frames were delivered after close()');
  assert.equal(sink.ends, 0, 'the source ended after close()');
  assert.deepEqual(sink.errors, []);
}

async function closesQuietly({ source }: SourceHarness): Promise<void> {
  await source.open(recorder().context);
  await within(CLOSE_MS, 'two calls of close()', Promise.all([source.close(), source.close()]));
  await within(CLOSE_MS, 'a third close()', source.close());
}

async function refusesSecondOpen({ source }: SourceHarness): Promise<void> {
  await source.open(recorder().context);
  await assert.rejects(source.open(recorder().context), isKnockError);
  await source.close();
  await assert.rejects(source.open(recorder().context), isKnockError);
}

async function failsClearly({ broken }: SourceHarness): Promise<void> {
  if (broken === undefined) return;
  const sink = recorder();
  await assert.rejects(broken.open(sink.context), isKnockError);
  await within(CLOSE_MS, 'close() after a failed open()', broken.close());
  await turns();
  assert.equal(sink.frameCount, 0);
  assert.deepEqual(sink.errors, [], 'a failed open() rejects; it does not also report to the sink');
}

async function turns(): Promise<void> {
  for (let i = 0; i < TURNS_AFTER_CLOSE; i += 1) await setImmediate();
}
