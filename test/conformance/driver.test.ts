// Drivers that need no root against the suite that every driver must pass, and the suite against drivers that are wrong.

import assert from 'node:assert/strict';
import { KnockError } from '../../lib/errors.ts';
import type { FirewallDriver, Grant, Service } from '../../lib/firewall/driver.ts';
import { gate } from '../../lib/firewall/gate.ts';
import { mock } from '../../lib/firewall/mock.ts';
import { virtualClock } from '../../lib/testing/clock.ts';
import { driverConformance } from '../../lib/testing/driver-suite.ts';
import { GreetingServer } from '../support/greeting.ts';

describe('mock, as a firewall driver', () => {
  let clock = virtualClock();
  const cases = driverConformance({
    make: () => {
      clock = virtualClock();
      return Promise.resolve(mock({ clock }));
    },
    now: () => clock.now(),
    elapse: (_driver, ms) => clock.advance(ms),
    admits: (driver, service, source) => Promise.resolve(driver.spend(service.name, source)),
  });
  for (const { title, run } of cases) it(title, run);
});

describe('gate, as a firewall driver', () => {
  const services: readonly Service[] = [
    { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 3000, connections: 1 },
    { name: 'admin', protocol: 'tcp', port: 8443, openForMs: 3000, connections: 'unlimited' },
    { name: 'web', protocol: 'tcp', port: 443, openForMs: 3000, connections: 2 },
  ];
  let clock = virtualClock();
  let greeters = new Map<string, GreetingServer>();
  const cases = driverConformance({
    services,
    sources: ['127.0.0.1', '127.0.0.2'],
    prefixes: ['127.0.0.0/31', '127.0.0.2/31'],
    refused: { name: 'dns', protocol: 'udp', port: 53, openForMs: 3000, connections: 1 },
    forwarded: false,
    make: async () => {
      clock = virtualClock();
      greeters = new Map();
      for (const { name } of services) greeters.set(name, await GreetingServer.listen('127.0.0.1'));
      const servers = [...greeters].map(([name, { server }]) => [name, server] as const);
      return gate(Object.fromEntries(servers), { clock });
    },
    dispose: async () => {
      for (const greeter of greeters.values()) await greeter.close();
    },
    now: () => clock.now(),
    elapse: (_driver, ms) => clock.advance(ms),
    admits: async (_driver, { name }, source) => {
      const visit = await greeters.get(name)?.visit(source);
      return visit?.greeted ?? false;
    },
  });
  for (const { title, run } of cases) it(title, run);
});

describe('a driver that cannot open to a prefix', () => {
  const refusing = (): FirewallDriver => {
    const good = mock();
    const open = (grant: Grant): Promise<void> =>
      grant.source.includes('/')
        ? Promise.reject(new KnockError('ERR_FIREWALL_UNSUPPORTED', 'addresses only'))
        : good.open(grant);
    return Object.assign(Object.create(good) as FirewallDriver, { open });
  };
  const cases = driverConformance({ make: () => Promise.resolve(refusing()), prefixes: false });
  for (const { title, run } of cases) it(title, run);

  it('fails the cases of one that can, and one that opens anyway fails its case', async () => {
    for (const [make, prefixes] of [
      [refusing, undefined],
      [mock, false],
    ] as const) {
      const options = { make: () => Promise.resolve(make()), ...(prefixes === false && { prefixes }) };
      const results = await Promise.allSettled(driverConformance(options).map(({ run }) => run()));
      assert.ok(results.some(({ status }) => status === 'rejected'));
    }
  });
});

describe('driverConformance', () => {
  for (const prefixes of [
    ['192.0.2.0/24', '192.0.2.0/24'],
    ['192.0.3.0/24', '2001:db8::/56'],
    ['192.0.2.0/24', '2001:db9::/56'],
    ['192.0.2.0/24', 'nonsense'],
  ] as const) {
    it(`refuses to try the prefixes ${prefixes.join(' and ')} for its sources`, async () => {
      const [one] = driverConformance({ make: () => Promise.resolve(mock()), prefixes });
      await assert.rejects(one?.run() ?? Promise.resolve(), {
        name: 'RangeError',
        message: /^prefixes must/u,
      });
    });
  }

  const broken: readonly [what: string, make: (good: FirewallDriver) => Partial<FirewallDriver>][] = [
    ['opens nothing', () => ({ open: () => Promise.resolve() })],
    ['lists nothing', () => ({ list: () => Promise.resolve([]) })],
    ['closes nothing', () => ({ close: () => Promise.resolve() })],
    ['tears nothing down', () => ({ teardown: () => Promise.resolve() })],
    ['closes by service alone', (good) => ({ close: (grant) => closeAll(good, grant.service) })],
    ['rejects with another error', () => ({ open: () => Promise.reject(new Error('no')) })],
    [
      'takes a prefix for its first address',
      (good) => ({ open: (grant) => good.open(withoutLength(grant)) }),
    ],
    ['forgets what is open at a second set-up', (good) => ({ setup: (...args) => setUpAnew(good, args) })],
    ['keeps everything open at a second set-up', (good) => ({ setup: onlyFirst(good) })],
    [
      'does not look at the family that gets to a service',
      (good) => ({ open: (grant) => good.open(anyFamily(grant)) }),
    ],
    [
      'keeps grants of a service that moves',
      (good) => ({ setup: (services, context) => good.setup(services.map(unmoved), context) }),
    ],
    [
      'keeps nothing of the services that a second set-up changes but their names',
      (good) => ({ setup: (services, context) => good.setup(services.map(plain), context) }),
    ],
  ];
  for (const [what, change] of broken) {
    it(`fails a driver that ${what}`, async () => {
      const make = (): Promise<FirewallDriver> => {
        const good = mock();
        return Promise.resolve(Object.assign(Object.create(good) as FirewallDriver, change(good)));
      };
      const results = await Promise.allSettled(driverConformance({ make }).map(({ run }) => run()));
      assert.ok(results.some(({ status }) => status === 'rejected'));
    });
  }
});

describe('driverConformance on a host that is slow', () => {
  /** Titles of the cases that fail: openings take so long, the first wait is longer, and openings end too early. */
  async function failures({ openMs = 0, pauseMs = 0, earlyMs = 0 }): Promise<string[]> {
    let clock = virtualClock();
    let standstills = 1;
    const make = (): Promise<FirewallDriver> => {
      clock = virtualClock();
      standstills = 1;
      const good = mock({ clock });
      const open = async (grant: Grant): Promise<void> => {
        await clock.advance(openMs);
        await good.open({ ...grant, openUntil: grant.openUntil - earlyMs });
      };
      return Promise.resolve(Object.assign(Object.create(good) as FirewallDriver, { open }));
    };
    const elapse = async (_driver: FirewallDriver, ms: number): Promise<void> => {
      const more = standstills > 0 ? pauseMs : 0;
      standstills -= 1;
      await clock.advance(ms + more);
    };
    const failed: string[] = [];
    for (const { title, run } of driverConformance({ make, elapse, now: () => clock.now() }))
      await run().catch(() => failed.push(title));
    return failed;
  }

  it('fails no driver because each opening takes a while', async () => {
    assert.deepEqual(await failures({ openMs: 300 }), []);
  });

  it('fails no driver because the host stood still while something was open', async () => {
    assert.deepEqual(await failures({ pauseMs: 5000 }), []);
  });

  it('fails a driver whose openings end early', async () => {
    assert.deepEqual(await failures({ earlyMs: 2000 }), [
      'counts the time of a replaced grant from the second one',
      'ends a grant from before a second set-up in its own time',
    ]);
  });
});

function withoutLength(grant: Grant): Grant {
  return { ...grant, source: grant.source.replace(/\/.*/u, '') };
}

async function setUpAnew(good: FirewallDriver, args: Parameters<FirewallDriver['setup']>): Promise<void> {
  await good.teardown();
  await good.setup(...args);
}

function onlyFirst(good: FirewallDriver): FirewallDriver['setup'] {
  let done = false;
  return async (...args) => {
    if (!done) await good.setup(...args);
    done = true;
  };
}

function anyFamily(grant: Grant): Grant {
  return grant.to === undefined ? grant : { ...grant, source: '192.0.2.7' };
}

function unmoved(service: Service): Service {
  return service.to === undefined ? service : { ...service, to: { host: '198.51.100.9', port: 9 } };
}

function plain(service: Service): Service {
  return { ...service, connections: 1 };
}

async function closeAll(driver: FirewallDriver, service: string): Promise<void> {
  for (const opening of await driver.list()) {
    if (opening.service !== service) continue;
    const rest = { id: 'x', client: 'x', protocol: 'tcp', port: 1, openUntil: 0, connections: 1 } as const;
    await driver.close({ ...opening, ...rest });
  }
}
