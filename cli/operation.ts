// How a running portknockd is operated: the control socket with everything that can be asked there, and the metrics. Neither is
// a reason not to run: a gateway that cannot be asked or measured is still better than none, so that what fails is an error
// in its log.

import { resolve } from 'node:path';
import {
  isKnockError,
  promMetrics,
  type Assembly,
  type GatewayConfig,
  type KnockCounts,
  type PromMetrics,
} from '../lib/index.ts';
import { messageOf } from '../lib/knocker.ts';
import { version } from './args.ts';
import { controlPath, openControl, type Answer, type Commands } from './control.ts';
import { metricsPlace, openMetricsServer } from './metrics-server.ts';
import type { EventLog } from './report.ts';
import { FLAG, GRANT_ID } from './requests.ts';
import { revoke } from './revoking.ts';
import { Standing } from './standing.ts';

type Close = () => Promise<void>;

export interface OperationParts {
  readonly assembly: Assembly;
  readonly counts: KnockCounts;
  readonly log: EventLog;
  /** The configuration that the gateway goes by now. */
  readonly config: () => GatewayConfig;
  readonly reload: () => Promise<Answer>;
  /** The process that signals go to. */
  readonly pid: number;
}

/** What can be begun with when the gateway runs. */
export interface Operation {
  /** The result ends it. @throws KnockError `ERR_EXISTS` when another portknockd has this state directory */
  open(): Promise<Close>;
}

/** Before the gateway starts: it must not wait for a package to load when knocks come already. */
export async function prepareOperation(parts: OperationParts): Promise<Operation> {
  const { assembly, counts, log } = parts;
  const { listen, prom } = await prepareMetrics(parts);
  const standing = new Standing({ listener: assembly.listener, counts });
  return {
    async open() {
      let metrics: string | null = null;
      const commands = commandsOf(parts, { standing, metrics: () => metrics });
      const closeControl = await orNot(
        () => openControl({ path: controlPath(parts.config().stateDir), commands }),
        log,
      );
      const closeMetrics = await orNot(async () => {
        if (listen === null || prom === null) return nothing;
        const close = await openMetricsServer({ listen, render: prom.text });
        metrics = metricsPlace(listen);
        return close;
      }, log);
      return async () => {
        await Promise.all([closeControl(), closeMetrics()]);
      };
    },
  };
}

async function prepareMetrics({ config, counts, log }: OperationParts): Promise<{
  readonly listen: GatewayConfig['metrics'];
  readonly prom: PromMetrics | null;
}> {
  const { metrics: listen } = config();
  try {
    return { listen, prom: listen === null ? null : await promMetrics({ counts, process: true }) };
  } catch (error) {
    logError(error, log);
    return { listen, prom: null };
  }
}

function commandsOf(
  { assembly, config, reload, pid }: OperationParts,
  { standing, metrics }: { readonly standing: Standing; readonly metrics: () => string | null },
): Commands {
  const { listener, driver, source, replay } = assembly;
  const startedMs = Date.now();
  return {
    reload: { takes: {}, run: reload },
    status: {
      takes: {},
      run: () => {
        const { services, clients, file } = config();
        return {
          ...{ ok: true, version: version(), pid, config: resolve(file) },
          ...{
            since: new Date(startedMs).toISOString(),
            uptime_seconds: Math.round((Date.now() - startedMs) / 1000),
          },
          ...{
            source: source.name,
            driver: driver.name,
            services: Object.keys(services),
            clients: clients.length,
          },
          ...{ replay_durable: replay.durable, metrics: metrics(), grants_open: listener.grants.length },
          ...standing.totals(),
        };
      },
    },
    grants: {
      takes: { all: FLAG },
      run: ({ all }) => {
        const ended = standing.ended();
        return {
          ok: true,
          ...{ rows: standing.open(), ended: all === true ? ended : [], ended_count: ended.length },
        };
      },
    },
    revoke: { takes: { id: GRANT_ID }, run: ({ id }) => revoke(listener, String(id)) },
  };
}

async function orNot(open: () => Promise<Close>, log: EventLog): Promise<Close> {
  try {
    return await open();
  } catch (error) {
    if (isKnockError(error) && error.code === 'ERR_EXISTS') throw error;
    logError(error, log);
    return nothing;
  }
}

function logError(error: unknown, log: EventLog): void {
  log('error', { code: isKnockError(error) ? error.code : undefined, message: messageOf(error) });
}

function nothing(): Promise<void> {
  return Promise.resolve();
}
