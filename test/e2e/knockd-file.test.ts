// portknockd runs the knockd.conf that a host has: Debian's own, the examples of the manual page, files of one-time
// sequences; the real `knock` opens it, and what is stricter than with knockd is what the lists here say.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { importKnockd } from '../../lib/config/knockd-load.ts';
import { programArgs } from '../support/programs.ts';
import { KnockdHost } from './knockd-host.ts';
import { describeInNamespaces, pause } from './support.ts';

const MANUAL = '/usr/share/man/man1/knockd.1.gz';
const DEBIAN = '/etc/knockd.conf';
const rule = (change: string, program = 'iptables', port = 22): string =>
  `${program} -${change} INPUT -s %IP% -p tcp --dport ${port} -j ACCEPT`;

/** The four configurations of the manual page. */
async function examples(): Promise<string[]> {
  const page = gunzipSync(await readFile(MANUAL)).toString();
  const blocks = [...page.matchAll(/^\.nf\n(\[options\][^]*?)\.fi$/gmu)].map(([, text = '']) => text);
  return blocks.map((text) => text.replaceAll('\\-', '-'));
}

describeInNamespaces('a knockd.conf of a host', function () {
  this.timeout(60_000);
  let host: KnockdHost;

  before(async () => {
    host = await KnockdHost.create();
  });

  after(() => host.destroy());

  const opens = async (knocks: readonly string[], client: string, family: 4 | 6 = 4): Promise<void> => {
    const { gateway } = host;
    assert.ok(gateway !== null);
    const count = gateway.of('grant').length + 1;
    await host.knock(knocks, family);
    const grant = await gateway.wait('grant', { count });
    assert.deepEqual([grant.client, grant.source], [client, host.world.client[family]]);
  };
  const opensNothing = async (knocks: readonly string[], control: readonly string[]): Promise<void> => {
    const before = host.gateway?.of('grant').length ?? 0;
    await host.knock(knocks);
    // Heard after them.
    await host.knock(control);
    await host.gateway?.wait('grant', { count: before + 1 });
    assert.equal(host.gateway?.of('grant').length, before + 1);
  };

  it("runs Debian's own: the stock rule is a grant, the program runs, the closing door is not needed", async () => {
    const program = host.path('knock_add');
    await writeFile(program, `#!/bin/sh\necho "$@" >> ${host.path('added')}\n`);
    await chmod(program, 0o755);
    const text = (await readFile(DEBIAN, 'utf8')).replace('/usr/local/sbin/knock_add', program);
    const { gateway } = { gateway: await host.run(text) };
    assert.equal(await host.connect(22), 'refused');
    await opens(['7000', '8000', '9000'], 'openSSH');
    assert.deepEqual([await host.connect(22), await host.connect(22)], ['talks', 'refused']);
    await opens(['12345', '54321', '24680', '13579'], 'openHTTPS');
    assert.equal(
      await readFile(host.path('added'), 'utf8'),
      `-i -c INPUT -p tcp -d 443 -f ${host.world.client[4]}\n`,
    );
    assert.ok(
      gateway.of('warning').some(({ message }) => /closeSSH only closes a port/u.test(String(message))),
    );
    await opensNothing(['9000', '8000', '7000'], ['7000', '8000', '9000']);
  });

  it('is each example of the manual page, with the differences that the import lists', async () => {
    const texts = await examples();
    assert.equal(texts.length, 4);
    await writeFile(host.path('smtp'), ' 2500,1500,3500\n 4,6,5\n', { mode: 0o600 });
    const rows: readonly [notes: string, knocks: readonly string[], client: string, opens: string][] = [
      [
        // As printed, iptables refuses the rule: --dport without -p.
        '2 lost,8 stricter,8 stricter,8 lost,10 lost',
        ['7000', '8000', '9000'],
        'openSSH',
        'ssh',
      ],
      // Waits for SYNs with an acknowledgement, which no client sends; opens all ports, so its programs run.
      ['2 lost,7 lost,8 lost', ['2222:udp', '3333', '4444:udp'], 'opencloseSSH', 'opencloseSSH'],
      ['2 lost,7 lost,8 stricter,8 lost', ['2500', '1500', '3500'], 'opencloseSMTP', 'smtp'],
      ['2 lost,7 lost,8 stricter', ['4', '6', '5'], 'opencloseSMTP', 'smtp'],
    ];
    for (const [i, [notes, knocks, client, service]] of rows.entries()) {
      const text = (texts[i] ?? '').replaceAll('/etc/knockd/smtp_sequences', host.path('smtp'));
      const path = host.path('example.conf');
      await writeFile(path, text);
      assert.match(knockdSays(path), /could not open absent0/u);
      const imported = await importKnockd(path);
      assert.equal(
        imported.notes.map(({ line, kind }) => `${line} ${kind}`).join(','),
        notes,
        `example ${i + 1}`,
      );
      await host.run(text, [], 'examples');
      await opens(knocks, client);
      assert.equal(host.gateway?.of('grant').at(-1)?.service, service.toLowerCase());
    }
  });

  const doors = [
    ...['[tcp]', 'sequence = 7000,9000,8000', 'tcpflags = syn'],
    ...[`start_command = ${rule('A')}`, `start_command_6 = ${rule('A', 'ip6tables')}`],
    ...[`stop_command = ${rule('D')}`, `stop_command_6 = ${rule('D', 'ip6tables')}`, 'cmd_timeout = 30'],
    ...[
      '[udp]',
      'sequence = 2200:udp,1100:udp,3300:udp',
      'command = ufw allow from %IP% to any port 443 proto tcp',
    ],
    ...[
      '[mixed]',
      'sequence = 5001:tcp,4002:udp,6003:tcp,3004:udp',
      `command = ${rule('I', '/sbin/iptables')}`,
    ],
    ...['[quick]', 'sequence = 31,29,30', 'tcpflags = syn', 'seq_timeout = 1', `command = ${rule('A')}`],
  ].join('\n');

  it('opens for the real knock client: TCP, UDP, mixed, without delay, in both families', async () => {
    await host.run(doors);
    for (const family of [4, 6] as const) {
      await opens(['7000', '9000', '8000'], 'tcp', family);
      assert.equal(await host.connect(22, family), 'talks');
      await opens(['2200:udp', '1100:udp', '3300:udp'], 'udp', family);
      assert.equal(await host.connect(443, family), 'talks');
    }
    await opens(['5001', '4002:udp', '6003', '3004:udp'], 'mixed');
    assert.equal(await host.connect(22), 'talks');
  });

  it('opens for the family of its command alone', async () => {
    await host.run(doors);
    const count = host.gateway?.of('grant').length ?? 0;
    await host.knock(['5001', '4002:udp', '6003', '3004:udp'], 6);
    await host.knock(['7000', '9000', '8000'], 6);
    const grant = await host.gateway?.wait('grant', { count: count + 1 });
    assert.equal(grant?.client, 'tcp');
  });

  it('keeps its times: of the sequence, and until it closes', async () => {
    await host.run(doors.replace('cmd_timeout = 30', 'cmd_timeout = 2'));
    await host.knock(['31', '29']);
    await pause(1100);
    await host.knock(['30']);
    await opens(['7000', '9000', '8000'], 'tcp');
    assert.equal(host.gateway?.of('grant').length, 1);
    const close = await host.gateway.wait('close');
    assert.equal(close.reason, 'expired');
    const lasted = Date.parse(close.time) - Date.parse(host.gateway.of('grant')[0]?.time ?? '');
    // A machine may stand still meanwhile.
    assert.ok(lasted > 500 && lasted < 8000, String(lasted));
    assert.equal(await host.connect(22), 'refused');
  });

  it('is taken anew by SIGHUP, and a wrong one changes nothing', async () => {
    const gateway = await host.run(doors);
    await writeFile(host.path('knockd.conf'), doors.replace('sequence = 7000,9000,8000', 'sequence = x'));
    process.kill(gateway.pid, 'SIGHUP');
    assert.match(String((await gateway.wait('error')).message), /knockd\.conf:2:1: door tcp/u);
    await opens(['7000', '9000', '8000'], 'tcp');
    await writeFile(host.path('knockd.conf'), doors.replace('7000,9000,8000', '7001,9001,8001'));
    process.kill(gateway.pid, 'SIGHUP');
    await gateway.wait('reload');
    await opens(['7001', '9001', '8001'], 'tcp');
  });

  it('leaves nothing of ours behind when it is torn down', async () => {
    const gateway = await host.run(doors);
    await gateway.end();
    const line = ['--knockd', host.path('knockd.conf'), '--teardown', '--state', host.path('none')];
    await host.world.gateway.must(process.execPath, [...programArgs('portknockd'), ...line]);
    assert.doesNotMatch(await host.world.gateway.must('iptables-save', []), /PORTKNOCK|PK-/u);
    assert.match(await host.world.gateway.must('iptables-save', []), /--dport 22 -j REJECT/u);
  });

  it('has one-time sequences that open once each, in order, to the last one, across a kill and a lost state', async () => {
    const list = [' 71:icmp', ' 7100,9100,8100', '5100,6200:udp,4300', '# 1,9,5', ' 31,29,33'];
    await writeFile(host.path('once'), list.join('\n'), { mode: 0o600 });
    const text = [
      ...['[once]', `one_time_sequences = ${host.path('once')}`, 'tcpflags = syn'],
      ...[`command = ${rule('A')}`, doors],
    ].join('\n');
    const control = ['2200:udp', '1100:udp', '3300:udp'];
    const [first, second, third] = [
      ['7100', '9100', '8100'],
      ['5100', '6200:udp', '4300'],
      ['31', '29', '33'],
    ];
    let gateway = await host.run(text, [], 'once-state');
    await opensNothing(second, control);
    await opens(first, 'once');
    await host.knock(first);
    assert.deepEqual(
      [(await gateway.wait('reject')).reason, (await gateway.wait('reject')).client],
      ['replayed', 'once'],
    );
    // knockd 0.8 marks the malformed line, and takes the first sequence again.
    assert.equal((await readFile(host.path('once'), 'utf8')).split('\n')[0], list[0]);
    await gateway.end('SIGKILL');
    gateway = await host.run(text, [], 'once-state');
    await opensNothing(first, control);
    await opens(second, 'once');
    await gateway.end('SIGKILL');
    gateway = await host.run(text, [], 'another-state');
    await opensNothing(second, control);
    await opens(third, 'once');
    // knockd 0.8 aborts here.
    await opensNothing(third, control);
    const marked = [' 71:icmp', '#7100,9100,8100', '#5100,6200:udp,4300', '# 1,9,5', '#31,29,33'];
    assert.equal(await readFile(host.path('once'), 'utf8'), marked.join('\n'));
    assert.equal(gateway.of('error').length, 0);
  });
});

/** What real knockd prints of a configuration, before it fails for want of an interface. */
function knockdSays(path: string): string {
  const { stdout, stderr } = spawnSync('knockd', ['-D', '-i', 'absent0', '-c', path], { encoding: 'utf8' });
  return stdout + stderr;
}
