// Bad input of every kind: one clear line, exit 2, nothing half done. On a real kernel, so that "nothing" can be seen:
// the firewall's rules before and after are the same (attack 23).

import assert from 'node:assert/strict';
import { chmod, cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { configFor, Site } from '../support/gateway.ts';
import { createWorld, type Finished, type World } from '../support/netns.ts';
import { programArgs } from '../support/programs.ts';
import { describeInNamespaces } from './support.ts';

describeInNamespaces('a gateway that cannot start', function () {
  this.timeout(60_000);
  let world: World;
  let site: Site;
  let folder: string;

  before(async () => {
    world = await createWorld();
    folder = await mkdtemp(join(tmpdir(), 'portknock-bad-'));
    await chmod(folder, 0o755);
  });

  beforeEach(async () => {
    site = await Site.create(world, configFor());
  });

  afterEach(() => site.remove());

  after(async () => {
    await world.destroy();
    await rm(folder, { recursive: true });
  });

  const rules = async (): Promise<string> => {
    const saves = [
      'iptables-nft-save',
      'ip6tables-nft-save',
      'iptables-legacy-save',
      'ip6tables-legacy-save',
    ];
    const texts = await Promise.all(saves.map((save) => world.gateway.must(save, ['-t', 'filter'])));
    return texts.join('\n').replace(/^#.*$|\[\d+:\d+\]/gmu, '');
  };

  interface Start {
    readonly node?: readonly string[];
    readonly before?: readonly string[];
    readonly path?: string;
  }

  const start = async ({
    node = [],
    before = [],
    path = process.env.PATH ?? '',
  }: Start = {}): Promise<Finished> => {
    const program = [
      process.execPath,
      ...node,
      ...programArgs('portknockd'),
      '--user',
      'root',
      '--config',
      site.config,
    ];
    return world.gateway.run('env', [`PATH=${path}`, ...before, ...program], { timeoutMs: 20_000 });
  };

  /** Starts it, and checks that it said one line, with exit code 2, and left the firewall alone. */
  const refused = async (expected: RegExp, how: Start = {}): Promise<void> => {
    const earlier = await rules();
    const { status, stdout, stderr } = await start(how);
    assert.match(stderr, expected);
    assert.deepEqual(stderr.trim().split('\n').length, 1, `one line, got: ${stderr}`);
    assert.equal(status, 2, stderr);
    assert.equal(stdout, '');
    assert.equal(await rules(), earlier);
  };

  it('names an unknown key, with its place', async () => {
    await site.write(`gateway: gw\ninterface: gw0\nstate_dir: state\n${configFor()}prot: true\n`);
    await refused(/portknockd\.yaml:\d+:1: .*prot.*\(.+\)/u);
  });

  it('names a bad port, with its place', async () => {
    await site.write(
      `gateway: gw\ninterface: gw0\nstate_dir: state\n${configFor().replace('port: 22', 'port: 70000')}`,
    );
    await refused(/portknockd\.yaml:6:\d+: .*70000.*\(.+\)/u);
  });

  it('refuses a secret that others can read', async () => {
    await chmod(site.config, 0o644);
    await refused(/portknockd\.yaml:\d+:\d+: .*(?:read|mode|0600).*\(.+\)/u);
  });

  it('refuses a short secret', async () => {
    await site.write(
      `gateway: gw\ninterface: gw0\nstate_dir: state\n${configFor().replace(/secret: "[^"]+"/u, 'secret: "c2hvcnQ="')}`,
    );
    await refused(/portknockd\.yaml:\d+:\d+: .*(?:short|16).*\(.+\)/u);
  });

  it('names a missing secret file', async () => {
    await site.write(
      `gateway: gw\ninterface: gw0\nstate_dir: state\n${configFor().replace(/secret: "[^"]+"/u, 'secret_file: none.key')}`,
    );
    await refused(/portknockd\.yaml:\d+:\d+: .*none\.key.*\(.+\)/u);
  });

  it('names a missing configuration', async () => {
    await rm(site.config);
    await refused(/portknockd\.yaml.* there is no such file \(.+\)/u);
  });

  it('says all that is wrong at once', async () => {
    await site.write(
      `gateway: gw\ninterface: gw0\nstate_dir: state\n${configFor().replace('port: 22', 'port: 70000')}prot: 1\n`,
    );
    const { status, stderr } = await start();
    assert.equal(status, 2);
    assert.equal(stderr.trim().split('\n').length, 2, stderr);
  });

  it('names an interface that does not exist', async () => {
    await site.write(`gateway: gw\ninterface: nope7\nstate_dir: state\n${configFor()}`);
    await refused(/interface nope7 does not exist \(.+\)/u);
  });

  it('says when pcap is not installed', async () => {
    await refused(/package pcap is not installed \(.+\)/u, { node: ['--import', await pcapFrom('absent')] });
  });

  it('says when pcap is installed but not built', async () => {
    await refused(/package pcap is installed but not built \(.+\)/u, {
      node: ['--import', await pcapFrom('unbuilt')],
    });
  });

  it('says when it may not capture', async () => {
    await refused(/interface gw0 may not be captured \(.+\)/u, {
      before: ['setpriv', '--bounding-set=-net_raw', '--inh-caps=-net_raw'],
    });
  });

  it('says when it may not change the firewall', async () => {
    await refused(/may not change the firewall.*\(.+\)/u, {
      before: ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin'],
    });
  });

  it('says when iptables is not installed', async () => {
    const empty = join(folder, 'empty');
    await mkdir(empty, { recursive: true });
    await refused(/iptables is not installed \(.+\)/u, { path: empty });
  });

  it('takes everything back when iptables fails half-way', async () => {
    const broken = await pathWith(
      'ip6tables-nft-restore',
      '#!/bin/sh\necho "ip6tables-restore: line 4 failed" >&2\nexit 1\n',
    );
    await refused(/ip6tables-nft-restore failed: ip6tables-restore: line 4 failed/u, {
      path: `${broken}:${process.env.PATH ?? ''}`,
    });
  });

  it('notices rules that were taken but do not stand', async () => {
    const broken = await pathWith('iptables-nft-restore', '#!/bin/sh\ncat > /dev/null\nexit 0\n');
    await refused(/INPUT does not start with them \(.+\)/u, { path: `${broken}:${process.env.PATH ?? ''}` });
  });

  it('refuses replay state that it cannot read', async () => {
    await rm(join(site.folder, 'state', 'replay'));
    await symlink('/etc/hostname', join(site.folder, 'state', 'replay'));
    await refused(/state\/replay.*\(.+\)/u);
  });

  /** A module that makes `pcap` look not installed, or installed without its native part. */
  async function pcapFrom(state: 'absent' | 'unbuilt'): Promise<string> {
    const copy = join(folder, 'pcap');
    await cp('node_modules/pcap', copy, {
      recursive: true,
      filter: (path) => !/\/build(?:\/|$)/u.test(path),
    });
    await writeFile(
      join(folder, `${state}-hooks.mjs`),
      `export function resolve(name, context, next) {
        if (name !== 'pcap') return next(name, context);
        return next(${state === 'absent' ? "'portknock-no-such-package'" : JSON.stringify(pathToFileURL(join(copy, 'pcap.js')).href)}, context);
      }`,
    );
    const hook = join(folder, `${state}.mjs`);
    await writeFile(
      hook,
      `import { register } from 'node:module'; register('./${state}-hooks.mjs', import.meta.url);`,
    );
    return pathToFileURL(hook).href;
  }

  async function pathWith(program: string, script: string): Promise<string> {
    const bin = await mkdtemp(join(folder, 'bin-'));
    await writeFile(join(bin, program), script, { mode: 0o755 });
    return bin;
  }
});
