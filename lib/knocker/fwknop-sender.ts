// Knocks of fwknop (protocols/fwknop.md): one fresh packet for each, to every address of the gateway. A packet is new by
// what is drawn by lot in it, so nothing needs to be remembered.

import { parseAddress, type Address, type Prefix } from '../address.ts';
import type { Clock } from '../clock.ts';
import { KnockError } from '../errors.ts';
import { sealFwknop, type FwknopCipher, type FwknopKnock } from '../scheme/fwknop-seal.ts';
import type { FwknopProfile } from './profile.ts';
import { localAddress, sendDatagram } from './send.ts';
import type { KnockSender } from './sender.ts';

export function fwknopSender(
  profile: FwknopProfile,
  { clock, claim }: { readonly clock: Clock; readonly claim: Prefix | null },
): KnockSender {
  const { key, encryptionMode: mode, hmacKey, hmacDigest, digest, user, timeoutSeconds, port } = profile;
  const hmac = hmacKey === null ? null : { key: hmacKey, digest: hmacDigest };
  return {
    keepsAttempts: true,
    closes: false,
    async knock({ addresses, services, signal }) {
      const [first] = addresses;
      const address = claim === null ? await addressOf(profile, first) : claim.address;
      const ports = services.map((name) => ({
        protocol: 'tcp' as const,
        port: profile.services[name] ?? 0,
      }));
      const packet = seal(
        { user, timeMs: clock.now(), address, ports, timeoutSeconds },
        { key, mode, hmac, digest },
      );
      signal?.throwIfAborted();
      await sendDatagram(addresses, port, packet);
      return { sentTo: first, packets: addresses.length };
    },
  };
}

function seal(knock: FwknopKnock, cipher: FwknopCipher): Buffer {
  try {
    return sealFwknop(knock, cipher);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    const advice = 'name one service, or give it a shorter user';
    throw new KnockError('ERR_PROFILE', `profile cannot be used: ${cause.message} (${advice})`, { cause });
  }
}

/** Whom the knock says it is for; `null`: wherever it comes from. fwknop knows IPv4 only. */
async function addressOf({ source }: FwknopProfile, to: string): Promise<Address | null> {
  if (source === 'observed') return null;
  const address = parseAddress(source === 'exact' ? await localAddress(to) : source);
  return address?.family === 4 ? address : null;
}
