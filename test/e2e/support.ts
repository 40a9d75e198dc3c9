// What the end-to-end tests share.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Suite } from 'mocha';
import { oneTimeKnocks, type OneTimeKey } from '../../lib/scheme/one-time-key.ts';
import type { Agent, Datagram } from '../support/agent.ts';
import { FIELD_SECRET } from '../support/gateway.ts';
import { namespacesFault, type World } from '../support/netns.ts';
import { pcap } from '../support/savefile.ts';

const fault = process.getuid?.() === 0 ? namespacesFault() : 'not root';

/** A suite that needs namespaces: left out, with the reason, where there can be none; in CI that is a failure. */
export function describeInNamespaces(title: string, body: (this: Suite) => void): void {
  if (fault === null) {
    describe(title, body);
  } else if (process.env.CI === 'true') {
    it(title, () => {
      throw new Error(`end-to-end tests cannot run: ${fault}`);
    });
  } else {
    it(`${title} (skipped: ${fault})`);
  }
}

/** Sends frames from the outside, as fast as they go, or at `perSecond`. */
export async function inject(world: World, frames: readonly Buffer[], perSecond?: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'portknock-inject-'));
  const file = join(folder, 'frames.pcap');
  writeFileSync(file, pcap(frames));
  const pace = perSecond === undefined ? ['--topspeed'] : [`--pps=${perSecond}`];
  await world.outside.must('tcpreplay', ['-q', '-K', ...pace, '-i', 'out0', file], { timeoutMs: 120_000 });
  rmSync(folder, { recursive: true });
}

/** A one-time client that keeps its own count of steps, and what it sent. */
export class FieldClient {
  readonly #agent: Agent;
  readonly #host: string;
  readonly #key: OneTimeKey;
  #last = 0;
  sent: readonly Datagram[] = [];

  constructor(agent: Agent, host: string, key: OneTimeKey = { secret: FIELD_SECRET, stepSeconds: 2 }) {
    this.#agent = agent;
    this.#host = host;
    this.#key = key;
  }

  /** The datagrams of a fresh knock, not sent yet; waits when the next step is not valid yet. */
  async fresh(): Promise<readonly Datagram[]> {
    const stepMs = (this.#key.stepSeconds ?? 10) * 1000;
    this.#last = Math.max(Math.floor(Date.now() / stepMs), this.#last + 1);
    const early = (this.#last - 3) * stepMs - Date.now();
    if (early > 0) await pause(early + 10);
    return oneTimeKnocks(this.#key, this.#last).map(({ port, tag }) => ({
      host: this.#host,
      port,
      payload: tag.toString('base64'),
    }));
  }

  async knock(source?: string): Promise<void> {
    this.sent = await this.fresh();
    await this.send(this.sent, source);
  }

  async send(packets: readonly Datagram[], source?: string): Promise<void> {
    await this.#agent.datagrams(source === undefined ? { packets } : { packets, source });
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** For what takes a second or two on a quiet machine. */
const PATIENCE_MS = 20_000;

/** Waits until `what` gives something; fails when it does not for too long. */
export async function until<T>(
  title: string,
  what: () => T | Promise<T>,
  timeoutMs = PATIENCE_MS,
): Promise<NonNullable<T>> {
  for (const deadline = Date.now() + timeoutMs; ;) {
    const found = await what();
    if (found !== null && found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain until ${title}`);
    await pause(50);
  }
}
