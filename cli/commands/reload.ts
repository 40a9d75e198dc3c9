// portknock reload: has the running gateway take its configuration anew.

import { ConfigError, loadConfig } from '../../lib/index.ts';
import { readArgs } from '../args.ts';
import { askDaemon } from '../control-client.ts';
import { controlPath } from '../control.ts';
import { EXIT_DONE, EXIT_FAILED, tell } from '../report.ts';

const HELP = `usage: portknock reload [--config F]

Tells the running portknockd to take its configuration anew, as SIGHUP does.
Open ports and the memory of used knocks stay. When something is wrong with the
file, the gateway keeps its old rules and this says why.

  -c, --config F   default /etc/portknock/portknockd.yaml
  -h, --help       this text
  -V, --version    the version

Exit: 0 taken up, 1 refused, or no portknockd is running, 2 usage.
`;

const OPTIONS = {
  config: { type: 'string', short: 'c', default: '/etc/portknock/portknockd.yaml' },
} as const;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, { program: 'portknock reload', help: HELP, options: OPTIONS, words: [0, 0] });
  if (line === null) return EXIT_DONE;
  const stateDir = await stateDirOf(line.values.config);
  if (stateDir === null) return EXIT_FAILED;
  const answer = await askDaemon(stateDir, { command: 'reload' });
  if (answer === null) {
    tell(
      `portknock: no portknockd answers at ${controlPath(stateDir)} (start it, or name its --config)`,
      'red',
    );
    return EXIT_FAILED;
  }
  if (!answer.ok) refused(answer.message);
  else tell('portknockd has taken it up');
  return answer.ok ? EXIT_DONE : EXIT_FAILED;
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
