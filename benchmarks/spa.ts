// Single-packet authorization: what junk costs at each step that refuses it, what a knock costs by suite, and that
// 10,000 clients change none of it. Every row stands beside the raw operations of node:crypto in the same run.

import { createCipheriv, createHmac, generateKeyPairSync, sign, timingSafeEqual, verify } from 'node:crypto';
import type { KnockHistory } from '../lib/scheme/scheme.ts';
import { accessKeyOf, sharedKeyOf, signerIdOf } from '../lib/scheme/spa-keys.ts';
import { sealSpa, type Sender } from '../lib/scheme/spa-seal.ts';
import { spa } from '../lib/scheme/spa.ts';
import type { SpaClient } from '../lib/scheme/spa-clients.ts';
import type { PacketView } from '../lib/packet/view.ts';
import { figures, must, takeTurns, type Bench, type Row } from './bench.ts';
import { inTurn, noise, noiseBytes, round, viewOf } from './packets.ts';

const AT_MS = 1_767_225_600_000;
const GATEWAY = 'gw.example';
const PORT = 62_201;
const COUNTS = [1, 10_000] as const;
/** Far enough apart for the budget of signature checks to be full again. */
const APART_MS = 2500;
const NEVER: KnockHistory = { floor: () => null };
const ALWAYS: KnockHistory = { floor: () => 1n << 63n };
const unit = 'datagrams';

interface Person {
  readonly sender: Sender;
  readonly client: SpaClient;
}

export async function spaBench(bench: Bench): Promise<void> {
  const next = noise(11);
  const secret = noiseBytes(next, 32);
  const people = { psk: sharing(noiseBytes(next, 32)), ed25519: signing() };
  const datagrams = {
    psk: await knocksOf(people.psk.sender, secret),
    ed25519: await knocksOf(people.ed25519.sender, secret),
  };
  const forged = datagrams.psk.map((view) => forgedLike(view));
  const strange = round(() => viewOf({ dstPort: PORT, payload: noiseBytes(next, 192 + next(289)) }, AT_MS));
  const bare = await bareRows(bench, datagrams.psk, people.ed25519);
  const gates = COUNTS.map((count) => ({ count, match: schemeWith(count, people, secret) }));
  for (const { count, match } of gates) {
    const refused = (views: readonly PacketView[], name: string, reason: string | null, history = NEVER) => {
      must(
        views.every((view) => {
          const verdict = match(view, history);
          return reason === null ? verdict === null : verdict?.kind === 'reject' && verdict.reason === reason;
        }),
        name,
      );
      return inTurn(views, (view) => match(view, history));
    };
    const of = `${count} ${count === 1 ? 'client' : 'clients'}`;
    const junk = `junk of a knock's length and port, no hint, ${of}`;
    await bench.row(junk, refused(strange, junk, null), { unit, allocates: 'nothing' });
    const tag = `junk with a sniffed hint, refused at T1, ${of}`;
    await bench.row(tag, refused(forged, tag, 'bad-tag'), { unit, beside: bare.mac });
  }
  await inTurns(bench, gates, datagrams, bare);
  await seals(bench, people, secret, bare);
}

/** What changes little is compared fairly only in turns: first with one client, then with all, over and over. */
async function inTurns(
  bench: Bench,
  gates: readonly { readonly count: number; readonly match: Matcher }[],
  datagrams: Readonly<Record<'psk' | 'ed25519', readonly PacketView[]>>,
  bare: Bare,
): Promise<void> {
  const [few, many] = gates;
  if (few === undefined || many === undefined) throw new Error('there must be two gates');
  const cases = [
    {
      name: 'exact replay, refused by its counter',
      views: datagrams.psk,
      history: ALWAYS,
      beside: bare.open,
    },
    { name: 'valid knock, suite 1', views: datagrams.psk, history: NEVER, beside: bare.open },
    { name: 'valid knock, suite 2', views: datagrams.ed25519, history: NEVER, beside: bare.verify },
  ] as const;
  for (const { name, views, history, beside } of cases) {
    const wanted = history === ALWAYS ? 'reject' : 'request';
    const all = (match: Matcher) => () => {
      for (const view of views) must(match(view, history)?.kind === wanted, name);
      return Promise.resolve();
    };
    const times = await takeTurns(
      { few: all(few.match), many: all(many.match) },
      bench.smoke ? 2 : ROUNDS_OF[name],
    );
    const one = bench.add(
      `${name}, 1 client`,
      { ...figures(times.few, views.length), bytes: null },
      { unit, beside },
    );
    bench.add(
      `${name}, ${many.count} clients`,
      { ...figures(times.many, views.length), bytes: null },
      { unit, beside: one },
    );
  }
}

const ROUNDS_OF = {
  'exact replay, refused by its counter': 200,
  'valid knock, suite 1': 200,
  'valid knock, suite 2': 30,
} as const;

interface Bare {
  readonly mac: Row;
  readonly open: Row;
  readonly verify: Row;
  readonly sign: Row;
}

async function bareRows(bench: Bench, views: readonly PacketView[], { sender }: Person): Promise<Bare> {
  const key = Buffer.alloc(32, 7);
  const tag = Buffer.alloc(16);
  const mac = ({ bytes, payloadStart, payloadLength }: PacketView): Buffer =>
    createHmac('sha256', key)
      .update(bytes.subarray(payloadStart, payloadStart + payloadLength))
      .digest();
  const macRow = await bench.row(
    'bare: HMAC-SHA256 (createHmac) and compare, 192 to 480 bytes',
    inTurn(views, (view) => timingSafeEqual(mac(view).subarray(0, 16), tag)),
    { unit },
  );
  const open = await bench.row(
    'bare: the same, and AES-256-CTR',
    inTurn(views, (view) => {
      const { bytes, payloadStart, payloadLength } = view;
      timingSafeEqual(mac(view).subarray(0, 16), tag);
      const nonce = bytes.subarray(payloadStart, payloadStart + 16);
      return createCipheriv('aes-256-ctr', key, nonce).update(
        bytes.subarray(payloadStart + 32, payloadStart + payloadLength),
      );
    }),
    { unit },
  );
  const pair = generateKeyPairSync('ed25519');
  const blob = Buffer.alloc(120, 3);
  const signature = sign(null, blob, pair.privateKey);
  must(sender.suite === 2, 'the signer signs');
  const verifyRow = await bench.row(
    'bare: Ed25519 verify',
    () => verify(null, blob, pair.publicKey, signature),
    { unit },
  );
  const signRow = await bench.row('bare: Ed25519 sign', () => sign(null, blob, pair.privateKey), { unit });
  return { mac: macRow, open, verify: verifyRow, sign: signRow };
}

async function seals(
  bench: Bench,
  people: Readonly<Record<'psk' | 'ed25519', Person>>,
  secret: Buffer,
  bare: Bare,
): Promise<void> {
  const accessKey = accessKeyOf(secret);
  let counter = BigInt(AT_MS) << 16n;
  const seal = (sender: Sender) => () => sealSpa({ ...REQUEST, accessKey, sender, counter: (counter += 1n) });
  await bench.row('seal, suite 1', seal(people.psk.sender), { unit, beside: bare.open });
  await bench.row('seal, suite 2', seal(people.ed25519.sender), { unit, beside: bare.sign });
}

const REQUEST = {
  gateway: GATEWAY,
  services: ['ssh'],
  bind: 'observed',
  claim: null,
  ttlSeconds: 0,
  close: false,
} as const;

type Matcher = ReturnType<typeof spa>['match'];

function schemeWith(
  count: number,
  people: Readonly<Record<'psk' | 'ed25519', Person>>,
  secret: Buffer,
): Matcher {
  const next = noise(13);
  const clients: Record<string, SpaClient> = { psk: people.psk.client, ed: people.ed25519.client };
  for (let i = 1; i < count; i += 1) {
    const key = noiseBytes(next, 32);
    clients[`other-${i}`] = i % 2 === 0 ? { secret: key } : { publicKey: publicLine(key) };
  }
  return spa({ gateway: GATEWAY, accessKeys: [secret], services: ['ssh'], clients }).match;
}

/** Knocks that are each sent and received at their own time. */
async function knocksOf(sender: Sender, secret: Buffer): Promise<PacketView[]> {
  const accessKey = accessKeyOf(secret);
  const views: PacketView[] = [];
  for (let i = 0; i < 256; i += 1) {
    const timeMs = AT_MS + i * APART_MS;
    const payload = await sealSpa({ ...REQUEST, accessKey, sender, counter: BigInt(timeMs) << 16n });
    views.push(viewOf({ dstPort: PORT, payload }, timeMs));
  }
  return views;
}

/** The nonce, and with it the hint, of a real one. */
function forgedLike(view: PacketView): PacketView {
  const payload = Buffer.from(view.bytes.subarray(view.payloadStart, view.payloadStart + view.payloadLength));
  payload[40] = (payload[40] ?? 0) ^ 1;
  return viewOf({ dstPort: PORT, payload }, view.timeMs);
}

function sharing(secret: Buffer): Person {
  return { sender: { suite: 1, key: sharedKeyOf(secret) }, client: { secret } };
}

function signing(): Person {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
  const publicLineText = publicLine(raw);
  const blob = Buffer.from(publicLineText.split(' ')[1] ?? '', 'base64');
  return {
    sender: {
      suite: 2,
      id: signerIdOf(blob),
      sign: (message) => Promise.resolve(sign(null, message, privateKey)),
    },
    client: { publicKey: publicLineText },
  };
}

function publicLine(raw: Buffer): string {
  const type = Buffer.from('ssh-ed25519');
  const part = (bytes: Buffer): Buffer => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  return `ssh-ed25519 ${Buffer.concat([part(type), part(raw)]).toString('base64')}`;
}
