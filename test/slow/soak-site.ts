// Where a soak takes place: a world with a real portknockd, which is stopped, killed, deafened and reloaded meanwhile,
// and the clients that it knows, each with addresses that are its own.

import { readFileSync } from 'node:fs';
import type { OneTimeKey } from '../../lib/scheme/one-time-key.ts';
import { isLate } from '../e2e/granted.ts';
import { FieldClient, pause } from '../e2e/support.ts';
import { startAgent, type Agent, type Datagram } from '../support/agent.ts';
import { Gateway, Site } from '../support/gateway.ts';
import { createWorld, type World } from '../support/netns.ts';
import { ACCESS, knock, SPA_PORT } from '../support/spa-knocks.ts';
import { oraclePublicLine } from '../support/spa-oracle.ts';
import type { Ledger } from './soak-ledger.ts';

export type Driver = 'iptables' | 'nftables';

/** Somebody whom the gateway knows. */
export interface Client {
  readonly name: string;
  readonly family: 4 | 6;
  readonly sources: readonly string[];
  fresh(): Promise<readonly Datagram[]>;
}

/** How long an opening lasts: longer than a machine stands still. */
export const OPEN_MS = 6000;
const PATIENCE_MS = 60_000;
/** Of the knocks with which it is found out whether the gateway hears. */
const PROBE_MS = 300;
const STEP_SECONDS = 2;
/** Of this service alone. */
export const PORT = 22;

export class SoakSite {
  readonly world: World;
  readonly outside: Agent;
  readonly clients: readonly Client[];
  readonly #ledger: Ledger;
  readonly #inside: Agent;
  readonly #site: Site;
  readonly #config: string;
  #gateway: Gateway;
  #isUp = true;
  /** How many of the present gateway's events were looked at. */
  #looked = 0;
  #lates = 0;
  #hasGuest = false;
  readonly #grants = new Map<string, number>();

  private constructor(
    ledger: Ledger,
    parts: { world: World; agents: readonly [Agent, Agent]; site: Site; config: string; gateway: Gateway },
  ) {
    this.#ledger = ledger;
    this.world = parts.world;
    [this.#inside, this.outside] = parts.agents;
    this.#site = parts.site;
    this.#config = parts.config;
    this.#gateway = parts.gateway;
    this.clients = clientsOf(parts.world, this.outside);
  }

  static async create(driver: Driver, ledger: Ledger): Promise<SoakSite> {
    const world = await createWorld();
    for (let host = 10; host < 20; host += 1) {
      await world.outside.must('ip', ['addr', 'add', `10.77.0.${host}/24`, 'dev', 'out0']);
      const more = ['dev', 'out0', 'preferred_lft', '0', 'nodad'];
      await world.outside.must('ip', ['-6', 'addr', 'add', `fd77::${host}/64`, ...more]);
    }
    const config = configOf(driver);
    const site = await Site.create(world, config);
    const [inside, outside, gateway] = await Promise.all([
      startAgent(world.gateway),
      startAgent(world.outside),
      Gateway.start(world, site),
    ]);
    await inside.echo({ port: PORT });
    return new SoakSite(ledger, { world, agents: [inside, outside], site, config, gateway });
  }

  /** Whether what has been sent by now is handled before it goes down, if it does. */
  get isUp(): boolean {
    return this.#isUp;
  }

  /** Grants of a client so far, as the gateway reported them. */
  grantsOf(client: string): number {
    this.#look();
    return this.#grants.get(client) ?? 0;
  }

  memory(): Promise<number> {
    return this.#gateway.memory();
  }

  /** How many openings it has taken back because the firewall was too slow. */
  get lates(): number {
    this.#look();
    return this.#lates;
  }

  async restart(signal: 'SIGTERM' | 'SIGKILL', probe: Client): Promise<void> {
    this.#isUp = false;
    await this.#hears(probe);
    await this.#gateway.end(signal);
    this.#look();
    // Knocks come meanwhile.
    await pause(500);
    this.#gateway = await Gateway.start(this.world, this.#site);
    this.#looked = 0;
    this.#isUp = true;
    this.#ledger.happened[signal === 'SIGTERM' ? 'stopped' : 'killed'] += 1;
  }

  /** Kills its capture process, and waits until it hears again. */
  async deafen(probe: Client): Promise<void> {
    this.#isUp = false;
    await this.#hears(probe);
    const pid = captureOf(this.#gateway.pid);
    if (pid !== undefined) {
      process.kill(pid, 'SIGKILL');
      await this.#hears(probe);
    }
    this.#isUp = true;
    if (pid === undefined) return;
    this.#ledger.happened.deafened += 1;
  }

  /** Another client more or less, whose knocks the capture's filter has to let through: no knock may be missed. */
  async reload(): Promise<void> {
    this.#hasGuest = !this.#hasGuest;
    const guest = `  guest: { scheme: one-time, secret: "${secretOf('guest').toString('base64')}", ports: 30000-30063, services: [ssh] }\n`;
    await this.#write(this.#config + (this.#hasGuest ? guest : ''));
    const count = this.#gateway.of('reload').length + 1;
    process.kill(this.#gateway.pid, 'SIGHUP');
    await this.#gateway.wait('reload', { count, timeoutMs: PATIENCE_MS });
    this.#ledger.happened.reloaded += 1;
  }

  /** A file that cannot be used: everything goes on as before. */
  async misconfigure(): Promise<void> {
    await this.#write(`${this.#config}  services: [\n`);
    const count = this.#gateway.of('error').length + 1;
    process.kill(this.#gateway.pid, 'SIGHUP');
    await this.#gateway.wait('error', { count, timeoutMs: PATIENCE_MS });
    await this.#write(this.#config);
    this.#hasGuest = false;
    this.#ledger.happened.misconfigured += 1;
  }

  async send(client: Client, packets: readonly Datagram[], source = client.sources[0]): Promise<void> {
    await this.outside.datagrams({ packets, ...(source === undefined ? {} : { source }) });
  }

  async destroy(): Promise<void> {
    await this.#gateway.end();
    this.#look();
    await Promise.all([this.#inside.stop(), this.outside.stop()]);
    await this.#site.remove();
    await this.world.destroy();
  }

  async #write(config: string): Promise<void> {
    await this.#site.write(
      `gateway: gw.example\ninterface: ${this.world.device}\nstate_dir: state\n${config}`,
    );
  }

  /** Knocks until that opens: what was sent before the first of these knocks has been handled then. */
  async #hears(probe: Client): Promise<void> {
    const before = this.grantsOf(probe.name);
    for (const deadline = Date.now() + PATIENCE_MS; this.grantsOf(probe.name) === before;) {
      if (Date.now() > deadline) throw new Error('the gateway stays deaf');
      await this.send(probe, await probe.fresh());
      await pause(PROBE_MS);
    }
  }

  #look(): void {
    const { events } = this.#gateway;
    for (const found of events.slice(this.#looked)) {
      if (isLate(found)) this.#lates += 1;
      const { event, client, source } = found;
      if (event !== 'grant') continue;
      const name = String(client);
      this.#grants.set(name, (this.#grants.get(name) ?? 0) + 1);
      this.#ledger.grants.tried += 1;
      if (this.clients.find((one) => one.name === name)?.sources.includes(String(source)) === true) continue;
      this.#ledger.grants.succeeded += 1;
      this.#ledger.note(`a grant of ${name} for ${String(source)}`);
    }
    this.#looked = events.length;
  }
}

/** The gateway's process that captures. */
function captureOf(pid: number): number | undefined {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
    .split(' ')
    .filter(Boolean)
    .map(Number)
    .find((child) => {
      try {
        return readFileSync(`/proc/${child}/cmdline`, 'latin1').includes('capture');
      } catch {
        // It has ended: another has taken over from it.
        return false;
      }
    });
}

const SPA = ['alice', 'bob', 'carol', 'dave', 'erin', 'frank'] as const;
const ONE_TIME = ['field', 'meadow'] as const;

function secretOf(name: string): Buffer {
  return Buffer.alloc(32, `soak ${name} `);
}

function configOf(driver: Driver): string {
  const clients = [
    ...[...SPA, 'probe'].map((name, i) =>
      suiteOf(i) === 1
        ? `  ${name}: { scheme: spa, secret: "${secretOf(name).toString('base64')}", services: [ssh] }`
        : `  ${name}: { scheme: spa, key: "${oraclePublicLine(secretOf(name))}", services: [ssh] }`,
    ),
    ...ONE_TIME.map(
      (name) =>
        `  ${name}: { scheme: one-time, secret: "${secretOf(name).toString('base64')}", step: ${STEP_SECONDS}, services: [ssh] }`,
    ),
  ];
  return [
    `firewall: ${driver}`,
    `access_key: "${ACCESS.toString('base64')}"`,
    `services: { ssh: { port: ${PORT} } }`,
    `open_for: ${OPEN_MS / 1000}s`,
    'clients:',
    ...clients,
    '',
  ].join('\n');
}

/** Of every kind, over both families; the last SPA client roams. */
function clientsOf({ address }: World, agent: Agent): readonly Client[] {
  const spa = [...SPA, 'probe'].map((name, i): Client => {
    const family = i % 4 < 2 ? 4 : 6;
    const home = sourceOf(family, 10 + i);
    const sources = name === 'frank' ? [home, sourceOf(family, 18), sourceOf(family, 19)] : [home];
    let last = 0;
    return {
      ...{ name, family, sources },
      async fresh() {
        last = Math.max(Date.now(), last + 1);
        const payload = await knock({ suite: suiteOf(i), key: secretOf(name), ms: last });
        return [{ host: address[family], port: SPA_PORT, payload: payload.toString('base64') }];
      },
    };
  });
  const oneTime = ONE_TIME.map((name, i): Client => {
    const family = i === 0 ? 4 : 6;
    const key: OneTimeKey = { secret: secretOf(name), stepSeconds: STEP_SECONDS };
    const field = new FieldClient(agent, address[family], key);
    return { ...{ name, family, sources: [sourceOf(family, 17)] }, fresh: () => field.fresh() };
  });
  return [...spa, ...oneTime];
}

function sourceOf(family: 4 | 6, host: number): string {
  return family === 4 ? `10.77.0.${host}` : `fd77::${host}`;
}

function suiteOf(place: number): 1 | 2 {
  return place % 2 === 0 ? 1 : 2;
}
