// The peers of the `connect` benchmark: real knockd and fwknopd with a port of their own to open, as their documentation
// has it, and what their users type.

import { randomBytes } from 'node:crypto';
import { spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { World } from '../test/support/netns.ts';
import { must } from './bench.ts';

/** A way to connect, started by a shell line on the client's side; `close` makes the port shut again. */
export interface Peer {
  readonly name: string;
  readonly line: string;
  close(): Promise<void>;
  stop(): Promise<void>;
}

export const KNOCKD_PORT = 2023;
export const FWKNOP_PORT = 2024;
const SEQUENCE = '7000 8000 9000';

export function isInstalled(program: string): boolean {
  return spawnSync('sh', ['-c', 'command -v "$1"', 'sh', program]).status === 0;
}

export async function knockd(world: World, folder: string): Promise<Peer> {
  const config = join(folder, 'knockd.conf');
  const accept = (flag: string): string =>
    `/usr/sbin/iptables ${flag} INPUT -s %IP% -p tcp --dport ${KNOCKD_PORT} -j ACCEPT`;
  await writeFile(
    config,
    [
      ...['[options]', `  Interface = ${world.device}`, `  PidFile = ${folder}/knockd.pid`],
      ...['[open]', `  sequence = ${SEQUENCE.replaceAll(' ', ',')}`, '  seq_timeout = 5', '  tcpflags = syn'],
      ...[`  command = ${accept('-I')}`, ''],
    ].join('\n'),
  );
  await shut(world, KNOCKD_PORT);
  const daemon = await sniffer(world, 'knockd', ['-c', config, '-i', world.device]);
  const host = world.address[4];
  return {
    name: 'knock HOST PORTS && nc (knockd)',
    line: `knock ${host} ${SEQUENCE} && exec nc -d ${host} ${KNOCKD_PORT}`,
    async close() {
      await world.gateway.must('iptables', [
        ...['-D', 'INPUT', '-s', world.client[4], '-p', 'tcp'],
        ...['--dport', String(KNOCKD_PORT), '-j', 'ACCEPT'],
      ]);
    },
    stop: () => ended(daemon),
  };
}

export async function fwknopd(world: World, folder: string): Promise<Peer> {
  const [key, hmac] = [randomBytes(32).toString('base64'), randomBytes(64).toString('base64')];
  const file = (name: string): string => join(folder, name);
  const write = (name: string, lines: readonly string[]): Promise<void> =>
    writeFile(file(name), `${lines.join('\n')}\n`, { mode: 0o600 });
  await write('access.conf', [
    ...['SOURCE ANY', `OPEN_PORTS tcp/${FWKNOP_PORT}`, `KEY_BASE64 ${key}`, `HMAC_KEY_BASE64 ${hmac}`],
    'FW_ACCESS_TIMEOUT 30',
  ]);
  await write('fwknopd.conf', [
    ...[`PCAP_INTF ${world.device};`, 'ENABLE_PCAP_PROMISC N;', `FWKNOP_RUN_DIR ${folder};`],
    ...[`FWKNOP_PID_FILE ${file('fwknopd.pid')};`, `DIGEST_FILE ${file('digest')};`],
  ]);
  const host = world.address[4];
  await write('fwknoprc', [
    ...['[gw]', `ACCESS tcp/${FWKNOP_PORT}`, `ALLOW_IP ${world.client[4]}`, `SPA_SERVER ${host}`],
    ...[`KEY_BASE64 ${key}`, `HMAC_KEY_BASE64 ${hmac}`, 'USE_HMAC Y'],
  ]);
  await shut(world, FWKNOP_PORT);
  const args = ['-f', '-c', file('fwknopd.conf'), '-a', file('access.conf')];
  const daemon = await sniffer(world, 'fwknopd', args);
  return {
    name: 'fwknop -n GATEWAY && nc (fwknopd)',
    line: `fwknop --rc-file ${file('fwknoprc')} --no-save-args -n gw >/dev/null && exec nc -d ${host} ${FWKNOP_PORT}`,
    async close() {
      await world.gateway.must('iptables', ['-F', 'FWKNOP_INPUT']);
    },
    stop: () => ended(daemon),
  };
}

async function shut(world: World, port: number): Promise<void> {
  await world.gateway.must('iptables', ['-A', 'INPUT', '-p', 'tcp', '--dport', String(port), '-j', 'DROP']);
}

/** They do not say when they are ready: one more packet socket is bound and running then. */
async function sniffer(world: World, program: string, args: readonly string[]): Promise<ChildProcess> {
  const sockets = async (): Promise<number> => {
    const list = await world.gateway.must('cat', ['/proc/net/packet']);
    return list.match(/^\S+ +\S+ +\S+ +\S+ +[1-9]\d* +1 /gmu)?.length ?? 0;
  };
  const before = await sockets();
  const daemon = world.gateway.spawn(program, args, { stdio: 'ignore' });
  for (let tries = 0; (await sockets()) <= before; tries += 1) {
    must(tries < 200, `${program} listens`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return daemon;
}

async function ended(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null || daemon.signalCode !== null) return;
  const gone = once(daemon, 'exit');
  daemon.kill('SIGTERM');
  await gone;
}
