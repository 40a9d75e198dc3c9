// What portknockd.yaml may say of a client, scheme by scheme.

import type { Key, Keys } from './configuration.ts';

const ADDRESSES = 'addresses or prefixes, one or a list, as [203.0.113.0/24]';

const FILE_OF_ITS_OWN = 'the same in a file that only its owner can read';

const SEQUENCE_TIMEOUT: Key = {
  value: 'TIME',
  says: 'how long a whole sequence may take, from 100ms to 300s',
  usual: '10s',
};

const FAMILY: Key = { value: '4 | 6', says: 'only knocks over this version of IP', usual: 'both' };

/** Of every client, then of each scheme. */
export const CLIENT_KEYS: readonly Keys[] = [
  {
    title: 'clients, each by its name',
    about: [
      'A name has letters, digits, dots, dashes, underscores and at signs, at most 64. `portknock add-client` writes an entry, and the profile that belongs to it.',
    ],
    keys: {
      scheme: { value: 'SCHEME', says: 'how it knocks: spa, one-time, sequence, sequence-list or fwknop' },
      services: { value: 'NAMES', says: 'what it may open, a list, as [ssh]' },
      from: { value: 'ADDRESSES', says: `where its knocks may come from: ${ADDRESSES}`, usual: 'anywhere' },
      expires: {
        value: 'DATE',
        says: 'from when on it is refused, as 2031-12-31 or 2031-12-31T18:00Z; without Z in local time',
        usual: 'never',
      },
    },
  },
  {
    title: 'clients with scheme: spa',
    about: ['One of key, secret and secret_file.'],
    keys: {
      key: { value: 'LINE', says: "the line of the client's .pub file (ssh-ed25519), in quotes" },
      secret: { value: 'SECRET', says: '32 bytes in base64 that it shares with the gateway' },
      secret_file: { value: 'FILE', says: FILE_OF_ITS_OWN },
      bind: {
        value: 'observed | exact | prefix',
        says: 'whom its knocks are for: where they come from, or the address or the prefix that they name',
        usual: 'observed',
      },
      widest_prefix: {
        value: '[IPV4, IPV6]',
        says: 'the shortest lengths of prefixes that it may name',
        usual: '[24, 56]',
      },
      no_clock: {
        value: 'true | false',
        says: 'it has no clock; SECURITY.md says what that costs',
        usual: 'false',
      },
    },
  },
  {
    title: 'clients with scheme: one-time',
    about: ['One of secret and secret_file.'],
    keys: {
      secret: { value: 'SECRET', says: '16 to 64 bytes in base64' },
      secret_file: { value: 'FILE', says: FILE_OF_ITS_OWN },
      digest: { value: 'sha256 | md5', says: 'md5 is for devices without SHA-256', usual: 'sha256' },
      knocks: { value: 'NUMBER', says: 'packets of one knock, 2 to 16', usual: '5' },
      ports: { value: 'PORTS', says: 'where they go', usual: '20000-52767' },
      step: { value: 'TIME', says: 'how often the sequence changes, from 1s to an hour', usual: '10s' },
      carrier: { value: 'udp | tcp', says: 'datagrams, or attempts to connect', usual: 'udp' },
      sequence_timeout: SEQUENCE_TIMEOUT,
    },
  },
  {
    title: 'clients with scheme: sequence',
    about: ['Whoever has recorded it can repeat it.'],
    keys: {
      sequence: { value: 'PORTS', says: 'the ports in their order, as [7000/tcp, 9000/udp, 8000/tcp]' },
      sequence_timeout: SEQUENCE_TIMEOUT,
      family: FAMILY,
    },
  },
  {
    title: 'clients with scheme: sequence-list',
    about: [],
    keys: {
      sequences_file: {
        value: 'FILE',
        says: "sequences that are good once each, a line each, as of knockd's one_time_sequences; used ones are marked there",
      },
      sequence_timeout: SEQUENCE_TIMEOUT,
      family: FAMILY,
    },
  },
  {
    title: 'clients with scheme: fwknop',
    about: [
      'One of key, key_base64 and key_file; one of hmac_key, hmac_key_base64, hmac_key_file and hmac. `portknock import` writes all of it from an access.conf.',
    ],
    keys: {
      key: { value: 'PASSPHRASE', says: 'what its packets are encrypted with, as text' },
      key_base64: { value: 'SECRET', says: 'the same in base64' },
      key_file: { value: 'FILE', says: FILE_OF_ITS_OWN },
      hmac_key: { value: 'PASSPHRASE', says: 'what they are signed with, as text' },
      hmac_key_base64: { value: 'SECRET', says: 'the same in base64' },
      hmac_key_file: { value: 'FILE', says: FILE_OF_ITS_OWN },
      hmac: { value: 'none', says: 'they are not signed' },
      hmac_digest: {
        value: 'HASH',
        says: 'md5, sha1, sha256, sha384, sha512, sha3_256 or sha3_512',
        usual: 'sha256',
      },
      encryption_mode: { value: 'MODE', says: 'cbc, ecb, cfb, ofb, ctr or legacy', usual: 'cbc' },
      may_claim: {
        value: 'ADDRESSES',
        says: `sources that a packet from elsewhere may name: ${ADDRESSES}`,
        usual: 'none',
      },
      require_address: {
        value: 'true | false',
        says: 'refuse packets that name no source',
        usual: 'false',
      },
      ports: { value: 'MAP', says: 'services by the ports that packets ask for, as { tcp/2222: ssh }' },
      nat: { value: 'true | false', says: 'take NAT messages, to just where the service is', usual: 'false' },
    },
  },
];
