// Whatever takes decoded packets takes part in the fuzz test: add a consumer here.

import { formatAddress } from '../../lib/address.ts';
import { fwknop } from '../../lib/scheme/fwknop.ts';
import { oneTime } from '../../lib/scheme/one-time.ts';
import { sequence } from '../../lib/scheme/sequence.ts';
import { destinationOf, sourceOf, type PacketView } from '../../lib/packet/view.ts';
import { spa } from '../../lib/scheme/spa.ts';
import { NO_HISTORY } from './history.ts';

/** Gets every packet that the decoder accepts; must not throw, and must not keep more the more it sees. */
export interface FuzzConsumer {
  readonly name: string;
  consume(view: PacketView): void;
}

export function fuzzConsumers(): FuzzConsumer[] {
  return [addresses(), schemes()];
}

function addresses(): FuzzConsumer {
  return {
    name: 'addresses',
    consume(view) {
      if (formatAddress(sourceOf(view)) === '' || formatAddress(destinationOf(view)) === '') {
        throw new Error('an address without text');
      }
    },
  };
}

/** Every scheme, with clients whose ports cover what the corpus sends to, so that its packets get far. */
function schemes(): FuzzConsumer {
  const secret = (fill: number): Buffer => Buffer.alloc(32, fill);
  const all = [
    oneTime({
      clients: {
        udp: { secret: secret(1), ports: [1, 65_535], knocks: 2 },
        tcp: { secret: secret(2), ports: [62_000, 62_400], knocks: 2, carrier: 'tcp' },
        md5: { secret: secret(3), digest: 'md5', ports: [62_000, 62_400], knocks: 16 },
      },
    }),
    spa({
      gateway: 'gw',
      accessKeys: [secret(4), secret(5)],
      services: ['ssh'],
      clients: { phone: { secret: secret(6) } },
    }),
    fwknop({
      services: { ssh: { port: 22 } },
      clients: { hmac: { key: 'key', hmacKey: 'hmac' }, bare: { key: 'bare', hmacKey: null } },
    }),
    sequence({ clients: { plain: { sequence: ['62201/tcp', '62201/udp', '62201/tcp'] } } }),
  ];
  return {
    name: 'schemes',
    consume(view) {
      for (const scheme of all) scheme.match(view, NO_HISTORY);
    },
  };
}
