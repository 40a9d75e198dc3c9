// What `portknock install-service` is given and says of itself.

import type { Manual } from './manual.ts';
import { CONFIG } from './shared.ts';

export const INSTALL_SERVICE = {
  program: 'portknock install-service',
  summary: 'make portknockd a service of systemd',
  usage: ['[options]'],
  about: [
    'Writes a systemd service for portknockd, with few rights, its account (sysusers.d) and its state directory (tmpfiles.d). Starts nothing: it says what to type next. What it has not written itself it leaves alone.',
  ],
  operands: [],
  options: {
    config: CONFIG,
    user: {
      ...{ type: 'string', value: 'NAME', completes: 'user' },
      says: 'the account without rights; root: none',
      usual: "the configuration's user",
    },
    root: {
      ...{ type: 'string', value: 'DIR', completes: 'directory' },
      says: 'write below DIR, for a package or an image',
    },
    'dry-run': { type: 'boolean', short: 'n', default: false, says: 'print the files and write nothing' },
    force: { type: 'boolean', default: false, says: 'replace files that are not ours, or were changed' },
  },
  files: {
    '/etc/systemd/system/portknockd.service': 'the service',
    '/etc/sysusers.d/portknock.conf': 'its account',
    '/etc/tmpfiles.d/portknock.conf': 'its state directory',
  },
  exits: ['done', 'refused or failed', 'usage or configuration'],
  see: ['portknockd(8)', 'systemd.service(5)'],
} as const satisfies Manual;
