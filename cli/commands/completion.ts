// portknock completion: prints what makes a shell complete these commands.

import { readArgs, UsageError } from '../args.ts';
import { COMPLETION } from '../manual/completion.ts';
import { PORTKNOCK } from '../manual/portknock.ts';
import { PORTKNOCKD } from '../manual/portknockd.ts';
import { writeOut } from '../output.ts';
import { bashCompletion } from '../pages/bash.ts';
import { zshCompletion } from '../pages/zsh.ts';
import { EXIT_DONE } from '../report.ts';

const WRITERS = { bash: bashCompletion, zsh: zshCompletion } as const;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, COMPLETION);
  if (line === null) return EXIT_DONE;
  const [text = ''] = line.positionals;
  const shell = COMPLETION.operands[0].completes.find((each) => each === text);
  if (shell === undefined) throw new UsageError(`shell must be bash or zsh, not '${text}'`);
  writeOut(WRITERS[shell]([PORTKNOCK, PORTKNOCKD]));
  return EXIT_DONE;
}
