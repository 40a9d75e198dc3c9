// Whatever takes decoded packets takes part in the fuzz test: add a consumer here.

import { formatAddress } from '../../lib/address.ts';
import { destinationOf, sourceOf, type PacketView } from '../../lib/packet/view.ts';

/** Gets every packet that the decoder accepts; must not throw, and must not keep more the more it sees. */
export interface FuzzConsumer {
  readonly name: string;
  consume(view: PacketView): void;
}

export function fuzzConsumers(): FuzzConsumer[] {
  return [addresses()];
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
