// What the commands that ask a running portknockd have in common: where it is, and what is said when it does not answer.

import { loadConfig } from '../lib/index.ts';
import { askDaemon } from './control-client.ts';
import { controlPath, type Answer } from './control.ts';
import { tell } from './report.ts';
import type { Request } from './requests.ts';

export interface Which {
  readonly config: string;
  /** Its state directory, when that is known without the configuration. */
  readonly state?: string | undefined;
}

/** What it brought; `null` after saying why there is nothing. @throws ConfigError, KnockError `ERR_SEND` */
export async function ask(
  { config, state }: Which,
  request: Request & { readonly command: string },
): Promise<Request | null> {
  const stateDir = state ?? (await loadConfig(config)).stateDir;
  const answer: Answer | null = await askDaemon(stateDir, request);
  if (answer?.ok === true) return answer;
  const none = `no portknockd answers at ${controlPath(stateDir)} (start it, or name its --config)`;
  tell(`portknock: ${answer === null ? none : answer.message}`, 'red');
  return null;
}
