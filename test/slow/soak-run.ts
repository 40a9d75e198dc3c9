// A soak (issue: "every true knock admitted exactly once, nothing else ever, memory flat"): clients that knock, connect
// once and try a second time; somebody who replays what they sent; strangers; junk at some ten thousand packets a second;
// and a gateway that is stopped, killed, deafened and reloaded all the while. At first it is restarted again and again,
// then one gateway goes on to the end, so that its memory can be watched.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pause } from '../e2e/support.ts';
import type { Datagram } from '../support/agent.ts';
import { finished, type Finished } from '../support/netns.ts';
import { random, type Random } from '../support/random.ts';
import { ACCESS, knock, SPA_PORT } from '../support/spa-knocks.ts';
import { Ledger } from './soak-ledger.ts';
import { OPEN_MS, PORT, SoakSite, type Client, type Driver } from './soak-site.ts';

export interface SoakOptions {
  readonly driver: Driver;
  readonly seconds: number;
  readonly seed: number;
  readonly junkPerSecond: number;
}

/** For how much of the time gateways are restarted. */
const RESTARTS = 0.4;
/** How long nothing happens to the gateway; less in a soak of less than a minute. */
const QUIET_MS = { least: 1500, most: 6000 };
const SHORT_QUIET_MS = { least: 300, most: 1200 };
/** A knock of a ready gateway has to be admitted within. */
const PATIENCE_MS = 30_000;
/** So much longer it goes on while something has not been tried yet. */
const EXTRA_MS = 60_000;
/** An opening is over for certain so long after its time. */
const MARGIN_MS = 1200;
const KEPT = 300;

/** Runs one; everything that it started is gone when it resolves. */
export async function soak(options: SoakOptions): Promise<Ledger> {
  const ledger = new Ledger();
  const site = await SoakSite.create(options.driver, ledger);
  try {
    await new Soak(site, ledger, options).run();
  } finally {
    await site.destroy();
  }
  return ledger;
}

/** A knock that was sent. */
interface Sent {
  readonly source: string;
  readonly packets: readonly Datagram[];
  /** Whether it is handled for certain, unless the firewall was too slow. */
  readonly isReady: boolean;
  /** The client's grants, and openings that came too late, before it was sent. */
  readonly before: number;
  readonly lates: number;
}

class Soak {
  readonly #site: SoakSite;
  readonly #ledger: Ledger;
  readonly #options: SoakOptions;
  readonly #below: Random;
  /** Knocks that have opened, and where they came from. */
  readonly #spent: { readonly packets: readonly Datagram[]; readonly home: string }[] = [];
  readonly #sent = new Map<string, number>();
  readonly #ends: number;
  readonly #folder = mkdtempSync(join(tmpdir(), 'portknock-soak-'));

  constructor(site: SoakSite, ledger: Ledger, options: SoakOptions) {
    this.#site = site;
    this.#ledger = ledger;
    this.#options = options;
    this.#below = random(options.seed);
    this.#ends = Date.now() + options.seconds * 1000;
  }

  async run(): Promise<void> {
    const junk = await this.#startJunk();
    try {
      const visitors = this.#site.clients.filter(({ name }) => name !== 'probe');
      await Promise.all([
        ...visitors.map((client, place) => this.#visit(client, place)),
        this.#replay(),
        this.#probeDoors(),
        this.#happen(),
      ]);
    } finally {
      this.#ledger.junk = Number((await junk()).stdout);
      rmSync(this.#folder, { recursive: true });
    }
    for (const [client, sent] of this.#sent) {
      if (this.#site.grantsOf(client) > sent) this.#ledger.excess.push(client);
    }
  }

  get #isOver(): boolean {
    const { ready, again, late, replays, strangers, sessions } = this.#ledger;
    const isTried = [again, late, replays, strangers, sessions].every(({ tried }) => tried > 0);
    return Date.now() >= this.#ends + (isTried && ready.sent > 0 ? 0 : EXTRA_MS);
  }

  /** One knock after the other, each used once, or left alone: by one client from the first round on. */
  async #visit(client: Client, place: number): Promise<void> {
    for (let round = place; !this.#isOver; round += 1) {
      const packets = await client.fresh();
      const source = client.sources[this.#below(client.sources.length)] ?? '';
      const { lates, isUp: wasUp } = this.#site;
      const before = this.#site.grantsOf(client.name);
      this.#sent.set(client.name, (this.#sent.get(client.name) ?? 0) + 1);
      await this.#site.send(client, packets, source);
      const isReady = wasUp && this.#site.isUp;
      const knock = { source, before, packets, isReady, lates };
      if (round % 8 === 0) await this.#leave(client, knock);
      else await this.#use(client, knock);
      await pause(20 + this.#below(200));
    }
  }

  /** Connects as soon as it can; then again, which nobody may; and looks after the connection. */
  async #use(client: Client, { source, before, packets, isReady, lates }: Sent): Promise<void> {
    const began = Date.now();
    let id: number | null = null;
    const outcomes = new Map<string, number>();
    while (id === null && Date.now() < began + (isReady ? PATIENCE_MS : OPEN_MS)) {
      if (this.#site.lates > lates) break;
      const { outcome, ...connection } = await this.#connection(client.family, source);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      if (outcome === 'talks') id = connection.id;
      else await pause(20);
    }
    const knocks =
      isReady && (id !== null || this.#site.lates === lates) ? this.#ledger.ready : this.#ledger.apart;
    knocks.sent += 1;
    if (id === null) {
      const came = JSON.stringify([...outcomes]);
      const grants = this.#site.grantsOf(client.name) - before;
      if (knocks === this.#ledger.ready)
        this.#ledger.note(`${client.name} was not let in: ${grants} grants, ${came}`);
      return;
    }
    knocks.admitted += 1;
    this.#spent.push({ packets, home: source });
    if (this.#spent.length > KEPT) this.#spent.shift();
    for (const waitMs of [0, 100, 300 + this.#below(700)]) {
      await pause(waitMs);
      await this.#forbidden(this.#ledger.again, client.family, source);
    }
    this.#ledger.sessions.tried += 1;
    if (!(await this.#site.outside.talk({ id, timeoutMs: PATIENCE_MS }))) {
      this.#ledger.sessions.succeeded += 1;
      this.#ledger.note(`the session of ${client.name} was cut`);
    }
    await this.#site.outside.hangUp({ id });
  }

  /** Lets the time of an opening pass. */
  async #leave(client: Client, { source, before, isReady, lates }: Sent): Promise<void> {
    const began = Date.now();
    while (this.#site.grantsOf(client.name) === before && Date.now() < began + PATIENCE_MS) {
      if ((!isReady && Date.now() > began + OPEN_MS) || this.#site.lates > lates) break;
      await pause(20);
    }
    const hasGrant = this.#site.grantsOf(client.name) > before;
    const knocks =
      isReady && (hasGrant || this.#site.lates === lates) ? this.#ledger.ready : this.#ledger.apart;
    knocks.sent += 1;
    if (hasGrant) knocks.admitted += 1;
    else if (knocks === this.#ledger.ready) this.#ledger.note(`${client.name} got no grant`);
    // Whoever has none may get one yet.
    if (!hasGrant) return;
    await pause(OPEN_MS + MARGIN_MS);
    await this.#forbidden(this.#ledger.late, client.family, source);
  }

  /**
   * Knocks that have opened, once more: from elsewhere, where they must open nothing; and from where they came, where the
   * client itself tries the port, and what opens is counted.
   */
  async #replay(): Promise<void> {
    while (!this.#isOver) {
      await pause(50 + this.#below(200));
      const [kind, place] = [this.#below(3), this.#below(Math.max(1, this.#spent.length))];
      const spent = this.#spent[place];
      if (spent === undefined) continue;
      const { packets, home } = spent;
      const family = home.includes(':') ? 6 : 4;
      const source = kind === 0 ? home : this.#site.world[kind === 1 ? 'client' : 'stranger'][family];
      await this.#site.outside.datagrams({ packets, source });
      if (kind === 0) {
        this.#ledger.replays.tried += 1;
        continue;
      }
      await pause(this.#below(60));
      await this.#forbidden(this.#ledger.replays, family, source);
    }
  }

  /** Strangers at the protected port and at others. */
  async #probeDoors(): Promise<void> {
    while (!this.#isOver) {
      await pause(50 + this.#below(200));
      const family = this.#below(2) === 0 ? 4 : 6;
      await this.#forbidden(this.#ledger.strangers, family, this.#site.world.stranger[family]);
    }
  }

  async #forbidden(count: Ledger['again'], family: 4 | 6, source: string): Promise<void> {
    count.tried += 1;
    const id = await this.#connect(family, source);
    if (id === null) return;
    count.succeeded += 1;
    this.#ledger.note(`${source} was let in, and should not have been`);
    await this.#site.outside.hangUp({ id });
  }

  async #connect(family: 4 | 6, source: string): Promise<number | null> {
    const { outcome, id } = await this.#connection(family, source);
    return outcome === 'talks' ? id : null;
  }

  #connection(family: 4 | 6, source: string): ReturnType<SoakSite['outside']['connect']> {
    const host = this.#site.world.address[family];
    return this.#site.outside.connect({ host, port: PORT, source, timeoutMs: 10_000 });
  }

  /** What happens to the gateway. */
  async #happen(): Promise<void> {
    const { seconds } = this.#options;
    const probe = this.#site.clients.find(({ name }) => name === 'probe');
    if (probe === undefined) throw new Error('no probe');
    const { least, most } = seconds < 60 ? SHORT_QUIET_MS : QUIET_MS;
    const wait = (): Promise<void> => pause(least + this.#below(most - least));
    const settled = this.#ends - seconds * 1000 * (1 - RESTARTS);
    for (let i = 0; i < 2 || Date.now() < settled; i += 1) {
      await wait();
      await this.#site.restart(i % 2 === 0 ? 'SIGKILL' : 'SIGTERM', probe);
    }
    const memory: number[] = [];
    const sampling = setInterval(() => void this.#site.memory().then((bytes) => memory.push(bytes)), 500);
    try {
      const events = [
        () => this.#site.deafen(probe),
        () => this.#site.reload(),
        () => this.#site.misconfigure(),
      ];
      for (let i = 0; i < events.length || !this.#isOver; i += 1) {
        await wait();
        // In the time that is given on top all goes well.
        if (i < events.length || Date.now() < this.#ends) await events[i % events.length]?.();
      }
    } finally {
      clearInterval(sampling);
    }
    // What is loaded and compiled at first use is not growth.
    const steady = memory.slice(Math.floor(memory.length / 6));
    const part = Math.min(120, Math.ceil(steady.length / 3));
    this.#ledger.memory.first = median(steady.slice(0, part));
    this.#ledger.memory.last = median(steady.slice(-part));
  }

  /** Resolves when it comes; the result ends it. */
  async #startJunk(): Promise<() => Promise<Finished>> {
    const { junkPerSecond, seed } = this.#options;
    const program = join(this.#folder, 'junk');
    const build = spawnSync('cc', ['-O2', '-o', program, 'test/e2e/native/junk.c'], { encoding: 'utf8' });
    if (build.status !== 0) throw new Error(`junk.c: ${build.stderr}`);
    // As whoever saw a knock knows it.
    const seen = await knock({ access: ACCESS, ms: Date.now() });
    const hint = (seen.readInt32BE(0) ^ seen.readInt32BE(4)) >>> 0;
    const numbers = [junkPerSecond, seed, SPA_PORT, hint].map(String);
    const child = this.#site.world.outside.spawn(program, ['out0', ...numbers], { stdio: 'pipe' });
    const stdin = child.stdin;
    const out: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => out.push(chunk));
    return async () => {
      stdin?.end();
      const done = await finished(child);
      return { ...done, stdout: Buffer.concat(out).toString() };
    };
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;
}
