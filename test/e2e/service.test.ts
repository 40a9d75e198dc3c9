// The service that install-service writes, run by the real systemd with everything that it takes away: a knock opens, a
// reload reloads, a daemon that hangs is replaced, and the ports stay closed throughout.

import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createWorld, type World } from '../support/netns.ts';
import { programArgs } from '../support/programs.ts';
import { SystemdHost, systemdFault } from './systemd-host.ts';
import { describeInNamespaces, until } from './support.ts';

const UNIT = 'portknockd.service';
const PORT = 7007;
/** Answers whoever is let in. */
const GREETER = `require('net').createServer((s) => s.on('error', () => {}).end('in\\n')).listen(${PORT}, '::', () => console.log('up'))`;
/** Resolves to what it was greeted with; it waits so many milliseconds. */
const VISIT = `const [, host, ms] = process.argv; const s = require('net').connect(${PORT}, host); s.setTimeout(Number(ms), () => s.destroy()); s.on('error', () => {}); s.pipe(process.stdout)`;
/** For one who is let in, and for one who is not. */
const PATIENCE_MS = { in: 25_000, out: 700 };

/** It hears of the daemon twice in that time, unless the machine stands still. */
const WATCHDOG_MS = 8000;
/** What a firewall says that was too slow to open in time. */
const LATE = /\(knock again\)/u;

const VARIANTS = [
  { user: 'portknock', firewall: 'iptables', backend: 'nft' },
  { user: 'portknock', firewall: 'nftables', backend: null },
  { user: 'root', firewall: 'iptables', backend: 'legacy' },
] as const;

for (const { user, firewall, backend } of VARIANTS)
  describeInNamespaces(
    `the service under systemd (${firewall}, ${backend ?? 'its own'}, as ${user})`,
    function () {
      this.timeout(240_000);
      let world: World;
      let host: SystemdHost;
      let profiles: string;
      let log: string;
      let greeter: ChildProcess | null = null;

      before(async () => {
        const fault = systemdFault();
        if (fault !== null) throw new Error(fault);
        world = await createWorld();
        profiles = await mkdtemp(join(tmpdir(), 'portknock-profiles-'));
        host = await SystemdHost.boot(world.gateway);
        log = join(host.folder, 'log');
        const place = ['--interface', world.device, '--gateway', 'gw.example', '--user', user];
        await host.ours('portknock', ['init', '--service', `echo=${PORT}`, ...place]);
        await edit((text) =>
          text
            .replace('firewall: iptables', `firewall: ${firewall}`)
            .replace(
              'protect: true',
              `protect: drop${backend === null ? '' : `\nfirewall_backend: ${backend}`}`,
            ),
        );
        const out = ['--host', world.address[4], '--out', join(profiles, 'field.knock')];
        await host.ours('portknock', ['add-client', 'field', '--psk', '--services', 'echo', ...out]);
        await host.ours('portknock', ['install-service', '--root', '/']);
        // Shorter times, and a place for what it prints: there is no journal here.
        const drop = host.etc(`systemd/system/${UNIT}.d`);
        await mkdir(drop);
        const output = [`StandardOutput=append:${log}`, `StandardError=append:${log}`];
        const watchdog = `WatchdogSec=${(backend === 'nft' ? WATCHDOG_MS : 60_000) / 1000}s`;
        const quick = ['[Service]', watchdog, 'RestartSec=100ms', ...output, ''].join('\n');
        await writeFile(join(drop, 'test.conf'), quick);
        if (user !== 'root') await host.must('systemd-sysusers', ['portknock.conf']);
        await host.must('systemd-tmpfiles', ['--create', 'portknock.conf']);
        await host.must('systemctl', ['daemon-reload']);
        greeter = world.gateway.spawn(process.execPath, ['-e', GREETER], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        await once(greeter.stdout!, 'data');
      });

      after(async function () {
        if (this.currentTest?.state === 'failed')
          process.stderr.write(await readFile(log, 'utf8').catch(() => ''));
        greeter?.kill('SIGKILL');
        await host?.destroy();
        await world?.destroy();
        await rm(profiles, { recursive: true, force: true });
      });

      async function edit(change: (text: string) => string): Promise<void> {
        const path = host.etc('portknock/portknockd.yaml');
        await writeFile(path, change(await readFile(path, 'utf8')));
      }
      const node = (args: readonly string[]) => world.outside.run(process.execPath, args);
      const visit = async (who: keyof typeof PATIENCE_MS = 'out'): Promise<string> =>
        (await node(['-e', VISIT, world.address[4], String(PATIENCE_MS[who])])).stdout;
      const knock = async (): Promise<void> => {
        const { status, stderr } = await node([
          ...programArgs('portknock'),
          ...['send', '-p', join(profiles, 'field.knock'), 'echo'],
        ]);
        assert.equal(status, 0, stderr);
      };
      /** What the visitor got: the kernel asks for him again and again, until the grant is there. */
      const visitAfterKnock = async (): Promise<string> => {
        await knock();
        const got = await visit('in');
        if (got !== '' || !LATE.test(await readFile(log, 'utf8'))) return got;
        await knock();
        return visit('in');
      };

      it('is ready when the start has come back, and the port is closed then', async () => {
        assert.equal(await visit('in'), 'in\n');
        await host.must('systemctl', ['enable', '--now', 'portknockd']);
        const shown = await host.show(UNIT, ['ActiveState', 'StatusText', 'NRestarts']);
        const StatusText =
          user === 'root'
            ? `listening on interface ${world.device}`
            : 'listening; what reads packets has no rights';
        assert.deepEqual(shown, { ActiveState: 'active', StatusText, NRestarts: '0' });
        assert.equal(await visit(), '');
      });

      it('has the rights that the unit leaves it, and no others', async () => {
        const { MainPID = '' } = await host.show(UNIT, ['MainPID']);
        const status = await host.must('cat', [`/proc/${MainPID}/status`]);
        const field = (name: string): string =>
          new RegExp(`^${name}:\\s+(.*)$`, 'mu').exec(status)?.[1] ?? '';
        // What reads packets, and the capture, have none.
        const count = user === 'root' ? 1 : 2;
        // At the turn of an hour two capture for some seconds.
        const others = await until(`it has ${count} children`, async () => {
          const children = await host.must('cat', [`/proc/${MainPID}/task/${MainPID}/children`]);
          const pids = children.split(' ').filter((pid) => pid.trim() !== '');
          return pids.length === count ? pids : null;
        });
        const rights = await Promise.all(
          others.map(
            async (pid) => /^CapEff:\s+(.*)$/mu.exec(await host.must('cat', [`/proc/${pid}/status`]))?.[1],
          ),
        );
        assert.deepEqual(new Set(rights), new Set(['0000000000000000']));
        // CAP_KILL, SETGID, SETUID, SETPCAP, NET_ADMIN and NET_RAW are bits 5 to 8, 12 and 13.
        assert.deepEqual(['CapBnd', 'CapEff', 'NoNewPrivs', 'Seccomp'].map(field), [
          '00000000000031e0',
          '00000000000031e0',
          '1',
          '2',
        ]);
      });

      it('opens for a knock, for one connection', async () => {
        assert.equal(await visitAfterKnock(), 'in\n');
        assert.equal(await visit(), '');
      });

      // What follows has nothing to do with the firewall.
      if (backend === 'nft') supervised();

      function supervised(): void {
        it('reloads by systemctl, and fails there when the configuration is wrong', async () => {
          await edit((text) => `${text}\nnonsense: 1\n`);
          assert.notEqual((await host.run('systemctl', ['reload', 'portknockd'])).status, 0);
          await edit((text) => text.replace('\nnonsense: 1\n', ''));
          await host.must('systemctl', ['reload', 'portknockd']);
          await until('it says so', async () =>
            / reload services=echo clients=1/u.test(await readFile(log, 'utf8')),
          );
          const shown = await host.show(UNIT, ['ActiveState', 'NRestarts']);
          assert.deepEqual(shown, { ActiveState: 'active', NRestarts: '0' });
        });

        it('goes on past the time of its watchdog, and is replaced when it hangs', async () => {
          const { MainPID: first = '' } = await host.show(UNIT, ['MainPID']);
          await sleep(WATCHDOG_MS + 500);
          assert.deepEqual(await host.show(UNIT, ['MainPID', 'NRestarts']), {
            MainPID: first,
            NRestarts: '0',
          });
          await host.must('kill', ['-STOP', first]);
          let shown: Record<string, string> = {};
          while (shown.NRestarts !== '1' || shown.ActiveState !== 'active') {
            assert.equal(await visit(), '');
            shown = await host.show(UNIT, ['ActiveState', 'MainPID', 'NRestarts']);
          }
          assert.notEqual(shown.MainPID, first);
          assert.equal(await visitAfterKnock(), 'in\n');
        });
      }

      it('stops in good order, and the port stays closed', async () => {
        await host.must('systemctl', ['stop', 'portknockd']);
        const shown = await host.show(UNIT, ['ActiveState', 'Result', 'ExecMainStatus']);
        assert.deepEqual(shown, { ActiveState: 'inactive', Result: 'success', ExecMainStatus: '0' });
        assert.equal(await visit(), '');
      });
    },
  );
