// Opens a live capture and says what came of it: `try-capture.ts MODULE INTERFACE`, where MODULE is a capture/live.ts.
// It never calls exit: whatever a failed capture leaves running would keep it alive.

import { pathToFileURL } from 'node:url';
import type { liveCapture } from '../../lib/capture/live.ts';
import { systemClock, type Clock } from '../../lib/clock.ts';
import { recorder } from '../../lib/testing/recorder.ts';

/** A capture process is given ten seconds to start, which on a busy machine may be too few for one that runs from source. */
const patient: Clock = { now: systemClock.now, after: (ms, run) => systemClock.after(10 * ms, run) };

const [, , path = '', device = ''] = process.argv;
const live = (await import(pathToFileURL(path).href)) as { readonly liveCapture: typeof liveCapture };
const source = live.liveCapture({ interface: device });
try {
  await source.open(recorder({ needs: [], clock: patient }).context);
  console.log(JSON.stringify({ code: 'open', message: '' }));
} catch (error) {
  const { code = '', message } = error as Error & { code?: string };
  console.log(JSON.stringify({ code, message }));
}
await source.close();
