// What `portknock connect` is given and says of itself.

import type { Manual } from './manual.ts';
import { KNOCK, KNOCK_ENVIRONMENT, KNOCK_FILES } from './shared.ts';

export const CONNECT = {
  program: 'portknock connect',
  summary: "knock and become the connection: ssh's ProxyCommand",
  usage: ['-p FILE [HOST PORT] [options]'],
  about: [
    'Knocks at the gateway of the profile FILE, connects to HOST PORT, and passes standard input and output through the connection. PORT must be that of a service of the profile. Without HOST PORT: the host of the profile and its only service.',
  ],
  operands: [
    { name: 'HOST', optional: true, completes: 'host' },
    { name: 'PORT', optional: true },
  ],
  options: {
    ...KNOCK,
    timeout: { ...KNOCK.timeout, says: 'give up after this time without a connection' },
  },
  environment: KNOCK_ENVIRONMENT,
  files: KNOCK_FILES,
  examples: [
    'Once, with ssh:',
    "  ssh -o ProxyCommand='portknock connect -p alice.knock %h %p' gw.example",
    'Always, in ~/.ssh/config:',
    '  Host gw.example\n    ProxyCommand portknock connect -p ~/alice.knock %h %p',
  ],
  exits: ['the stream ended', 'no connection, or a broken one', 'usage, profile or key'],
  see: ['ssh(1)', 'ssh-agent(1)', 'ssh_config(5)'],
} as const satisfies Manual;
