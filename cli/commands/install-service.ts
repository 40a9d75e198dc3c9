// portknock install-service: portknockd as a service of systemd.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { ACCOUNT_NAME } from '../account.ts';
import { readArgs, UsageError, version } from '../args.ts';
import { writeOut } from '../output.ts';
import { EXIT_DONE, EXIT_FAILED, print, tell } from '../report.ts';
import { serviceFiles } from '../service/files.ts';
import { marked, writeMarked } from '../service/marked.ts';
import { planService } from '../service/plan.ts';

const HELP = `usage: portknock install-service [options]

Writes a systemd service for portknockd, with few rights, its account
(sysusers.d) and its state directory (tmpfiles.d). Starts nothing: it says what
to type next. What it has not written itself it leaves alone.

  -c, --config F   default /etc/portknock/portknockd.yaml
      --user NAME  the account without rights (default: the configuration's
                   user; root: none)
      --root DIR   write below DIR, for a package or an image
  -n, --dry-run    print the files and write nothing
      --force      replace files that are not ours, or were changed
  -h, --help       this text
  -V, --version    the version

Exit: 0 done, 1 refused or failed, 2 usage or configuration.
`;

const OPTIONS = {
  config: { type: 'string', short: 'c', default: '/etc/portknock/portknockd.yaml' },
  user: { type: 'string' },
  root: { type: 'string' },
  'dry-run': { type: 'boolean', short: 'n', default: false },
  force: { type: 'boolean', default: false },
} as const;

/** Where systemd says that it runs (sd_booted(3)). */
const BOOTED = '/run/systemd/system';

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const program = 'portknock install-service';
  const line = readArgs(args, { program, help: HELP, options: OPTIONS, words: [0, 0] });
  if (line === null) return EXIT_DONE;
  const { config, user, root, 'dry-run': dryRun, force } = line.values;
  if (user !== undefined && !ACCOUNT_NAME.test(user))
    throw new UsageError(`--user must be the name of an account, not '${user}' (as in portknock)`);
  const self = process.argv[1] ?? '';
  const place = { config, user, root: resolve(root ?? '/'), self, node: process.execPath };
  const { service, warnings } = await planService(place);
  const files = serviceFiles(service, place.root);
  for (const warning of warnings) tell(warning, 'yellow');
  if (dryRun) {
    for (const { path, text } of files)
      writeOut(`==> ${path}
${marked(text, version())}
`);
    return EXIT_DONE;
  }
  if (root === undefined && !existsSync(BOOTED)) {
    tell('portknock: systemd does not run here, and nothing was written', 'red');
    tell('(docs/service.md has what OpenRC and runit need; --root / writes all the same)');
    return EXIT_FAILED;
  }
  const written = await writeMarked(files, { version: version(), force });
  for (const path of written) print(path);
  if (written.length === 0) tell('everything is there already, as it should be');
  tell('next:');
  if (service.user !== 'root') tell('  systemd-sysusers portknock.conf');
  tell('  systemd-tmpfiles --create portknock.conf');
  tell('  systemctl daemon-reload');
  tell('  systemctl enable --now portknockd');
  return EXIT_DONE;
}
