// portknock explain: what the gateway would have done with a capture, and why.

import { assemble, captureFile, explain, formatProblem, loadConfig, parseAddress } from '../../lib/index.ts';
import { readArgs, UsageError } from '../args.ts';
import { explanationReport } from '../explaining.ts';
import { progressOf } from '../progress.ts';
import { EXIT_DONE, tell } from '../report.ts';

const HELP = `usage: portknock explain CAPTURE [--config F] [options]

Reads a capture (pcap or pcapng; - is standard input) and says of each packet
that touched a knock scheme what the gateway would have done, and why; then what
became of each source. Opens and writes nothing; needs neither root nor pcap.

  -c, --config F      default /etc/portknock/portknockd.yaml
      --host ADDRESS  only packets to this address of the gateway (several: say
                      it again); without it every destination is the gateway
      --json          one JSON object a line
  -h, --help          this text
  -V, --version       the version

While it happens, as root:
  tcpdump -i eth0 -U -w - | portknock explain -
Recorded whole (tcpdump -s 0), or what was cut off cannot be read.

Exit: 0 done, 1 the capture cannot be read, 2 usage or configuration.
`;

const OPTIONS = {
  config: { type: 'string', short: 'c', default: '/etc/portknock/portknockd.yaml' },
  host: { type: 'string', multiple: true, default: [] as string[] },
  json: { type: 'boolean' },
} as const;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, { program: 'portknock explain', help: HELP, options: OPTIONS, words: [1, 1] });
  if (line === null) return EXIT_DONE;
  const { config: file, host: hosts, json = false } = line.values;
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
