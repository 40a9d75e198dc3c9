// What `portknock check` is given and says of itself.

import type { Manual } from './manual.ts';
import { CONFIG } from './shared.ts';

export const CHECK = {
  program: 'portknock check',
  summary: 'show how strong the configured knocks are',
  usage: ['[options]'],
  about: [
    'Prints for each client how many bits an outsider has to guess, and warns when they are fewer than 60.',
  ],
  operands: [],
  options: { config: CONFIG },
  exits: ['the configuration is valid', null, 'usage, or it is not'],
} as const satisfies Manual;
