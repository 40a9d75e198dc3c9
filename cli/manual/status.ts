// What `portknock status` is given and says of itself.

import type { Manual } from './manual.ts';
import { DAEMON } from './shared.ts';

export const STATUS = {
  program: 'portknock status',
  summary: 'how the running portknockd is, and what it has refused',
  usage: ['[options]'],
  about: [
    'Asks the running portknockd how it is: since when it runs, what is open, what it has counted since its start, and why knocks were refused, with the source of the last one for each reason. An address there may be forged.',
  ],
  operands: [],
  options: { ...DAEMON, json: { type: 'boolean', says: 'print one JSON object' } },
  exits: ['done', 'no portknockd is running', 'usage or configuration'],
} as const satisfies Manual;
