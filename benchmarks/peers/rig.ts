// The stage of the comparison: for each daemon a gateway and a client of its own, two network namespaces with a veth
// pair, and real processes in them. A subject is one daemon that runs; its knocks are made ahead and sent from C.

import { spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createWorld, finished, type World } from '../../test/support/netns.ts';
import { must } from '../bench.ts';
import { workFolder } from '../machine.ts';

/** One packet of a knock: a datagram, or a bare SYN. */
export type Packet =
  | { readonly protocol: 'udp'; readonly port: number; readonly payload: Uint8Array }
  | { readonly protocol: 'tcp-syn'; readonly port: number };

/** A daemon that runs, guarding {@link SERVICE_PORT} of its own gateway. */
export interface Subject {
  /** `portknock`, `knockd`, `fwknopd`. */
  readonly name: string;
  readonly driver?: string;
  /** Of fwknopd: `default`, `tuned`. */
  readonly variant?: string;
  /** The schemes that {@link Subject.knock} knows; one nameless for a peer. */
  readonly schemes: readonly (string | undefined)[];
  readonly world: World;
  /** How it was started, for the page. */
  readonly command: string;
  /** The daemon's own process. */
  readonly pid: number;
  /** The daemon and all that it started and still runs: the capture process, `nft -i`. */
  pids(): number[];
  /** A fresh knock that opens {@link SERVICE_PORT} for `source`. It works once, and soon. */
  knock(options: KnockOptions): Promise<readonly Packet[]>;
  /** How many knocks opened something so far; only ours says so. */
  granted?(): number;
  /** Closes what was opened and not used up, for all sources. */
  shut(): Promise<void>;
  stop(): Promise<void>;
}

export interface KnockOptions {
  readonly source: string;
  readonly scheme?: string | undefined;
}

/** A daemon's place: its namespaces, with a service that listens, and a folder for its files. */
export interface Place {
  readonly world: World;
  readonly folder: string;
  leave(): Promise<void>;
}

export const SERVICE_PORT = 2022;
/** Where both kinds of SPA knocks go. */
export const KNOCK_PORT = 62_201;
/** The client's address, and more of them: {@link sourceOf}. */
const SOURCES = 250;
/** Ends with us, however we end. */
const LISTEN =
  "process.stdin.on('end', () => process.exit()).resume(); require('node:net').createServer((s) => s.on('error', () => {}).destroy()).listen({ port: Number(process.argv[1]), host: '::', backlog: 4096 }, () => console.log('up'))";

/** Of the client's addresses the one with this number. */
export function sourceOf(index: number): string {
  return `10.77.1.${1 + (index % SOURCES)}`;
}

/** Makes the namespaces and starts the service. */
export async function createPlace(name: string): Promise<Place> {
  await mkdir(workFolder, { recursive: true });
  const folder = await mkdtemp(join(workFolder, `peers-${name}-`));
  const world = await createWorld();
  await world.gateway.must('ip', ['route', 'add', '10.77.1.0/24', 'dev', world.device]);
  const lines = Array.from({ length: SOURCES }, (_, i) => `addr add ${sourceOf(i)}/32 dev out0\n`).join('');
  await world.outside.must('ip', ['-batch', '-'], { input: lines });
  // native/knock.c speaks TCP itself; the kernel would reset what it does not know.
  const reset = ['--dport', String(SERVICE_PORT), '--tcp-flags', 'RST', 'RST'];
  await world.outside.must('iptables', ['-A', 'OUTPUT', '-p', 'tcp', ...reset, '-j', 'DROP']);
  const service = world.gateway.spawn(process.execPath, ['-e', LISTEN, String(SERVICE_PORT)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  must(service.stdout !== null, 'the service has an output');
  await once(service.stdout!, 'data');
  return {
    world,
    folder,
    async leave() {
      await ended(service, 'SIGKILL');
      await world.destroy();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Does what may fail in a place that nobody else would leave then. */
export async function orLeave<T>(place: Place, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    await place.leave();
    throw error;
  }
}

/** Compiles a program of native/ into the work folder; returns its path. */
export function compiled(name: string): string {
  const source = fileURLToPath(new URL(`./native/${name}.c`, import.meta.url));
  const program = join(workFolder, `peers-${name}`);
  const args = ['-O2', '-Wall', '-Wextra', '-o', program, source];
  const { status, stderr } = spawnSync('cc', args, { encoding: 'utf8' });
  must(status === 0, `cc ${name}.c: ${stderr}`);
  return program;
}

/** Waits until one more packet socket is bound and running in there: the peers do not say when they are ready. */
export async function sniffs(world: World, before: number): Promise<void> {
  for (let tries = 0; (await packetSockets(world)) <= before; tries += 1) {
    must(tries < 250, 'the daemon listens');
    await pause(20);
  }
}

export async function packetSockets(world: World): Promise<number> {
  const list = await world.gateway.must('cat', ['/proc/net/packet']);
  return list.match(/^\S+ +\S+ +\S+ +\S+ +[1-9]\d* +1 /gmu)?.length ?? 0;
}

/** A process and its descendants, itself first. */
export function familyOf(pid: number): number[] {
  const children = childrenOf(pid);
  return children === null ? [] : [pid, ...children.flatMap(familyOf)];
}

function childrenOf(pid: number): number[] | null {
  try {
    const list = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1');
    return list.split(' ').filter(Boolean).map(Number);
  } catch {
    return null;
  }
}

/** Ends a process of ours and waits for it. */
export async function ended(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}

/** Runs a program of native/ on the client's side to its end; returns what it printed. */
export async function onClient(world: World, program: string, args: readonly string[]): Promise<string> {
  const child = world.outside.spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const { status, stdout } = await finished(child);
  must(status === 0, `${program} ends well`);
  return stdout;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

export function isInstalled(program: string): boolean {
  return spawnSync('sh', ['-c', 'command -v "$1"', 'sh', program]).status === 0;
}
