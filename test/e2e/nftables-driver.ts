// A process inside a namespace with a driver of nftables, or another one, which does what a test says; speaks JSON over Node's channel.

import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { isKnockError, KnockError, messageOf, type KnockErrorCode } from '../../lib/errors.ts';
import type { FirewallDriver, Grant, Opening, Service } from '../../lib/firewall/driver.ts';
import { iptables } from '../../lib/firewall/iptables.ts';
import type { Backend } from '../../lib/firewall/iptables-host.ts';
import type { NftablesOptions } from '../../lib/firewall/nftables-options.ts';
import { nftables } from '../../lib/firewall/nftables.ts';
import { openInTime } from '../support/grants.ts';
import type { Namespace } from '../support/netns.ts';

interface Calls {
  /** A new driver, not set up. */
  make(options: NftablesOptions & { readonly backend?: Backend }): Promise<null>;
  /** Resolves to what it warned of. */
  setup(services: readonly Service[]): Promise<readonly string[]>;
  /** The same, for a driver that is told of an earlier run's grants. */
  setupAfter(request: {
    readonly services: readonly Service[];
    readonly held: readonly Grant[];
  }): Promise<readonly string[]>;
  open(grant: Grant): Promise<null>;
  /** The same; fails when the driver was not in time. */
  openOnce(grant: Grant): Promise<null>;
  /** Opens all at the same time; resolves to the milliseconds that it took, and how many failed. */
  openAll(grants: readonly Grant[]): Promise<{ readonly ms: number; readonly failed: readonly string[] }>;
  close(grant: Grant): Promise<null>;
  list(request: null): Promise<readonly Opening[]>;
  teardown(request: null): Promise<null>;
}

/** A running driver: every call is a promise of its answer. */
export type RemoteDriver = Calls & {
  readonly pid: number;
  /** Ends the process, as kill -9 does. */
  stop(): Promise<void>;
};

export async function startDriver(space: Namespace, env: NodeJS.ProcessEnv = {}): Promise<RemoteDriver> {
  const child = space.spawn(process.execPath, ['--import', 'tsx', fileURLToPath(import.meta.url), 'driver'], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, ...env },
  });
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  let last = 0;
  let pid = 0;
  child.on(
    'message',
    (answer: { id: number; value?: unknown; error?: string; code?: KnockErrorCode; pid?: number }) => {
      pid = answer.pid ?? pid;
      const call = waiting.get(answer.id);
      waiting.delete(answer.id);
      if (answer.error === undefined) call?.resolve(answer.value);
      else if (answer.code === undefined) call?.reject(new Error(answer.error));
      else call?.reject(new KnockError(answer.code, answer.error));
    },
  );
  child.once('exit', () => {
    for (const { reject } of waiting.values()) reject(new Error('driver ended'));
  });
  await once(child, 'message');
  const ask = (name: string, request: unknown): Promise<unknown> =>
    new Promise((resolve, reject) => {
      last += 1;
      waiting.set(last, { resolve, reject });
      child.send({ id: last, name, request });
    });
  const remote: Record<string, unknown> = {
    pid,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
  for (const name of [
    'make',
    'setup',
    'setupAfter',
    'open',
    'openOnce',
    'openAll',
    'close',
    'list',
    'teardown',
  ]) {
    remote[name] = (request: unknown) => ask(name, request);
  }
  return remote as unknown as RemoteDriver;
}

let driver: FirewallDriver = nftables();

const calls: Calls = {
  make({ backend, ...options }) {
    driver = backend === undefined ? nftables(options) : iptables({ backend });
    return Promise.resolve(null);
  },
  setup: (services) => calls.setupAfter({ services, held: [] }),
  async setupAfter({ services, held }) {
    const warnings: string[] = [];
    await driver.setup(services, { warning: (message) => warnings.push(message), held });
    return warnings;
  },
  open: (grant) => openInTime(driver, grant).then(() => null),
  openOnce: (grant) => driver.open(grant).then(() => null),
  async openAll(grants) {
    const began = performance.now();
    const results = await Promise.allSettled(grants.map((grant) => openInTime(driver, grant)));
    const ms = performance.now() - began;
    const failed = results.flatMap((one) => (one.status === 'rejected' ? [messageOf(one.reason)] : []));
    return { ms, failed };
  },
  close: (grant) => driver.close(grant).then(() => null),
  list: () => driver.list(),
  teardown: () => driver.teardown().then(() => null),
};

if (process.argv[2] === 'driver' && process.send !== undefined) {
  process.on('disconnect', () => process.exit(0));
  process.on('message', ({ id, name, request }: { id: number; name: keyof Calls; request: never }) => {
    Promise.resolve(calls[name](request)).then(
      (value) => process.send?.({ id, value }),
      (error: unknown) =>
        process.send?.({ id, error: messageOf(error), code: isKnockError(error) ? error.code : undefined }),
    );
  });
  process.send({ id: 0, pid: process.pid });
}
