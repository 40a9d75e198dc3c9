// From fwknopd's access.conf, and the fwknopd.conf beside it, to our configuration.

import { dirname, join } from 'node:path';
import { systemCode } from '../errors.ts';
import { planDaemon } from './fwknop-daemon.ts';
import { parseAccess, parseDaemon } from './fwknop-file.ts';
import { planAccess } from './fwknop-plan.ts';
import { importYaml, type Imported, type PlanNote } from './import-yaml.ts';
import { readConfig } from './load.ts';

/** How an access.conf is read. */
export interface FwknopImportOptions {
  /** In place of that of fwknopd.conf. */
  readonly interface?: string;
  /** fwknopd's own file; `fwknopd.conf` beside the other, if it is there, unless said. */
  readonly daemon?: string;
  /** `/var/lib/portknock` unless said. */
  readonly stateDir?: string;
}

/**
 * Reads an access.conf as a configuration of ours. The text holds the keys.
 *
 * @throws ConfigError when a file cannot be read
 */
export async function importFwknop(path: string, options: FwknopImportOptions = {}): Promise<Imported> {
  const plan = planAccess(parseAccess((await readConfig(path)).text));
  const beside = options.daemon ?? join(dirname(path), 'fwknopd.conf');
  const text = await readConfig(beside).then((file) => file.text, absent);
  const daemon = planDaemon(parseDaemon(text ?? ''), options.interface);
  const notesOf = (file: string, notes: readonly PlanNote[]) =>
    notes.map((note) => ({ file, column: 1, ...note }));
  const { services, clients, notes } = plan;
  const written = importYaml({
    ...{ program: 'fwknopd', file: path, notes, services, clients },
    place: daemon.place,
    stateDir: options.stateDir,
  });
  return { text: written.text, notes: [...notesOf(beside, daemon.notes), ...notesOf(path, notes)] };

  /** A file that was not named need not be there. */
  function absent(error: unknown): null {
    const { cause } = error as { readonly cause?: unknown };
    if (options.daemon === undefined && systemCode(cause) === 'ENOENT') return null;
    throw error;
  }
}
