// Runs a gateway until it is told to stop: the listener's events as log lines, signals as its end.

import type { Through } from '../lib/halves.ts';
import { assemble, isKnockError, KnockCounts, type GatewayConfig, type KnockListener } from '../lib/index.ts';
import type { Answer } from './control.ts';
import { notifier, type Notifier } from './notify.ts';
import { prepareOperation } from './operation.ts';
import { signalOrders, type Orders } from './orders.ts';
import { reloader } from './reloading.ts';
import { EXIT_DONE, EXIT_FAILED, tell, type EventLog } from './report.ts';

export interface ServeOptions {
  readonly dryRun: boolean;
  readonly format: 'text' | 'json';
  readonly log: EventLog;
  /** Reads the configuration anew. */
  readonly load: () => Promise<GatewayConfig>;
  /** The options that name it. */
  readonly named: string;
  /** Who says when to stop and to reload; signals unless given. */
  readonly orders?: Orders;
  /** Has done elsewhere what needs root. */
  readonly through?: Through;
  /** The process that signals go to; this one unless given. */
  readonly pid?: number;
  /** Who is told how it goes, given how to see whether it does its work; the service manager unless given. */
  readonly manager?: (alive: () => boolean) => Notifier;
}

/** After a stop: whatever still holds the process must not hold it longer than this. */
const EXIT_PATIENCE_MS = 150;
/** How long a stop waits for the service manager to be told of it. */
const LAST_WORD_MS = 1000;

/** Resolves to the exit code. @throws KnockError when the gateway cannot start; nothing is left half done then */
export async function serve(config: GatewayConfig, options: ServeOptions): Promise<number> {
  const { dryRun, format, log, load, named, orders = signalOrders(), through, pid = process.pid } = options;
  const counts = new KnockCounts();
  const assembly = assemble(config, { dryRun, metrics: counts, through });
  const { listener, driver, source } = assembly;
  const ended = endOf(listener, orders);
  const manager = (options.manager ?? serviceManager(log))(() => listener.running);
  report(listener, format, log);
  let current = config;
  const reloadable = {
    reload: async (next: GatewayConfig): Promise<void> => {
      await assembly.reload(next);
      current = next;
    },
  };
  let begin = (): void => undefined;
  const started = new Promise<void>((resolve) => (begin = resolve));
  const status = `listening on ${source.name}`;
  const takeAnew = reloader({ assembly: reloadable, load, log, started, signal: ended.signal });
  const reload = async (): Promise<Answer> => {
    manager.reloading();
    const answer = await takeAnew();
    manager.reloaded(answer.ok ? status : `${status}, by the old rules: the new configuration was refused`);
    return answer;
  };
  orders.onReload(() => void reload());
  // A dry run may be beside the gateway that owns the state directory, and the address of the metrics.
  const operation = dryRun
    ? null
    : await prepareOperation({ assembly, counts, log, config: () => current, reload, pid });
  let closeOperation = (): Promise<void> => Promise.resolve();
  try {
    await listener.start({ signal: ended.signal }).finally(begin);
    if (operation !== null) closeOperation = await operation.open();
  } catch (error) {
    if (!ended.signal.aborted) {
      await listener.stop();
      throw withEvent(error, format, log);
    }
  }
  if (!ended.signal.aborted) {
    const services = Object.keys(config.services);
    log('ready', { source: source.name, driver: driver.name, services, clients: config.clients.length });
    manager.ready(status);
  }
  const { reason, code } = await ended.promise;
  const lastWord = manager.stopping();
  await Promise.all([closeOperation(), listener.stop()]);
  log('stop', { reason });
  if (format === 'text' && driver.real) {
    const what = config.protect === false ? 'our firewall rules stay' : "the services' ports stay closed";
    const back = config.protect === false ? 'removes them' : 'gives them back';
    tell(`${what} (portknockd --teardown ${named} ${back})`);
  }
  await heard(lastWord);
  setTimeout(() => process.exit(code), EXIT_PATIENCE_MS).unref();
  return code;
}

/** The service manager that started this process, if one did. */
export function serviceManager(log: EventLog): (alive: () => boolean) => Notifier {
  const warn = (message: string): void => {
    log('warning', { message });
  };
  return (alive) => notifier({ env: process.env, alive: async () => alive(), warn });
}

/** Waits until the service manager was told the last word: what tells it does not hold this process by itself. */
export async function heard(lastWord: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, LAST_WORD_MS);
  });
  await Promise.race([lastWord, late]);
  clearTimeout(timer);
}

interface End {
  readonly reason: string;
  readonly code: number;
}

/** A signal, or a capture that failed for good: deaf is no way to go on, and a supervisor can start us again. */
function endOf(listener: KnockListener, orders: Orders): { signal: AbortSignal; promise: Promise<End> } {
  const controller = new AbortController();
  const promise = new Promise<End>((resolve) => {
    const end = (reason: string, code: number): void => {
      resolve({ reason, code });
      controller.abort();
    };
    orders.onStop((reason) => {
      end(reason, EXIT_DONE);
    });
    listener.on('error', (error) => {
      if (isKnockError(error) && /^ERR_(?:CAPTURE|PCAP)/u.test(error.code)) end(error.code, EXIT_FAILED);
    });
  });
  return { signal: controller.signal, promise };
}

function report(listener: KnockListener, format: 'text' | 'json', log: EventLog): void {
  listener.on('grant', ({ grant, scheme }) => {
    const { id, client, service, port, source, openUntil } = grant;
    log('grant', {
      id,
      client,
      service,
      port,
      source,
      open_until: new Date(openUntil).toISOString(),
      scheme,
    });
  });
  listener.on('close', ({ grant, reason }) => {
    log('close', { id: grant.id, reason });
  });
  listener.on('reject', ({ reason, source, scheme, client, count, clockOffsetMs, detail }) => {
    const clock = clockOffsetMs === undefined ? {} : clockFact(clockOffsetMs, format);
    log('reject', { reason, source, scheme, client, count, detail, ...clock });
  });
  listener.on('warning', ({ message }) => {
    log('warning', { message });
  });
  listener.on('error', (error) => {
    log('error', { code: isKnockError(error) ? error.code : undefined, message: error.message });
  });
}

function clockFact(offsetMs: number, format: 'text' | 'json') {
  if (format === 'json') return { clock_offset_seconds: Math.round(offsetMs / 100) / 10 };
  const seconds = Math.round(Math.abs(offsetMs) / 1000);
  return { message: `client clock is ${seconds} s ${offsetMs < 0 ? 'behind' : 'ahead'} (set it right)` };
}

/** A reader of the JSON log learns of a failed start there as well. */
function withEvent(error: unknown, format: 'text' | 'json', log: EventLog): unknown {
  if (format === 'json' && isKnockError(error)) log('error', { code: error.code, message: error.message });
  return error;
}
