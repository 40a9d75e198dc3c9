// portknock reload: has the running gateway take its configuration anew.

import { ConfigError, loadConfig } from '../../lib/index.ts';
import { readArgs } from '../args.ts';
import { answerAt } from '../asking.ts';
import { RELOAD } from '../manual/reload.ts';
import { EXIT_DONE, EXIT_FAILED, tell } from '../report.ts';

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, RELOAD);
  if (line === null) return EXIT_DONE;
  const { config, state } = line.values;
  const stateDir = state ?? (await stateDirOf(config));
  if (stateDir === null) return EXIT_FAILED;
  const answer = await answerAt(stateDir, { command: 'reload' });
  if (answer === null) return EXIT_FAILED;
  if (!answer.ok) {
    refused(answer.message);
    return EXIT_FAILED;
  }
  for (const warning of answer.warnings as readonly string[]) tell(warning, 'yellow');
  tell('portknockd has taken it up');
  return EXIT_DONE;
}

/** A file that is wrong would be refused by the daemon as well, which it does not say where to find. */
async function stateDirOf(path: string): Promise<string | null> {
  try {
    return (await loadConfig(path)).stateDir;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    refused(error.message);
    return null;
  }
}

function refused(message: string): void {
  for (const line of message.split('\n')) tell(line, 'red');
  tell('portknockd keeps its old rules');
}
