// Waiting for a firewall or a disk that may not answer: whoever stops a listener must get their process back.

import type { Clock } from '../clock.ts';
import { messageOf } from '../errors.ts';

/** A stop takes a second at most, and waits four times. */
const PATIENCE_MS = 200;

/** Waits for `work`, but not for ever; what it rejects with becomes a warning. */
export async function patiently(
  work: Promise<void>,
  { clock, warning }: { readonly clock: Clock; readonly warning: (message: string) => void },
): Promise<void> {
  let cancel = (): void => undefined;
  const patience = new Promise<void>((resolve) => {
    cancel = clock.after(PATIENCE_MS, resolve);
  });
  try {
    await Promise.race([work, patience]);
  } catch (error) {
    warning(`stop: ${messageOf(error)}`);
  } finally {
    cancel();
  }
}
