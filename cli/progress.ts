// How far a long capture has been read: a bar on stderr, only on a terminal, only for large files. Whatever else is
// printed takes its place first.

import { stat } from 'node:fs/promises';
import type { PacketSource } from '../lib/index.ts';

/** A bar, or nothing where there is none to be. */
export interface Progress {
  /** The same source, counted. */
  watch(source: PacketSource): PacketSource;
  /** Takes the bar away, until it is drawn again. */
  clear(): void;
}

const LARGE_BYTES = 50_000_000;
const DRAW_MS = 200;
const CELLS = 40;
/** A packet's own header in a savefile. */
const HEADER_BYTES = 16;
const ERASE = '\r\u001b[K';

/** For the file of this name; `-` has no length. */
export async function progressOf(path: string): Promise<Progress> {
  const bytes = path === '-' || !process.stderr.isTTY ? 0 : await sizeOf(path);
  return bytes > LARGE_BYTES
    ? progressBar(bytes, (text) => process.stderr.write(text))
    : { watch: (source) => source, clear: () => undefined };
}

/** A bar for a savefile of so many bytes. */
export function progressBar(
  totalBytes: number,
  write: (text: string) => void,
  now = (): number => performance.now(),
): Progress {
  let seen = 0;
  let drawnMs = Number.NEGATIVE_INFINITY;
  let isDrawn = false;
  let untilLook = 0;
  const draw = (): void => {
    drawnMs = now();
    isDrawn = true;
    const share = Math.min(1, seen / totalBytes);
    const full = Math.floor(share * CELLS);
    const percent = String(Math.floor(share * 100)).padStart(3);
    write(`${ERASE}reading [${'#'.repeat(full)}${'.'.repeat(CELLS - full)}] ${percent} %`);
  };
  return {
    watch: (source) => ({
      name: source.name,
      loopback: source.loopback,
      checksDestination: source.checksDestination,
      close: () => source.close(),
      open: (context) =>
        source.open({
          ...context,
          sink: {
            end: () => {
              context.sink.end();
            },
            warning: (message) => {
              context.sink.warning(message);
            },
            dropped: (count) => {
              context.sink.dropped(count);
            },
            error: (error) => {
              context.sink.error(error);
            },
            frame(...frame) {
              seen += frame[2] + HEADER_BYTES;
              // The clock is looked at now and then.
              untilLook -= 1;
              if (untilLook <= 0) {
                untilLook = 1000;
                if (now() - drawnMs >= DRAW_MS) draw();
              }
              context.sink.frame(...frame);
            },
          },
        }),
    }),
    clear() {
      if (isDrawn) write(ERASE);
      isDrawn = false;
    },
  };
}

/** 0 for what is no file: opening it will say so. */
async function sizeOf(path: string): Promise<number> {
  try {
    const found = await stat(path);
    return found.isFile() ? found.size : 0;
  } catch {
    return 0;
  }
}
