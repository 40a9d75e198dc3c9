// The half of portknockd with root as it is, with a program of the caller's in place of the other half.

import { loadOrigin, prepareFor, recordingReader, separationOf, startWarden } from '../../lib/halves.ts';
import type { Warden, WardenOptions } from '../../lib/halves.ts';

/** By the configuration at `path`. */
export async function startHalves(
  path: string,
  { program, greeting, log }: Pick<WardenOptions, 'program' | 'greeting' | 'log'>,
): Promise<Warden> {
  const { reader, read } = recordingReader();
  const origin = { path };
  const config = await loadOrigin(origin, reader);
  const { account } = await separationOf(config);
  if (account === null) throw new Error('there is no account');
  const files = read();
  await prepareFor(account, { stateDir: config.stateDir, program: program[0] ?? '', files });
  return startWarden({ account, origin, config, files, greeting, program, log });
}
