// A packet sink that counts and can be waited for; of frames it keeps nothing, since they are only lent.

import type { PacketSink, SourceContext } from '../capture/source.ts';
import { systemClock } from '../clock.ts';

const FRAME_DEADLINE_MS = 5000;
/** In which a deadline goes by. */
const DEADLINE_STEPS = 10;

/** A {@link PacketSink} for tests. */
export interface RecordingSink extends PacketSink {
  /** Called for each frame, while it is lent. */
  onFrame: PacketSink['frame'];
  /** What to open a source with. */
  readonly context: SourceContext;
  readonly frameCount: number;
  readonly ends: number;
  readonly lost: number;
  readonly warnings: readonly string[];
  readonly errors: readonly Error[];
  /** Resolves once `count` frames have come; rejects when they do not within five seconds. */
  frames(count: number): Promise<void>;
  /** Resolves once the source has ended or failed; rejects when it does neither within five seconds. */
  finished(): Promise<void>;
}

/** Makes a sink that counts what it gets, for a source opened with `context` (of the host's clock unless given). */
export function recorder(context: Partial<SourceContext> = {}): RecordingSink {
  const waiting = new Set<() => void>();
  const warnings: string[] = [];
  const errors: Error[] = [];
  const counts = { frames: 0, ends: 0, lost: 0 };
  const wake = (): void => {
    waiting.forEach((check) => {
      check();
    });
  };
  const until = (what: string, reached: () => boolean): Promise<void> => {
    let check: () => void = () => undefined;
    const done = new Promise<void>((resolve) => {
      check = () => {
        if (reached()) resolve();
      };
    });
    waiting.add(check);
    check();
    return within(FRAME_DEADLINE_MS, what, done).finally(() => waiting.delete(check));
  };
  const sink: RecordingSink = {
    onFrame: () => undefined,
    context: {
      clock: systemClock,
      needs: [
        { protocol: 'udp', ports: [1, 65_535] },
        { protocol: 'tcp-syn', ports: [1, 65_535] },
      ],
      ...context,
      get sink() {
        return sink;
      },
    },
    frame(...frame) {
      counts.frames += 1;
      sink.onFrame(...frame);
      wake();
    },
    end() {
      counts.ends += 1;
      wake();
    },
    warning: (message) => void warnings.push(message),
    dropped(count) {
      counts.lost += count;
    },
    error(error) {
      errors.push(error);
      wake();
    },
    get frameCount() {
      return counts.frames;
    },
    get ends() {
      return counts.ends;
    },
    get lost() {
      return counts.lost;
    },
    warnings,
    errors,
    frames: (count) => until(`frame ${String(count)}`, () => counts.frames >= count),
    finished: () => until('the end', () => counts.ends + errors.length > 0),
  };
  return sink;
}

/**
 * Rejects when `work` has not settled within `ms` milliseconds. A host that stands still meanwhile wakes with the end of
 * the time and the work both at hand, and looks at the time first: so it costs a tenth of the time at the most.
 */
export async function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const step = (left: number): void => {
      timer = setTimeout(() => {
        if (left > 1) step(left - 1);
        else reject(new Error(`${what} did not come within ${String(ms)} ms`));
      }, ms / DEADLINE_STEPS);
    };
    step(DEADLINE_STEPS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
