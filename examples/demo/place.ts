// Where the demo can play: which programs are there, whether namespaces may be made, and how.

import { spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Programs by the Debian package that has them. */
const PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  'util-linux': ['unshare', 'nsenter', 'setpriv', 'mount'],
  iproute2: ['ip'],
  procps: ['sysctl'],
  iptables: ['iptables'],
  'openssh-server': ['sshd'],
  'openssh-client': ['ssh', 'ssh-keygen'],
  nmap: ['nmap'],
};

/** What the demo does in its namespaces, tried out in some that end at once. */
const TRIAL = [
  'set -e',
  'mount -t tmpfs tmpfs /run',
  'ip link set lo up',
  'ip link add pk0 type veth peer name pk1',
  'iptables -A INPUT -p udp -m recent --name pk --set -m conntrack --ctstate NEW -m connmark --mark 1',
].join('\n');

export type Place =
  | { readonly kind: 'namespaces'; readonly unshare: readonly string[] }
  | { readonly kind: 'loopback'; readonly why: string };

export function findPlace(): Place {
  if (process.env.PORTKNOCK_DEMO === 'loopback') return { kind: 'loopback', why: 'PORTKNOCK_DEMO says so' };
  if (process.platform !== 'linux') return { kind: 'loopback', why: 'network namespaces need Linux' };
  const missing = Object.keys(PROGRAMS).filter((name) => !(PROGRAMS[name] ?? []).every(isInstalled));
  if (missing.length > 0) {
    const advice = `apt-get install ${missing.join(' ')}`;
    return {
      kind: 'loopback',
      why: `missing ${missing.length === 1 ? 'is' : 'are'} ${missing.join(', ')} (${advice})`,
    };
  }
  if (spawnSync(process.execPath, ['-e', "require('pcap')"], { cwd: import.meta.dirname }).status !== 0) {
    return {
      kind: 'loopback',
      why: 'the npm package pcap is not built (apt-get install libpcap-dev g++ make python3)',
    };
  }
  return tryNamespaces();
}

/** Whether only one user exists in our user namespace, so that no process can become another. */
export function isOneUser(): boolean {
  const [line = '', ...more] = readFileSync('/proc/self/uid_map', 'latin1').trim().split('\n');
  return more.length === 0 && line.trim().split(/\s+/u)[2] === '1';
}

function tryNamespaces(): Place {
  const isRoot = process.getuid?.() === 0;
  let why = '';
  // A container's root may lack the right that its user namespace would give it.
  for (const unshare of isRoot ? [['-nm'], ['-rnm']] : [['-rnm']]) {
    const { status, stderr } = spawnSync('unshare', [...unshare, 'sh', '-c', TRIAL], { encoding: 'utf8' });
    if (status === 0) return { kind: 'namespaces', unshare };
    why = stderr.trim().split('\n')[0] ?? '';
  }
  return { kind: 'loopback', why };
}

export function isInstalled(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
