// What `portknock explain` is given and says of itself.

import type { Manual } from './manual.ts';
import { CONFIG } from './shared.ts';

export const EXPLAIN = {
  program: 'portknock explain',
  summary: 'say of a capture what the gateway would have done, and why',
  usage: ['CAPTURE [options]'],
  about: [
    'Reads a capture (pcap or pcapng; - is standard input) and says of each packet that touched a knock scheme what the gateway would have done, and why; then what became of each source. Opens and writes nothing; needs neither root nor pcap.',
    'Record packets whole, with `tcpdump -s 0`: what was cut off cannot be read.',
  ],
  operands: [{ name: 'CAPTURE', completes: 'file' }],
  options: {
    config: CONFIG,
    host: {
      type: 'string',
      value: 'ADDRESS',
      multiple: true,
      says: 'only packets to this address of the gateway; may be given again. Without it every destination is the gateway',
    },
    json: { type: 'boolean', says: 'print one JSON object a line' },
  },
  examples: ['While it happens, as root:', '  tcpdump -i eth0 -U -w - | portknock explain -'],
  exits: ['done', 'the capture cannot be read', 'usage or configuration'],
  see: ['tcpdump(8)', 'pcap-savefile(5)'],
} as const satisfies Manual;
