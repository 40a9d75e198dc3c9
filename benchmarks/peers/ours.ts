// Our own daemon as a subject of the comparison: the built portknockd with a configuration as `portknock init` writes
// it, and knocks that the library seals as its client does.

import { randomBytes } from 'node:crypto';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { generateSshKey, parseSshPublicKey } from '../../lib/crypto/ssh-key.ts';
import { keySigner } from '../../lib/knocker/signer.ts';
import { createReplayFile } from '../../lib/replay/file.ts';
import { oneTimeKnocks, stepAt, type OneTimeKey } from '../../lib/scheme/one-time-key.ts';
import { accessKeyOf, sharedKeyOf, signerIdOf } from '../../lib/scheme/spa-keys.ts';
import { sealSpa, type Sender } from '../../lib/scheme/spa-seal.ts';
import { must } from '../bench.ts';
import {
  createPlace,
  ended,
  familyOf,
  KNOCK_PORT,
  orLeave,
  pause,
  SERVICE_PORT,
  type Packet,
  type Place,
  type Subject,
} from './rig.ts';

export const SCHEMES = ['spa suite 1', 'spa suite 2', 'one-time', 'sequence'] as const;
export type SchemeName = (typeof SCHEMES)[number];
export const DRIVERS = ['iptables', 'nftables'] as const;
export type DriverName = (typeof DRIVERS)[number];

export interface OursOptions {
  readonly driver: DriverName;
  readonly schemes: readonly SchemeName[];
  /** False: a client without a clock, so that the filter cannot ask for the hint; true unless said. */
  readonly hint?: boolean;
  /** How long an opening lasts that nobody uses, seconds; 5 unless said. */
  readonly openForSeconds?: number;
}

/** Our knocks' counters and steps are each used once. */
interface Secrets {
  readonly access: Buffer;
  readonly shared: Buffer;
  readonly publicLine: string;
  readonly signed: Sender;
  readonly oneTime: readonly OneTimeKey[];
}

const GATEWAY = 'gw.example';
const SEQUENCE = [7000, 9000, 8000, 7100];
/** A one-time client has one knock per step: a run has several clients and takes turns. */
const ONE_TIME_CLIENTS = 8;
const STEP_SECONDS = 1;
const PROGRAM = fileURLToPath(new URL('../../dist/portknockd.js', import.meta.url));

/** Whether `npm run build` was done. */
export function isBuilt(): boolean {
  return existsSync(PROGRAM);
}

/** Starts portknockd; ready when it says so. */
export async function ours(options: OursOptions): Promise<Subject> {
  must(isBuilt(), 'dist/portknockd.js is missing (npm run build)');
  const place = await createPlace('ours');
  return orLeave(place, () => startIn(place, options));
}

async function startIn(place: Place, options: OursOptions): Promise<Subject> {
  const secrets = await newSecrets();
  const config = join(place.folder, 'portknockd.yaml');
  await mkdir(join(place.folder, 'state'), { mode: 0o700 });
  await createReplayFile(join(place.folder, 'state', 'replay'));
  await writeFile(config, configOf(place, secrets, options), { mode: 0o600 });
  const args = [PROGRAM, '--config', config, '--log', 'json'];
  const daemon = place.world.gateway.spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const granted = await ready(daemon).catch(async (error: unknown) => {
    await ended(daemon, 'SIGKILL');
    throw error;
  });
  // What is done once after the start (the filter's renewal, the first collection) is over then.
  await pause(500);
  const knocks = new Knocks(secrets);
  return {
    name: 'portknock',
    driver: options.driver,
    schemes: options.schemes,
    world: place.world,
    command: `portknockd --config portknockd.yaml --log json   # firewall: ${options.driver}, protect: drop; ${options.schemes.join(', ')}`,
    pid: daemon.pid ?? 0,
    pids: () => familyOf(daemon.pid ?? 0),
    granted,
    knock: ({ scheme = options.schemes[0] }) => knocks.next(scheme as SchemeName),
    // An opening ends with its one connection.
    shut: async () => undefined,
    async stop() {
      await ended(daemon);
      await place.leave();
    },
  };
}

function configOf(
  place: Place,
  { access, shared, publicLine, oneTime }: Secrets,
  options: OursOptions,
): string {
  const { driver, schemes, hint = true, openForSeconds = 5 } = options;
  const has = (scheme: SchemeName): boolean => schemes.includes(scheme);
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  const clock = hint ? '' : ', no_clock: true';
  const usesSpa = has('spa suite 1') || has('spa suite 2');
  return [
    `gateway: ${GATEWAY}`,
    `interface: ${place.world.device}`,
    'state_dir: state',
    `firewall: ${driver}`,
    'protect: drop',
    `open_for: ${openForSeconds}s`,
    ...(usesSpa ? [`access_key: "${base64(access)}"`] : []),
    `services: { ssh: { port: ${SERVICE_PORT} } }`,
    'clients:',
    ...(has('spa suite 1')
      ? [`  shared: { scheme: spa, secret: "${base64(shared)}", services: [ssh]${clock} }`]
      : []),
    ...(has('spa suite 2')
      ? [`  signed: { scheme: spa, key: "${publicLine}", services: [ssh]${clock} }`]
      : []),
    ...(has('one-time')
      ? oneTime.map(
          ({ secret }, i) =>
            `  field${i}: { scheme: one-time, secret: "${base64(secret)}", step: ${STEP_SECONDS}s, services: [ssh] }`,
        )
      : []),
    ...(has('sequence')
      ? [
          `  old: { scheme: sequence, sequence: [${SEQUENCE.map((port) => `${port}/tcp`).join(', ')}], services: [ssh] }`,
        ]
      : []),
    '',
  ].join('\n');
}

async function newSecrets(): Promise<Secrets> {
  const { privateText, publicLine } = generateSshKey('bench');
  const signer = await keySigner(privateText);
  const blob = parseSshPublicKey(publicLine)?.blob ?? Buffer.alloc(0);
  return {
    access: randomBytes(32),
    shared: randomBytes(32),
    publicLine,
    signed: { suite: 2, id: signerIdOf(blob), sign: (message) => signer.sign(message) },
    oneTime: Array.from({ length: ONE_TIME_CLIENTS }, () => ({
      secret: randomBytes(32),
      stepSeconds: STEP_SECONDS,
    })),
  };
}

/** Knocks as lib/knocker sends them, each with a counter or step of its own. */
class Knocks {
  readonly #secrets: Secrets;
  #counter = 0n;
  #turn = 0;
  readonly #lastStep = new Map<number, number>();

  constructor(secrets: Secrets) {
    this.#secrets = secrets;
  }

  async next(scheme: SchemeName): Promise<readonly Packet[]> {
    switch (scheme) {
      case 'spa suite 1':
        return this.#spa({ suite: 1, key: sharedKeyOf(this.#secrets.shared) });
      case 'spa suite 2':
        return this.#spa(this.#secrets.signed);
      case 'one-time':
        return this.#oneTime();
      case 'sequence':
        return SEQUENCE.map((port) => ({ protocol: 'tcp-syn', port }));
    }
  }

  async #spa(sender: Sender): Promise<readonly Packet[]> {
    const ofClock = BigInt(Date.now()) << 16n;
    this.#counter = this.#counter < ofClock ? ofClock : this.#counter + 1n;
    const payload = await sealSpa({
      accessKey: accessKeyOf(this.#secrets.access),
      gateway: GATEWAY,
      sender,
      counter: this.#counter,
      services: ['ssh'],
      bind: 'observed',
      claim: null,
      ttlSeconds: 0,
      close: false,
    });
    return [{ protocol: 'udp', port: KNOCK_PORT, payload }];
  }

  async #oneTime(): Promise<readonly Packet[]> {
    const index = this.#turn++ % ONE_TIME_CLIENTS;
    const key = this.#secrets.oneTime[index] ?? { secret: new Uint8Array(32) };
    while (stepAt(Date.now(), STEP_SECONDS) <= (this.#lastStep.get(index) ?? -1)) await pause(20);
    const step = stepAt(Date.now(), STEP_SECONDS);
    this.#lastStep.set(index, step);
    return oneTimeKnocks(key, step).map(({ port, tag }) => ({ protocol: 'udp', port, payload: tag }));
  }
}

/** Resolves, when it is ready, to a count of its grants. */
async function ready(daemon: ChildProcess): Promise<() => number> {
  if (daemon.stdout === null) throw new Error('portknockd has no standard output');
  const lines = createInterface({ input: daemon.stdout });
  let grants = 0;
  await new Promise<void>((resolve, reject) => {
    const said: string[] = [];
    lines.on('line', (line) => {
      if (line.includes('"event":"grant"')) grants += 1;
      said.push(line);
      if (said.length > 20) said.shift();
      if (line.includes('"event":"ready"')) resolve();
    });
    daemon.once('exit', () => {
      reject(new Error(`portknockd ended: ${said.join('\n')}`));
    });
  });
  return () => grants;
}
