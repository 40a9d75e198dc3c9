// portknock keygen: a client's secret.

import { createSecret } from '../../lib/index.ts';
import { readArgs } from '../args.ts';
import { EXIT_DONE, print } from '../report.ts';

const HELP = `usage: portknock keygen [--out FILE]

Makes a secret for a one-time client: 32 random bytes in base64.

  -o, --out FILE   a new file, readable by you only; without it, standard output
  -h, --help       this text
  -V, --version    the version
`;

const OPTIONS = { out: { type: 'string', short: 'o' } } as const;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, { program: 'portknock keygen', help: HELP, options: OPTIONS, words: [0, 0] });
  if (line === null) return EXIT_DONE;
  const { out } = line.values;
  const secret = await createSecret(out);
  print(out ?? secret);
  return EXIT_DONE;
}
