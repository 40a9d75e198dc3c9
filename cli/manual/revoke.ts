// What `portknock revoke` is given and says of itself.

import type { Manual } from './manual.ts';
import { DAEMON } from './shared.ts';

export const REVOKE = {
  program: 'portknock revoke',
  summary: 'take an open grant back',
  usage: ['ID [options]'],
  about: [
    'Takes an open grant back, at once and in the firewall: nobody connects by it any more. Connections that are established live on. The client may knock again: to keep it out, take it out of the configuration and portknock reload.',
    'ID is that of portknock grants or of the log, or its beginning: at least 4 characters, and as many as fit one open grant only.',
  ],
  operands: [{ name: 'ID' }],
  options: { ...DAEMON, json: { type: 'boolean', says: 'print one JSON object: which grant it was' } },
  exits: ['done', 'no such grant, or no portknockd is running', 'usage or configuration'],
} as const satisfies Manual;
