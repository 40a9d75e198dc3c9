// What `portknock seal` is given and says of itself.

import type { Manual } from './manual.ts';
import { PASSWORD, PASSWORD_FD } from './shared.ts';

export const SEAL = {
  program: 'portknock seal',
  summary: 'put a profile under a password',
  usage: ['FILE [options]'],
  about: [
    'Replaces the profile FILE by a sealed one, which send and connect open with the password. Whoever finds the file cannot knock.',
  ],
  operands: [{ name: 'FILE', completes: 'file' }],
  options: {
    'password-fd': {
      ...PASSWORD_FD,
      says: 'read the password from this open file; without it PORTKNOCK_PASSWORD, or asked for twice',
    },
  },
  environment: PASSWORD,
  exits: ['sealed', 'failed', 'usage, profile or password'],
} as const satisfies Manual;
