// What the commands that ask a running portknockd have in common: where it is, and what is said when it does not answer.

import { loadConfig } from '../lib/index.ts';
import { printable } from '../lib/knocker.ts';
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
  const answer = await answerAt(stateDir, request);
  if (answer?.ok === true) return answer;
  if (answer !== null) tell(`portknock: ${answer.message}`, 'red');
  return null;
}

/** What it says, or `null` after saying that nobody does. @throws KnockError `ERR_SEND` */
export async function answerAt(
  stateDir: string,
  request: Request & { readonly command: string },
): Promise<Answer | null> {
  const answer = await askDaemon(stateDir, request);
  if (answer === null) {
    const place = printable(controlPath(stateDir), 1000);
    tell(`portknock: no portknockd answers at ${place} (start it, or name its --config or --state)`, 'red');
  }
  return answer;
}
