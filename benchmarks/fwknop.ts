// Packets of fwknop: what junk costs that is refused by its spelling, what it costs when it must be held against the HMAC
// key of every client, and what a knock costs; beside HMACs of node:crypto in the same run.

import { createHmac, timingSafeEqual } from 'node:crypto';
import { fwknop } from '../lib/scheme/fwknop.ts';
import type { FwknopClient } from '../lib/scheme/fwknop-clients.ts';
import type { PacketView } from '../lib/packet/view.ts';
import { sealFwknop, type FwknopCipher } from '../lib/scheme/fwknop-seal.ts';
import { must, type Bench } from './bench.ts';
import { inTurn, matcher, noise, noiseBytes, round, viewOf } from './packets.ts';

const AT_MS = 1_767_225_600_000;
const PORT = 62_201;
const COUNTS = [1, 100] as const;
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const unit = 'packets';

export async function fwknopBench(bench: Bench): Promise<void> {
  const next = noise(17);
  const key = noiseBytes(next, 32);
  const hmac = { key: noiseBytes(next, 64), digest: 'sha256' } as const;
  const cipher: FwknopCipher = { key, mode: 'cbc', hmac, digest: 'sha256' };
  const knocks = (count: number, by = cipher): readonly PacketView[] =>
    round((i) => {
      const ports = Array.from({ length: count }, (_, at) => ({ protocol: 'tcp' as const, port: 1000 + at }));
      const asked = { user: 'alice', timeMs: AT_MS, address: null, ports, timeoutSeconds: null };
      return viewOf({ dstPort: PORT, payload: sealFwknop(asked, by) }, AT_MS + i);
    });
  const strange = round(() => {
    const text = Array.from({ length: 204 }, () => LETTERS.charAt(next(64))).join('');
    return viewOf({ dstPort: PORT, payload: Buffer.from(`A${text.slice(1)}`) }, AT_MS);
  });
  const forger: FwknopCipher = { ...cipher, hmac: { ...hmac, key: noiseBytes(next, 64) } };
  const forged = knocks(1, forger);
  const bare = await bench.row(
    'bare: HMAC-SHA256 (createHmac) of a packet, and compare',
    inTurn(forged, ({ bytes, payloadStart }) => {
      const mac = createHmac('sha256', hmac.key).update(bytes.subarray(payloadStart, payloadStart + 171));
      return timingSafeEqual(mac.digest(), hmac.key.subarray(0, 32));
    }),
    { unit },
  );
  for (const count of COUNTS) {
    const match = matcher(schemeWith(count, { key, hmacKey: hmac.key }));
    const row = async (name: string, views: readonly PacketView[], verdict: string): Promise<void> => {
      const says = (view: PacketView): string => {
        const found = match(view);
        return found?.kind === 'reject' ? found.reason : (found?.kind ?? 'ignored');
      };
      must(
        views.every((view) => says(view) === verdict),
        name,
      );
      const of = `${count} ${count === 1 ? 'client' : 'clients'}`;
      await bench.row(`${name}, ${of}`, inTurn(views, match), { unit, beside: bare });
    };
    await row('junk of another spelling', strange, 'malformed');
    await row('junk that is refused by its HMAC', forged, 'hmac-mismatch');
    await row('the longest such junk', knocks(12, forger), 'hmac-mismatch');
    await row('valid knock', knocks(1), 'request');
  }
}

function schemeWith(count: number, last: FwknopClient): ReturnType<typeof fwknop> {
  const next = noise(19);
  const clients: Record<string, FwknopClient> = {};
  for (let i = 1; i < count; i += 1) {
    clients[`other-${i}`] = { key: noiseBytes(next, 32), hmacKey: noiseBytes(next, 64) };
  }
  return fwknop({ services: { it: { port: 1000 } }, clients: { ...clients, last } });
}
