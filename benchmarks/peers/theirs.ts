// The peers as subjects: real knockd and fwknopd as Debian ships them, each with a port to open by iptables as its
// documentation has it. Knocks of fwknop are made by the real client (--save-packet) and sent from C.

import { randomBytes } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { World } from '../../test/support/netns.ts';
import { must } from '../bench.ts';
import {
  createPlace,
  ended,
  familyOf,
  KNOCK_PORT,
  orLeave,
  packetSockets,
  SERVICE_PORT,
  sniffs,
  type Place,
  type Subject,
} from './rig.ts';

export const KNOCKD_SEQUENCE = [7000, 8000, 9000] as const;
export const FWKNOPD_VARIANTS = ['default', 'tuned'] as const;
export type FwknopdVariant = (typeof FWKNOPD_VARIANTS)[number];
/** The fastest that its documentation offers: it looks every millisecond, and at as many packets as there are. */
const TUNED = ['PCAP_DISPATCH_COUNT 1000000;', 'PCAP_LOOP_SLEEP 1000;'];

/** Real knockd with the open command of its manual page. */
export async function knockd(): Promise<Subject> {
  const place = await createPlace('knockd');
  return orLeave(place, () => knockdIn(place));
}

async function knockdIn(place: Place): Promise<Subject> {
  const { world, folder } = place;
  const config = join(folder, 'knockd.conf');
  const lines = [
    '[options]',
    `  Interface = ${world.device}`,
    `  PidFile = ${folder}/knockd.pid`,
    '[open]',
    `  sequence = ${KNOCKD_SEQUENCE.join(',')}`,
    '  seq_timeout = 5',
    '  tcpflags = syn',
    `  command = /usr/sbin/iptables -I INPUT -s %IP% -p tcp --dport ${SERVICE_PORT} -j ACCEPT`,
    '',
  ];
  await writeFile(config, lines.join('\n'));
  const daemon = await start(place, 'knockd', ['-c', config, '-i', world.device]);
  return {
    name: 'knockd',
    schemes: [undefined],
    world,
    command: `knockd -c knockd.conf -i ${world.device}   # ${lines.slice(3).join('').trim().replace(/ {2,}/gu, '; ')}`,
    pid: daemon.pid,
    pids: () => familyOf(daemon.pid),
    knock: async () => KNOCKD_SEQUENCE.map((port) => ({ protocol: 'tcp-syn', port })),
    async shut() {
      await world.gateway.must('iptables', ['-F', 'INPUT']);
      await close(world);
    },
    stop: daemon.stop,
  };
}

/** Real fwknopd, as Debian ships it or with its fastest documented settings. */
export async function fwknopd(variant: FwknopdVariant): Promise<Subject> {
  const place = await createPlace(`fwknopd-${variant}`);
  return orLeave(place, () => fwknopdIn(place, variant));
}

async function fwknopdIn(place: Place, variant: FwknopdVariant): Promise<Subject> {
  const { world, folder } = place;
  const [key, hmac] = [randomBytes(32).toString('base64'), randomBytes(64).toString('base64')];
  const file = (name: string): string => join(folder, name);
  const write = (name: string, lines: readonly string[]): Promise<void> =>
    writeFile(file(name), `${lines.join('\n')}\n`, { mode: 0o600 });
  await mkdir(file('run'));
  await write('access.conf', [
    ...['SOURCE ANY', `OPEN_PORTS tcp/${SERVICE_PORT}`, `KEY_BASE64 ${key}`, `HMAC_KEY_BASE64 ${hmac}`],
    'FW_ACCESS_TIMEOUT 30',
  ]);
  await write('fwknopd.conf', [
    ...[`PCAP_INTF ${world.device};`, `FWKNOP_RUN_DIR ${file('run')};`],
    ...[`FWKNOP_PID_FILE ${file('fwknopd.pid')};`, `DIGEST_FILE ${file('digest')};`],
    ...(variant === 'tuned' ? TUNED : []),
  ]);
  await write('fwknoprc', [
    ...['[gw]', `ACCESS tcp/${SERVICE_PORT}`, `SPA_SERVER ${world.address[4]}`],
    ...[`KEY_BASE64 ${key}`, `HMAC_KEY_BASE64 ${hmac}`, 'USE_HMAC Y'],
  ]);
  const args = ['-f', '-c', file('fwknopd.conf'), '-a', file('access.conf')];
  const daemon = await start(place, 'fwknopd', args);
  let made = 0;
  return {
    name: 'fwknopd',
    variant,
    schemes: [undefined],
    world,
    command: `fwknopd -f -c fwknopd.conf -a access.conf   # ${variant === 'tuned' ? TUNED.join(' ') : 'its defaults'}`,
    pid: daemon.pid,
    pids: () => familyOf(daemon.pid),
    async knock({ source }) {
      const packet = file(`packet-${(made += 1)}`);
      const options = ['--rc-file', file('fwknoprc'), '--no-save-args', '-a', source];
      const { status, stderr } = spawnSync('fwknop', [...options, '-T', '-B', packet, '-n', 'gw']);
      must(status === 0, `fwknop seals a packet: ${String(stderr)}`);
      // The file ends with a line feed, the datagram does not.
      const payload = Buffer.from((await readFile(packet, 'latin1')).trimEnd(), 'latin1');
      return [{ protocol: 'udp', port: KNOCK_PORT, payload }];
    },
    async shut() {
      await world.gateway.must('iptables', ['-F', 'FWKNOP_INPUT']);
    },
    stop: daemon.stop,
  };
}

interface Started {
  readonly pid: number;
  stop(): Promise<void>;
}

async function start(place: Place, program: string, args: readonly string[]): Promise<Started> {
  const { world } = place;
  await close(world);
  const before = await packetSockets(world);
  const daemon = world.gateway.spawn(program, args, { stdio: 'ignore' });
  await sniffs(world, before);
  return {
    pid: daemon.pid ?? 0,
    async stop() {
      await ended(daemon);
      await place.leave();
    },
  };
}

function close(world: World): Promise<string> {
  return world.gateway.must('iptables', [
    '-A',
    'INPUT',
    '-p',
    'tcp',
    '--dport',
    String(SERVICE_PORT),
    '-j',
    'DROP',
  ]);
}
