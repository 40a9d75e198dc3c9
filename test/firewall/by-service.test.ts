// One driver made of several: whose grants go where, and what is left when one of them fails.

import assert from 'node:assert/strict';
import { byService } from '../../lib/firewall/by-service.ts';
import type { DriverContext, FirewallDriver, Grant, Service } from '../../lib/firewall/driver.ts';

const QUIET: DriverContext = { warning: () => undefined };

function service(name: string): Service {
  return { name, protocol: 'tcp', port: name === 'ssh' ? 22 : 0, openForMs: 1000, connections: 1 };
}

function grant(name: string, source: string): Grant {
  return { ...service(name), id: `g${name}`, client: 'a', source, service: name, openUntil: 1 };
}

/** A driver that writes down what it is told. */
function recorder(name: string, log: string[], options: { fails?: string; endsByItself?: boolean } = {}) {
  const act = (what: string): Promise<void> => {
    log.push(`${name} ${what}`);
    return options.fails === what.split(' ')[0]
      ? Promise.reject(new Error(`${name} fails`))
      : Promise.resolve();
  };
  const driver: FirewallDriver = {
    name,
    real: name === 'real',
    ...(options.endsByItself === undefined ? {} : { endsByItself: options.endsByItself }),
    setup: (services, { held }) =>
      act(`setup ${services.map((each) => each.name).join()} ${held?.map(({ id }) => id).join() ?? '-'}`),
    open: ({ id, source }) => act(`open ${id} ${source}`),
    close: ({ id }) => act(`close ${id}`),
    list: () => Promise.resolve([{ service: name, source: '192.0.2.1' }]),
    teardown: () => act('teardown'),
  };
  return driver;
}

describe('a driver by service', () => {
  const make = (log: string[], fails: { usual?: string; four?: string; six?: string } = {}) => {
    const of = (name: string, what: string | undefined) =>
      recorder(name, log, what === undefined ? {} : { fails: what });
    return byService(of('real', fails.usual), {
      x: { driver: of('four', fails.four), driver6: of('six', fails.six) },
    });
  };

  it('gives each driver its services, its grants and what it held', async () => {
    const log: string[] = [];
    const driver = make(log);
    const held = [grant('ssh', '192.0.2.1'), grant('x', '192.0.2.1'), grant('x', '2001:db8::1')];
    await driver.setup([service('ssh'), service('x')], { ...QUIET, held });
    await driver.setup([service('ssh')], QUIET);
    for (const each of held) await driver.open(each);
    await driver.close(grant('x', '2001:db8::2'));
    await driver.teardown();
    assert.deepEqual(log, [
      ...['real setup ssh gssh', 'four setup x gx', 'six setup x gx'],
      ...['real setup ssh -', 'four setup  -', 'six setup  -'],
      ...['real open gssh 192.0.2.1', 'four open gx 192.0.2.1', 'six open gx 2001:db8::1'],
      ...['six close gx', 'real teardown', 'four teardown', 'six teardown'],
    ]);
    assert.deepEqual(
      (await driver.list()).map((each) => each.service),
      ['real', 'four', 'six'],
    );
  });

  it('has one driver for both families where there is one', async () => {
    const log: string[] = [];
    const driver = byService(recorder('real', log), { x: { driver: recorder('four', log) } });
    await driver.open(grant('x', '2001:db8::1'));
    assert.deepEqual(log, ['four open gx 2001:db8::1']);
  });

  it('leaves nothing behind when the first set-up of one fails, and else what was there', async () => {
    const log: string[] = [];
    await assert.rejects(
      make(log, { six: 'setup' }).setup([service('ssh'), service('x')], QUIET),
      /six fails/u,
    );
    assert.deepEqual(log.slice(3), ['four teardown', 'real teardown']);
    log.length = 0;
    let fails = false;
    const late = recorder('late', log);
    const driver = byService(recorder('real', log), {
      x: {
        driver: {
          ...late,
          setup: (...all) => (fails ? Promise.reject(new Error('no')) : late.setup(...all)),
        },
      },
    });
    await driver.setup([service('ssh'), service('x')], QUIET);
    fails = true;
    await assert.rejects(driver.setup([service('x')], QUIET), /no/u);
    assert.deepEqual(log, ['real setup ssh -', 'late setup x -', 'real setup  -', 'real setup ssh -']);
  });

  it('tears all of them down, whichever fails, and says so', async () => {
    const log: string[] = [];
    await assert.rejects(make(log, { usual: 'teardown' }).teardown(), /real fails/u);
    assert.deepEqual(log, ['real teardown', 'four teardown', 'six teardown']);
  });

  it('is real when one is, and ends by itself when all do', () => {
    const log: string[] = [];
    const programs = recorder('programs', log, { endsByItself: false });
    const mixed = byService(recorder('real', log), { x: { driver: programs } });
    assert.deepEqual([mixed.name, mixed.real, mixed.endsByItself], ['real+programs', true, false]);
    assert.deepEqual([make(log).endsByItself, byService(programs, {}).real], [true, false]);
  });

  it('opens to nothing that is no address', async () => {
    await assert.rejects(make([]).open(grant('x', 'everybody')), { code: 'ERR_FIREWALL_UNSUPPORTED' });
  });
});
