// portknock explain: what the gateway would have done with a capture, and why.

import { assemble, captureFile, explain, formatProblem, loadConfig, parseAddress } from '../../lib/index.ts';
import { readArgs, UsageError } from '../args.ts';
import { explanationReport } from '../explaining.ts';
import { EXPLAIN } from '../manual/explain.ts';
import { progressOf } from '../progress.ts';
import { EXIT_DONE, tell } from '../report.ts';

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, EXPLAIN);
  if (line === null) return EXIT_DONE;
  const { config: file, host: hosts = [], json = false } = line.values;
  const [capture = ''] = line.positionals;
  const wrong = hosts.find((host) => parseAddress(host) === null);
  if (wrong !== undefined) throw new UsageError(`--host must be an IP address, not '${wrong}'`);
  if (capture === '-' && process.stdin.isTTY) {
    throw new UsageError('standard input is a terminal (pipe a capture into it: tcpdump -w - | ...)');
  }
  const config = await loadConfig(file);
  for (const warning of config.warnings) tell(formatProblem(warning), 'yellow');
  // The configured source is asked what it would see, and never opened.
  const { rules, source } = assemble(config, { dryRun: true });
  tell('replay state starts empty: a knock that was accepted before this capture looks new');
  const progress = await progressOf(capture);
  const report = explanationReport(json ? 'json' : 'text', progress);
  const controller = new AbortController();
  process.once('SIGINT', () => {
    controller.abort();
  });
  try {
    const explanation = await explain({
      ...{ ...rules, hosts, loopback: source.loopback, told: report.packet, signal: controller.signal },
      source: progress.watch(captureFile(capture)),
      warning: report.warning,
    });
    report.summary(explanation);
    return EXIT_DONE;
  } finally {
    progress.clear();
  }
}
