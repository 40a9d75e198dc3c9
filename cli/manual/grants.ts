// What `portknock grants` is given and says of itself.

import type { Manual } from './manual.ts';
import { DAEMON } from './shared.ts';

export const GRANTS = {
  program: 'portknock grants',
  summary: 'what is open: for whom, from where, for how long',
  usage: ['[options]'],
  about: [
    'Lists what is open, the one that ends first at the top. CONN is how many connections the grant admits; a grant for one is unused as long as it is open. ID is as much of the id as portknock revoke needs; --json has all of it, and names in full.',
  ],
  operands: [],
  options: {
    ...DAEMON,
    all: {
      type: 'boolean',
      says: 'also those that ended within the last 10 minutes (at most 100), and how: used, expired, revoked, superseded',
    },
    json: { type: 'boolean', says: 'print one JSON object a line' },
  },
  exits: ['done', 'no portknockd is running', 'usage or configuration'],
} as const satisfies Manual;
