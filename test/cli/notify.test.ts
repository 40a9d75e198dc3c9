// What the service manager hears, and when it hears nothing: by a virtual clock, and from a real daemon over a real socket.

import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter } from 'node:path';
import { notifier, type NotifierOptions } from '../../cli/notify.ts';
import { virtualClock } from '../../lib/testing/clock.ts';
import { openNotifySocket, type NotifySocket } from '../support/notify-socket.ts';
import { freePort } from '../support/ports.ts';
import { killed, Lines, Place } from './support.ts';

const SOCKET = '/run/made-up/notify';
/** Works on for a moment when it has been heard. */
const SLOW = '#!/bin/sh\nPATH=${PATH#*:} systemd-notify "$@" && sleep 0.2\n';

function stage(env: NodeJS.ProcessEnv, more: Partial<NotifierOptions> = {}) {
  const clock = virtualClock();
  const said: string[] = [];
  const warnings: string[] = [];
  const manager = notifier({
    ...{ env, clock, alive: async () => true },
    warn: (message) => warnings.push(message),
    send: async (socket, assignments) => {
      assert.equal(socket, SOCKET);
      said.push(assignments.join(' '));
      return null;
    },
    ...more,
  });
  /** What has been said since the last call. */
  const heard = async (ms = 0): Promise<string[]> => {
    await clock.advance(ms);
    return said.splice(0);
  };
  return { manager, heard, said, warnings, clock };
}

describe('the notifier', () => {
  it('says nothing where no manager asked', async () => {
    const { manager, heard } = stage({ WATCHDOG_USEC: '2000000' });
    manager.ready('here');
    manager.reloading();
    await manager.stopping();
    assert.deepEqual(await heard(60_000), []);
  });

  it('takes the manager out of the environment, and leaves the rest', () => {
    const env = { PATH: '/bin', NOTIFY_SOCKET: SOCKET, WATCHDOG_USEC: '1', WATCHDOG_PID: '1' };
    stage(env);
    assert.deepEqual(env, { PATH: '/bin' });
  });

  it('says when it is ready, takes up rules and stops, in that order and with the time of asking', async () => {
    const { manager, heard } = stage({ NOTIFY_SOCKET: SOCKET });
    manager.ready('listening');
    const before = process.hrtime.bigint() / 1000n;
    manager.reloading();
    manager.reloaded('listening anew');
    await manager.stopping();
    const all = await heard();
    const since = BigInt(/MONOTONIC_USEC=(\d+)$/u.exec(all[1] ?? '')?.[1] ?? '0');
    assert.ok(since >= before && since <= process.hrtime.bigint() / 1000n);
    assert.deepEqual(
      all.map((line) => line.replace(/\d{4,}/u, 'N')),
      [
        'READY=1 STATUS=listening',
        'RELOADING=1 MONOTONIC_USEC=N',
        'READY=1 STATUS=listening anew',
        'STOPPING=1 STATUS=stopping; the ports stay closed',
      ],
    );
  });

  it('is done with its last word when that was said, behind what was under way', async () => {
    const under: (() => void)[] = [];
    const send = (_socket: string, [first = '']: readonly string[]): Promise<null> =>
      new Promise((resolve) => {
        under.push(() => resolve(null));
        steps.push(first);
      });
    const steps: string[] = [];
    const { manager, clock } = stage({ NOTIFY_SOCKET: SOCKET }, { send });
    manager.ready('listening');
    void manager.stopping().then(() => steps.push('done'));
    await clock.advance(0);
    assert.deepEqual(steps, ['READY=1']);
    under.shift()?.();
    await clock.advance(0);
    assert.deepEqual(steps, ['READY=1', 'STOPPING=1']);
    under.shift()?.();
    await clock.advance(0);
    assert.deepEqual(steps, ['READY=1', 'STOPPING=1', 'done']);
  });

  it('is never ready by a reload, and nothing any more once it stops', async () => {
    const { manager, heard } = stage({ NOTIFY_SOCKET: SOCKET, WATCHDOG_USEC: '2000000' });
    manager.reloading();
    manager.reloaded('a start that failed');
    await manager.stopping();
    manager.ready('late');
    assert.deepEqual(await heard(10_000), []);
  });

  it('keeps a status to one line of plain text', async () => {
    const { manager, heard } = stage({ NOTIFY_SOCKET: SOCKET });
    manager.ready('eth0\nWATCHDOG=trigger\u001b[0m');
    const [line = ''] = await heard();
    assert.match(line, /^READY=1 STATUS=[ -~]+$/u);
  });

  it('gives a sign of life twice within the time that the manager waits', async () => {
    const { manager, heard } = stage({ NOTIFY_SOCKET: SOCKET, WATCHDOG_USEC: '60000000' });
    assert.deepEqual(await heard(90_000), []);
    manager.ready('listening');
    assert.deepEqual(await heard(0), ['READY=1 STATUS=listening', 'WATCHDOG=1']);
    assert.deepEqual(await heard(29_999), []);
    assert.deepEqual(await heard(1), ['WATCHDOG=1']);
    assert.deepEqual(await heard(60_000), ['WATCHDOG=1', 'WATCHDOG=1']);
    await manager.stopping();
    assert.deepEqual(await heard(90_000), ['STOPPING=1 STATUS=stopping; the ports stay closed']);
  });

  const strange: readonly [what: string, env: NodeJS.ProcessEnv][] = [
    ['meant for another process', { WATCHDOG_USEC: '2000000', WATCHDOG_PID: '1' }],
    ['of no length', { WATCHDOG_USEC: '0' }],
    ['that is no number', { WATCHDOG_USEC: '-1' }],
  ];
  for (const [what, env] of strange) {
    it(`leaves a watchdog alone ${what}`, async () => {
      const { manager, heard } = stage({ NOTIFY_SOCKET: SOCKET, ...env });
      manager.ready('listening');
      assert.deepEqual(await heard(10_000), ['READY=1 STATUS=listening']);
    });
  }

  it('feeds the watchdog of its own process', async () => {
    const own = { WATCHDOG_USEC: '2000000', WATCHDOG_PID: String(process.pid) };
    const { manager, heard } = stage({ NOTIFY_SOCKET: SOCKET, ...own });
    manager.ready('listening');
    assert.equal((await heard(1000)).length, 3);
  });

  it('gives no sign of life while the work is not done, cannot be judged, or the judge does not answer', async () => {
    let alive: () => Promise<boolean> = async () => false;
    const { manager, heard } = stage(
      { NOTIFY_SOCKET: SOCKET, WATCHDOG_USEC: '2000000' },
      { alive: () => alive() },
    );
    manager.ready('listening');
    assert.deepEqual(await heard(5000), ['READY=1 STATUS=listening']);
    alive = async () => {
      throw new Error('no idea');
    };
    assert.deepEqual(await heard(5000), []);
    alive = async () => true;
    assert.equal((await heard(3000)).length, 3);
    let asked = 0;
    let answer: (alive: boolean) => void = () => undefined;
    alive = () => {
      asked += 1;
      return new Promise((resolve) => (answer = resolve));
    };
    assert.deepEqual(await heard(10_000), []);
    assert.equal(asked, 1);
    answer(true);
    alive = async () => true;
    assert.deepEqual(await heard(1000), ['WATCHDOG=1', 'WATCHDOG=1']);
  });

  it('warns once when the manager cannot be told, and goes on trying', async () => {
    let tries = 0;
    const send = async (): Promise<string> => `no such thing, try ${(tries += 1)}`;
    const { manager, clock, warnings } = stage({ NOTIFY_SOCKET: SOCKET, WATCHDOG_USEC: '2000000' }, { send });
    manager.ready('listening');
    await clock.advance(5000);
    assert.ok(tries > 5);
    assert.deepEqual(warnings, [
      'service manager cannot be told: no such thing, try 1 (it may take us for dead)',
    ]);
  });
});

describe('portknockd under a service manager', function () {
  this.timeout(60_000);
  let place: Place;
  let manager: NotifySocket;
  let child: ChildProcess | null = null;

  before(async () => {
    place = await Place.make();
    await place.run('portknock init --dir . --gateway 127.0.0.1 --interface lo --user root');
    const path = place.path('portknockd.yaml');
    const port = await freePort();
    const text = (await readFile(path, 'utf8'))
      .replace(/interface: lo/u, `socket: 127.0.0.1:${port}`)
      .replace(/knock_port: \d+/u, `knock_port: ${port}`)
      .replace('firewall: iptables', 'firewall: mock');
    await writeFile(path, text);
    manager = await openNotifySocket(place.path('notify'));
  });

  afterEach(async () => {
    await killed(child);
    child = null;
  });

  after(async () => {
    manager.close();
    await place.remove();
  });

  const start = (env: NodeJS.ProcessEnv): [ChildProcess, Lines] => {
    child = place.start('portknockd', ['--config', 'portknockd.yaml', '--log', 'json'], env);
    assert.ok(child.stdout !== null);
    return [child, new Lines(child.stdout)];
  };

  it('tells it of readiness, a reload, a refused one and the stop, and feeds its watchdog', async () => {
    // As on a busy machine, where the one is still at work when the next is to be started.
    await mkdir(place.path('bin'));
    await writeFile(place.path('bin/systemd-notify'), SLOW, { mode: 0o755 });
    const PATH = [place.path('bin'), process.env.PATH].join(delimiter);
    const [daemon, lines] = start({ NOTIFY_SOCKET: manager.path, WATCHDOG_USEC: '200000', PATH });
    await manager.find('READY=1');
    await lines.find((line) => line.includes('"event":"ready"'));
    await manager.find('WATCHDOG=1');
    daemon.kill('SIGHUP');
    await lines.find((line) => line.includes('"event":"reload"'));
    const good = await readFile(place.path('portknockd.yaml'), 'utf8');
    await writeFile(place.path('portknockd.yaml'), `${good}\nnonsense: 1\n`);
    daemon.kill('SIGHUP');
    await manager.find(/refused/u);
    await writeFile(place.path('portknockd.yaml'), good);
    daemon.kill('SIGTERM');
    await once(daemon, 'exit');
    await manager.find('STOPPING=1');
    const source = /STATUS=listening on (.*)/u.exec(manager.heard[0] ?? '')?.[1] ?? '';
    assert.match(source, /^udp socket \d+$/u);
    const steps = manager.heard.filter((message) => message !== 'WATCHDOG=1');
    const ready = `READY=1\nSTATUS=listening on ${source}`;
    assert.deepEqual(
      steps.map((message) => message.replace(/(USEC)=\d+/u, '$1=N')),
      [
        ready,
        'RELOADING=1\nMONOTONIC_USEC=N',
        ready,
        'RELOADING=1\nMONOTONIC_USEC=N',
        `${ready}, by the old rules: the new configuration was refused`,
        'STOPPING=1\nSTATUS=stopping; the ports stay closed',
      ],
    );
  });

  it('runs on where systemd-notify is missing, and says so once', async () => {
    const env = { NOTIFY_SOCKET: manager.path, WATCHDOG_USEC: '40000', PATH: '/nonexistent' };
    const [daemon, lines] = start(env);
    const warning = await lines.find((line) => line.includes('service manager'));
    const { message } = JSON.parse(warning) as { message: string };
    assert.equal(
      message,
      'service manager cannot be told: systemd-notify is not installed (it may take us for dead)',
    );
    daemon.kill('SIGTERM');
    const [code] = (await once(daemon, 'close')) as [number];
    assert.equal(code, 0);
    assert.equal(lines.all.filter((line) => line.includes('service manager')).length, 1);
  });
});
