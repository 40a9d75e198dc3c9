// What `portknock keygen` is given and says of itself.

import type { Manual } from './manual.ts';

export const KEYGEN = {
  program: 'portknock keygen',
  summary: 'make a key pair, or a shared secret',
  usage: ['[--out FILE] [--comment TEXT]', '--secret [--out FILE]'],
  about: [
    "Makes an Ed25519 key pair in OpenSSH's form for a client: FILE and FILE.pub. The private half stays here, readable by you only; `ssh-keygen -p -f FILE` gives it a passphrase. A key that you have for ssh already does as well.",
  ],
  operands: [],
  options: {
    out: {
      type: 'string',
      short: 'o',
      value: 'FILE',
      completes: 'file',
      says: 'where to write it; nothing is overwritten. Without it ~/.ssh/portknock_ed25519, where send and connect look for it',
    },
    comment: {
      type: 'string',
      short: 'C',
      value: 'TEXT',
      says: 'what the public key is called',
      usual: 'USER@HOST',
    },
    secret: {
      type: 'boolean',
      says: 'a shared secret instead: 32 random bytes in base64, written to FILE, or printed without --out',
    },
  },
  exits: ['made', 'failed, or FILE is there already', 'usage'],
  see: ['ssh-keygen(1)'],
} as const satisfies Manual;
