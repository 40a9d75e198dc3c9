// What portknockd.yaml may say: every key, by its place. portknockd.yaml(5) and docs/configuration.md are made of it, and a test
// holds it against what the configuration's parser takes.

import { CLIENT_KEYS } from './configuration-clients.ts';
import type { Text } from './manual.ts';

/** A key of a map. */
export interface Key {
  /** What its value is, in capitals, or the words that it may be. */
  readonly value: string;
  /** As the end of a sentence without a full stop. */
  readonly says: string;
  /** What it is when it is left out. */
  readonly usual?: string;
}

/** The keys of one map. */
export interface Keys {
  /** Where it is. */
  readonly title: string;
  readonly about: Text;
  readonly keys: Readonly<Record<string, Key>>;
}

const ACCESS_KEY =
  '32 bytes in base64, a part of every profile: it keeps strangers from the parser. Clients of scheme spa need it. Two in a list while it is replaced, the new one first';

/** What is said before the maps. */
export const CONFIGURATION_ABOUT: Text = [
  'The configuration of portknockd, in YAML. `portknock init` writes one with comments, `portknock add-client` adds a client, `portknockd --check` says what is wrong, and `portknock reload` has a running portknockd take it anew.',
  'Paths are relative to the file. A TIME is 500ms, 30s, 2m or 1h. A secret may stand in the file itself when only its owner can read it, or in a file of its own, whose key ends in `_file`. A key that is not known is an error.',
];

export const CONFIGURATION_EXAMPLE = [
  'gateway: gw.example',
  'interface: eth0',
  'access_key_file: gateway.key',
  'services:',
  '  ssh: { port: 22 }',
  '  admin: { port: 8443, open_for: 2m, connections: unlimited }',
  'clients:',
  '  deploy: { scheme: spa, secret_file: deploy.key, services: [ssh] }',
] as const;

/** Every map of the file. */
export const CONFIGURATION: readonly Keys[] = [
  {
    title: 'Top level',
    about: [],
    keys: {
      gateway: {
        value: 'NAME',
        says: 'what clients call this host; spa knocks name it, and one for another gateway is refused',
      },
      interface: { value: 'IF', says: 'where knocks arrive, by capture; any for all interfaces' },
      socket: {
        value: 'PORTS',
        says: 'in place of interface, without pcap and for knocks over UDP only: a port to bind, or a range of at most 256, and perhaps an address, as 127.0.0.1:40000-40015',
      },
      knock_port: { value: 'PORT', says: 'the UDP port of spa and fwknop knocks', usual: '62201' },
      state_dir: {
        value: 'DIR',
        says: 'which knocks were used, what is open, and the socket for `portknock status`',
        usual: '/var/lib/portknock',
      },
      user: {
        value: 'NAME',
        says: 'whom the half that reads packets runs as, by name or number; root: everything as root',
        usual: 'portknock, if there is that account',
      },
      firewall: {
        value: 'DRIVER',
        says: 'iptables, nftables, or mock, which opens nothing; or a map, see below',
        usual: 'iptables',
      },
      firewall_backend: { value: 'auto | legacy | nft', says: 'which iptables', usual: 'auto' },
      protect: {
        value: 'true | drop | reject | false',
        says: "close the services' ports: like the host's other closed ports, or in silence, or with a refusal; false: your own rules close them",
        usual: 'true',
      },
      access_key: { value: 'KEY', says: ACCESS_KEY },
      access_key_file: { value: 'FILE', says: 'the same in a file that only its owner can read' },
      authorized_keys: {
        value: 'FILE',
        says: "one file of OpenSSH public keys whose holders are clients, or a list of up to 64; a key's options portknock-services= and expiry-time= are its limits",
      },
      open_for: {
        value: 'TIME',
        says: 'how long an unused opening lasts, from 1s to less than a day',
        usual: '30s',
      },
      connections: {
        value: 'NUMBER',
        says: 'how many connections one knock admits, 1 to 16, or unlimited while it is open',
        usual: '1',
      },
      metrics: { value: 'MAP', says: 'where metrics are offered, see below', usual: 'nowhere' },
      services: { value: 'MAP', says: 'what is hidden, by name, see below' },
      clients: { value: 'MAP', says: 'who may knock, by name, see below' },
    },
  },
  {
    title: 'firewall, as a map with driver: nftables',
    about: [],
    keys: {
      driver: { value: 'nftables', says: 'the driver' },
      chain: {
        value: 'CHAIN',
        says: 'family, table and chain of yours that would drop what a grant admits, as inet filter input',
      },
      forward_chain: {
        value: 'CHAIN',
        says: 'the same for what goes on to services behind the gateway, as inet filter forward',
      },
    },
  },
  {
    title: 'firewall, as a map with driver: command',
    about: [
      'Programs of yours open and close, each a list of the program and its arguments; no shell reads them. In arguments of open and close {ip}, {port}, {protocol}, {seconds} and {client} stand for what the grant says.',
    ],
    keys: {
      driver: { value: 'command', says: 'the driver' },
      open: { value: 'COMMAND', says: 'opens' },
      close: { value: 'COMMAND', says: 'closes, also what is closed already' },
      setup: { value: 'COMMAND', says: 'closes the ports at the start' },
      teardown: { value: 'COMMAND', says: 'gives them back, for `portknockd --teardown`' },
      timeout: { value: 'TIME', says: 'how long each may take, from 100ms to 60s', usual: '5s' },
    },
  },
  {
    title: 'metrics',
    about: ['For Prometheus; the package prom-client has to be there.'],
    keys: {
      listen: {
        value: 'ADDRESS',
        says: 'an address with a port, as 127.0.0.1:9469, or `unix:` and an absolute path',
      },
      allow_remote: {
        value: 'true | false',
        says: 'whether the address may be one that others reach',
        usual: 'false',
      },
    },
  },
  {
    title: 'services, each by its name',
    about: ['A name has lower-case letters, digits and dashes, at most 32.'],
    keys: {
      port: { value: 'PORT', says: 'what is hidden; not needed where open and close are all' },
      protocol: { value: 'tcp | udp', says: 'its protocol', usual: 'tcp' },
      open_for: { value: 'TIME', says: 'in place of that of the top level' },
      connections: { value: 'NUMBER', says: 'in place of that of the top level' },
      to: {
        value: 'ADDRESS:PORT',
        says: 'the service is on this host behind the gateway, as 10.0.0.5:22 or "[fd00::5]:22"',
      },
      open: { value: 'COMMAND', says: 'a program of yours that opens it, as of the command driver' },
      close: { value: 'COMMAND', says: 'the one that closes it again' },
      open_6: { value: 'COMMAND', says: 'the same for IPv6 sources', usual: 'open' },
      close_6: { value: 'COMMAND', says: 'the same for IPv6 sources', usual: 'close' },
      timeout: { value: 'TIME', says: 'how long each may take, from 100ms to 60s', usual: '5s' },
    },
  },
  ...CLIENT_KEYS,
];
