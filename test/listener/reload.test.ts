// Other rules for a running listener: what changes at once, what stays, and that a failure changes nothing.

import assert from 'node:assert/strict';
import { KnockError } from '../../lib/errors.ts';
import type { ReloadOptions } from '../../lib/listener/options.ts';
import type { ClaimResult } from '../../lib/replay/store.ts';
import type { CaptureNeed } from '../../lib/scheme/scheme.ts';
import { frame } from '../support/frames.ts';
import { gatewayOf, knock, type KnockOptions } from '../support/spa-knocks.ts';
import { never, rig, type Rig, type RigOptions } from './support.ts';

const SERVICES = { ssh: { port: 22 }, admin: { port: 8443 } };
const NAMES = ['alice', 'bob', 'carol'] as const;
type Name = (typeof NAMES)[number];

function keyOf(name: Name): Buffer {
  return Buffer.alloc(32, `KEY-OF-${name}`);
}

/** Rules with these clients, each for these services. */
function rules(
  clients: Partial<Record<Name, readonly string[]>>,
  more: Partial<ReloadOptions> = {},
): ReloadOptions {
  const names = NAMES.filter((name) => clients[name] !== undefined);
  return {
    schemes: [
      gatewayOf({ clients: Object.fromEntries(names.map((name) => [name, { secret: keyOf(name) }])) }),
    ],
    services: SERVICES,
    clients: names.map((name) => ({ name, services: clients[name] ?? [] })),
    ...more,
  };
}

const BEFORE = { alice: ['ssh', 'admin'], bob: ['ssh'] };

interface ReloadRig extends Rig {
  /** Sends a knock, from an address of the client's own, and lets it be dealt with. */
  knock(name: Name, options?: KnockOptions): Promise<Buffer>;
  again(name: Name, bytes: Buffer): Promise<void>;
}

async function started(options: RigOptions = {}): Promise<ReloadRig> {
  const parts = rig({ ...rules(BEFORE), ...options });
  await parts.listener.start();
  parts.order.length = 0;
  let seq = 0;
  const again = async (name: Name, payload: Buffer): Promise<void> => {
    parts.source.frame(frame({ src: `198.51.100.${1 + NAMES.indexOf(name)}`, payload }));
    await parts.clock.advance(0);
  };
  return {
    ...parts,
    again,
    async knock(name, what = {}) {
      const bytes = await knock({ key: keyOf(name), ms: parts.clock.now(), seq: (seq += 1), ...what });
      await again(name, bytes);
      return bytes;
    },
  };
}

function open({ driver }: Rig): string[] {
  return driver.openings.map(({ client, service }) => `${client} ${service}`);
}

function portsOf(needs: readonly CaptureNeed[]): string {
  return needs.map(({ ports }) => ports[0]).join(' ');
}

describe('KnockListener.reload', () => {
  it('lets a new client in, who was nobody before', async () => {
    const parts = await started();
    await parts.knock('carol');
    assert.deepEqual([open(parts), parts.said], [[], ['reject unknown-client - 1']]);
    await parts.listener.reload(rules({ ...BEFORE, carol: ['ssh'] }));
    await parts.knock('carol');
    assert.deepEqual(open(parts), ['carol ssh']);
  });

  it('takes back what a removed client has open, and leaves everybody else’s as it is', async () => {
    const parts = await started();
    await parts.knock('alice', { services: ['ssh', 'admin'] });
    await parts.knock('bob');
    const kept = parts.listener.grants.filter(({ client }) => client === 'bob');
    parts.said.length = 0;
    await parts.listener.reload(rules({ bob: ['ssh'] }));
    assert.deepEqual(open(parts), ['bob ssh']);
    assert.deepEqual(parts.listener.grants, kept);
    assert.deepEqual(parts.said, ['close ssh revoked', 'close admin revoked']);
    await parts.knock('alice');
    assert.deepEqual(open(parts), ['bob ssh']);
  });

  it('takes back the opening of a service that the client may no longer have', async () => {
    const parts = await started();
    await parts.knock('alice', { services: ['ssh', 'admin'] });
    await parts.listener.reload(rules({ ...BEFORE, alice: ['admin'] }));
    assert.deepEqual(open(parts), ['alice admin']);
    await parts.knock('alice', { services: ['ssh'] });
    assert.deepEqual(open(parts), ['alice admin']);
    assert.equal(parts.said.at(-1), 'reject service-refused alice 1');
  });

  it('ends the openings of a service that is gone or has another port, and keeps the others', async () => {
    const parts = await started();
    await parts.knock('alice', { services: ['ssh', 'admin'] });
    parts.said.length = 0;
    await parts.listener.reload(rules(BEFORE, { services: { ...SERVICES, admin: { port: 9443 } } }));
    assert.deepEqual([open(parts), parts.said], [['alice ssh'], ['close admin revoked']]);
    await parts.knock('alice', { services: ['admin'] });
    assert.equal(parts.listener.grants.find(({ service }) => service === 'admin')?.port, 9443);
  });

  it('goes on when an opening cannot be taken back, and tells of it: the kernel ends it on time', async () => {
    const parts = await started();
    await parts.knock('alice', { services: ['ssh', 'admin'] });
    parts.said.length = 0;
    parts.driver.failNext('close', new Error('xtables lock'));
    await parts.listener.reload(rules({ bob: ['ssh'] }));
    assert.deepEqual(open(parts), ['alice ssh']);
    assert.deepEqual(parts.said.toSorted(), ['close admin revoked', 'error xtables lock']);
    await parts.knock('alice');
    assert.equal(parts.said.at(-1), 'reject unknown-client - 1');
    await parts.clock.advance(30_000);
    assert.deepEqual(open(parts), []);
  });

  it('keeps the replay state: what was used before is used', async () => {
    const parts = await started();
    const bytes = await parts.knock('alice');
    await parts.listener.reload(rules(BEFORE));
    parts.said.length = 0;
    await parts.again('alice', bytes);
    await parts.again('bob', bytes);
    assert.deepEqual([open(parts), parts.said], [['alice ssh'], ['reject replayed alice 1']]);
    assert.equal(
      parts.order.some((step) => step.startsWith('replay.') && step !== 'replay.claim'),
      false,
    );
  });

  it('decides on a knock that is waiting for the disk by the new rules: a removed client gets nothing', async () => {
    const claims: (() => void)[] = [];
    const claim = (): Promise<ClaimResult> => new Promise((resolve) => claims.push(() => resolve('claimed')));
    const parts = await started({ store: () => ({ claim }) });
    await parts.knock('alice');
    await parts.knock('bob');
    const reloaded = parts.listener.reload(rules({ bob: ['ssh'] }));
    await parts.clock.advance(0);
    for (const release of claims) release();
    await parts.clock.advance(0);
    await reloaded;
    await parts.clock.advance(0);
    assert.deepEqual(open(parts), ['bob ssh']);
    assert.deepEqual(
      parts.listener.grants.map(({ client }) => client),
      ['bob'],
    );
  });

  it('takes back what a removed client got while the firewall was being changed', async () => {
    let release = (): void => undefined;
    const wait = new Promise<void>((resolve) => (release = resolve));
    let calls = 0;
    const parts = await started({
      drive: (good) => ({
        setup: (services, context) =>
          (calls += 1) === 1 ? good.setup(services, context) : wait.then(() => good.setup(services, context)),
      }),
    });
    const reloaded = parts.listener.reload(rules({ bob: ['ssh'] }));
    await parts.clock.advance(0);
    await parts.knock('alice');
    await parts.knock('bob');
    release();
    await reloaded;
    await parts.clock.advance(0);
    assert.deepEqual(open(parts), ['bob ssh']);
    assert.deepEqual(
      parts.listener.grants.map(({ client }) => client),
      ['bob'],
    );
  });

  it('sees every packet meanwhile, by the old rules until the new ones are there', async () => {
    let release = (): void => undefined;
    const wait = new Promise<void>((resolve) => (release = resolve));
    let calls = 0;
    const parts = await started({
      drive: (good) => ({
        setup: (services, context) =>
          (calls += 1) === 1 ? good.setup(services, context) : wait.then(() => good.setup(services, context)),
      }),
    });
    const reloaded = parts.listener.reload(rules({ bob: ['ssh'], carol: ['ssh'] }));
    await parts.clock.advance(0);
    const early = await parts.knock('carol');
    assert.equal(parts.said.at(-1), 'reject unknown-client - 1');
    await parts.knock('bob');
    release();
    await reloaded;
    await parts.clock.advance(0);
    assert.deepEqual(open(parts), ['bob ssh'], 'heard while the firewall was being changed');
    await parts.again('carol', early);
    assert.deepEqual(open(parts), ['bob ssh', 'carol ssh'], 'refused before, and so not used up');
  });

  it('has the source see what the new rules need', async () => {
    const seen: string[] = [];
    const parts = await started({
      wrap: () => ({
        renew(needs) {
          seen.push(portsOf(needs));
          return Promise.resolve();
        },
      }),
    });
    const other = gatewayOf({ port: 53, clients: { bob: { secret: keyOf('bob') } } });
    await parts.listener.reload(rules({ bob: ['ssh'] }, { schemes: [other] }));
    assert.equal(seen.at(-1), '53');
    assert.ok(parts.order.indexOf('source.renew') < parts.order.indexOf('driver.setup'));
  });

  it('does without on a source that cannot change what it sees', async () => {
    const parts = await started();
    const other = gatewayOf({ port: 53, clients: { bob: { secret: keyOf('bob') } } });
    await parts.listener.reload(rules({ bob: ['ssh'] }, { schemes: [other] }));
    const payload = await knock({ key: keyOf('bob'), ms: parts.clock.now() });
    parts.source.frame(frame({ src: '198.51.100.2', dstPort: 53, payload }));
    await parts.clock.advance(0);
    assert.deepEqual(open(parts), ['bob ssh']);
  });

  it('passes on the warnings of the driver', async () => {
    const parts = await started({
      drive: (good) => ({
        setup(services, context) {
          context.warning(`${services.length} services`);
          return good.setup(services, context);
        },
      }),
    });
    await parts.listener.reload(
      rules(BEFORE, { services: { ssh: { port: 22 }, admin: { port: 1 }, web: { port: 80 } } }),
    );
    assert.equal(parts.said.at(-1), 'warning 3 services');
  });
});

describe('KnockListener.reload that fails', () => {
  /** The old rules, all of them. */
  async function assertUnchanged(parts: ReloadRig): Promise<void> {
    assert.deepEqual(open(parts), ['alice ssh']);
    parts.said.length = 0;
    await parts.knock('alice', { services: ['admin'] });
    await parts.knock('bob');
    await parts.knock('carol');
    assert.deepEqual(open(parts), ['alice ssh', 'alice admin', 'bob ssh']);
    assert.equal(parts.said.at(-1), 'reject unknown-client - 1');
  }
  const after = rules({ carol: ['ssh'] });

  it('because of the firewall keeps the old rules, and the source sees what they need', async () => {
    const seen: string[] = [];
    const renew = (needs: readonly CaptureNeed[]): Promise<void> => {
      seen.push(portsOf(needs));
      return Promise.resolve();
    };
    const parts = await started({ wrap: () => ({ renew }) });
    await parts.knock('alice');
    const error = new KnockError('ERR_FIREWALL_COMMAND', 'no');
    parts.driver.failNext('setup', error);
    const other = {
      ...after,
      schemes: [gatewayOf({ port: 53, clients: { carol: { secret: keyOf('carol') } } })],
    };
    await assert.rejects(parts.listener.reload(other), error);
    assert.equal(seen.at(-1), '62201');
    await assertUnchanged(parts);
  });

  it('because of the source keeps the old rules, and leaves the firewall alone', async () => {
    const error = new KnockError('ERR_CAPTURE', 'no');
    const parts = await started({ wrap: () => ({ renew: () => Promise.reject(error) }) });
    await parts.knock('alice');
    parts.order.length = 0;
    await assert.rejects(parts.listener.reload(after), error);
    assert.deepEqual(parts.order, ['source.renew']);
    await assertUnchanged(parts);
  });

  const wrong: readonly [what: string, options: ReloadOptions, message: RegExp][] = [
    [
      'a service without a port',
      rules(BEFORE, { services: { ssh: { port: 0 }, admin: { port: 1 } } }),
      /port must be/u,
    ],
    [
      'a client of a scheme that is not listed',
      { ...after, clients: [] },
      /client 'carol' of scheme spa must be listed/u,
    ],
    [
      'a service that is not there',
      rules({ alice: ['web'] }),
      /services of client alice must be configured/u,
    ],
    ['connections of none', { ...after, connections: 0 }, /connections must be/u],
  ];
  for (const [what, options, message] of wrong) {
    it(`because of ${what} touches nothing`, async () => {
      const parts = await started({ wrap: () => ({ renew: () => Promise.resolve() }) });
      await parts.knock('alice');
      parts.order.length = 0;
      await assert.rejects(parts.listener.reload(options), { message });
      assert.deepEqual(parts.order, []);
      await assertUnchanged(parts);
    });
  }

  it('is followed by one that succeeds', async () => {
    const parts = await started();
    parts.driver.failNext('setup');
    await assert.rejects(parts.listener.reload(after));
    await parts.listener.reload(after);
    await parts.knock('carol');
    assert.deepEqual(open(parts), ['carol ssh']);
  });
});

describe('KnockListener.reload at the wrong time', () => {
  const refused = { code: 'ERR_LISTENER_STATE', message: /^listener cannot take other rules, it is / };

  it('is refused before start, while it starts, and after stop', async () => {
    const parts = rig(rules(BEFORE));
    await assert.rejects(parts.listener.reload(rules(BEFORE)), refused);
    const starting = parts.listener.start();
    await assert.rejects(parts.listener.reload(rules(BEFORE)), refused);
    await starting;
    await parts.listener.reload(rules(BEFORE));
    await parts.listener.stop();
    await assert.rejects(parts.listener.reload(rules(BEFORE)), refused);
  });

  it('waits for the one before: the last one is what holds', async () => {
    const parts = await started();
    const all = [{ alice: ['ssh'] }, { bob: ['ssh'] }, { carol: ['ssh'] }].map((clients) =>
      parts.listener.reload(rules(clients)),
    );
    await Promise.all(all);
    for (const name of NAMES) await parts.knock(name);
    assert.deepEqual(open(parts), ['carol ssh']);
  });

  it('touches neither source nor firewall while the one before is under way, failed or not', async () => {
    let release = (): void => undefined;
    const wait = new Promise<void>((resolve) => (release = resolve));
    let calls = 0;
    const parts = await started({
      wrap: () => ({ renew: () => Promise.resolve() }),
      drive: (good) => ({
        async setup(services, context) {
          calls += 1;
          if (calls === 2) {
            await wait;
            throw new Error('no');
          }
          await good.setup(services, context);
        },
      }),
    });
    const first = assert.rejects(parts.listener.reload(rules({ alice: ['ssh'] })), /no/u);
    const second = parts.listener.reload(rules({ bob: ['ssh'] }));
    await parts.clock.advance(0);
    assert.deepEqual(parts.order, ['source.renew', 'driver.setup']);
    release();
    await Promise.all([first, second]);
    // Back to what the old rules need; then the second, first with the needs of both.
    assert.deepEqual(parts.order.slice(2), ['source.renew', 'source.renew', 'driver.setup', 'source.renew']);
    await parts.knock('alice');
    await parts.knock('bob');
    assert.deepEqual(open(parts), ['bob ssh']);
  });

  it('does not keep stop() from resolving within a second, nor open anything after it', async () => {
    let calls = 0;
    const parts = await started({
      drive: (good) => ({
        setup: (services, context) => ((calls += 1) === 1 ? good.setup(services, context) : never()),
      }),
    });
    const reloaded = parts.listener.reload(rules({ carol: ['ssh'] }));
    reloaded.catch(() => undefined);
    await parts.clock.advance(0);
    let stopped = false;
    void parts.listener.stop().then(() => (stopped = true));
    await parts.clock.advance(1000);
    assert.equal(stopped, true);
    await parts.knock('carol');
    assert.deepEqual(open(parts), []);
  });
});
