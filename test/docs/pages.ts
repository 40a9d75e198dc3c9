// What is done with the blocks of each page: where its commands are typed, what has to be there before, which test plays
// them instead. A page with commands and no row here is a failure, and so is a block of a language that nobody checks.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { copyFile, rm, writeFile } from 'node:fs/promises';
import { until } from '../e2e/support.ts';
import type { Machine } from '../support/machine.ts';
import { pcap } from '../support/savefile.ts';
import type { Block } from './blocks.ts';
import { put, type Prepare } from './stage.ts';

export interface Page {
  /** Shell blocks: at two machines; with npm alone, whose scripts have to be there; by another test, named. */
  readonly shell?: 'machines' | 'npm' | { readonly by: string };
  /** Where the commands are typed that do not say where. */
  readonly at?: 'laptop';
  /** Blocks to which another test gives a place of their own, by what they begin with. */
  readonly elsewhere?: readonly (readonly [start: RegExp, by: string])[];
  /** What the page takes to be there already. */
  readonly prepare?: Prepare;
  /** What is so when all is typed. */
  readonly afterwards?: Prepare;
  /** What its reader does between two commands, as its words say. */
  readonly between?: readonly (readonly [before: RegExp, act: Prepare])[];
}

/** What is shown and never typed: configurations of others, and what a program prints. */
export const SHOWN: Readonly<Record<string, string | null>> = {
  text: null,
  // Imported by their own test.
  ini: 'test/config/migration-pages.test.ts',
  // Taken apart by its own.
  log: 'test/cli/log-line.test.ts',
  conf: 'test/config/migration-pages.test.ts',
  ssh_config: null,
};

/** A gateway with alice, as after the README. */
const asAfterTheReadme: Prepare = (stage) => stage.configure();
const asWhileItRuns: Prepare = async (stage) => {
  await stage.configure();
  await stage.gatewayRuns();
};

/** Alice knocks, and the gateway has heard of it. */
const aliceKnocks: Prepare = async ({ gateway, laptop }) => {
  await laptop.must('portknock send -p alice.knock ssh');
  await grantOf(gateway, 'alice');
};

/** The row that the gateway has of a client that has knocked: what the knock sets going takes its time. */
export const grantOf = (gateway: Machine, client: string): Promise<string> =>
  until(`${client} has a grant`, async () => {
    const { stdout } = await gateway.must('portknock grants');
    return stdout.split('\n').find((row) => row.includes(` ${client} `));
  });

/** Takes back what is open: a client that is slow to get in knocks again, and nobody uses what that has opened. */
export const takeBack = async (gateway: Machine): Promise<void> => {
  const { stdout } = await gateway.must('portknock grants --json');
  // One that ends meanwhile is no loss.
  for (const line of stdout.split('\n').filter((each) => each !== ''))
    await gateway.sh(`portknock revoke ${(JSON.parse(line) as { id: string }).id}`);
};

/** Openings stay open while a page is typed. */
const asLongOpen = (text: string): string => text.replace('open_for: 30s', 'open_for: 10m');

/** And alice has knocked. */
const asWithAGrant: Prepare = async (stage) => {
  await stage.configure(asLongOpen);
  await stage.gatewayRuns();
  await aliceKnocks(stage);
};

/** A gateway from before there was an account, with something open. */
const asOneProcess: Prepare = async (stage) => {
  await stage.configure((text) => asLongOpen(text.replace(/^user:.*\n/mu, '')));
  // Its number is that of other machines' too, and they may run.
  await stage.gateway.must('userdel --force portknock && chown -R root: /var/lib/portknock');
  await stage.gatewayRuns();
  await aliceKnocks(stage);
};

/** In place of systemctl. */
const startedAnew: Prepare = async (stage) => {
  await stage.gatewayStops();
  await stage.gatewayRuns();
};

const inTwoHalves: Prepare = async (stage) => {
  const { stdout } = await stage.gateway.must('stat -c %U /var/lib/portknock/*');
  assert.deepEqual(new Set(stdout.trim().split('\n')), new Set(['portknock']));
  // What was open when there was one process.
  assert.match((await stage.gateway.must('portknock grants')).stdout, / alice /u);
  await stage.gatewayStops();
};

/** systemctl is a stand-in: systemd has said that it runs, the rest is real. */
const asUnderSystemd: Prepare = async (stage) => {
  await stage.configure();
  // A /run of its own; sshd needs its part of it.
  await stage.gateway.must('mount -t tmpfs tmpfs /run && mkdir -p /run/sshd /run/systemd/system');
  await rm(stage.gateway.etc('sysusers.d/portknock.conf'), { force: true });
};

/** The grant is there, and goes as the page says. */
const theGrantIsTakenBack: Prepare = async ({ gateway }) => {
  const row = await grantOf(gateway, 'alice');
  assert.match(row, /^[0-9a-f]{8} +alice +ssh +22\/tcp .*unused$/u);
  await gateway.must(`portknock revoke ${row.slice(0, 4)}`);
  assert.doesNotMatch((await gateway.must('portknock grants')).stdout, /alice/u);
};

/** What systemctl would have started, and whom it belongs to. */
const theServiceIsThere: Prepare = async ({ gateway }) => {
  const unit = readFileSync(gateway.etc('systemd/system/portknockd.service'), 'utf8');
  assert.match(unit, /^User=portknock$/mu);
  assert.match(unit, /^ExecReload=.*portknock.* reload\b/mu);
  const log = readFileSync(gateway.path('stand-ins.log'), 'utf8');
  assert.match(log, /systemctl daemon-reload\n[^]*systemctl enable --now portknockd\n/u);
  const [owner] = (await gateway.must('stat -c %U:%a /var/lib/portknock')).stdout.split('\n');
  assert.equal(owner, 'portknock:700');
};

const CONFIG = 'portknock/portknockd.yaml';
const FWKNOP_KEYS = [
  `KEY_BASE64 ${Buffer.alloc(32, 1).toString('base64')}`,
  `HMAC_KEY_BASE64 ${Buffer.alloc(32, 2).toString('base64')}`,
];

/** What an imported configuration wants before it can have clients that sign. */
const nameTheGateway: Prepare = async ({ gateway }) => {
  const file = gateway.etc(CONFIG);
  await put(gateway.etc('portknock/gateway.key'), `${Buffer.alloc(32, 9).toString('base64')}\n`);
  const text = readFileSync(file, 'utf8').replace(/^gateway:.*\n/mu, '');
  await writeFile(file, `gateway: gw.example\naccess_key_file: gateway.key\n${text}`);
};

/** Before or after a knock. */
const isHidden: Prepare = async ({ gateway, laptop }) => {
  await takeBack(gateway);
  assert.equal((await laptop.sh('ssh -o ConnectTimeout=1 root@gw.example true')).status, 255);
};

/** In ten minutes, or now: what systemd-run was given takes the rules out, also while the daemon runs. */
const theSwitchWorks: Prepare = async (stage) => {
  const { gateway, laptop } = stage;
  const log = readFileSync(gateway.path('stand-ins.log'), 'utf8');
  const [, command = 'false'] = /systemd-run --on-active=\S+ --unit=\S+ (.*)/u.exec(log) ?? [];
  await isHidden(stage);
  await gateway.must(command);
  await laptop.must('ssh root@gw.example true');
  assert.doesNotMatch((await gateway.must('iptables-save')).stdout, /portknock/iu);
};

const lockedOut: Prepare = async (stage) => {
  await stage.gatewayRuns();
  await isHidden(stage);
};

const backIn: Prepare = async ({ gateway, laptop }) => {
  await laptop.must('ssh root@gw.example true');
  for (const save of ['iptables-save', 'ip6tables-save'])
    assert.doesNotMatch((await gateway.must(save)).stdout, /portknock|PK-/iu);
};

const aKnockOpens: Prepare = async (stage) => {
  await isHidden(stage);
  const proxy = "ProxyCommand='portknock connect -p alice.knock %h %p'";
  await stage.laptop.must(`ssh -o ${proxy} root@gw.example true`);
};

export const PAGES: Readonly<Record<string, Page>> = {
  'README.md': {
    shell: 'npm',
    elsewhere: [
      [/^(?:scp|ssh|npm install|portknockd) /u, 'test/docs/typed.test.ts'],
      [/^ssh-keygen /u, 'test/docs/programs.test.ts'],
    ],
  },
  'docs/benchmarks.md': { shell: 'npm', elsewhere: [[/--rounds/u, 'benchmarks/peers/docs.ts']] },
  'docs/explain.md': {
    shell: 'machines',
    prepare: asAfterTheReadme,
  },
  'docs/containers.md': { shell: 'machines', prepare: asAfterTheReadme, afterwards: aKnockOpens },
  'docs/firewalls.md': {
    shell: 'machines',
    prepare: asAfterTheReadme,
    between: [
      [/^systemctl stop/u, theSwitchWorks],
      [/^iptables-save/u, lockedOut],
      [/^nft list/u, backIn],
    ],
  },
  'docs/ipv6.md': { shell: 'machines', prepare: asWhileItRuns },
  'docs/nat.md': { shell: 'machines', prepare: asWhileItRuns },
  'docs/gate.md': { elsewhere: [[/^import /u, 'test/consumer/gate-page.test.ts']] },
  'docs/monitoring.md': {
    shell: 'machines',
    elsewhere: [
      [/^\[Definition\]/u, 'test/cli/log-line.test.ts'],
      // Prometheus' own configuration, not portknockd's.
      [/^# (?:prometheus|portknock\.rules)\.yml\n/u, 'test/cli/dashboard.test.ts'],
    ],
    prepare: asWithAGrant,
    afterwards: theGrantIsTakenBack,
  },
  'docs/releasing.md': { shell: { by: 'test/docs/releasing.test.ts' } },
  'docs/service.md': { shell: 'machines', prepare: asUnderSystemd, afterwards: theServiceIsThere },
  'docs/upgrading.md': {
    shell: 'machines',
    prepare: asOneProcess,
    between: [
      [/^systemctl restart/u, startedAnew],
      [/^systemctl stop/u, inTwoHalves],
      [/^systemctl start/u, (stage) => stage.gatewayRuns()],
    ],
    afterwards: async (stage) => {
      // What was open before all that.
      await stage.laptop.must('ssh root@gw.example true');
      await aKnockOpens(stage);
    },
  },
  'docs/from-fwknop.md': {
    shell: 'machines',
    prepare: async ({ gateway, laptop, world }) => {
      const access = ['SOURCE ANY', 'OPEN_PORTS tcp/22', ...FWKNOP_KEYS, ''];
      await put(gateway.etc('fwknop/access.conf'), access.join('\n'));
      await put(gateway.etc('fwknop/fwknopd.conf'), 'PCAP_INTF eth0;\n');
      await writeFile(gateway.path('capture.pcap'), pcap([]));
      const server = [`SPA_SERVER ${world.address[4]}`, `ALLOW_IP ${world.client[4]}`, 'ACCESS tcp/22'];
      const stanza = ['[gw]', ...server, ...FWKNOP_KEYS, 'USE_HMAC Y', ''];
      await put(laptop.path('.fwknoprc'), stanza.join('\n'));
    },
    between: [[/add-client/u, nameTheGateway]],
  },
  'docs/from-knockd.md': {
    shell: 'machines',
    prepare: async ({ gateway }) => {
      // Debian's own, whatever this host has made of it.
      const door = ['[openSSH]', 'sequence = 7000,8000,9000', 'seq_timeout = 5', 'tcpflags = syn'];
      const command = 'command = /sbin/iptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT';
      await put(gateway.etc('knockd.conf'), [...door, command, ''].join('\n'));
    },
    between: [[/add-client/u, nameTheGateway]],
  },
  'examples/deploy-pipeline/README.md': { shell: { by: 'test/e2e/deploy-pipeline.test.ts' } },
  'examples/custom-driver/README.md': { shell: { by: 'test/consumer/examples.test.ts' } },
  'examples/express-admin/README.md': { shell: { by: 'test/consumer/examples.test.ts' } },
  'examples/fastify/README.md': { shell: { by: 'test/consumer/examples.test.ts' } },
  'examples/ssh-config/README.md': {
    shell: 'machines',
    at: 'laptop',
    prepare: async (stage) => {
      await stage.configure();
      await stage.gatewayRuns();
      const text = readFileSync('examples/ssh-config/README.md', 'utf8');
      const host = /^```ssh_config\n([^]*?)^```/mu.exec(text)?.[1] ?? '';
      const { laptop } = stage;
      await copyFile(laptop.path('alice.knock'), laptop.path('.ssh/gw.knock'));
      await put(laptop.path('.ssh/config'), `${host}\n${readFileSync(laptop.path('.ssh/config'), 'utf8')}`);
    },
  },
};

/** Which test plays a block in place of the page's own way; `null`: none. */
export function playedBy(block: Block): string | null {
  const { shell, elsewhere = [] } = PAGES[block.page] ?? {};
  const named = elsewhere.find(([start]) => start.test(block.text));
  if (named !== undefined) return named[1];
  return typeof shell === 'object' ? shell.by : null;
}
