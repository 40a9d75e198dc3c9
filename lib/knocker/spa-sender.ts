// Knocks of the SPA scheme (protocols/spa.md, "Sender"): one fresh datagram for each, to every address of the gateway.
// Beyond the spec: while our clock contradicts our own last knock, a knock is two datagrams, one by the counter rule and
// one by the clock, because a clock that was ahead and has been set right would lock its client out otherwise; and the
// last knock of a wait, which nobody sees arrive, is sent in copies.

import type { Clock } from '../clock.ts';
import { parseAddress, type Prefix } from '../address.ts';
import { KnockError } from '../errors.ts';
import { parseSshPublicKey } from '../crypto/ssh-key.ts';
import { equalBytes } from '../crypto/mac.ts';
import { accessKeyOf, sharedKeyOf, signerIdOf } from '../scheme/spa-keys.ts';
import { sealSpa, type Sender } from '../scheme/spa-seal.ts';
import { Ledger, type KnockState } from './ledger.ts';
import type { SpaProfile } from './profile.ts';
import { localAddress, sendDatagram } from './send.ts';
import type { KnockSender } from './sender.ts';
import type { Signer } from './signer.ts';
import { unlessAborted, wait } from './wait.ts';

export interface SpaSenderOptions {
  readonly state: KnockState;
  readonly clock: Clock;
  readonly signer: Signer | undefined;
  /** The source to name. */
  readonly claim: Prefix | null;
}

/** What the widest default policy of a gateway allows. */
const PREFIX_LENGTH = { 4: 24, 6: 56 } as const;
/** As much as the gateway lets a knock be ahead of its own clock. */
const BELIEVED_AHEAD_MS = 30_000;
/** Of the same bytes: the gateway takes all but the first that arrives for what they are. */
const COPIES = 8;
const COPY_GAP_MS = 4;

/** @throws TypeError when the profile wants a signature and there is no signer for its key */
export function spaSender(profile: SpaProfile, options: SpaSenderOptions): KnockSender {
  const accessKey = accessKeyOf(profile.accessKey);
  const sender = senderOf(profile, options.signer);
  const counters = new Counters(options);
  const { clock } = options;
  const { gateway, port } = profile;
  return {
    keepsAttempts: true,
    closes: true,
    async knock({ addresses, services, close, unseen, signal }) {
      const [first] = addresses;
      const claim = await claimOf(profile, options.claim, first);
      const bind = claim === null ? 'observed' : isAddress(claim) ? 'exact' : 'prefix';
      const { use, clockBehindMs } = await counters.next();
      const datagrams: Buffer[] = [];
      for (const counter of use) {
        const asked = { services, bind, claim, ttlSeconds: 0, close } as const;
        datagrams.push(await sealSpa({ accessKey, gateway, sender: sender(signal), counter, ...asked }));
      }
      const copies = unseen ? COPIES : 1;
      for (let copy = 0; copy < copies; copy += 1) {
        if (copy > 0) await wait(clock, COPY_GAP_MS, signal);
        signal?.throwIfAborted();
        for (const datagram of datagrams) await sendDatagram(addresses, port, datagram);
      }
      const sent = { sentTo: first, packets: addresses.length * datagrams.length * copies };
      return clockBehindMs > BELIEVED_AHEAD_MS ? { ...sent, clockBehindMs } : sent;
    },
  };
}

/** The counters of knocks: never one that was used before, and the clock's wherever that is possible. */
class Counters {
  readonly #clock: Clock;
  readonly #ledger: Ledger;
  #lastOfClock = 0n;

  constructor({ clock, state }: SpaSenderOptions) {
    this.#clock = clock;
    this.#ledger = new Ledger(state);
  }

  /** Of two, the gateway believes at most one: the higher is the first. @throws KnockError `ERR_STATE` */
  async next(): Promise<{ readonly use: readonly bigint[]; readonly clockBehindMs: number }> {
    const nowMs = this.#clock.now();
    const ofClock = BigInt(nowMs) << 16n;
    const { use } = await this.#ledger.take((last) => ({ use: later(ofClock, last) }));
    const clockBehindMs = Math.max(0, Number(use >> 16n) - nowMs);
    if (clockBehindMs <= BELIEVED_AHEAD_MS) return { use: [use], clockBehindMs };
    this.#lastOfClock = later(ofClock, this.#lastOfClock);
    return { use: [use, this.#lastOfClock], clockBehindMs };
  }
}

function later(counter: bigint, last: bigint | undefined): bigint {
  return last === undefined || last < counter ? counter : last + 1n;
}

/** Who knocks; an agent that waits for its user is given up with the signal. */
function senderOf(
  { key }: SpaProfile,
  signer: Signer | undefined,
): (signal: AbortSignal | undefined) => Sender {
  if (key instanceof Uint8Array) {
    const shared: Sender = { suite: 1, key: sharedKeyOf(key) };
    return () => shared;
  }
  const blob = parseSshPublicKey(key)?.blob;
  if (blob === undefined) throw new TypeError('key of the profile must be a line ssh-ed25519 AAAA...');
  if (signer === undefined) throw new TypeError('signer must be given: the profile has a public key');
  if (!equalBytes(blob, signer.publicKey)) {
    throw new TypeError("signer must be that of the profile's key, got another key");
  }
  const id = signerIdOf(blob);
  return (signal) => ({
    suite: 2,
    id,
    sign: (message) => unlessAborted(signer.sign(message, signal === undefined ? {} : { signal }), signal),
  });
}

/** Whom the knock says it is for: what the caller named, or what the profile's `bind` makes of our own address. */
async function claimOf({ bind }: SpaProfile, named: Prefix | null, to: string): Promise<Prefix | null> {
  if (named !== null || bind === 'observed') return named;
  const address = parseAddress(await localAddress(to));
  if (address === null) {
    throw new KnockError('ERR_SEND', 'own address cannot be found out (name it: source, or --source)');
  }
  const longest = address.family === 4 ? 32 : 128;
  return { address, length: bind === 'exact' ? longest : PREFIX_LENGTH[address.family] };
}

function isAddress({ address: { family }, length }: Prefix): boolean {
  return length === (family === 4 ? 32 : 128);
}
