// The independent oracle of SPA (protocols/spa.md): the format written once more from its text, with node-forge's SHA,
// HMAC, AES block and Ed25519 and everything else by hand, sharing nothing with the library. It also seals what no client
// would.

import forge from 'node-forge';
import { forgeHmac } from './forge.ts';

/** Offsets in the content P. */
export const BODY_AT = 32;
export const PROOF_AT = 96;

export interface OracleKnock {
  readonly accessKey: Uint8Array;
  /** 1: `key` is the shared key; 2: it is the seed of an Ed25519 key. */
  readonly suite: 1 | 2;
  readonly key: Uint8Array;
  readonly gateway: string;
  readonly ms: number;
  readonly seq: number;
  /** Of the hint; that of `ms` unless given. */
  readonly epoch?: number;
  readonly close: boolean;
  readonly bind: 'observed' | 'exact' | 'prefix';
  readonly addr: string | null;
  /** As on the wire: of an IPv4 address 96 and more. */
  readonly prefixLength: number;
  readonly services: readonly string[];
  readonly ttl: number;
  readonly length: number;
  readonly r4: Uint8Array;
  readonly r8: Uint8Array;
  readonly pad: Uint8Array;
}

/** What to do wrong, and where: each changes the bytes that it is given. */
export interface Mischief {
  /** By the client itself: what it proves, with the body in the clear. */
  readonly content?: (content: Buffer) => void;
  /** By somebody else who has the access key: the whole P, proof and pad included. */
  readonly proved?: (plain: Buffer) => void;
}

export function oracleSeal(knock: OracleKnock, mischief: Mischief = {}): Buffer {
  const { accessKey, suite, key, length } = knock;
  const epoch = knock.epoch ?? Math.floor(knock.ms / 3_600_000);
  const nonce = Buffer.concat([knock.r4, xor(knock.r4, oracleHint(accessKey, epoch)), knock.r8]);
  const content = contentOf(knock);
  mischief.content?.(content);
  if (suite === 1) {
    const clientKey = oracleHkdf(key, 'portknock/1 client enc', 32);
    oracleCtr(clientKey, nonce, content.subarray(BODY_AT)).copy(content, BODY_AT);
  }
  const head = Buffer.concat([nonce, content]);
  const proof =
    suite === 1
      ? forgeHmac(
          'sha256',
          oracleHkdf(key, 'portknock/1 client mac', 32),
          Buffer.concat([oracleLabel('portknock/1 client tag'), head]),
        )
      : oracleSign(key, sshsigOf(Buffer.concat([oracleLabel('portknock/1 client sig'), head])));
  const plain = Buffer.alloc(length - 32);
  content.copy(plain);
  proof.copy(plain, PROOF_AT);
  plain.set(knock.pad.subarray(0, plain.length - PROOF_AT - proof.length), PROOF_AT + proof.length);
  mischief.proved?.(plain);
  return oracleWrap(accessKey, nonce, plain);
}

/** The outer layer around a nonce and a content that somebody made: all that the access key is good for. */
export function oracleWrap(accessKey: Uint8Array, nonce: Uint8Array, plain: Uint8Array): Buffer {
  const sealed = oracleCtr(oracleHkdf(accessKey, 'portknock/1 outer enc', 32), nonce, plain);
  const tag = forgeHmac(
    'sha256',
    oracleHkdf(accessKey, 'portknock/1 outer mac', 32),
    Buffer.concat([oracleLabel('portknock/1 gateway tag'), nonce, sealed]),
  );
  return Buffer.concat([nonce, tag.subarray(0, 16), sealed]);
}

/** The nonce and the content of a datagram, its tag not looked at. */
export function oracleUnwrap(accessKey: Uint8Array, datagram: Uint8Array): { nonce: Buffer; plain: Buffer } {
  const bytes = Buffer.from(datagram);
  const nonce = bytes.subarray(0, 16);
  const key = oracleHkdf(accessKey, 'portknock/1 outer enc', 32);
  return { nonce, plain: oracleCtr(key, nonce, bytes.subarray(32)) };
}

function contentOf(knock: OracleKnock): Buffer {
  const { suite, key, close, bind, services } = knock;
  const content = Buffer.alloc(PROOF_AT);
  content[0] = suite === 1 ? 0x11 : 0x12;
  content[1] = (close ? 2 : 0) + ['observed', 'exact', 'prefix'].indexOf(bind) * 4;
  content.writeUInt16BE(knock.length - 32 - PROOF_AT - (suite === 1 ? 32 : 64), 2);
  oracleAudience(knock.gateway).copy(content, 4);
  oracleClientId(suite, key).copy(content, 12);
  content.writeUIntBE(knock.ms, 20, 6);
  content.writeUInt16BE(knock.seq, 26);
  content[32] = knock.prefixLength;
  content[33] = services.length;
  content.writeUInt32BE(knock.ttl, 36);
  if (knock.addr !== null) oracleAddress(knock.addr).copy(content, 40);
  services.forEach((name, i) => {
    oracleServiceId(name).copy(content, 56 + 4 * i);
  });
  return content;
}

/** HKDF-SHA256 (RFC 5869) without salt, for at most 32 bytes. */
export function oracleHkdf(key: Uint8Array, info: string, length: number): Buffer {
  const extracted = forgeHmac('sha256', Buffer.alloc(32), key);
  const expanded = forgeHmac(
    'sha256',
    extracted,
    Buffer.concat([Buffer.from(info, 'ascii'), Buffer.from([1])]),
  );
  return expanded.subarray(0, length);
}

/** AES-256-CTR with all 128 bits of the nonce counting (node-forge's own mode counts 32), over its AES block. */
export function oracleCtr(key: Uint8Array, nonce: Uint8Array, bytes: Uint8Array): Buffer {
  const first = BigInt(`0x${Buffer.from(nonce).toString('hex')}`);
  const blocks = Math.ceil(bytes.length / 16);
  const counters = Array.from({ length: blocks }, (_, i) => {
    const count = (first + BigInt(i)) % 2n ** 128n;
    return Buffer.from(count.toString(16).padStart(32, '0'), 'hex');
  });
  const cipher = forge.cipher.createCipher('AES-ECB', binary(key));
  cipher.start({});
  cipher.update(forge.util.createBuffer(binary(Buffer.concat(counters))));
  const stream = Buffer.from(cipher.output.getBytes(), 'binary');
  return xor(bytes, stream);
}

export function oracleHint(accessKey: Uint8Array, epoch: number): Buffer {
  const place = Buffer.from(epoch.toString(16).padStart(16, '0'), 'hex');
  const key = oracleHkdf(accessKey, 'portknock/1 outer hint', 32);
  return forgeHmac('sha256', key, Buffer.concat([oracleLabel('portknock/1 hint'), place])).subarray(0, 4);
}

export function oracleAudience(gateway: string): Buffer {
  return sha('sha256', [oracleLabel('portknock/1 audience'), Buffer.from(gateway)]).subarray(0, 8);
}

export function oracleServiceId(name: string): Buffer {
  return sha('sha256', [oracleLabel('portknock/1 service'), Buffer.from(name)]).subarray(0, 4);
}

export function oracleClientId(suite: 1 | 2, key: Uint8Array): Buffer {
  if (suite === 1) return oracleHkdf(key, 'portknock/1 client id', 8);
  return sha('sha256', [oracleKeyBlob(key)]).subarray(0, 8);
}

/** The SSH form of the public key that belongs to a seed. */
export function oracleKeyBlob(seed: Uint8Array): Buffer {
  return Buffer.concat([sshText(Buffer.from('ssh-ed25519')), sshText(keyPair(seed).publicKey)]);
}

/** The line of a `.pub` file. */
export function oraclePublicLine(seed: Uint8Array): string {
  return `ssh-ed25519 ${oracleKeyBlob(seed).toString('base64')} somebody@somewhere`;
}

/** The Ed25519 signature of some bytes. */
export function oracleSign(seed: Uint8Array, message: Uint8Array): Buffer {
  return Buffer.from(forge.pki.ed25519.sign({ message, privateKey: keyPair(seed).privateKey }));
}

function sshsigOf(message: Buffer): Buffer {
  const texts = ['portknock', '', 'sha512'].map((text) => sshText(Buffer.from(text)));
  return Buffer.concat([Buffer.from('SSHSIG'), ...texts, sshText(sha('sha512', [message]))]);
}

const pairs = new Map<string, ReturnType<typeof forge.pki.ed25519.generateKeyPair>>();

function keyPair(seed: Uint8Array): ReturnType<typeof forge.pki.ed25519.generateKeyPair> {
  const name = Buffer.from(seed).toString('hex');
  const pair = pairs.get(name) ?? forge.pki.ed25519.generateKeyPair({ seed });
  pairs.set(name, pair);
  return pair;
}

/** Sixteen bytes; IPv4 as ::ffff:a.b.c.d. */
export function oracleAddress(text: string): Buffer {
  if (!text.includes(':')) {
    const mark = [...Array<number>(10).fill(0), 255, 255];
    return Buffer.from([...mark, ...text.split('.').map(Number)]);
  }
  const [head = '', tail] = text.split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const missing = tail === undefined ? 0 : 8 - groups(head).length - groups(tail).length;
  const all = [...groups(head), ...Array<string>(missing).fill('0'), ...groups(tail ?? '')];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}

function sha(kind: 'sha256' | 'sha512', parts: readonly Uint8Array[]): Buffer {
  const digest = forge.md[kind].create();
  digest.update(binary(Buffer.concat(parts)));
  return Buffer.from(digest.digest().getBytes(), 'binary');
}

function sshText(bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(bytes.length.toString(16).padStart(8, '0'), 'hex'), bytes]);
}

export function oracleLabel(text: string): Buffer {
  return Buffer.from(`${text}\0`, 'ascii');
}

function xor(one: Uint8Array, other: Uint8Array): Buffer {
  return Buffer.from(one.map((byte, i) => byte ^ (other[i] ?? 0)));
}

function binary(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('binary');
}
