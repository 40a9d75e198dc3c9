// The client's half of SPA (protocols/spa.md): one datagram, sealed. Which counter it carries is the caller's business.

import { randomBytes, randomInt } from 'node:crypto';
import type { Prefix } from '../address.ts';
import { ctr } from '../crypto/cipher.ts';
import { sshsigBlob } from '../crypto/sshsig.ts';
import {
  BODY,
  CONTENT,
  encodeContent,
  LEAST_BYTES,
  NONCE,
  PROOF,
  PROOF_BYTES,
  signedMessage,
  TAG,
  TAG_BYTES,
  type Bind,
} from './spa-format.ts';
import {
  audienceOf,
  EPOCH_MS,
  hintOf,
  MOST_BYTES,
  serviceIdOf,
  type AccessKey,
  type SharedKey,
} from './spa-keys.ts';

/** Who knocks: a shared key, or somebody who can sign. */
export type Sender =
  | { readonly suite: 1; readonly key: SharedKey }
  | {
      readonly suite: 2;
      readonly id: Uint8Array;
      /** The 64-byte Ed25519 signature of an SSHSIG blob. */
      readonly sign: (blob: Uint8Array) => Promise<Uint8Array>;
    };

export interface SealOptions {
  readonly accessKey: AccessKey;
  /** The gateway's name in its own configuration. */
  readonly gateway: string;
  readonly sender: Sender;
  /** u48 Unix milliseconds, then u16. */
  readonly counter: bigint;
  readonly services: readonly string[];
  readonly bind: Bind;
  /** For bind exact and prefix. */
  readonly claim: Prefix | null;
  /** 0: the gateway's own. */
  readonly ttlSeconds: number;
  readonly close: boolean;
}

/** What is drawn by lot; given only by tests. */
export interface Lots {
  readonly length: number;
  /** r4 and r8. */
  readonly random: Uint8Array;
  readonly pad: Uint8Array;
}

const RANDOM_BYTES = 12;

/** One datagram. @throws what `sign` throws */
export async function sealSpa(options: SealOptions, lots: Lots = drawLots()): Promise<Buffer> {
  const { accessKey, gateway, sender, counter, services, bind, claim, ttlSeconds, close } = options;
  const datagram = Buffer.alloc(lots.length);
  const nonce = nonceOf(hintOf(accessKey, epochOf(counter)), lots.random);
  const padLength = lots.length - CONTENT - PROOF - PROOF_BYTES[sender.suite];
  const content = encodeContent(
    { suite: sender.suite, close, bind, counter },
    { claim, ttlSeconds, serviceIds: services.map(serviceIdOf) },
    {
      audience: audienceOf(gateway),
      clientId: sender.suite === 1 ? sender.key.id : sender.id,
      padLength,
    },
  );
  if (sender.suite === 1) ctr(sender.key.encryption, nonce, content.subarray(BODY)).copy(content, BODY);
  const pad = Buffer.from(lots.pad).subarray(0, padLength);
  const plain = Buffer.concat([content, await proofOf(sender, nonce, content), pad]);
  datagram.set(nonce, NONCE);
  datagram.set(ctr(accessKey.encryption, nonce, plain), CONTENT);
  const tag = accessKey.mac.add(datagram, NONCE, TAG).add(datagram, CONTENT, datagram.length).tag();
  datagram.set(tag.subarray(0, TAG_BYTES), TAG);
  return datagram;
}

async function proofOf(sender: Sender, nonce: Buffer, content: Buffer): Promise<Uint8Array> {
  if (sender.suite === 2) return sender.sign(sshsigBlob(signedMessage(nonce, content)));
  return sender.key.mac.add(nonce, 0, nonce.length).add(content, 0, PROOF).tag();
}

/** r4, r4 xor hint, r8. */
function nonceOf(hint: number, random: Uint8Array): Buffer {
  const nonce = Buffer.alloc(TAG - NONCE);
  nonce.set(random.subarray(0, 4), 0);
  nonce.writeInt32BE(nonce.readInt32BE(0) ^ hint, 4);
  nonce.set(random.subarray(4), 8);
  return nonce;
}

function epochOf(counter: bigint): number {
  return Math.floor(Number(counter >> 16n) / EPOCH_MS);
}

function drawLots(): Lots {
  const length = randomInt(LEAST_BYTES, MOST_BYTES + 1);
  return { length, random: randomBytes(RANDOM_BYTES), pad: randomBytes(length) };
}
