// What `portknock import` is given and says of itself.

import type { Manual } from './manual.ts';
import { KNOCKD } from './shared.ts';

export const IMPORT = {
  program: 'portknock import',
  summary: "take over a knockd.conf, an access.conf, or a stanza of fwknop's client",
  usage: [
    '--knockd FILE [options]',
    '--fwknop FILE --out FILE [options]',
    '--stanza NAME [--fwknoprc FILE] [options]',
  ],
  about: [
    "Writes a configuration for the doors of a knockd.conf or the stanzas of fwknopd's access.conf, or a profile for a stanza of fwknop's client. On standard error stands, line by line, what is not as it was. Changes nothing else.",
  ],
  operands: [],
  options: {
    knockd: {
      type: 'string',
      value: 'FILE',
      completes: 'file',
      says: "knockd's doors, usually /etc/knockd.conf",
    },
    fwknop: {
      type: 'string',
      value: 'FILE',
      completes: 'file',
      says: "fwknopd's stanzas, usually /etc/fwknop/access.conf",
    },
    fwknoprc: {
      type: 'string',
      value: 'FILE',
      completes: 'file',
      says: "the stanzas of fwknop's client, for a profile",
      usual: '~/.fwknoprc',
    },
    stanza: { type: 'string', value: 'NAME', says: 'which one of these', usual: 'the one called default' },
    out: {
      type: 'string',
      short: 'o',
      value: 'FILE',
      completes: 'file',
      says: 'where to write it; without it what knockd.conf becomes is printed, and a profile is called NAME.knock',
    },
    interface: {
      type: 'string',
      short: 'i',
      value: 'IF',
      completes: 'interface',
      says: 'where knocks arrive, in place of what the file says',
    },
    ...KNOCKD,
    fwknopd: {
      type: 'string',
      value: 'FILE',
      completes: 'file',
      group: 'With --fwknop',
      says: 'the fwknopd.conf',
      usual: 'the one beside access.conf, if there',
    },
  },
  files: {
    '/etc/knockd.conf, /etc/fwknop/access.conf, ~/.fwknoprc': "the other programs' files",
  },
  examples: ['  portknock import --knockd /etc/knockd.conf --out portknockd.yaml'],
  exits: [
    'written',
    'failed, or written without the doors or stanzas that are said to be refused',
    'usage, or a file or stanza that cannot be used',
  ],
  see: ['knockd(1)', 'fwknop(8)', 'fwknopd(8)'],
} as const satisfies Manual;
