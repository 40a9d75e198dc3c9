// Where the numbered attacks take place: for each driver one world, whose gateway runs from the first attack on it to
// the last, with clients of every scheme; and real knockd on another port of the same host, where a test wants it.

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parsePrefix } from '../../../lib/address.ts';
import { oneTimeKnocks, type OneTimeKey } from '../../../lib/scheme/one-time-key.ts';
import { accessKeyOf, sharedKeyOf } from '../../../lib/scheme/spa-keys.ts';
import { sealSpa } from '../../../lib/scheme/spa-seal.ts';
import { Gateway, Site, type Event } from '../../support/gateway.ts';
import { startAgent, type Agent, type Datagram } from '../../support/agent.ts';
import { frame, type FrameOptions } from '../../support/frames.ts';
import { createWorld, type World } from '../../support/netns.ts';
import { SpaClient } from '../../support/spa-client.ts';
import { granted } from '../granted.ts';
import { describeInNamespaces, FieldClient, inject } from '../support.ts';
import {
  ACCESS_KEY,
  type ConfigOptions,
  configOf,
  type Driver,
  DRIVERS,
  KNOCKD,
  NAME,
  ONE_TIME_CLIENTS,
  secretOf,
  type SpaName,
  STEP_SECONDS,
} from './clients.ts';
import { RealKnockd } from './knockd.ts';

export interface SealedOptions {
  readonly family?: 4 | 6;
  /** The client's clock. */
  readonly atMs?: number;
  readonly sequence?: number;
  /** An address, or a prefix with its length. */
  readonly claim?: string;
  readonly services?: readonly string[];
}

/** A driver's world. */
export class Field {
  readonly driver: Driver;
  readonly world: World;
  readonly inside: Agent;
  readonly outside: Agent;
  readonly knockd: RealKnockd;
  site: Site;
  gateway: Gateway;
  #config = '';
  #lastOneTime = -1;
  #lastSeq = 0;

  private constructor(
    driver: Driver,
    parts: Pick<Field, 'world' | 'inside' | 'outside' | 'knockd' | 'site' | 'gateway'>,
  ) {
    this.driver = driver;
    this.world = parts.world;
    this.inside = parts.inside;
    this.outside = parts.outside;
    this.knockd = parts.knockd;
    this.site = parts.site;
    this.gateway = parts.gateway;
    this.#config = `${NAME} ${configOf({ driver })}`;
  }

  static async create(driver: Driver): Promise<Field> {
    const world = await createWorld();
    const site = await Site.create(world, configOf({ driver }));
    const [inside, outside, knockd, gateway] = await Promise.all([
      startAgent(world.gateway),
      startAgent(world.outside),
      RealKnockd.prepare(world),
      Gateway.start(world, site),
    ]);
    for (const port of [22, 443, knockd.port]) await inside.echo({ port });
    return new Field(driver, { world, inside, outside, knockd, site, gateway });
  }

  /** Sees to it that the usual gateway runs, which another test may have replaced or killed. */
  async usual(): Promise<void> {
    await this.configured({ driver: this.driver });
  }

  /** Runs a gateway of this configuration; the one that runs if it has it. */
  async configured(options: Partial<ConfigOptions> & { readonly gateway?: string }): Promise<void> {
    const { gateway: name = NAME, ...rest } = options;
    const config = configOf({ driver: this.driver, ...rest });
    if (existsSync(`/proc/${this.gateway.pid}`) && this.#config === `${name} ${config}`) return;
    await this.gateway.end();
    await this.site.remove();
    this.site = await Site.create(this.world, config);
    if (name !== NAME) {
      const text = await readFile(this.site.config, 'utf8');
      await this.site.write(text.replace(`gateway: ${NAME}`, `gateway: ${name}`));
    }
    this.#config = `${name} ${config}`;
    this.gateway = await Gateway.start(this.world, this.site);
  }

  /** Runs the usual gateway with nothing to remember. */
  async renewed(): Promise<void> {
    this.#config = '';
    await this.usual();
  }

  /** Ends the gateway, and starts it again with the state that it left. */
  async restarted(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.gateway.end(signal);
    this.gateway = await Gateway.start(this.world, this.site);
  }

  spa(name: SpaName, { family = 4, gateway }: { family?: 4 | 6; gateway?: string } = {}): SpaClient {
    const common = { agent: this.outside, host: this.world.address[family], accessKey: ACCESS_KEY };
    const secret = Buffer.from(secretOf(name), 'base64');
    return new SpaClient({ ...common, secret, ...(gateway === undefined ? {} : { gateway }) });
  }

  /** An SPA knock with everything that one can say in it. */
  async sealed(name: SpaName, options: SealedOptions = {}): Promise<Datagram> {
    const { family = 4, atMs = Date.now(), sequence = 0, claim, services = ['ssh'] } = options;
    const payload = await sealSpa({
      ...{ accessKey: accessKeyOf(ACCESS_KEY), gateway: NAME, services, ttlSeconds: 0, close: false },
      sender: { suite: 1, key: sharedKeyOf(Buffer.from(secretOf(name), 'base64')) },
      counter: (BigInt(atMs) << 16n) + BigInt(sequence),
      bind: claim === undefined ? 'observed' : claim.includes('/') ? 'prefix' : 'exact',
      claim: parsePrefix(claim ?? ''),
    });
    return { host: this.world.address[family], port: 62201, payload: payload.toString('base64') };
  }

  /** A one-time client that has not knocked yet. */
  oneTime(family: 4 | 6 = 4): FieldClient {
    return new FieldClient(this.outside, this.world.address[family], this.#nextKey());
  }

  /** The same, for knocks of a step that is so far from the present one. */
  stepKey(): { of(offset: number): Datagram[] } {
    const key = this.#nextKey();
    return {
      of: (offset) =>
        oneTimeKnocks(key, Math.floor(Date.now() / (STEP_SECONDS * 1000)) + offset).map(({ port, tag }) => ({
          ...{ host: this.world.address[4], port, payload: tag.toString('base64') },
        })),
    };
  }

  #nextKey(): OneTimeKey {
    this.#lastOneTime = (this.#lastOneTime + 1) % ONE_TIME_CLIENTS;
    const secret = Buffer.from(secretOf(`f${this.#lastOneTime}`), 'base64');
    return { secret, stepSeconds: STEP_SECONDS, knocks: 4 };
  }

  async connect(options: { family?: 4 | 6; source?: string; port?: number } = {}): Promise<string> {
    const { family = 4, port = 22, source = this.world.client[family] } = options;
    return (await this.outside.connect({ host: this.world.address[family], port, source })).outcome;
  }

  /** Uses the opening up, as its client does; fails if there is none. */
  async used(options: { family?: 4 | 6; source?: string; port?: number } = {}): Promise<void> {
    const outcome = await this.connect(options);
    if (outcome !== 'talks') throw new Error(`the granted client is ${outcome}`);
  }

  /** Does something that opens, anew when a firewall that was too slow asks for it, and waits for the grant of it. */
  granted(act: () => Promise<unknown>): Promise<Event> {
    return granted(this.gateway, act);
  }

  /**
   * Knocks as a client does that waits, with a fresh knock when nothing comes of the last: under a flood, or right after
   * it, the kernel may have had no room for one.
   */
  async admitted(knock: () => Promise<unknown>, isMeant: (grant: Event) => boolean): Promise<Event> {
    const { gateway } = this;
    const seen = gateway.of('grant').length;
    const look = (): Event | undefined => gateway.of('grant').slice(seen).find(isMeant);
    for (let tries = 1; tries < 3; tries += 1) {
      await knock();
      const grant = await gateway.find('such grant', look, 3000).catch(() => null);
      if (grant !== null) return grant;
    }
    await knock();
    return gateway.find('such grant', look);
  }

  /** Does something that is refused, and waits for word of it, whose reason is the result. */
  async refused(act: () => Promise<unknown>): Promise<unknown> {
    // A refusal of a kind that was just reported is held back for a second.
    const count = this.gateway.of('reject').length + 1;
    await act();
    return (await this.gateway.wait('reject', { count })).reason;
  }

  /** A frame to the gateway from the client's address, or another. */
  packet(options: FrameOptions & { readonly family?: 4 | 6 } = {}): Buffer {
    const { family = 4, ...rest } = options;
    this.#lastSeq = (this.#lastSeq + 0x01010101) | 0;
    const usual = { src: this.world.client[family], dst: this.world.address[family], seq: this.#lastSeq };
    return frame({ ...usual, ...rest });
  }

  /** A datagram of a client as a frame. */
  datagram(
    { port, payload }: Datagram,
    options: { family?: 4 | 6; src?: string; srcPort?: number } = {},
  ): Buffer {
    return this.packet({
      srcPort: 41_000,
      ...options,
      dstPort: port,
      payload: Buffer.from(payload, 'base64'),
    });
  }

  /** Knocks of a plain sequence as frames, as the real client sends them; real knockd's unless given. */
  plain(
    options: { family?: 4 | 6; src?: string; dst?: string; srcPort?: number } = {},
    knocks = KNOCKD,
  ): Buffer[] {
    return knocks.map((knock) => {
      const [port, protocol] = knock.split(':');
      const isTcp = protocol === 'tcp';
      const kind = isTcp ? { protocol: 'tcp' as const } : { payload: Buffer.alloc(1) };
      return this.packet({ ...options, ...kind, dstPort: Number(port) });
    });
  }

  inject(frames: readonly Buffer[], perSecond?: number): Promise<void> {
    return inject(this.world, frames, perSecond);
  }

  /** The real `knock`. */
  async knock(knocks: readonly string[], family: 4 | 6 = 4): Promise<void> {
    await this.world.outside.must('knock', [`-${family}`, '-d', '0', this.world.address[family], ...knocks]);
  }

  async destroy(): Promise<void> {
    await this.knockd.remove();
    await this.gateway.end();
    await Promise.all([this.inside.stop(), this.outside.stop()]);
    await this.site.remove();
    await this.world.destroy();
  }
}

const fields = new Map<Driver, Promise<Field>>();

/** The driver's field, made when it is first asked for. */
export function fieldOf(driver: Driver): Promise<Field> {
  const field = fields.get(driver) ?? Field.create(driver);
  fields.set(driver, field);
  return field;
}

after(async function () {
  this.timeout(30_000);
  for (const field of fields.values()) await (await field).destroy();
});

/** A suite for each driver; the usual gateway runs before each of its tests, and nothing of the last one is open. */
export function describeAttack(
  title: string,
  body: (get: () => Field, driver: Driver) => void,
  drivers: readonly Driver[] = DRIVERS,
): void {
  for (const driver of drivers) {
    describeInNamespaces(`${title} (${driver})`, function () {
      this.timeout(120_000);
      let field: Field;
      before(async () => {
        field = await fieldOf(driver);
      });
      beforeEach(() => field.usual());
      afterEach(async () => field.knockd.end());
      body(() => field, driver);
    });
  }
}

/** The folder of the gateway's state. */
export function stateOf({ config }: Site): string {
  return join(dirname(config), 'state');
}
