// `npm run soak [-- --minutes N --driver iptables|nftables --junk PER_SECOND --seed N]`: half of the time with each
// driver unless one is named. It stands with the tests, whose world and gateway it uses, and measures nothing that would
// be a benchmark. Exit: 0 when nothing was off.

import { parseArgs } from 'node:util';
import { messageOf } from '../../lib/errors.ts';
import { namespacesFault } from '../support/netns.ts';
import { faultsOf, tableOf } from './soak-ledger.ts';
import { soak } from './soak-run.ts';
import type { Driver } from './soak-site.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    driver: { type: 'string', default: 'both' },
    junk: { type: 'string', default: '20000' },
    seed: { type: 'string', default: String(Date.now() % 100_000) },
  },
});
const drivers = (['iptables', 'nftables'] as const).filter(
  (driver) => values.driver === 'both' || values.driver === driver,
);
const seconds = (Number(values.minutes) * 60) / drivers.length;
if (drivers.length === 0 || !(seconds > 0)) {
  throw new Error(
    'usage: soak [--minutes N] [--driver iptables|nftables|both] [--junk PER_SECOND] [--seed N]',
  );
}
const fault = process.getuid?.() === 0 ? namespacesFault() : 'not root';
if (fault !== null) throw new Error(`the soak needs network namespaces: ${fault}`);
process.exitCode = 0;
for (const driver of drivers) {
  await run(driver).catch((error: unknown) => {
    // A gateway that does not answer is reported with all that it said.
    console.log(`OFF: ${messageOf(error).slice(0, 1000)}`);
    process.exitCode = 1;
  });
}

async function run(driver: Driver): Promise<void> {
  console.log(`${driver}, ${Math.round(seconds)} s, seed ${values.seed}`);
  const ledger = await soak({
    ...{ driver, seconds, seed: Number(values.seed) },
    junkPerSecond: Number(values.junk),
  });
  console.log(tableOf(ledger));
  for (const text of [...faultsOf(ledger), ...ledger.notes]) console.log(`OFF: ${text}`);
  if (faultsOf(ledger).length > 0) process.exitCode = 1;
}
