// From a knockd.conf to our configuration: as a text to keep (`portknock import`), or at once (`portknockd --knockd`). Both
// go through the same text, so what runs is what would be written.

import type { ConfigReader } from './bundle.ts';
import { readHostFile } from './files.ts';
import { readConfig, parseConfig } from './load.ts';
import type { Imported, OriginText } from './import-yaml.ts';
import { planKnockd, type KnockdPlan } from './knockd-doors.ts';
import { parseKnockdFile, type KnockdFile } from './knockd-file.ts';
import { knockdYaml } from './knockd-yaml.ts';
import { ConfigError, type ConfigProblem } from './problems.ts';
import type { GatewayConfig } from './schema.ts';

/** How a knockd.conf is read. */
export interface KnockdOptions {
  /** In place of the file's. */
  readonly interface?: string;
  /** `/var/lib/portknock` unless said. */
  readonly stateDir?: string;
  /** Whether what knockd takes by mistake (port 0, numbers that are none) is refused. */
  readonly strict?: boolean;
  /** Whether commands that need a shell get one. */
  readonly allowShell?: boolean;
}

const USUAL_INTERFACE = 'eth0';
const HOST: ConfigReader = { config: readConfig, file: readHostFile };

/** Reads a knockd.conf as a configuration of ours. @throws ConfigError when the file is none that knockd would take */
export async function importKnockd(path: string, options: KnockdOptions = {}): Promise<Imported> {
  const { file, plan } = await read(path, options, HOST);
  const warnings = file.warnings.map((warning) => ({ ...warning, kind: 'warning' as const }));
  const notes = plan.notes.map((note) => ({ file: path, column: 1, ...note }));
  const inOrder = [...warnings, ...notes].toSorted((one, other) => one.line - other.line);
  return { text: textOf(path, file, { plan, options }).text, notes: inOrder };
}

/**
 * Loads a knockd.conf to run as it is; what is not as with knockd is among the warnings.
 *
 * @throws ConfigError with the line of every door that cannot be had
 */
export function loadKnockd(path: string, options: KnockdOptions = {}): Promise<GatewayConfig> {
  return loadKnockdFrom(path, options, HOST);
}

/** Like {@link loadKnockd}, with files that are read in another way. */
export async function loadKnockdFrom(
  path: string,
  options: KnockdOptions,
  reader: ConfigReader,
): Promise<GatewayConfig> {
  const { file, plan } = await read(path, options, reader);
  const noted = plan.notes.map(({ line, kind, message }) => ({ file: path, line, column: 1, kind, message }));
  const refused = noted.filter(({ kind }) => kind === 'refused');
  if (refused.length > 0) throw new ConfigError(refused.map(problemOf));
  const { text, origins } = textOf(path, file, { plan, options });
  const original = (problem: ConfigProblem): ConfigProblem =>
    problem.file === path ? { ...problem, line: origins.get(problem.line) ?? 1, column: 1 } : problem;
  try {
    const config = await parseConfig(text, { path, readFile: reader.file });
    const warnings = [...file.warnings, ...noted.map(problemOf), ...config.warnings.map(original)];
    return { ...config, warnings: warnings.toSorted((one, other) => one.line - other.line) };
  } catch (error) {
    throw error instanceof ConfigError
      ? new ConfigError(error.problems.map(original), { cause: error })
      : error;
  }
}

async function read(
  path: string,
  { strict = false, allowShell = false }: KnockdOptions,
  reader: ConfigReader,
): Promise<{ readonly file: KnockdFile; readonly plan: KnockdPlan }> {
  const { text } = await reader.config(path);
  const file = parseKnockdFile(text, { file: path, strict });
  if (file.errors.length > 0) throw new ConfigError(file.errors);
  return { file, plan: planKnockd(file, { allowShell }) };
}

function textOf(
  path: string,
  file: KnockdFile,
  { plan, options }: { readonly plan: KnockdPlan; readonly options: KnockdOptions },
): OriginText {
  const device = options.interface ?? file.interface?.value ?? USUAL_INTERFACE;
  return knockdYaml(plan, {
    file: path,
    interface: { line: file.interface?.line ?? 1, value: device },
    stateDir: options.stateDir,
  });
}

function problemOf({ file, line, column, message }: ConfigProblem): ConfigProblem {
  return { file, line, column, message };
}
