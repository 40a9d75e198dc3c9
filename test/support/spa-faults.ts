// The ways to spoil a good SPA knock, each with the reason for which the gateway must drop it (protocols/spa.md).
// What the client itself does wrong is proved and sealed; what somebody else does who has the access key is only sealed.

import { oracleClientId, type Mischief, type OracleKnock } from './spa-oracle.ts';

/** A knock that is accepted. */
export interface Good {
  readonly name: string;
  readonly observedSource: string;
  readonly nowMs: number;
  readonly knock: OracleKnock;
  readonly live?: readonly string[];
  readonly sealedWith?: string;
  readonly clock?: false;
}

/** What becomes of it. */
export interface Spoilt extends Partial<Omit<Good, 'knock'>> {
  readonly knock?: Partial<OracleKnock>;
  readonly mischief?: Mischief;
  /** How many of the bytes are sent. */
  readonly cut?: number;
}

export interface Fault {
  readonly name: string;
  readonly expect: string;
  /** Which knocks it spoils; all unless said. */
  readonly fits?: (good: Good) => boolean;
  readonly spoil: (good: Good, secrets: Readonly<Record<string, Buffer>>) => Spoilt;
}

const EPOCH_MS = 3_600_000;

export const FAULTS: readonly Fault[] = [
  // 1. Length and hint
  {
    name: 'a byte too short',
    expect: 'drop length',
    spoil: () => ({ knock: { length: 192 }, cut: 191 }),
  },
  { name: 'a byte too long', expect: 'drop length', spoil: () => ({ knock: { length: 481 } }) },
  {
    name: 'hint two epochs back',
    expect: 'drop hint',
    fits: (good) => isOfToday(good) && isHinted(good),
    spoil: ({ nowMs }) => ({ knock: { epoch: Math.floor(nowMs / EPOCH_MS) - 2 } }),
  },
  {
    name: 'hint two epochs ahead',
    expect: 'drop hint',
    fits: (good) => isOfToday(good) && isHinted(good),
    spoil: ({ nowMs }) => ({ knock: { epoch: Math.floor(nowMs / EPOCH_MS) + 2 } }),
  },
  {
    name: 'old key after the rotation',
    expect: 'drop hint',
    fits: (good) => good.live === undefined && isHinted(good),
    spoil: () => ({ live: ['newAccessKey'] }),
  },
  {
    name: 'access key of nobody',
    expect: 'drop hint',
    fits: isHinted,
    spoil: (_, { strangerPsk }) => ({
      knock: { accessKey: strangerPsk ?? Buffer.alloc(0) },
      sealedWith: 'strangerPsk',
    }),
  },
  {
    // A gateway with a client that has no clock asks nobody for the hint of the hour.
    name: 'access key of nobody where no hint is asked for',
    expect: 'drop bad-tag',
    fits: (good) => !isHinted(good),
    spoil: (_, { strangerPsk }) => ({
      knock: { accessKey: strangerPsk ?? Buffer.alloc(0) },
      sealedWith: 'strangerPsk',
    }),
  },
  // 3. The head
  ...[0x10, 0x13, 0x01, 0x21, 0x91, 0x00, 0xff].map((version) =>
    proved(`version 0x${version.toString(16)}`, 'drop malformed', (plain) => (plain[0] = version)),
  ),
  ...[0, 4, 5, 6, 7].map((bit) =>
    client(`flag bit ${bit}`, 'drop malformed', (content) => (content[1] = (content[1] ?? 0) | (1 << bit))),
  ),
  client('bind 3', 'drop malformed', (content) => (content[1] = (content[1] ?? 0) | 0x0c)),
  client('pad length too great', 'drop malformed', (content) => add(content, 2, 1)),
  client('pad length too small', 'drop malformed', (content) => add(content, 2, -1)),
  client('pad length in the other byte order', 'drop malformed', (content) =>
    content.writeUInt16LE(content.readUInt16BE(2) + 256, 2),
  ),
  {
    name: 'suite 2 byte on a shared key with fitting pad',
    expect: 'drop unknown-client',
    fits: ({ knock }) => knock.suite === 1,
    spoil: () => ({
      mischief: {
        proved(plain) {
          plain[0] = 0x12;
          add(plain, 2, -32);
        },
      },
    }),
  },
  ...[28, 29, 30, 31].map((at) =>
    client(`reserved byte ${at}`, 'drop malformed', (content) => (content[at] = 1)),
  ),
  ...['gw.example.', 'GW.example', 'gw', ''].map((gateway): Fault => ({
    name: `audience [${gateway}]`,
    expect: 'drop audience',
    spoil: () => ({ knock: { gateway } }),
  })),
  // 4. The client
  {
    name: 'somebody else',
    expect: 'drop unknown-client',
    spoil: ({ knock }, secrets) => ({ knock: { key: strangerOf(knock, secrets) } }),
  },
  proved('client id off by one', 'drop unknown-client', (plain) => add(plain, 18, 1)),
  // 5. Time
  { name: 'a millisecond too old', expect: 'drop stale', fits: isUsual, spoil: aged(120_001) },
  { name: 'a millisecond too far ahead', expect: 'drop future', fits: isUsual, spoil: aged(-30_001) },
  { name: 'an hour old', expect: 'drop stale', fits: isUsual, spoil: aged(3_600_000) },
  {
    name: 'counter 0',
    expect: 'drop stale',
    fits: isUsual,
    spoil: ({ knock, nowMs }) => ({
      knock: { ms: 0, seq: 0, epoch: knock.epoch ?? Math.floor(nowMs / EPOCH_MS) },
    }),
  },
  {
    name: 'counter max',
    expect: 'drop future',
    fits: isOfToday,
    spoil: ({ knock, nowMs }) => ({
      knock: { ms: 2 ** 48 - 1, seq: 65_535, epoch: knock.epoch ?? Math.floor(nowMs / EPOCH_MS) },
    }),
  },
  // 7. The proof
  {
    name: 'signed with another key',
    expect: 'drop bad-signature',
    spoil({ knock }, secrets) {
      // The id says who it is meant to be.
      const id = oracleClientId(knock.suite, knock.key);
      return {
        knock: { key: strangerOf(knock, secrets) },
        mischief: { content: (content) => void id.copy(content, 12) },
      };
    },
  },
  proved('proof changed', 'drop bad-signature', (plain) => flip(plain, 96, 0x80)),
  proved('proof changed at its end', 'drop bad-signature', (plain) => flip(plain, 127, 1)),
  proved('proof of zeros', 'drop bad-signature', (plain) =>
    plain.fill(0, 96, 96 + (plain[0] === 0x11 ? 32 : 64)),
  ),
  proved('close flag changed', 'drop bad-signature', (plain) => flip(plain, 1, 2)),
  proved('sequence advanced', 'drop bad-signature', (plain) => flip(plain, 27, 1)),
  proved('body changed', 'drop bad-signature', (plain) => flip(plain, 95, 1)),
  proved('address changed', 'drop bad-signature', (plain) => flip(plain, 55, 1)),
  // 8. The body
  ...[0, 9, 128, 255].map((count) =>
    client(`${count} services`, 'drop malformed', (content) => (content[33] = count)),
  ),
  client('one service fewer than ids', 'drop malformed', (content) => add(content, 32, -1), hasTwoServices),
  client(
    'an id behind the last service',
    'drop malformed',
    (content) => content.writeUInt32BE(1, 84),
    ({ knock }) => knock.services.length < 8,
  ),
  ...[34, 35, 88, 91, 95].map((at) =>
    client(`body reserved byte ${at}`, 'drop malformed', (content) => (content[at] = 1)),
  ),
  client('observed with an address', 'drop malformed', (content) => (content[55] = 7), is('observed')),
  client('observed with ::ffff', 'drop malformed', (content) => content.fill(255, 50, 52), is('observed')),
  client('observed with a prefix length', 'drop malformed', (content) => (content[32] = 128), is('observed')),
  client('exact with 127', 'drop malformed', (content) => (content[32] = 127), is('exact')),
  client('exact with 129', 'drop malformed', (content) => (content[32] = 129), is('exact')),
  client('exact with 0', 'drop malformed', (content) => (content[32] = 0), is('exact')),
  client('prefix of 129', 'drop malformed', (content) => (content[32] = 129), is('prefix')),
  client('prefix of 255', 'drop malformed', (content) => (content[32] = 255), is('prefix')),
  client('IPv4 prefix of 95', 'drop malformed', (content) => (content[32] = 95), isV4Prefix),
  client('IPv4 prefix of 24', 'drop malformed', (content) => (content[32] = 24), isV4Prefix),
  client('IPv4 prefix of 0', 'drop malformed', (content) => (content[32] = 0), isV4Prefix),
  {
    name: 'unknown service',
    expect: 'drop service-refused',
    spoil: () => ({ knock: { services: ['telnet'] } }),
  },
  {
    name: 'unknown service among known ones',
    expect: 'drop service-refused',
    spoil: () => ({ knock: { services: ['ssh', 'SSH', 'admin'] } }),
  },
  { name: 'time to live over', expect: 'drop stale', spoil: ({ knock: { ms } }) => over(ms + 1000) },
  { name: 'time to live long over', expect: 'drop stale', spoil: ({ knock: { ms } }) => over(ms + 119_000) },
  // The policy
  {
    name: 'from next door',
    expect: 'drop source-mismatch',
    fits: hasClaim,
    spoil: from('203.0.114.7', '2001:db8:2::77'),
  },
  {
    name: 'from the other family',
    expect: 'drop source-mismatch',
    fits: hasClaim,
    spoil: from('2001:db8:1:2::77', '203.0.113.7'),
  },
  {
    name: 'exact from the neighbour',
    expect: 'drop source-mismatch',
    fits: is('exact'),
    spoil: from('203.0.113.6', '2001:db8:1:2::76'),
  },
  {
    name: 'a bit wider than the policy',
    expect: 'drop prefix-too-wide',
    fits: is('prefix'),
    spoil: (good) => ({ knock: { prefixLength: isV4(good) ? 96 + 23 : 55 } }),
  },
  {
    name: 'everybody',
    expect: 'drop prefix-too-wide',
    fits: is('prefix'),
    spoil: (good) => ({ knock: { prefixLength: isV4(good) ? 96 : 0 } }),
  },
];

function client(
  name: string,
  expect: string,
  content: (content: Buffer) => unknown,
  fits: (good: Good) => boolean = () => true,
): Fault {
  return { name, expect, fits, spoil: () => ({ mischief: { content: (bytes) => void content(bytes) } }) };
}

function proved(name: string, expect: string, change: (plain: Buffer) => unknown): Fault {
  return { name, expect, spoil: () => ({ mischief: { proved: (bytes) => void change(bytes) } }) };
}

function aged(ageMs: number): Fault['spoil'] {
  return ({ knock }) => ({ nowMs: knock.ms + ageMs, knock: { ttl: 0 } });
}

function over(nowMs: number): Spoilt {
  return { nowMs, knock: { ttl: 1 } };
}

function from(v4: string, v6: string): Fault['spoil'] {
  return (good) => ({ observedSource: isV4(good) ? v4 : v6 });
}

function strangerOf(
  { suite }: OracleKnock,
  { strangerPsk, strangerSeed }: Readonly<Record<string, Buffer>>,
): Buffer {
  return (suite === 1 ? strangerPsk : strangerSeed) ?? Buffer.alloc(0);
}

/** Whether the gateway asks for the hint: all its clients have a clock. */
function isHinted({ clock }: Good): boolean {
  return clock !== false;
}

/** Whether time can be moved about it: a client with a clock, a hint of its own time, no edge of the counter. */
function isUsual(good: Good): boolean {
  return good.clock !== false && good.knock.epoch === undefined && isOfToday(good);
}

function isOfToday({ nowMs }: Good): boolean {
  return nowMs > 1e12 && nowMs < 1e13;
}

function is(bind: OracleKnock['bind']): (good: Good) => boolean {
  return ({ knock }) => knock.bind === bind;
}

function hasClaim({ knock }: Good): boolean {
  return knock.addr !== null;
}

function hasTwoServices({ knock }: Good): boolean {
  return knock.services.length >= 2;
}

function isV4({ observedSource }: Good): boolean {
  return observedSource.includes('.');
}

function isV4Prefix(good: Good): boolean {
  return isV4(good) && good.knock.bind === 'prefix';
}

/** Adds to a big-endian 16-bit number. */
function add(bytes: Buffer, at: number, change: number): void {
  bytes.writeUInt16BE((bytes.readUInt16BE(at) + change) & 0xffff, at);
}

function flip(bytes: Buffer, at: number, mask: number): void {
  bytes[at] = (bytes[at] ?? 0) ^ mask;
}
