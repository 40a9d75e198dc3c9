// portknockd as two processes: the one that the administrator starts keeps root and asks nobody; the other one, as another
// user, is the gateway that cli/serve.ts makes of what it is told.

import { joinWarden, prepareFor, startWarden, type WardenOptions } from '../lib/halves.ts';
import { signalOrders } from './orders.ts';
import { eventLog, type EventLog } from './report.ts';
import { serve } from './serve.ts';

/** The word that makes a portknockd the other half. Not for people: without its parent's pipe it ends at once. */
export const OTHER_HALF = '--verifier';

/** What the other half is told. */
export interface Greeting {
  readonly format: 'text' | 'json';
  readonly named: string;
}

export interface WardenLife extends Omit<WardenOptions, 'program' | 'log' | 'greeting'> {
  readonly greeting: Greeting;
  readonly log: EventLog;
}

/** Runs both halves until they have ended; resolves to the exit code. @throws KnockError `ERR_WRITE`, `ERR_WARDEN` */
export async function keepWarden({ log, ...life }: WardenLife): Promise<number> {
  const [, program = ''] = process.argv;
  await prepareFor(life.account, life.config.stateDir, program);
  const warden = startWarden({ ...life, program: [program, OTHER_HALF], log });
  const orders = signalOrders();
  let reason = '';
  orders.onStop((why) => {
    reason = why;
    warden.stop(why);
  });
  orders.onReload(() => {
    warden.reload();
  });
  const { code, forced } = await warden.ended;
  // It had no time for its own last line.
  if (forced) log('stop', { reason });
  return code;
}

/** The other half; resolves to the exit code. */
export async function verify(): Promise<number> {
  const { greeting, config, through, ...link } = await joinWarden();
  const { format, named } = greeting as Greeting;
  const log = eventLog(format);
  const code = await serve(config, {
    ...{ dryRun: false, format, log, named, through },
    load: link.load,
    orders: link,
  });
  // The pipe would keep it.
  setImmediate(() => process.exit(code));
  return code;
}
