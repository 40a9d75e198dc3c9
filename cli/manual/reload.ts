// What `portknock reload` is given and says of itself.

import type { Manual } from './manual.ts';
import { DAEMON } from './shared.ts';

export const RELOAD = {
  program: 'portknock reload',
  summary: 'have the running portknockd take its configuration anew',
  usage: ['[options]'],
  about: [
    'Tells the running portknockd to take its configuration anew, as SIGHUP does. Open ports and the memory of used knocks stay. When something is wrong with the file, the gateway keeps its old rules and this says why.',
  ],
  operands: [],
  options: DAEMON,
  exits: ['taken up', 'refused, or no portknockd is running', 'usage'],
} as const satisfies Manual;
