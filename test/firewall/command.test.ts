// The command driver: what is run, with which arguments, in which order, and what becomes of a command that fails or
// hangs (attacks 22 and 23). The programs are real ones.

import assert from 'node:assert/strict';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { command, type CommandOptions } from '../../lib/firewall/command.ts';
import type { FirewallDriver, Grant, Service } from '../../lib/firewall/driver.ts';
import { virtualClock } from '../../lib/testing/clock.ts';
import { driverConformance } from '../../lib/testing/driver-suite.ts';

const ssh: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 30_000, connections: 1 };
const vpn: Service = {
  name: 'vpn',
  protocol: 'udp',
  port: 51_820,
  openForMs: 1500,
  connections: 'unlimited',
};

describe('the command driver', () => {
  let folder = '';
  let log = '';
  let clock = virtualClock();

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'portknock-command-'));
    log = join(folder, 'log');
    script('note', 'log=$1; shift; { for one in "$@"; do printf "[%s]" "$one"; done; echo; } >> "$log"');
    // Fails when there is a file of the name of its first word beside the log.
    script(
      'try',
      'echo "$2 $3" >> "$1"; [ -e "$1.$2" ] && echo "$2 cannot: \\033[31mred" >&2 && exit 3; true',
    );
  });

  beforeEach(() => {
    clock = virtualClock();
    writeFileSync(log, '');
  });

  after(() => {
    rmSync(folder, { recursive: true });
  });

  function script(name: string, text: string): void {
    writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  }

  const program = (name: string): string => join(folder, name);
  const lines = (): string[] => readFileSync(log, 'utf8').split('\n').slice(0, -1);
  const trying = (change: Partial<CommandOptions> = {}): FirewallDriver => {
    const argv = (what: string, ...more: string[]): string[] => [program('try'), log, what, ...more];
    return command({
      ...{ open: argv('open', '{ip}'), close: argv('close', '{ip}'), clock },
      ...{ setup: argv('setup'), teardown: argv('teardown'), ...change },
    });
  };
  const setUp = async (
    driver: FirewallDriver,
    services: readonly Service[] = [ssh, vpn],
  ): Promise<string[]> => {
    const warnings: string[] = [];
    await driver.setup(services, { warning: (message) => warnings.push(message) });
    return warnings;
  };
  const grant = (service: Service, source = '192.0.2.7', more: Partial<Grant> = {}): Grant => ({
    ...{ id: 'g1', client: 'alice', source, service: service.name, protocol: service.protocol },
    ...{ port: service.port, openUntil: clock.now() + service.openForMs, connections: service.connections },
    ...more,
  });
  const failing = async (what: string, body: () => Promise<void>): Promise<void> => {
    writeFileSync(`${log}.${what}`, '');
    try {
      await body();
    } finally {
      rmSync(`${log}.${what}`);
    }
  };

  const cases = driverConformance({
    make: () => Promise.resolve(command({ open: ['true'], close: ['true'] })),
    prefixes: false,
    forwarded: false,
  });
  for (const { title, run } of cases) it(title, run);

  it('takes over what an earlier run left, and says when it cannot close it', async () => {
    const driver = trying();
    const left = [grant(ssh), grant(ssh, '192.0.2.8', { openUntil: clock.now() - 1 })];
    const gone = grant({ ...ssh, name: 'gone' });
    assert.equal(driver.endsByItself, false);
    await driver.setup([ssh], { warning: () => undefined, held: [...left, gone] });
    assert.deepEqual(lines(), ['setup ']);
    assert.equal((await driver.list()).length, 3);
    await failing('close', () => assert.rejects(driver.close(gone), { code: 'ERR_FIREWALL_COMMAND' }));
    for (const one of [...left, gone]) await driver.close(one);
    assert.deepEqual(lines().slice(2), ['close 192.0.2.7', 'close 192.0.2.8', 'close 192.0.2.7']);
    assert.deepEqual(await driver.list(), []);
  });

  it('puts what the grant says into arguments, and nowhere else', async () => {
    const places = ['{ip}', '{port}/{protocol}', '{seconds}s', 'for={client}', '{}', '{ {ip} }', '$HOME'];
    const argv = (what: string): string[] => [program('note'), log, what, ...places];
    const driver = command({ open: argv('open'), close: argv('close'), clock });
    await setUp(driver);
    await driver.open(grant(ssh));
    await driver.open(grant(vpn, '2001:db8::7', { client: 'bob@x.org' }));
    await clock.advance(10_300);
    await driver.close(grant(ssh));
    assert.deepEqual(lines(), [
      '[open][192.0.2.7][22/tcp][30s][for=alice][{}][{ 192.0.2.7 }][$HOME]',
      '[open][2001:db8::7][51820/udp][2s][for=bob@x.org][{}][{ 2001:db8::7 }][$HOME]',
      '[close][192.0.2.7][22/tcp][20s][for=alice][{}][{ 192.0.2.7 }][$HOME]',
    ]);
  });

  it('starts no shell: a template is text, whatever it looks like', async () => {
    const mark = join(folder, 'touched');
    const nasty = [
      `$(touch ${mark})`,
      `; touch ${mark}`,
      `\`touch ${mark}\` "{ip}" '{ip}'`,
      '| cat',
      '',
      '-{ip}',
      '%IP%',
    ];
    const driver = command({ open: [program('note'), log, ...nasty], close: ['true'], clock });
    await setUp(driver);
    await driver.open(grant(ssh));
    const filled = nasty.map((one) => `[${one.replaceAll('{ip}', '192.0.2.7')}]`).join('');
    assert.deepEqual(lines(), [filled]);
    assert.equal(existsSync(mark), false);
  });

  for (const client of [
    '-rf',
    '--help',
    'a b',
    '../alice',
    'x\n',
    '$(id)',
    '{ip}',
    '',
    'é',
    'a\0b',
    'x'.repeat(65),
  ]) {
    it(`refuses to put the client name ${JSON.stringify(client.slice(0, 20))} into a command`, async () => {
      const driver = trying();
      await setUp(driver);
      await assert.rejects(driver.open(grant(ssh, '192.0.2.7', { client })), {
        code: 'ERR_FIREWALL_UNSUPPORTED',
      });
      assert.deepEqual(lines(), ['setup ']);
      assert.deepEqual(await driver.list(), []);
    });
  }

  for (const source of [
    '192.0.2.0/24',
    '2001:db8::/56',
    '192.0.2.7/32',
    '192.0.2.07',
    '::ffff:192.0.2.7',
    'x; id',
    '',
  ]) {
    it(`refuses the source '${source}', which is no address in canonical text`, async () => {
      const driver = trying();
      await setUp(driver);
      await assert.rejects(driver.open(grant(ssh, source)), { code: 'ERR_FIREWALL_UNSUPPORTED' });
      assert.deepEqual(lines(), ['setup ']);
    });
  }

  const templates: readonly [what: string, options: Partial<CommandOptions>, message: RegExp][] = [
    ['nothing to open with', { open: [] }, /^open must be a program/u],
    ['no program to close with', { close: [''] }, /^close must be a program/u],
    [
      'an unknown placeholder',
      { open: ['x', '{IP}'] },
      /^open has an unknown placeholder, got '\{IP\}' \(\{ip\}/u,
    ],
    ['a placeholder of an object', { close: ['x', '{constructor}'] }, /^close has an unknown placeholder/u],
    ['a program that is a placeholder', { open: ['{client}'] }, /^open must name one program/u],
    ['a placeholder at set-up', { setup: ['x', '{port}'] }, /^setup is about no grant/u],
    ['a placeholder at tear-down', { teardown: ['x', 'a{ip}b'] }, /^teardown is about no grant/u],
    ['a NUL character', { open: ['x', 'a\0b'] }, /^open must not hold a NUL/u],
  ];
  for (const [what, options, message] of templates) {
    it(`refuses ${what}`, () => {
      assert.throws(() => command({ open: ['true'], close: ['true'], ...options }), {
        name: 'RangeError',
        message,
      });
    });
  }

  it('says at set-up that nothing counts connections, where they were to be counted', async () => {
    const warnings = await setUp(trying());
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /^command: nothing counts connections: ssh admits any number/u);
    assert.deepEqual(await setUp(trying(), [vpn]), []);
  });

  it('closes before it opens the same anew, so that one close is enough', async () => {
    const driver = trying();
    await setUp(driver);
    await driver.open(grant(ssh));
    await driver.open(grant(ssh));
    await driver.open(grant(ssh, '192.0.2.8'));
    assert.deepEqual(lines(), [
      'setup ',
      'open 192.0.2.7',
      'close 192.0.2.7',
      'open 192.0.2.7',
      'open 192.0.2.8',
    ]);
  });

  it('runs the close command also for what it does not know, and takes no failure of it for an error', async () => {
    await failing('close', async () => {
      const driver = trying();
      await driver.close(grant(ssh));
      await setUp(driver);
      await driver.close(grant(ssh));
      await driver.close(grant({ ...ssh, name: 'gone', port: 1 }, '192.0.2.9'));
    });
    assert.deepEqual(lines(), ['close 192.0.2.7', 'setup ', 'close 192.0.2.7', 'close 192.0.2.9']);
  });

  it('closes when opening failed, and says why in one printable line', async () => {
    const driver = trying();
    await setUp(driver);
    await failing('open', () =>
      assert.rejects(driver.open(grant(ssh)), {
        code: 'ERR_FIREWALL_COMMAND',
        message: `${program('try')} failed: open cannot: \\u{1b}[31mred`,
      }),
    );
    assert.deepEqual(lines(), ['setup ', 'open 192.0.2.7', 'close 192.0.2.7']);
    assert.deepEqual(await driver.list(), []);
    await driver.open(grant(ssh));
    assert.equal((await driver.list()).length, 1);
  });

  it('keeps listing what could not be closed, and closes it when asked again', async () => {
    const driver = trying();
    await setUp(driver);
    await driver.open(grant(ssh));
    await failing('close', () => assert.rejects(driver.close(grant(ssh)), { code: 'ERR_FIREWALL_COMMAND' }));
    assert.equal((await driver.list()).length, 1);
    await driver.close(grant(ssh));
    assert.deepEqual(await driver.list(), []);
  });

  it('keeps what may have opened and could not be closed, and closes it when asked again', async () => {
    const driver = trying();
    await setUp(driver);
    await failing('open', () =>
      failing('close', () => assert.rejects(driver.open(grant(ssh)), { message: /open cannot/u })),
    );
    assert.equal((await driver.list()).length, 1);
    await failing('close', () => assert.rejects(driver.close(grant(ssh)), { code: 'ERR_FIREWALL_COMMAND' }));
    await driver.close(grant(ssh));
    assert.deepEqual(await driver.list(), []);
  });

  it('does not open what has ended, and closes what it was to replace', async () => {
    const driver = trying();
    await setUp(driver);
    await driver.open(grant(ssh));
    await driver.open(grant(ssh, '192.0.2.7', { openUntil: clock.now() }));
    assert.deepEqual(lines(), ['setup ', 'open 192.0.2.7', 'close 192.0.2.7']);
    assert.deepEqual(await driver.list(), []);
  });

  it('closes everything at tear-down, before the last command, also when some cannot be closed', async () => {
    const driver = trying();
    await setUp(driver);
    await driver.open(grant(ssh));
    await driver.open(grant(vpn, '192.0.2.8'));
    await failing('close', () => assert.rejects(driver.teardown(), { code: 'ERR_FIREWALL_COMMAND' }));
    assert.deepEqual(lines().slice(3), ['close 192.0.2.7', 'close 192.0.2.8', 'teardown ']);
    await driver.teardown();
    assert.deepEqual(lines().slice(6), ['close 192.0.2.7', 'close 192.0.2.8', 'teardown ']);
    await driver.teardown();
    assert.deepEqual(lines().slice(9), ['teardown ']);
  });

  it('keeps its services when the command of a second set-up fails', async () => {
    const driver = trying();
    await setUp(driver);
    await driver.open(grant(ssh));
    await failing('setup', () => assert.rejects(setUp(driver, [ssh])));
    await driver.open(grant(vpn));
    assert.equal((await driver.list()).length, 2);
  });

  it('kills a command that takes too long, and what it started', async () => {
    script('hang', 'sleep 600 & echo $! > "$1.pid"; wait');
    writeFileSync(`${log}.pid`, '');
    const started = (): number => Number(readFileSync(`${log}.pid`, 'latin1'));
    const began = performance.now();
    // On a busy host the first of these times may be over before it has started anything.
    for (const timeoutMs of [1000, 10_000]) {
      const driver = command({ open: [program('hang'), log], close: ['true'], timeoutMs, clock });
      await setUp(driver);
      const message = new RegExp(`no answer within ${timeoutMs} ms$`, 'u');
      await assert.rejects(driver.open(grant(ssh)), { message });
      if (started() > 0) break;
    }
    assert.ok(performance.now() - began < 50_000);
    assert.ok(started() > 0);
    await until(() => !runs(started()));
  });

  it('does not wait for what a command leaves running on purpose, and lets it run', async () => {
    script('leave', '(sleep 0.2; echo later >> "$1") & true');
    const driver = command({ open: [program('leave'), log], close: ['true'], clock });
    await setUp(driver);
    const began = performance.now();
    await driver.open(grant(ssh));
    assert.ok(performance.now() - began < 40_000);
    await until(() => lines().length > 0);
    assert.deepEqual(lines(), ['later']);
  });

  it('says that a program is missing, and what to do', async () => {
    const driver = command({ open: ['portknock-no-such-program'], close: ['true'], clock });
    await setUp(driver);
    await assert.rejects(driver.open(grant(ssh)), {
      code: 'ERR_FIREWALL_MISSING',
      message: 'portknock-no-such-program is not installed (the open command names it: give its whole path)',
    });
  });

  it('hands a command PATH and nothing else of the environment, and no open file but the three', async () => {
    script('dump', '{ env; ls -l /proc/self/fd; } > "$1"; true');
    const file = openSync(join(folder, 'secret'), 'w');
    process.env.PORTKNOCK_TEST_SECRET = 'x';
    try {
      const driver = command({ open: [program('dump'), log], close: ['true'], clock });
      await setUp(driver);
      await driver.open(grant(ssh));
    } finally {
      delete process.env.PORTKNOCK_TEST_SECRET;
      closeSync(file);
    }
    const names = lines().flatMap((line) => /^(\w+)=/u.exec(line)?.[1] ?? []);
    assert.deepEqual(
      names.filter((name) => !['PWD', 'OLDPWD', 'SHLVL', '_', 'NODE_V8_COVERAGE'].includes(name)).sort(),
      ['LC_ALL', 'PATH'],
    );
    assert.ok(lines().some((line) => line.endsWith(log)));
    assert.ok(!lines().some((line) => line.endsWith('/secret')));
  });
});

async function until(isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!isSo() && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(isSo());
}

/** Whether a process is there, and no zombie. */
function runs(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/u.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}
