// Options, environment and files that several commands share.

import type { Manual, Option } from './manual.ts';

/** The gateway's configuration. */
export const CONFIG = {
  type: 'string',
  short: 'c',
  value: 'FILE',
  default: '/etc/portknock/portknockd.yaml',
  completes: 'file',
  says: "the gateway's configuration",
} as const satisfies Option;

/** Which running portknockd is meant. */
export const DAEMON = {
  config: CONFIG,
  state: {
    ...{ type: 'string', value: 'DIR', completes: 'directory' },
    says: 'its state directory, instead of a configuration',
  },
} as const satisfies Manual['options'];

/** The heading of what belongs to a knockd.conf. */
export const WITH_KNOCKD = 'With --knockd';

/** How a knockd.conf is read. */
export const KNOCKD = {
  strict: {
    ...{ type: 'boolean', group: WITH_KNOCKD },
    says: 'refuse what knockd takes by mistake: port 0, numbers that are none, trailing commas',
  },
  'allow-shell': { type: 'boolean', group: WITH_KNOCKD, says: 'give commands that need a shell one' },
} as const satisfies Manual['options'];

/** Where a password comes from that is not typed. */
export const PASSWORD_FD = {
  type: 'string',
  value: 'N',
  says: "read the profile's password from this open file",
} as const satisfies Option;

/** The same in the environment. */
export const PASSWORD = { PORTKNOCK_PASSWORD: 'the password of a sealed profile' } as const;

/** Options of every command that knocks. */
export const KNOCK = {
  profile: {
    ...{ type: 'string', short: 'p', value: 'FILE', completes: 'file' },
    says: 'where and how to knock; without it PORTKNOCK_PROFILE',
  },
  timeout: {
    ...{ type: 'string', short: 't', value: 'TIME', default: '10s' },
    says: 'give up after this time',
  },
  identity: {
    ...{ type: 'string', short: 'i', value: 'FILE', completes: 'file' },
    says: 'the private key that signs; without it PORTKNOCK_KEY, the ssh-agent, ~/.ssh/id_ed25519 and ~/.ssh/portknock_ed25519, whichever has it',
  },
  source: {
    ...{ type: 'string', value: 'ADDRESS' },
    says: 'where the connection will come from, as the gateway sees it; or a prefix, as 198.51.100.0/24',
  },
  'password-fd': {
    ...PASSWORD_FD,
    says: "read a sealed profile's password from this open file; without it PORTKNOCK_PASSWORD, or asked for",
  },
  ipv4: { type: 'boolean', short: '4', says: 'only IPv4' },
  ipv6: { type: 'boolean', short: '6', says: 'only IPv6' },
} as const satisfies Manual['options'];

/** What they read when an option is not given. */
export const KNOCK_ENVIRONMENT = {
  PORTKNOCK_PROFILE: 'the profile: its path, or the text itself',
  PORTKNOCK_KEY: 'the private key: its path, or the text itself',
  PORTKNOCK_PASSPHRASE: "the private key's passphrase; without it, asked for",
  ...PASSWORD,
} as const;

/** What they look for, and what they leave behind. */
export const KNOCK_FILES = {
  '~/.ssh/id_ed25519, ~/.ssh/portknock_ed25519': 'where the private key is looked for',
  '~/.local/state/portknock/': 'which knocks were sent, so that none is sent twice (or below XDG_STATE_HOME)',
} as const;

/** Where the state is, unless the configuration says otherwise. */
export const STATE_FILES = {
  '/var/lib/portknock/': 'used knocks and open grants (state_dir in the configuration)',
} as const;

/** Where a gateway's things are. */
export const GATEWAY_FILES = {
  [CONFIG.default]: "the gateway's configuration",
  '/etc/portknock/NAME.knock': 'the profile of a client, to be taken there and removed here',
  ...STATE_FILES,
} as const;
