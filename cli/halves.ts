// portknockd as two processes: the one that the administrator starts keeps root and asks nobody; the other one, as another
// user, is the gateway that cli/serve.ts makes of what it is told.

import {
  joinWarden,
  prepareFor,
  startWarden,
  type WardenLink,
  type WardenOptions,
  type WardenState,
} from '../lib/halves.ts';
import type { Notifier } from './notify.ts';
import { signalOrders } from './orders.ts';
import { eventLog, type EventLog } from './report.ts';
import { heard, serve, serviceManager } from './serve.ts';

/** The word that makes a portknockd the other half. Not for people: without its parent's pipe it ends at once. */
export const OTHER_HALF = '--verifier';

/** Three of the other half's signs of life may fail to come. */
const HEARD_WITHIN_MS = 15_000;
const STATUS = 'listening; what reads packets has no rights';

/** What the other half is told. */
export interface Greeting {
  readonly format: 'text' | 'json';
  readonly named: string;
}

export interface WardenLife extends Omit<WardenOptions, 'program' | 'log' | 'greeting'> {
  readonly greeting: Greeting;
  readonly log: EventLog;
}

/** Runs both halves until they have ended; resolves to the exit code. @throws KnockError as prepareFor(), `ERR_WARDEN` */
export async function keepWarden({ log, ...life }: WardenLife): Promise<number> {
  const [, program = ''] = process.argv;
  const { account, config, files } = life;
  await prepareFor(account, { stateDir: config.stateDir, program, files });
  const { onState, lastWord } = tellingManager(log);
  const warden = startWarden({ ...life, program: [program, OTHER_HALF], log, onState });
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
  await heard(lastWord());
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
    pid: process.ppid,
    manager: (isWorking) => telling(link, isWorking),
  });
  // The pipe would keep it.
  setImmediate(() => process.exit(code));
  return code;
}

/** Tells the service manager of this process how both halves are. */
function tellingManager(log: EventLog): {
  readonly onState: (state: WardenState) => void;
  readonly lastWord: () => Promise<void>;
} {
  let heardAt = Number.NEGATIVE_INFINITY;
  let isReady = false;
  let last = Promise.resolve();
  const manager = serviceManager(log)(() => performance.now() - heardAt < HEARD_WITHIN_MS);
  const onState = (state: WardenState): void => {
    if (state === 'ready' || state === 'alive') heardAt = performance.now();
    switch (state) {
      case 'ready':
        if (isReady) manager.reloaded(STATUS);
        else manager.ready(STATUS);
        isReady = true;
        break;
      case 'reloading':
        manager.reloading();
        break;
      case 'stopping':
        last = manager.stopping();
        break;
      case 'alive':
        break;
    }
  };
  return { onState, lastWord: () => last };
}

/** What the service manager would be told, told to the half that it listens to. */
function telling(link: Pick<WardenLink, 'ready' | 'onPing'>, isWorking: () => boolean): Notifier {
  link.onPing(isWorking);
  return {
    ready: link.ready,
    reloading: () => undefined,
    reloaded: link.ready,
    stopping: () => Promise.resolve(),
  };
}
