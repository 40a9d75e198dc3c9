// Packets that the kernel could not keep for us: counted one by one, told to the operator at most once a minute.

import type { Clock } from '../clock.ts';
import type { PacketSink } from './source.ts';

const QUIET_MS = 60_000;

/** A sink that also warns of what `dropped` counts. */
export interface LossTeller extends PacketSink {
  /** Tells nothing from the call on. */
  hush(): void;
}

/** Passes everything on to `sink`, and warns of how many packets `device` has lost; its name is fit to be printed. */
export function tellingLosses(sink: PacketSink, device: string, clock: Clock): LossTeller {
  let untold = 0;
  let isQuiet = false;
  let cancel = (): void => undefined;
  const tell = (): void => {
    isQuiet = untold > 0;
    if (!isQuiet) return;
    sink.warning(`capture on ${device} lost ${untold} packets (they come faster than they can be looked at)`);
    untold = 0;
    cancel = clock.after(QUIET_MS, tell);
  };
  return {
    frame: (...frame) => {
      sink.frame(...frame);
    },
    end: () => {
      sink.end();
    },
    warning: (message) => {
      sink.warning(message);
    },
    dropped: (count) => {
      sink.dropped(count);
      untold += count;
      if (!isQuiet) tell();
    },
    error: (error) => {
      sink.error(error);
    },
    hush: () => {
      isQuiet = true;
      cancel();
    },
  };
}
