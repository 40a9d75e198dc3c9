// A running gateway takes its file anew: one reload at a time, and when the file or the gateway refuses, the old rules
// stay and it is said why.

import { formatProblem, isKnockError, type Assembly, type GatewayConfig } from '../lib/index.ts';
import { messageOf } from '../lib/knocker.ts';
import type { Answer } from './control.ts';
import type { EventLog } from './report.ts';

export interface ReloadOptions {
  readonly assembly: Pick<Assembly, 'reload'>;
  /** Reads the configuration anew. @throws ConfigError */
  readonly load: () => Promise<GatewayConfig>;
  readonly log: EventLog;
  /** Resolves when the gateway runs, or never will. */
  readonly started: Promise<unknown>;
  /** Aborted when the gateway stops. */
  readonly signal: AbortSignal;
}

/** What reloads; the answer is for whoever asked for it. Never rejects. */
export function reloader(options: ReloadOptions): () => Promise<Answer> {
  const { assembly, load, log, signal } = options;
  let queue: Promise<unknown> = options.started;
  const reload = async (): Promise<Answer> => {
    try {
      signal.throwIfAborted();
      const config = await load();
      await assembly.reload(config);
      const facts = { services: Object.keys(config.services), clients: config.clients.length };
      const warnings = config.warnings.map(formatProblem);
      log('reload', facts);
      for (const message of warnings) log('warning', { message });
      return { ok: true, ...facts, warnings };
    } catch (error) {
      // Its log has ended.
      if (signal.aborted) return { ok: false, message: 'portknockd stops' };
      const message = messageOf(error);
      log('error', { code: isKnockError(error) ? error.code : undefined, message });
      return { ok: false, message };
    }
  };
  return () => {
    const turn = queue.then(reload);
    queue = turn;
    return turn;
  };
}
