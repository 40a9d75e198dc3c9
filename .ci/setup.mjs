// Makes a fresh clone ready: npm packages, Debian packages (as root; otherwise it says which are missing and
// goes on), and pcap's native part. Silent when there is nothing to do. Plain Node: it runs before npm has.
// Usage: node .ci/setup.mjs [--for demo|test]. Exits non-zero only when nothing at all can run without it.

import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const isRoot = process.getuid?.() === 0;

// Debian package; what to look for where there is no dpkg; needed by the demo as well as by the tests?
const packages = [
  ['iptables', 'iptables', 'demo'],
  ['nftables', 'nft'],
  ['conntrack', 'conntrack'],
  ['knockd', 'knock'],
  ['nmap', 'nmap', 'demo'],
  ['hping3', 'hping3'],
  ['tcpreplay', 'tcpreplay'],
  ['openssh-server', 'sshd', 'demo'],
  ['openssh-client', 'ssh', 'demo'],
  ['tcpdump', 'tcpdump'],
  ['libpcap-dev', '/usr/include/pcap.h', 'demo'],
  ['iproute2', 'ip', 'demo'],
  ['procps', 'sysctl', 'demo'],
  ['netcat-openbsd', 'nc'],
  ['util-linux', 'unshare', 'demo'],
  ['fwknop-client', 'fwknop'],
  ['fwknop-server', 'fwknopd'],
  ['rsync', 'rsync'],
  ['zsh', 'zsh'],
  ['mandoc', 'mandoc'],
  ['groff-base', 'groff'],
  ['curl', 'curl'],
  ['systemd', '/lib/systemd/systemd'],
  ['python3', 'python3', 'demo'],
  ['make', 'make', 'demo'],
  ['g++', 'g++', 'demo'],
];
const compiler = ['libpcap-dev', 'python3', 'make', 'g++'];
// Debian starts and enables these when it installs them; nobody asked for that here.
const services = { 'openssh-server': ['ssh'], knockd: ['knockd'], 'fwknop-server': ['fwknop-server'] };

main();

function main() {
  const { values } = parseArgs({ options: { for: { type: 'string', default: 'test' } } });
  if (values.for !== 'demo' && values.for !== 'test') fail(`--for takes demo or test, got ${values.for}`);
  checkNode();
  installNpmPackages();
  const wanted = packages.filter(([, , demo]) => values.for === 'test' || demo === 'demo');
  const missing = installDebianPackages(missingOf(wanted), values.for);
  buildPcap(missing);
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  fail(`node is ${process.versions.node}, but 20.19 or newer is needed`);
}

// --- npm ---

function installNpmPackages() {
  if (npmPackagesFit()) return;
  say('installing the npm packages of package-lock.json');
  const { status } = npm(['ci', '--ignore-scripts', '--no-audit', '--no-fund'], 'inherit');
  if (status !== 0) fail('npm ci failed, see above');
}

// By content, not by date: a checkout changes dates, and npm ci throws away what others may be using.
function npmPackagesFit() {
  const wanted = readLock('package-lock.json');
  const present = readLock('node_modules/.package-lock.json');
  if (wanted === null) fail('package-lock.json is missing or damaged');
  if (present === null) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true;
    const found = present[path];
    return found === undefined
      ? entry.optional === true || entry.peer === true
      : found.version === entry.version;
  });
}

function readLock(name) {
  try {
    return JSON.parse(readFileSync(join(root, name), 'utf8')).packages;
  } catch {
    return null;
  }
}

// --- Debian ---

function missingOf(list) {
  const names = list.map(([name]) => name);
  const query = run('dpkg-query', ['--show', '--showformat', '${Package} ${db:Status-Status}\n', ...names]);
  if (query.error) return list.filter(([, probe]) => !isPresent(probe)).map(([name]) => name);
  const installed = new Set();
  for (const line of query.stdout.split('\n')) {
    const [name, status] = line.split(' ');
    if (status === 'installed') installed.add(name);
  }
  return names.filter((name) => !installed.has(name));
}

function isPresent(probe) {
  if (probe.startsWith('/')) return existsSync(probe);
  const path = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return path.some((folder) => isExecutable(join(folder, probe)));
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function installDebianPackages(missing, purpose) {
  if (missing.length === 0) return [];
  if (!isRoot || !isPresent('apt-get')) {
    say(`these Debian packages are missing: ${missing.join(' ')}`);
    say(`what needs them is left out; to install them: ${aptCommand(missing)}`);
    return missing;
  }
  say(`installing Debian packages for the ${purpose}: ${missing.join(' ')}`);
  withoutServiceStart(() => {
    apt(['update']);
    if (apt(['install', ...missing]).status === 0) return;
    // One that this release lacks must not keep the others out.
    for (const name of missing) apt(['install', name]);
  });
  const still = missingOf(packages.filter(([name]) => missing.includes(name)));
  disableServices(missing.filter((name) => !still.includes(name)));
  if (still.length > 0) say(`could not install: ${still.join(' ')} (what needs them is left out)`);
  return still;
}

function aptCommand(names) {
  return `${isRoot ? '' : 'sudo '}apt-get install -y --no-install-recommends ${names.join(' ')}`;
}

function apt(args) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_SUSPEND: '1' };
  const options = ['-qq', '-y', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=120'];
  const result = run('apt-get', [...options, ...args], { env });
  if (result.status !== 0) say(`apt-get ${args.join(' ')} failed: ${lastLine(result.stderr)}`);
  return result;
}

// Maintainer scripts ask policy-rc.d before they start a service; ours exists only while apt runs. A left-over
// of a run that was killed is recognised by its mark, and any other file there is the administrator's.
function withoutServiceStart(work) {
  const file = '/usr/sbin/policy-rc.d';
  const text = '#!/bin/sh\n# portknock .ci/setup.mjs: temporary\nexit 101\n';
  const ours = !existsSync(file) || readFileSync(file, 'utf8') === text;
  if (ours) writeFileSync(file, text, { mode: 0o755 });
  // spawnSync holds these back until apt, which gets a Ctrl-C too, has ended; then `finally` runs.
  const ignore = () => undefined;
  process.on('SIGINT', ignore);
  process.on('SIGTERM', ignore);
  try {
    work();
  } finally {
    if (ours) rmSync(file, { force: true });
    process.off('SIGINT', ignore);
    process.off('SIGTERM', ignore);
  }
}

// With Debian's own helpers: they work where systemd is not running, or not there, as in a container.
function disableServices(installed) {
  const found = installed.flatMap((name) => services[name] ?? []);
  if (found.length === 0) return;
  for (const name of found) {
    run('deb-systemd-helper', ['disable', `${name}.service`]);
    run('update-rc.d', [name, 'disable']);
  }
  say(`left disabled, as nobody asked for it: ${found.join(' ')}`);
}

// --- pcap ---

function buildPcap(missing) {
  if (pcapLoads()) return;
  const needed = compiler.filter((name) => missing.includes(name));
  if (needed.length > 0) {
    say(`pcap is not built, live capture will not work (needs ${needed.join(' ')})`);
    return;
  }
  say("building pcap's native part");
  const headers = dirname(dirname(process.execPath));
  const env = { ...process.env };
  // The headers beside this node spare node-gyp a download; newer npm passes on only the second name.
  if (existsSync(join(headers, 'include/node/node.h'))) {
    env.npm_config_nodedir ??= headers;
    env.npm_package_config_node_gyp_nodedir ??= headers;
  }
  const { stderr } = npm(['rebuild', 'pcap', '--ignore-scripts=false'], 'pipe', env);
  if (pcapLoads()) return;
  say(
    `pcap could not be built, live capture will not work: ${firstProblem(stderr)} (to see all: npm rebuild pcap)`,
  );
}

// In a process of its own: native code of another Node version may do worse than throw.
function pcapLoads() {
  return run(process.execPath, ['-e', "require('pcap')"]).status === 0;
}

function firstProblem(text) {
  const line = text.split('\n').find((each) => /\berror\b.*:|not found|ENOENT|EACCES/iu.test(each));
  return (line ?? lastLine(text)).trim();
}

// --- processes ---

function npm(args, stdio, env = process.env) {
  const script = process.env.npm_execpath;
  const [file, first] = script?.endsWith('.js') ? [process.execPath, [script]] : ['npm', []];
  return run(file, [...first, ...args], { stdio: ['ignore', stdio, stdio], env });
}

function run(file, args, options) {
  const result = spawnSync(file, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
  });
  return { ...result, stdout: result.stdout ?? '', stderr: result.stderr ?? '' };
}

function lastLine(text) {
  return text.trim().split('\n').at(-1) ?? '';
}

function say(text) {
  console.error(`setup: ${text}`);
}

function fail(text) {
  say(text);
  process.exit(1);
}
