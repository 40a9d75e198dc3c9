// Runs inside a network namespace (see separation.ts): a driver on real rules, and the two halves of portknockd with the
// benchmark in place of the one that reads packets. Prints its rows as JSON lines.

import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FirewallDriver } from '../lib/firewall/driver.ts';
import { nftables } from '../lib/firewall/nftables.ts';
import { joinWarden } from '../lib/halves.ts';
import { startHalves } from '../test/support/halves.ts';
import { Bench, must, type Row } from './bench.ts';
import { grantOf, SSH } from './grant.ts';

const MEASURE = '--measure';
const TOGETHER = 64;
const YAML = [
  'interface: lo',
  'state_dir: state',
  'firewall: nftables',
  'user: daemon',
  'services: { ssh: { port: 22 } }',
  'clients:',
  `  field: { scheme: one-time, secret: "${Buffer.alloc(32, 7).toString('base64')}", services: [ssh] }`,
  '',
].join('\n');
const warning = (): void => undefined;

const [, , role = '', smoke = ''] = process.argv;
if (role === 'keep') await keep(smoke === 'true');
if (role === MEASURE) await measure();

interface Told {
  readonly isSmoke: boolean;
  readonly beside: readonly Row[];
}

async function keep(isSmoke: boolean): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'portknock-bench-'));
  try {
    await chmod(folder, 0o711);
    const path = join(folder, 'portknockd.yaml');
    await writeFile(path, YAML, { mode: 0o600 });
    const own = nftables();
    await own.setup([SSH], { warning });
    const beside = await rows(new Bench('separation', isSmoke, () => undefined), 'one process', own);
    await own.teardown();
    const greeting: Told = { isSmoke, beside };
    const warden = await startHalves(path, {
      ...{ program: [fileURLToPath(import.meta.url), MEASURE], greeting },
      log: (_, { message }) => process.stderr.write(`${message}\n`),
    });
    await warden.ended;
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function measure(): Promise<void> {
  const { greeting, through } = await joinWarden();
  const { isSmoke, beside } = greeting as Told;
  const driver = through.driver(nftables());
  await driver.setup([SSH], { warning });
  await rows(new Bench('separation', isSmoke, () => undefined), 'two halves', driver, beside);
  process.exit(3);
}

/** One grant at a time, and many. */
async function rows(
  bench: Bench,
  name: string,
  driver: FirewallDriver,
  [one, many]: readonly Row[] = [],
): Promise<readonly Row[]> {
  await bench.row(
    `nftables, ${name}: open and close`,
    async () => {
      const grant = grantOf('192.0.2.7');
      await driver.open(grant);
      await driver.close(grant);
    },
    { beside: one },
  );
  await bench.row(
    `nftables, ${name}: ${TOGETHER} at a time`,
    async () => {
      const grants = Array.from({ length: TOGETHER }, (_, i) => grantOf(`198.51.100.${i + 1}`));
      await Promise.all(grants.map((grant) => driver.open(grant)));
      await Promise.all(grants.map((grant) => driver.close(grant)));
    },
    { per: TOGETHER, beside: many },
  );
  must(bench.rows.length === 2, 'both are measured');
  for (const row of bench.rows) process.stdout.write(`${JSON.stringify(row)}\n`);
  return bench.rows;
}
