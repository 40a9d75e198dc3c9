// Where a run took place: figures without the machine and the versions beside them mean nothing.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

/** Files of the benchmarks: on the disk that the repository is on, because a memory file system syncs nothing. */
export const workFolder = fileURLToPath(new URL('../.cache/benchmarks/', import.meta.url));

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly fileSystem: string;
  /** Of the last minute, before the run: on a busy machine only ratios mean something. */
  readonly load: number;
  readonly versions: Readonly<Record<string, string>>;
}

export function machine(): Machine {
  mkdirSync(workFolder, { recursive: true });
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    fileSystem: firstLine('findmnt', ['-n', '-o', 'FSTYPE,SOURCE', '-T', workFolder]),
    load: loadavg()[0] ?? 0,
    versions: {
      portknock: packageVersion('../package.json'),
      node: process.versions.node,
      v8: process.versions.v8,
      openssl: process.versions.openssl,
      mitata: packageVersion('../node_modules/mitata/package.json'),
      tcpdump: firstLine('tcpdump', ['--version']),
      libpcap: /libpcap version (\S+)/u.exec(output('tcpdump', ['--version']))?.[1] ?? 'not here',
      iptables: firstLine('iptables', ['-V']),
      knock: firstLine('knock', ['-V']),
    },
  };
}

export function formatMachine(where: Machine): string {
  const { cpu, cores, memoryGiB, kernel, fileSystem, load, versions } = where;
  return [
    `${cpu}, ${cores} cores, ${memoryGiB} GiB, Linux ${kernel}, ${fileSystem}, load ${load.toFixed(2)}`,
    Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', '),
  ].join('\n');
}

function packageVersion(path: string): string {
  const text = readFileSync(new URL(path, import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

function firstLine(program: string, args: readonly string[]): string {
  const line = output(program, args).trim().split('\n')[0] ?? '';
  const short = line.replace(new RegExp(`^${program} (version )?`, 'u'), '').replace(/ +/gu, ' ');
  return short === '' ? 'not here' : short;
}

function output(program: string, args: readonly string[]): string {
  const { stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  return error === undefined ? stdout + stderr : '';
}
