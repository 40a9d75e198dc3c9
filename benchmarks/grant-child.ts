// Runs inside a network namespace (see grant.ts): a driver on real rules. Prints its rows as JSON lines.

import { closeSync, openSync, writeSync } from 'node:fs';
import { iptables } from '../lib/firewall/iptables.ts';
import { nftables } from '../lib/firewall/nftables.ts';
import { Bench, must } from './bench.ts';
import { FIREWALLS, grantOf, issueAndRevoke, labelOf, SSH } from './grant.ts';

const LIST = '/proc/net/xt_recent/portknock-tcp-22-1';
/** xt_recent's default limit is 100 addresses a list. */
const OTHERS = 90;

const firewall = FIREWALLS.find((each) => each === process.argv[2]) ?? 'nft';
const bench = new Bench('grant', process.argv.includes('--smoke'), () => undefined);
const driver = firewall === 'nftables' ? nftables() : iptables({ backend: firewall });
const warning = (message: string): void => {
  process.stderr.write(`${message}\n`);
};

await driver.setup([SSH], { warning });
try {
  await measure();
} finally {
  await driver.teardown();
}
for (const row of bench.rows) process.stdout.write(`${JSON.stringify(row)}\n`);

async function measure(): Promise<void> {
  const label = labelOf(firewall);
  const one = grantOf('192.0.2.7');
  const bare =
    firewall === 'nftables'
      ? undefined
      : await bench.row(`${label}: bare write to xt_recent, add and remove`, () => {
          write('+192.0.2.7\n');
          write('-192.0.2.7\n');
        });
  const beside = bare === undefined ? {} : { beside: bare };
  const openAndClose = async (): Promise<void> => {
    await driver.open(one);
    await driver.close(one);
  };
  await driver.open(one);
  must((await driver.list()).length === 1, 'the kernel lists the grant');
  await driver.close(one);
  must((await driver.list()).length === 0, 'the kernel lists it no more');
  await bench.row(`${label}: driver, open and close`, openAndClose, beside);
  await issueAndRevoke(bench, `${label}: grant manager, issue and revoke`, { driver, ...beside });
  for (let i = 0; i < OTHERS; i += 1) await driver.open(grantOf(`198.51.100.${i + 1}`));
  await bench.row(`${label}: driver, open and close, ${OTHERS} others open`, openAndClose, beside);
}

function write(command: string): void {
  const file = openSync(LIST, 'r+');
  writeSync(file, command);
  closeSync(file);
}
