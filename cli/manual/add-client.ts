// What `portknock add-client` is given and says of itself.

import type { Manual } from './manual.ts';
import { CONFIG, GATEWAY_FILES, PASSWORD, PASSWORD_FD } from './shared.ts';

const ONE_TIME = 'With --one-time';
const SEALED = 'With --seal';

export const ADD_CLIENT = {
  program: 'portknock add-client',
  summary: 'add a client and write its profile',
  usage: ['NAME --key FILE.pub [options]', 'NAME --psk | --one-time | --sequence PORTS [options]'],
  about: [
    "Adds a client to the gateway's configuration (comments are kept), writes its profile NAME.knock, and tells a running portknockd.",
  ],
  operands: [{ name: 'NAME' }],
  options: {
    key: {
      type: 'string',
      value: 'FILE.pub',
      completes: 'file',
      says: "the client's OpenSSH public key (ssh-ed25519), whose private half signs the knocks; - reads it from standard input",
    },
    psk: { type: 'boolean', says: 'a shared secret instead, within the profile' },
    'one-time': { type: 'boolean', says: 'hashed one-time sequences, for devices of few means' },
    sequence: {
      type: 'string',
      value: 'PORTS',
      says: 'a plain sequence, as 7000/tcp,9000/udp: whoever records it can repeat it',
    },
    services: {
      type: 'string',
      short: 's',
      value: 'NAMES',
      says: 'what the client may open, as ssh,web',
      usual: 'all services',
    },
    bind: {
      type: 'string',
      value: 'WHOM',
      completes: ['observed', 'exact', 'prefix'],
      says: 'whom knocks are for: where they come from (observed), or the address (exact) or prefix (prefix) that they name; with --key or --psk',
      usual: 'observed',
    },
    host: {
      type: 'string',
      value: 'HOST',
      completes: 'host',
      says: 'what the client calls the gateway',
      usual: 'as in the configuration',
    },
    config: CONFIG,
    out: {
      type: 'string',
      short: 'o',
      value: 'FILE',
      completes: 'file',
      says: 'where to write the profile',
      usual: 'NAME.knock beside the configuration',
    },
    seal: { type: 'boolean', says: 'put the profile under a password' },
    digest: {
      type: 'string',
      value: 'DIGEST',
      completes: ['sha256', 'md5'],
      group: ONE_TIME,
      says: 'md5 is for devices without SHA-256',
      usual: 'sha256',
    },
    carrier: {
      type: 'string',
      value: 'CARRIER',
      completes: ['udp', 'tcp'],
      group: ONE_TIME,
      says: 'tcp is for programs that can only connect',
      usual: 'udp',
    },
    'password-fd': {
      ...PASSWORD_FD,
      group: SEALED,
      says: 'read the password from this open file; without it PORTKNOCK_PASSWORD, or asked for twice',
    },
  },
  environment: PASSWORD,
  files: GATEWAY_FILES,
  examples: [
    '  portknock add-client alice --key alice.pub\n  portknock add-client deploy --psk --bind exact --services ssh',
  ],
  exits: [
    'added',
    'failed, or added but refused by the running portknockd',
    'usage, configuration, key or password',
  ],
  see: ['ssh-keygen(1)'],
} as const satisfies Manual;
