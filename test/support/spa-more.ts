// Makes test/vectors/spa-more.json, in the form of the given vectors: knocks that must be accepted, of every kind, and
// four of the ways to spoil each. Written by the oracle alone:
//   node --import tsx test/support/spa-more.ts > test/vectors/spa-more.json

import { pathToFileURL } from 'node:url';
import { random, type Random } from './random.ts';
import { FAULTS, type Fault, type Good } from './spa-faults.ts';
import {
  oracleAudience,
  oracleClientId,
  oracleHint,
  oracleHkdf,
  oracleKeyBlob,
  oracleSeal,
  oracleServiceId,
  type OracleKnock,
} from './spa-oracle.ts';
import type { SpaKeys, SpaVector, SpaVectorFile } from './spa-vectors.ts';

const NOW = 1_767_225_600_000;
const GATEWAY = 'gw.example';
const SERVICES = ['ssh', 'admin', 'web', 'git', 'db', 'mail', 'x', '0-9', 'a'.repeat(32), 'last'];
const LENGTHS = [192, 480, 193, 479, 224, 223, 256, 336];
const PER_GOOD = 4;

export const SECRETS = {
  gatewayAccessKey: bytesFrom(0x00),
  newAccessKey: bytesFrom(0x20),
  clientPsk: bytesFrom(0x40),
  strangerPsk: bytesFrom(0x60),
  ed25519Seed: bytesFrom(0x80),
  strangerSeed: bytesFrom(0xa0),
};

/** Counter, age and time to live of the knocks that are good, in turn. */
const TIMES: readonly { readonly seq: number; readonly ageMs: number; readonly ttl: number }[] = [
  { seq: 0, ageMs: 0, ttl: 60 },
  { seq: 65_535, ageMs: 120_000, ttl: 0 },
  { seq: 1, ageMs: -30_000, ttl: 1 },
  { seq: 32_768, ageMs: 999, ttl: 1 },
  { seq: 255, ageMs: 120_000, ttl: 121 },
  { seq: 256, ageMs: 1, ttl: 4_294_967_295 },
  { seq: 65_280, ageMs: 119_999, ttl: 120 },
];

/** Claims, each with a source that it holds. */
const CLAIMS: readonly Pick<OracleKnock, 'bind' | 'addr' | 'prefixLength'>[][] = [
  [
    { bind: 'observed', addr: null, prefixLength: 0 },
    { bind: 'exact', addr: '203.0.113.7', prefixLength: 128 },
    { bind: 'prefix', addr: '203.0.113.0', prefixLength: 96 + 24 },
    { bind: 'prefix', addr: '203.0.113.7', prefixLength: 96 + 32 },
    { bind: 'prefix', addr: '203.0.113.99', prefixLength: 96 + 25 },
  ],
  [
    { bind: 'observed', addr: null, prefixLength: 0 },
    { bind: 'exact', addr: '2001:db8:1:2::77', prefixLength: 128 },
    { bind: 'prefix', addr: '2001:db8:1::', prefixLength: 56 },
    { bind: 'prefix', addr: '2001:db8:1:2::', prefixLength: 127 - 63 },
    { bind: 'prefix', addr: '2001:db8:1:2::76', prefixLength: 127 },
  ],
];
const SOURCES = ['203.0.113.7', '2001:db8:1:2::77'];

/** The whole file. */
export function moreVectors(): SpaVectorFile {
  const rng = random(20_260_101);
  const good = goodOnes(rng);
  const uses = new Map<Fault, number[]>(FAULTS.map((fault) => [fault, [0, 0, 0]]));
  // The choosy faults first, where two were used as often.
  const choosy = (fault: Fault): number => good.filter((one) => fits(fault, one)).length;
  const faults = [...FAULTS].sort((one, other) => choosy(one) - choosy(other));
  const bad = good.flatMap((one, i) => spoiled(one, i, { faults, uses }));
  return { keys: keysOf(), vectors: [...good.map((one) => vectorOf(one)), ...bad] };
}

function goodOnes(rng: Random): Good[] {
  const plain = ([1, 2] as const).flatMap((suite) =>
    CLAIMS.flatMap((claims, family) =>
      claims.flatMap((claim) =>
        [false, true].map((close) => ({ suite, ...claim, close, observedSource: SOURCES[family] ?? '' })),
      ),
    ),
  );
  const regular = plain.map((kind, i): Good => {
    const { seq, ageMs, ttl } = TIMES[i % TIMES.length] ?? { seq: 0, ageMs: 0, ttl: 0 };
    const { suite, bind, close, observedSource } = kind;
    const name = `good-${i}-suite-${suite}-${bind}${close ? '-close' : ''}`;
    const services = Array.from({ length: (i % 8) + 1 }, (_, k) => SERVICES[(i + k) % SERVICES.length] ?? '');
    const length = LENGTHS[(i + Math.floor(i / 8)) % LENGTHS.length] ?? 192;
    const knock = { ...kind, ...lots(rng), ms: NOW + i * 977, seq, ttl, services, length };
    return { name, observedSource, nowMs: knock.ms + ageMs, knock: { ...knock, ...identity(suite) } };
  });
  return [...regular, ...edges(regular, rng)];
}

/** What a row of the table above cannot say. */
function edges([first, ...rest]: readonly Good[], rng: Random): Good[] {
  const other = rest.find(({ knock }) => knock.suite === 2 && knock.bind === 'observed' && !knock.close);
  if (first === undefined || other === undefined) return [];
  const last = 2 ** 48 - 1;
  const one = (base: Good, name: string, change: Partial<OracleKnock>, more: Partial<Good> = {}): Good => {
    const ms = change.ms ?? NOW;
    const knock: OracleKnock = { ...base.knock, ...lots(rng), ms, ttl: 60, ...change };
    return { ...base, name: `good-suite-${knock.suite}-${name}`, nowMs: ms, ...more, knock };
  };
  const newKey = { accessKey: SECRETS.newAccessKey };
  const both = ['newAccessKey', 'gatewayAccessKey'];
  return [first, other].flatMap((base) => [
    one(base, 'new-access-key', newKey, { live: both, sealedWith: 'newAccessKey' }),
    one(base, 'old-access-key-still-live', {}, { live: both }),
    one(base, 'hint-of-the-epoch-before', { epoch: NOW / 3_600_000 - 1 }),
    one(base, 'hint-of-the-next-epoch', { epoch: NOW / 3_600_000 + 1 }),
    one(base, 'turn-of-the-epoch', { ms: NOW - 1 }, { nowMs: NOW }),
    one(base, 'one-service-eight-times', { services: Array<string>(8).fill('ssh') }),
    one(base, 'counter-0', { ms: 0, seq: 0 }),
    one(base, 'counter-max', { ms: last, seq: 65_535, ttl: 0 }),
    one(base, 'nonce-that-carries', { r8: Buffer.alloc(8, 0xff), length: 480 }),
    one(base, 'nonce-of-zeros', { r4: Buffer.alloc(4), r8: Buffer.alloc(8) }),
    one(
      base,
      'no-clock-a-day-late',
      { ms: NOW - 86_400_000, ttl: 0, epoch: NOW / 3_600_000 },
      { clock: false, nowMs: NOW },
    ),
    one(base, 'no-clock-since-1970', { ms: 86_400_000, ttl: 0 }, { clock: false, nowMs: NOW }),
  ]);
}

/** Four faults for each, going round, so that every fault meets both suites. */
function spoiled(
  good: Good,
  number: number,
  { faults, uses }: { readonly faults: readonly Fault[]; readonly uses: ReadonlyMap<Fault, number[]> },
): SpaVector[] {
  const { suite } = good.knock;
  const used = (fault: Fault): number => uses.get(fault)?.[suite] ?? 0;
  const chosen = faults
    .filter((fault) => fits(fault, good))
    .sort((one, other) => used(one) - used(other))
    .slice(0, PER_GOOD);
  return chosen.map((fault) => {
    uses.get(fault)?.splice(suite, 1, used(fault) + 1);
    const { knock, mischief, cut, ...more } = fault.spoil(good, SECRETS);
    const spoilt = { ...good, ...more, knock: { ...good.knock, ...knock } };
    const name = `bad-${number}-suite-${suite}-${fault.name.replaceAll(' ', '-')}`;
    const vector = vectorOf({ ...spoilt, name }, mischief, fault.expect);
    return cut === undefined ? vector : { ...vector, datagram: vector.datagram.slice(0, 2 * cut) };
  });
}

function fits(fault: Fault, good: Good): boolean {
  return fault.fits?.(good) ?? true;
}

function vectorOf(good: Good, mischief = {}, expect = 'accept'): SpaVector {
  const { name, observedSource, nowMs, knock, live, sealedWith, clock } = good;
  const { suite, bind, addr, prefixLength, services, ttl, ms, seq, close, length, epoch } = knock;
  const pad = length - 32 - 96 - (suite === 1 ? 32 : 64);
  return {
    name,
    expect,
    observedSource,
    nowMs,
    fields: { suite, bind, addr, prefixLength, services, ttl, ms, seq, close, pad },
    ...(live === undefined ? {} : { live }),
    ...(sealedWith === undefined ? {} : { sealedWith }),
    ...(clock === undefined ? {} : { clock }),
    ...(epoch === undefined ? {} : { epoch }),
    datagram: oracleSeal(knock, mischief).toString('hex'),
  };
}

function identity(suite: 1 | 2): Pick<OracleKnock, 'accessKey' | 'key' | 'gateway'> {
  const key = suite === 1 ? SECRETS.clientPsk : SECRETS.ed25519Seed;
  return { accessKey: SECRETS.gatewayAccessKey, key, gateway: GATEWAY };
}

function lots(rng: Random): Pick<OracleKnock, 'r4' | 'r8' | 'pad'> {
  const draw = (length: number): Buffer => Buffer.from(Array.from({ length }, () => rng(256)));
  return { r4: draw(4), r8: draw(8), pad: draw(480) };
}

function keysOf(): SpaKeys {
  const access = SECRETS.gatewayAccessKey;
  const psk = SECRETS.clientPsk;
  const blob = oracleKeyBlob(SECRETS.ed25519Seed);
  const hintEpoch = NOW / 3_600_000;
  const texts: Record<string, Buffer> = {
    ...SECRETS,
    outerEnc: oracleHkdf(access, 'portknock/1 outer enc', 32),
    outerMac: oracleHkdf(access, 'portknock/1 outer mac', 32),
    outerHint: oracleHkdf(access, 'portknock/1 outer hint', 32),
    hint: oracleHint(access, hintEpoch),
    pskId: oracleClientId(1, psk),
    pskEnc: oracleHkdf(psk, 'portknock/1 client enc', 32),
    pskMac: oracleHkdf(psk, 'portknock/1 client mac', 32),
    ed25519Public: blob.subarray(-32),
    ed25519KeyBlob: blob,
    ed25519Id: oracleClientId(2, SECRETS.ed25519Seed),
  };
  const asHex = Object.fromEntries(
    Object.entries(texts).map(([name, bytes]) => [name, bytes.toString('hex')]),
  );
  const services = Object.fromEntries(SERVICES.map((name) => [name, oracleServiceId(name).toString('hex')]));
  const audience = { name: GATEWAY, id: oracleAudience(GATEWAY).toString('hex') };
  return { ...(asHex as Record<keyof typeof SECRETS, string>), hintEpoch, audience, services };
}

function bytesFrom(first: number): Buffer {
  return Buffer.from(Array.from({ length: 32 }, (_, i) => first + i));
}

/** The text of the file: a vector a line. */
export function moreText(): string {
  const { keys, vectors } = moreVectors();
  const about =
    'portknock SPA v1, more test vectors, made by test/support/spa-more.ts with the independent oracle';
  const lines = vectors.map((vector) => JSON.stringify(vector));
  const head = JSON.stringify({ about, keys }, null, 1).replace(/\n\}$/u, '');
  return `${head},\n "vectors": [\n${lines.join(',\n')}\n ]\n}\n`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) process.stdout.write(moreText());
