// Opens a live capture and says what came of it: `try-capture.ts MODULE INTERFACE`, where MODULE is a capture/live.ts.
// It never calls exit: whatever a failed capture leaves running would keep it alive.

import { pathToFileURL } from 'node:url';
import type { liveCapture } from '../../lib/capture/live.ts';
import { recorder } from '../../lib/testing/recorder.ts';

const [, , path = '', device = ''] = process.argv;
const live = (await import(pathToFileURL(path).href)) as { readonly liveCapture: typeof liveCapture };
const source = live.liveCapture({ interface: device });
try {
  await source.open(recorder({ needs: [] }).context);
  console.log(JSON.stringify({ code: 'open', message: '' }));
} catch (error) {
  const { code = '', message } = error as Error & { code?: string };
  console.log(JSON.stringify({ code, message }));
}
await source.close();
