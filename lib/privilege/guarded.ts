// A configuration as the half with root needs it (guard.ts): the same parts that the other half is made of, looked
// at for what may be opened and what has to be seen.

import { parsePrefix } from '../address.ts';
import { needsOf, servicesOf } from '../listener/options.ts';
import type { ClientAccess } from '../policy/access.ts';
import type { Guarded } from './rules.ts';
import { assemble } from '../config/assemble.ts';
import { markAccount } from '../config/list-marks.ts';
import type { GatewayConfig } from '../config/schema.ts';

/** Puts it together; touches nothing. */
export function guardedOf(config: GatewayConfig): Guarded {
  const { driver, source, rules } = assemble(config);
  const single = new Set(config.clients.flatMap(({ scheme, name }) => (scheme === 'spa' ? [] : [name])));
  return {
    driver,
    device: config.source.kind === 'interface' ? config.source.name : null,
    rules: {
      services: servicesOf(rules),
      clients: rules.clients.map((client) => (single.has(client.name) ? onlyAddresses(client) : client)),
      elsewhere: new Map(
        config.clients.flatMap((client) =>
          client.scheme === 'fwknop'
            ? [[client.name, client.key.mayClaim.flatMap((text) => parsePrefix(text) ?? [])] as const]
            : [],
        ),
      ),
      source: { loopback: source.loopback, checksDestination: source.checksDestination },
      needs: needsOf(rules),
      mark: (account) => markAccount(account, config.clients),
    },
  };
}

/** Only knocks of the scheme spa can name prefixes. */
function onlyAddresses(client: ClientAccess): ClientAccess {
  return { ...client, bind: 'exact' };
}
