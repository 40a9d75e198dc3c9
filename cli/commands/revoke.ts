// portknock revoke: takes a grant back.

import { ask, WHICH } from '../asking.ts';
import { readArgs, UsageError } from '../args.ts';
import { asciiJson, EXIT_DONE, EXIT_FAILED, print, tell } from '../report.ts';
import { GRANT_ID } from '../requests.ts';

const HELP = `usage: portknock revoke ID [--config F] [options]

Takes an open grant back, at once and in the firewall: nobody connects by it any
more. Connections that are established live on. The client may knock again: to
keep it out, take it out of the configuration and portknock reload.

ID is that of portknock grants or of the log, or its beginning: at least 4
characters, and as many as fit one open grant only.

  -c, --config F   default /etc/portknock/portknockd.yaml
      --state DIR  its state directory, instead of a configuration
      --json       one JSON object: which grant it was
  -h, --help       this text
  -V, --version    the version

Exit: 0 done, 1 no such grant, or no portknockd is running, 2 usage or
configuration.
`;

const OPTIONS = { ...WHICH, json: { type: 'boolean' } } as const;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, { program: 'portknock revoke', help: HELP, options: OPTIONS, words: [1, 1] });
  if (line === null) return EXIT_DONE;
  const [id = ''] = line.positionals;
  if (!GRANT_ID.fits(id)) throw new UsageError(`ID must be ${GRANT_ID.rule}, not '${id}'`);
  const answer = await ask(line.values, { command: 'revoke', id });
  if (answer === null) return EXIT_FAILED;
  const { ok: _, ...grant } = answer;
  if (line.values.json === true) print(asciiJson(grant));
  else tell(takenBack(grant as Readonly<Record<string, string>>));
  return EXIT_DONE;
}

function takenBack({ id = '', client, service = '', source = '' }: Readonly<Record<string, string>>): string {
  const whose = client === undefined ? '' : `: ${client}, ${service}, from ${source}`;
  return `grant ${id} is taken back${whose}`;
}
