// What `portknockd` is given and says of itself.

import type { Manual } from './manual.ts';
import { CONFIG, KNOCKD, STATE_FILES, WITH_KNOCKD } from './shared.ts';

export const PORTKNOCKD = {
  program: 'portknockd',
  summary: 'open closed ports to whoever knocks',
  usage: ['[--config FILE] [options]', '--knockd FILE [-i IF] [options]'],
  about: [
    "Closes the configured services' ports and opens them for whoever knocks. Runs in the foreground. Stop it with SIGTERM or SIGINT: the ports stay closed. SIGHUP, or `portknock reload`, makes it take its configuration anew; a wrong one changes nothing.",
  ],
  operands: [],
  options: {
    config: {
      type: 'string',
      short: 'c',
      value: 'FILE',
      completes: 'file',
      says: 'the configuration',
      usual: CONFIG.default,
    },
    knockd: {
      type: 'string',
      value: 'FILE',
      completes: 'file',
      says: 'a knockd.conf, run as it is; what is stricter is said as a warning (`portknock import` lists it)',
    },
    user: {
      ...{ type: 'string', value: 'NAME', completes: 'user' },
      says: 'whom the process that reads packets runs as, when started as root; root: no other',
      usual: 'portknock, if there is that account',
    },
    check: { type: 'boolean', says: 'check the configuration and exit' },
    'dry-run': { type: 'boolean', says: 'listen and report, but leave the firewall alone' },
    teardown: {
      type: 'boolean',
      says: 'remove every firewall rule of ours and exit: the ports are then as your other rules have them',
    },
    log: {
      type: 'string',
      value: 'FORMAT',
      default: 'text',
      completes: ['text', 'json'],
      says: 'text, or json: one object a line on standard output',
    },
    interface: {
      type: 'string',
      short: 'i',
      value: 'IF',
      completes: 'interface',
      group: WITH_KNOCKD,
      says: 'where knocks arrive, in place of what the file says',
    },
    state: {
      type: 'string',
      value: 'DIR',
      completes: 'directory',
      group: WITH_KNOCKD,
      says: 'what was used and what is open',
      usual: '/var/lib/portknock',
    },
    ...KNOCKD,
  },
  files: {
    [CONFIG.default]: 'the configuration, written by `portknock init`',
    ...STATE_FILES,
  },
  examples: ['  portknockd --check\n  portknockd --log json'],
  exits: ['stopped or done', 'failed', 'usage or configuration'],
  see: ['iptables(8)', 'nft(8)', 'knockd(1)'],
} as const satisfies Manual;
