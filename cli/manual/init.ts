// What `portknock init` is given and says of itself.

import type { Manual } from './manual.ts';
import { GATEWAY_FILES } from './shared.ts';

export const INIT = {
  program: 'portknock init',
  summary: 'write a new gateway configuration',
  usage: ['[--service NAME=PORT]... [options]'],
  about: [
    'Writes a new gateway configuration and its access key, which only you can read, and empty replay state. Overwrites nothing.',
  ],
  operands: [],
  options: {
    service: {
      type: 'string',
      short: 's',
      value: 'NAME=PORT',
      multiple: true,
      says: 'a service to hide; may be given again',
      usual: 'ssh=22',
    },
    dir: {
      type: 'string',
      value: 'DIR',
      completes: 'directory',
      says: 'where to write portknockd.yaml',
      usual: '/etc/portknock',
    },
    config: {
      type: 'string',
      short: 'c',
      value: 'FILE',
      completes: 'file',
      says: 'the whole path, in place of --dir',
    },
    interface: {
      type: 'string',
      short: 'i',
      value: 'IF',
      completes: 'interface',
      says: 'where knocks arrive',
      usual: "the default route's",
    },
    user: {
      ...{ type: 'string', value: 'NAME', completes: 'user' },
      says: 'the account without rights that reads packets, made if it is missing; root: none',
      usual: 'portknock',
    },
    gateway: { type: 'string', value: 'NAME', says: 'what clients call this host', usual: 'its host name' },
  },
  files: GATEWAY_FILES,
  examples: ['  portknock init --gateway gw.example -s ssh=22 -s admin=8443'],
  exits: ['written', 'failed, or a file is there already', 'usage'],
} as const satisfies Manual;
