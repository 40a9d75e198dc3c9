// Runs inside a network namespace (see grants.ts): the grant manager with its journal on a real driver, many sources at
// a time. Prints {"issued", "revoked"}, each an array of grants per second, one for each round.

import { join } from 'node:path';
import { systemClock } from '../../lib/clock.ts';
import { iptables } from '../../lib/firewall/iptables.ts';
import { nftables } from '../../lib/firewall/nftables.ts';
import type { Service } from '../../lib/firewall/driver.ts';
import { FileJournal } from '../../lib/grant/journal.ts';
import { GrantManager } from '../../lib/grant/manager.ts';
import { must } from '../bench.ts';

const SERVICE: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 120_000, connections: 1 };

const [name = '', folder = '', together = '', rounds = ''] = process.argv.slice(2);
const driver = name === 'nftables' ? nftables({ protect: 'drop' }) : iptables({ protect: 'drop' });
const manager = new GrantManager({
  driver,
  services: [SERVICE],
  clock: systemClock,
  journal: new FileJournal(join(folder, 'grants'), { outlivesHost: false }),
  events: { closed: () => undefined, failed: (error: unknown) => must(false, String(error)) },
});
const sources = Array.from({ length: Number(together) }, (_, i) => `10.79.${i >> 8}.${i & 255}`);
const issued: number[] = [];
const revoked: number[] = [];

await manager.start({ warning: (message) => process.stderr.write(`${message}\n`) });
try {
  // The first round only warms up.
  for (let round = 0; round <= Number(rounds); round += 1) {
    const began = performance.now();
    const grants = await Promise.all(
      sources.map((source) => manager.issue({ client: 'field', source, services: ['ssh'] })),
    );
    const open = performance.now();
    must((await driver.list()).length === sources.length, 'the kernel has them all');
    const again = performance.now();
    const gone = await Promise.all(grants.flat().map(({ id }) => manager.revoke(id)));
    const closed = performance.now();
    must(gone.filter(Boolean).length === sources.length, 'all of them are taken back');
    if (round === 0) continue;
    issued.push((1000 * sources.length) / (open - began));
    revoked.push((1000 * sources.length) / (closed - again));
  }
} finally {
  await manager.stop();
  await driver.teardown();
}
process.stdout.write(`${JSON.stringify({ issued, revoked })}\n`);
