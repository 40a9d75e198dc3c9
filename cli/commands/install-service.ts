// portknock install-service: portknockd as a service of systemd.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { ACCOUNT_NAME } from '../account.ts';
import { readArgs, UsageError, version } from '../args.ts';
import { INSTALL_SERVICE } from '../manual/install-service.ts';
import { writeOut } from '../output.ts';
import { EXIT_DONE, EXIT_FAILED, print, tell } from '../report.ts';
import { serviceFiles } from '../service/files.ts';
import { marked, writeMarked } from '../service/marked.ts';
import { planService } from '../service/plan.ts';

/** Where systemd says that it runs (sd_booted(3)). */
const BOOTED = '/run/systemd/system';

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, INSTALL_SERVICE);
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
