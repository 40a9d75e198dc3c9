// What `portknock send` is given and says of itself.

import type { Manual } from './manual.ts';
import { KNOCK, KNOCK_ENVIRONMENT, KNOCK_FILES } from './shared.ts';

export const SEND = {
  program: 'portknock send',
  summary: 'knock, and with --wait until the port accepts a connection',
  usage: ['-p FILE [SERVICE] [options]'],
  about: [
    'Knocks at the gateway of the profile FILE. Nothing tells whether the knock was accepted, since the gateway never answers: the port is open or it is not. --wait finds that out.',
  ],
  operands: [{ name: 'SERVICE', optional: true }],
  options: {
    ...KNOCK,
    wait: {
      type: 'boolean',
      short: 'w',
      says: "knock until SERVICE's port accepts a connection, close that, and knock once more: the port is then open again",
    },
    close: { type: 'boolean', says: 'take back what earlier knocks opened' },
    json: { type: 'boolean', says: 'print one JSON object on standard output' },
  },
  environment: KNOCK_ENVIRONMENT,
  files: KNOCK_FILES,
  examples: ['  portknock send -p alice.knock --wait web && curl https://gw.example/'],
  exits: ['sent (with --wait: the port accepted)', 'failed', 'usage, profile or key'],
  see: ['ssh-agent(1)', 'ssh-keygen(1)'],
} as const satisfies Manual;
