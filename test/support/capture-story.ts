// A capture with everything in it that a gateway can make of packets, for the tests of explain(): who sent what when, and
// what becomes of it. Each refusal comes from an address of its own.

import type { ClientAccess } from '../../lib/policy/access.ts';
import { fwknop } from '../../lib/scheme/fwknop.ts';
import type { FwknopCipher } from '../../lib/scheme/fwknop-seal.ts';
import type { Fields } from '../../lib/scheme/fwknop-format.ts';
import { oneTime } from '../../lib/scheme/one-time.ts';
import { oneTimeKnocks } from '../../lib/scheme/one-time-key.ts';
import type { RejectReason, Scheme } from '../../lib/scheme/scheme.ts';
import { sequence } from '../../lib/scheme/sequence.ts';
import { frame } from './frames.ts';
import { knockOf, PHONE, withWrongDigest } from './fwknop-knocks.ts';
import { NOW } from './packets.ts';
import type { SavedPacket } from './savefile.ts';
import { CLIENTS, flipped, gatewayOf, insider, knock, type KnockOptions } from './spa-knocks.ts';

export const START_MS = NOW + 600_000;
export const SERVICES = { ssh: { port: 22 }, admin: { port: 8443, openForMs: 120_000 } };
export const FIELD = { secret: Buffer.alloc(32, 'field') };
const EXACT = Buffer.alloc(32, 'EXACT-KEY');
const EXPIRED = Buffer.alloc(32, 'EXPIRED-KEY');
/** Not that of SPA, which would have its say. */
const FWKNOP_PORT = 62_202;
const PROOF = 96;
const RESERVED = 28;

export const ACCESS_RULES: readonly ClientAccess[] = [
  { name: 'suite1', services: ['ssh'] },
  { name: 'suite2', services: ['ssh', 'admin'] },
  { name: 'exact', services: ['ssh'], bind: 'exact' },
  { name: 'expired', services: ['ssh'], expiresAt: START_MS },
  { name: 'field', services: ['ssh'] },
  { name: 'old', services: ['ssh'] },
  { name: 'phone', services: ['ssh'] },
];

/** Fresh ones for every use: they remember who is on the way. */
export function storySchemes(): readonly Scheme[] {
  return [
    gatewayOf({ clients: { ...CLIENTS, exact: { secret: EXACT }, expired: { secret: EXPIRED } } }),
    oneTime({ clients: { field: FIELD } }),
    fwknop({
      ...{ port: FWKNOP_PORT, services: SERVICES },
      clients: { phone: { ...PHONE, encryptionMode: 'ctr' } },
    }),
    sequence({ clients: { old: { sequence: ['7000/tcp', '9000/udp', '8000/tcp', '7100/tcp'] } } }),
  ];
}

/** Something somebody sends: from where, and the verdict on its last packet. */
export interface Scene {
  readonly src: string;
  readonly send: (timeMs: number, src: string) => Promise<readonly Uint8Array[]>;
}

/** One knock. */
export function spaScene(
  options: KnockOptions & { readonly late?: number } = {},
  change = (bytes: Buffer): readonly Buffer[] => [bytes],
): Scene['send'] {
  const { late = 0, ...rest } = options;
  return async (timeMs, src) =>
    change(await knock({ ...rest, ms: timeMs + late })).map((payload) => frame({ src, payload }));
}

/** One-time knocks by their numbers, at the step of the time, `off` steps away. */
export function fieldScene(numbers: readonly number[], off = 0): Scene['send'] {
  return (timeMs, src) => {
    const all = oneTimeKnocks(FIELD, Math.floor(timeMs / 10_000) + off);
    return Promise.resolve(
      numbers.flatMap((number) =>
        all.slice(number - 1, number).map(({ port, tag }) => frame({ src, dstPort: port, payload: tag })),
      ),
    );
  };
}

/** A packet of fwknop. */
function fwknopScene(
  fields: (src: string) => Partial<Fields>,
  seal = (all: Partial<Fields>): Buffer => knockOf(all, { mode: 'ctr' }),
): Scene['send'] {
  return (timeMs, src) => {
    const payload = seal({
      ...{ timeSeconds: Math.floor(timeMs / 1000), message: `${src},tcp/22` },
      ...fields(src),
    });
    return Promise.resolve([frame({ src, dstPort: FWKNOP_PORT, payload })]);
  };
}

/** The same by somebody with other keys. */
function fwknopBy(cipher: Partial<FwknopCipher>): Scene['send'] {
  return fwknopScene(
    () => ({}),
    (all) => knockOf(all, { mode: 'ctr', ...cipher }),
  );
}

/** SYNs and datagrams to these ports, each its own. */
export function portScene(ports: readonly string[]): Scene['send'] {
  return (timeMs, src) =>
    Promise.resolve(
      ports.map((text, i) => {
        const [port, protocol] = text.split('/');
        const options = { src, dstPort: Number(port) };
        return protocol === 'udp'
          ? frame({ ...options, payload: 'x' })
          : frame({ ...options, protocol: 'tcp', seq: timeMs + i });
      }),
    );
}

const twice = (bytes: Buffer): readonly Buffer[] => [bytes, bytes];
const forgedProof = (bytes: Buffer): Buffer =>
  insider(bytes, (plain) => {
    plain[PROOF] = (plain[PROOF] ?? 0) ^ 1;
  });

/** How each reason comes about, or why no capture can bring it about. */
export const REFUSALS: Readonly<Record<RejectReason, Scene['send'] | string>> = {
  'bad-tag': spaScene({}, (bytes) => [flipped(bytes, 20)]),
  malformed: spaScene({}, (bytes) => [insider(bytes, (plain) => plain.writeUInt32BE(1, RESERVED))]),
  audience: spaScene({ gateway: 'other.example' }),
  'unknown-client': spaScene({ key: Buffer.alloc(32, 'NOBODY') }),
  stale: spaScene({ late: -200_000 }),
  future: spaScene({ late: 60_000 }),
  'bad-signature': spaScene({}, (bytes) => [forgedProof(bytes)]),
  'too-many-checks': async (timeMs, src) => {
    const all = Array.from({ length: 11 }, (_, seq) => knock({ suite: 2, ms: timeMs, seq }));
    return (await Promise.all(all)).map((bytes) => frame({ src, payload: forgedProof(bytes) }));
  },
  'too-many-knocks': 'explained one at a time',
  'bind-refused': spaScene({ key: EXACT }),
  'source-mismatch': spaScene({ claim: '198.51.100.222' }),
  'prefix-too-wide': spaScene({ claim: '198.51.0.0/16' }),
  'client-expired': spaScene({ key: EXPIRED }),
  'wrong-port': async (timeMs, src) => {
    const [first] = oneTimeKnocks(FIELD, Math.floor(timeMs / 10_000));
    return Promise.resolve(first === undefined ? [] : [frame({ src, dstPort: 19_999, payload: first.tag })]);
  },
  'gpg-packet': fwknopScene(
    () => ({}),
    () => Buffer.alloc(500, 'A'),
  ),
  'hmac-mismatch': fwknopBy({ hmac: { key: Buffer.from('another key'), digest: 'sha256' } }),
  'decrypt-failed': fwknopBy({ key: Buffer.from('another key') }),
  'digest-mismatch': fwknopScene(() => ({}), withWrongDigest),
  'command-refused': fwknopScene((src) => ({ type: 0, message: `${src},/bin/true` })),
  'nat-refused': fwknopScene(() => ({ type: 2, nat: '10.0.0.5,22' })),
  'port-refused': fwknopScene((src) => ({ message: `${src},tcp/23` })),
  'attempt-table-full': async (timeMs, src) => {
    const sources = [...Array.from({ length: 16 }, (_, i) => `203.0.113.${i + 1}`), src];
    return (await Promise.all(sources.map((each) => fieldScene([2])(timeMs, each)))).flat();
  },
  replayed: async (timeMs, src) => {
    const payload = await knock({ ms: timeMs });
    return [frame({ src: '203.0.113.100', payload }), frame({ src, payload })];
  },
  'replay-window': 'the replay state starts empty, and is believed',
  'replay-failed': 'nothing is written',
  'source-refused': spaScene(),
  'client-unknown': 'rules with such a client are refused',
  'service-refused': spaScene({ services: ['admin'] }),
  'grant-failed': 'the firewall is on paper',
};

/** A copy of a knock from where it came from first. */
export const DUPLICATE = spaScene({}, twice);

/** Scenes one after another, their packets as a savefile has them. */
export async function playScenes(scenes: readonly Scene[], apartMs = 20_000): Promise<SavedPacket[]> {
  const packets: SavedPacket[] = [];
  for (const [index, { src, send }] of scenes.entries()) {
    const timeMs = START_MS + index * apartMs;
    const frames = await send(timeMs, src);
    packets.push(...frames.map((bytes, i) => ({ bytes, timeMs: timeMs + i })));
  }
  return packets;
}
