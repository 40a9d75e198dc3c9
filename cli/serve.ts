// Runs a gateway until it is told to stop: the listener's events as log lines, signals as its end.

import { assemble, isKnockError, type GatewayConfig, type KnockListener } from '../lib/index.ts';
import { EXIT_DONE, EXIT_FAILED, tell, type EventLog } from './report.ts';

export interface ServeOptions {
  readonly dryRun: boolean;
  readonly format: 'text' | 'json';
  readonly log: EventLog;
}

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
/** After a stop: whatever still holds the process must not hold it longer than this. */
const EXIT_PATIENCE_MS = 150;

/** Resolves to the exit code. @throws KnockError when the gateway cannot start; nothing is left half done then */
export async function serve(config: GatewayConfig, { dryRun, format, log }: ServeOptions): Promise<number> {
  const { listener, driver, source } = assemble(config, { dryRun });
  const ended = endOf(listener);
  report(listener, log);
  try {
    await listener.start({ signal: ended.signal });
  } catch (error) {
    if (!ended.signal.aborted) throw withEvent(error, format, log);
  }
  if (!ended.signal.aborted) {
    const services = Object.keys(config.services);
    log('ready', { source: source.name, driver: driver.name, services, clients: config.clients.length });
  }
  const { reason, code } = await ended.promise;
  await listener.stop();
  log('stop', { reason });
  if (format === 'text' && driver.real) {
    tell(`the services' ports stay closed (portknockd --teardown --config ${config.file} gives them back)`);
  }
  setTimeout(() => process.exit(code), EXIT_PATIENCE_MS).unref();
  return code;
}

interface End {
  readonly reason: string;
  readonly code: number;
}

/** A signal, or a capture that failed for good: deaf is no way to go on, and a supervisor can start us again. */
function endOf(listener: KnockListener): { signal: AbortSignal; promise: Promise<End> } {
  const controller = new AbortController();
  const promise = new Promise<End>((resolve) => {
    const end = (reason: string, code: number): void => {
      resolve({ reason, code });
      controller.abort();
    };
    for (const signal of SIGNALS) {
      process.once(signal, () => {
        end(signal, EXIT_DONE);
      });
    }
    listener.on('error', (error) => {
      if (isKnockError(error) && /^ERR_(?:CAPTURE|PCAP)/u.test(error.code)) end(error.code, EXIT_FAILED);
    });
  });
  return { signal: controller.signal, promise };
}

function report(listener: KnockListener, log: EventLog): void {
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
  listener.on('reject', ({ reason, source, scheme, client, count }) => {
    log('reject', { reason, source, scheme, client, count });
  });
  listener.on('warning', ({ message }) => {
    log('warning', { message });
  });
  listener.on('error', (error) => {
    log('error', { code: isKnockError(error) ? error.code : undefined, message: error.message });
  });
}

/** A reader of the JSON log learns of a failed start there as well. */
function withEvent(error: unknown, format: 'text' | 'json', log: EventLog): unknown {
  if (format === 'json' && isKnockError(error)) log('error', { code: error.code, message: error.message });
  return error;
}
