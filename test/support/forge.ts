// The independent oracle: keyed hashes and the key schedule of the one-time sequence (protocols/one-time.md), written
// once more with node-forge and plain arithmetic, sharing nothing with the library.

import forge from 'node-forge';

export function forgeHmac(digest: 'sha256' | 'md5', key: Uint8Array, message: Uint8Array): Buffer {
  const mac = forge.hmac.create();
  mac.start(digest, binary(key));
  mac.update(binary(message));
  return Buffer.from(mac.digest().getBytes(), 'binary');
}

export interface ForgeKnock {
  readonly port: number;
  /** Hex. */
  readonly tag: string;
}

export function forgeKnocks(key: {
  readonly secret: Uint8Array;
  readonly digest: 'sha256' | 'md5';
  readonly count: number;
  readonly low: number;
  readonly high: number;
  readonly step: number;
}): ForgeKnock[] {
  const mac = (hex: string): string =>
    forgeHmac(key.digest, key.secret, Buffer.from(hex, 'hex')).toString('hex');
  const text = (label: string): string => Buffer.from(label, 'ascii').toString('hex') + '00';
  return Array.from({ length: key.count }, (_, i) => {
    const place = key.step.toString(16).padStart(16, '0') + i.toString(16).padStart(2, '0');
    const draw = parseInt(mac(text('portknock/1 one-time port') + place).slice(0, 8), 16);
    const port = key.low + (draw % (key.high - key.low + 1));
    const tag = mac(text('portknock/1 one-time tag') + place + port.toString(16).padStart(4, '0'));
    return { port, tag: tag.slice(0, 32) };
  });
}

function binary(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('binary');
}
