// A cloud's security group as its API behaves: every call takes its time, too many are refused, and what a call has
// changed is in force, and shown, only some time later. In memory; swap it for your provider's SDK.

import { BlockList } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** @typedef {{ protocol: 'tcp' | 'udp', port: number, cidr: string, description: string }} Rule */

/** An answer of the API that is no success; `code` says which. */
export class CloudError extends Error {
  /** @param {'Throttled' | 'Duplicate' | 'NotFound'} code */
  constructor(code) {
    super(`the cloud says ${code}`);
    this.code = code;
  }
}

export class FakeCloud {
  /** @type {Map<string, Rule>} What callers have asked for. */
  #wanted = new Map();
  /** @type {Map<string, Rule>} What is in force, and shown. */
  #inForce = new Map();
  #settings;
  #tokens;
  calls = 0;

  /** `burst` calls may come at once, and `perSecond` of them grow back. */
  constructor({ latencyMs = 1, lagMs = 2, burst = 20, perSecond = 2000 } = {}) {
    this.#settings = { latencyMs, lagMs, burst, perSecond };
    this.#tokens = { left: burst, atMs: performance.now() };
  }

  /** @param {Rule} rule */
  async authorize(rule) {
    await this.#call();
    if (this.#wanted.has(keyOf(rule))) throw new CloudError('Duplicate');
    this.#wanted.set(keyOf(rule), rule);
    this.#settle(keyOf(rule));
  }

  /** @param {Rule} rule */
  async revoke(rule) {
    await this.#call();
    if (!this.#wanted.delete(keyOf(rule))) throw new CloudError('NotFound');
    this.#settle(keyOf(rule));
  }

  /** @returns {Promise<readonly Rule[]>} */
  async describe() {
    await this.#call();
    return [...this.#inForce.values()];
  }

  /** What the network does with a new connection: no call of the API. */
  lets(protocol, port, source) {
    return [...this.#inForce.values()].some(
      (rule) => rule.protocol === protocol && rule.port === port && holds(rule.cidr, source),
    );
  }

  async #call() {
    this.calls += 1;
    const { latencyMs, burst, perSecond } = this.#settings;
    await sleep(latencyMs);
    const nowMs = performance.now();
    const { left, atMs } = this.#tokens;
    const grown = Math.min(burst, left + ((nowMs - atMs) * perSecond) / 1000);
    this.#tokens = { left: Math.max(0, grown - 1), atMs: nowMs };
    if (grown < 1) throw new CloudError('Throttled');
  }

  #settle(key) {
    setTimeout(() => {
      const rule = this.#wanted.get(key);
      if (rule === undefined) this.#inForce.delete(key);
      else this.#inForce.set(key, rule);
    }, this.#settings.lagMs);
  }
}

function keyOf({ protocol, port, cidr }) {
  return `${protocol} ${port} ${cidr}`;
}

function holds(cidr, source) {
  const [address = '', length] = cidr.split('/');
  const list = new BlockList();
  list.addSubnet(address, Number(length), familyOf(address));
  return list.check(source, familyOf(source));
}

function familyOf(address) {
  return address.includes(':') ? 'ipv6' : 'ipv4';
}
