// What `portknock` says of itself: its commands, in the order in which they are listed.

import { ADD_CLIENT } from './add-client.ts';
import { CHECK } from './check.ts';
import { COMPLETION } from './completion.ts';
import { CONNECT } from './connect.ts';
import { EXPLAIN } from './explain.ts';
import { GRANTS } from './grants.ts';
import { IMPORT } from './import.ts';
import { INIT } from './init.ts';
import { INSTALL_SERVICE } from './install-service.ts';
import { KEYGEN } from './keygen.ts';
import type { Manual } from './manual.ts';
import { RELOAD } from './reload.ts';
import { REVOKE } from './revoke.ts';
import { SEAL } from './seal.ts';
import { SEND } from './send.ts';
import { STATUS } from './status.ts';

export const PORTKNOCK = {
  program: 'portknock',
  summary: 'open a closed port by a knock, and prepare a gateway for it',
  usage: ['COMMAND [options]'],
  about: [
    'Opens a closed port of a gateway that runs portknockd, for one connection and a short time, by a knock that only the holder of a key can make. The same program makes the keys and prepares the gateway.',
  ],
  commands: [
    { title: 'On a client', commands: [SEND, CONNECT, KEYGEN, SEAL] },
    { title: 'On either', commands: [IMPORT, COMPLETION] },
    {
      title: 'On the gateway',
      commands: [INIT, ADD_CLIENT, INSTALL_SERVICE, STATUS, GRANTS, REVOKE, RELOAD, CHECK, EXPLAIN],
    },
  ],
  operands: [],
  options: {},
  notes: ['Each command explains itself: portknock COMMAND --help'],
  examples: [
    'On the gateway, once, and for each client:',
    '  portknock init --gateway gw.example --service ssh=22\n  portknock add-client alice --key alice.pub\n  portknockd',
    'On the client, with the profile that add-client has written:',
    "  ssh -o ProxyCommand='portknock connect -p alice.knock %h %p' gw.example",
  ],
  exits: ['done', 'refused or failed', 'usage or configuration'],
} as const satisfies Manual;
