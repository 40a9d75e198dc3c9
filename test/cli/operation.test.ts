// A running daemon is asked: the control socket's commands from end to end, as programs and as people see them, also with as
// many grants as there can be; and metrics that cannot be offered stop nothing.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { askDaemon } from '../../cli/control-client.ts';
import { prepareOperation } from '../../cli/operation.ts';
import type { Assembly } from '../../lib/config/assemble.ts';
import type { GatewayConfig } from '../../lib/config/schema.ts';
import { KnockCounts } from '../../lib/counts.ts';
import type { Grant } from '../../lib/firewall/driver.ts';
import { parsed, VALID } from '../config/support.ts';
import { rig, type Rig } from '../listener/support.ts';
import { freePort } from '../support/ports.ts';
import { reject, request } from '../support/spoken.ts';
import { Place } from './support.ts';

interface Run extends Rig {
  readonly logged: string[];
  readonly stateDir: string;
  readonly close: () => Promise<void>;
}

describe('a running portknockd that is asked', function () {
  this.timeout(60_000);
  let place: Place;
  let run: Run;

  /** A listener under the test's control, with a socket in a folder of its own. */
  async function started(name: string, yaml = ''): Promise<Run> {
    const stateDir = place.path(name);
    await mkdir(stateDir);
    const config: GatewayConfig = { ...(await parsed(`${VALID}${yaml}`)), stateDir, file: 'gw.yaml' };
    const counts = new KnockCounts();
    const parts = rig({ metrics: counts });
    const { listener, driver, source, replay } = parts;
    const logged: string[] = [];
    const operation = await prepareOperation({
      assembly: { listener, driver, source: { ...source, name: 'memory' }, replay } as unknown as Assembly,
      counts,
      log: (event, fields) => void logged.push(`${event} ${JSON.stringify(fields)}`),
      config: () => config,
      reload: () => Promise.resolve({ ok: true }),
      pid: process.pid,
    });
    await listener.start();
    return { ...parts, logged, stateDir, close: await operation.open() };
  }

  before(async () => {
    place = await Place.make();
    const port = await freePort();
    run = await started('state', `metrics: { listen: 127.0.0.1:${port} }\n`);
    run.source.frame(request(1));
    run.source.frame(request(1));
    run.source.frame(reject('bad-tag', { src: '192.0.2.9' }));
    await run.clock.advance(0);
  });

  after(async () => {
    await run.close();
    await run.listener.stop();
    await place.remove();
  });

  it('tells its state, as an object and in words', async () => {
    const { code, out, err } = await place.run('portknock status --state state --json');
    assert.deepEqual([code, err], [0, '']);
    const status = JSON.parse(out) as Record<string, unknown>;
    assert.deepEqual(
      [status.pid, status.driver, status.services, status.clients, status.grants_open, status.grants],
      [process.pid, 'mock', ['ssh'], 1, 1, 1],
    );
    assert.deepEqual([status.knocks_accepted, status.knocks_refused, status.replay_durable], [1, 2, false]);
    // Whoever asks is in another folder.
    assert.equal(status.config, resolve('gw.yaml'));
    assert.match(String(status.metrics), /^http:\/\/127\.0\.0\.1:\d+\/metrics$/u);
    const words = await place.run('portknock status --state state');
    assert.equal(words.code, 0);
    assert.match(words.out, /^portknockd \S+, pid \d+, up \d+s \(since /u);
    assert.match(words.out, /^grants {4}1 open, 1 in all$/mu);
    assert.match(words.out, /^bad-tag +spoken +1 +\S+ ago +alice +192\.0\.2\.9$/mu);
  });

  it('offers its metrics where it says', async () => {
    const { metrics } = (await askDaemon(run.stateDir, { command: 'status' })) as unknown as {
      metrics: string;
    };
    const text = await (await fetch(metrics)).text();
    assert.match(text, /^portknock_grants_open\{service="ssh"\} 1$/mu);
    assert.match(text, /^portknock_knocks_total\{scheme="spoken",result="bad-tag"\} 1$/mu);
    assert.match(text, /^process_resident_memory_bytes \d+$/mu);
  });

  it('lists its grants, and takes one back by the beginning of its id', async () => {
    const listed = await place.run('portknock grants --state state --json');
    const grant = JSON.parse(listed.out) as { id: string; state: string };
    assert.deepEqual([listed.code, grant.state], [0, 'open']);
    const id = grant.id.slice(0, 4);
    assert.deepEqual(await place.run(`portknock revoke ${id} --state state`), {
      ...{ code: 0, out: '' },
      err: `grant ${grant.id} is taken back: alice, ssh, from 198.51.100.7\n`,
    });
    assert.deepEqual(await run.driver.list(), []);
    assert.deepEqual(await place.run(`portknock revoke ${id} --state state`), {
      ...{ code: 1, out: '' },
      err: `portknock: there is no open grant '${id}' (portknock grants lists them)\n`,
    });
    assert.deepEqual(await place.run('portknock grants --state state'), {
      ...{ code: 0, out: 'no grant is open\n' },
      err: '1 ended within 10 minutes (--all shows them)\n',
    });
    const all = await place.run('portknock grants --state state --all');
    assert.match(all.out, new RegExp(`^${grant.id.slice(0, 8)} .* revoked \\d+s ago$`, 'mu'));
  });

  it('refuses what its commands do not take', async () => {
    const table: readonly [request: { command: string; [key: string]: unknown }, message: string][] = [
      [{ command: 'status', all: true }, "status takes no 'all'"],
      [{ command: 'grants', all: 1 }, 'all of grants must be true or false'],
      [{ command: 'revoke' }, 'id of revoke is missing'],
      [{ command: 'revoke', id: 'x'.repeat(65) }, 'id of revoke must be 4 to 64 of a-z and 0-9'],
      [{ command: 'reload', config: '/etc/passwd' }, "reload takes no 'config'"],
    ];
    for (const [request, message] of table)
      assert.deepEqual(await askDaemon(run.stateDir, request), { ok: false, message });
  });

  const mistakes: readonly [line: string, code: number, message: string][] = [
    ['portknock revoke', 2, 'something is missing (see portknock revoke --help)'],
    ['portknock revoke abc --state state', 2, "ID must be 4 to 64 of a-z and 0-9, not 'abc'"],
    ['portknock status now', 2, "argument is one too many: 'now' (see portknock status --help)"],
    [
      'portknock grants --state none',
      1,
      'no portknockd answers at none/portknockd.sock (start it, or name its --config or --state)',
    ],
  ];
  for (const [line, code, message] of mistakes) {
    it(`is not asked by a mistake: ${line}`, async () => {
      assert.deepEqual(await place.run(line), { code, out: '', err: `portknock: ${message}\n` });
    });
  }

  it('answers for as many grants as a firewall holds', async () => {
    const grants = Array.from({ length: 16_384 }, (_, i): Grant => {
      const hex = i.toString(16).padStart(4, '0');
      return {
        ...{ id: `${hex}00000000${hex}`, client: 'c'.repeat(64), service: 's'.repeat(32), protocol: 'tcp' },
        ...{
          source: `2001:db8:1234:5678:9abc:def0:1234:${hex}`,
          port: 65_535,
          openUntil: 1e12,
          connections: 1,
        },
      };
    });
    const many = await started('many');
    Object.defineProperty(many.listener, 'grants', { value: grants });
    const listed = await place.run('portknock grants --state many');
    assert.equal(listed.code, 0);
    assert.equal(listed.out.split('\n').length, 2 * 16_384 + 2);
    await many.close();
    await many.listener.stop();
  });

  it('runs, and says so, when its metrics cannot be offered', async () => {
    const socket = place.path('metrics.sock');
    const first = await started('first', `metrics: { listen: "unix:${socket}" }\n`);
    const second = await started('second', `metrics: { listen: "unix:${socket}" }\n`);
    assert.deepEqual(first.logged, []);
    const message = `metrics cannot be offered: somebody answers at ${socket} (change metrics.listen)`;
    assert.deepEqual(second.logged, [`error ${JSON.stringify({ code: 'ERR_METRICS', message })}`]);
    const status = (await askDaemon(second.stateDir, { command: 'status' })) as { metrics?: unknown };
    assert.equal(status.metrics, null);
    for (const each of [first, second]) {
      await each.close();
      await each.listener.stop();
    }
  });
});
