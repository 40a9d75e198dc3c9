// A firewall driver that opens ports in a cloud's security group. The five methods are the contract of FirewallDriver;
// what is special here follows from three things that a cloud is and a kernel is not: slow, stingy and late.

import { setTimeout as sleep } from 'node:timers/promises';
import { KnockError } from 'portknock';

/** @typedef {import('portknock').Grant} Grant */
/** @typedef {import('portknock').Service} Service */

/** By this we know our own rules again, after a crash too; those of others in the same group are none of our business. */
const MARK = 'portknock';
const TRIES = 8;

/**
 * @param {import('./fake-cloud.js').FakeCloud} cloud
 * @param {{ pauseMs?: number }} [options] How long the first pause is before the cloud is asked again; the next is twice as long.
 * @returns {import('portknock').FirewallDriver}
 */
export function securityGroup(cloud, { pauseMs = 100 } = {}) {
  return new SecurityGroup(cloud, pauseMs);
}

class SecurityGroup {
  name = 'security-group';
  real = true;
  /** A rule stays until somebody revokes it: the listener then closes at its stop what is open, and tries again. */
  endsByItself = false;
  #cloud;
  #pauseMs;
  /** @type {Map<string, Grant>} By service and source. */
  #open = new Map();
  /** @type {Map<string, Service> | null} */
  #services = null;
  /** @type {Promise<unknown>} Calls of ours never overtake each other. */
  #turns = Promise.resolve();

  constructor(cloud, pauseMs) {
    this.#cloud = cloud;
    this.#pauseMs = pauseMs;
  }

  /** A security group lets nobody in whom no rule lets in, so there is nothing to close: only what was left to clear away. */
  setup(services, { warning, held = [] }) {
    return this.#inTurn(async () => {
      if (services.some(({ to }) => to !== undefined))
        throw unsupported('security-group: a service behind the gateway cannot be reached by a rule');
      const next = new Map(services.map((service) => [service.name, service]));
      // What a run before this one may have left open is ours to close: the listener does, for it knows until when it is.
      if (this.#services === null) for (const grant of held) this.#open.set(keyOf(grant), grant);
      else {
        for (const grant of [...this.#open.values()])
          if (!isSame(this.#services.get(grant.service), next.get(grant.service))) await this.#close(grant);
      }
      const known = new Set([...this.#open.values()].map((grant) => textOf(ruleOf(grant))));
      await this.#revokeAll((rule) => !known.has(textOf(rule)));
      this.#services = next;
      const counted = services.filter(({ connections }) => connections !== 'unlimited');
      if (counted.length > 0)
        warning('security-group: nothing counts connections: any number gets in while a port is open');
    });
  }

  open(grant) {
    return this.#inTurn(async () => {
      const service = this.#services?.get(grant.service);
      if (service?.port !== grant.port || service.protocol !== grant.protocol)
        throw unsupported('security-group: no such service was set up (call setup first)');
      if (grant.openUntil <= Date.now()) return this.#close(grant);
      // First into the book: should this fail half way, whoever closes it finds it there.
      this.#open.set(keyOf(grant), grant);
      try {
        await this.#call(() => this.#cloud.authorize(ruleOf(grant)), 'Duplicate');
        await this.#until(grant, true);
      } catch (error) {
        // It may be open or become so: a grant whose open() rejected must not be.
        await this.#close(grant).catch(() => undefined);
        throw error;
      }
      return undefined;
    });
  }

  close(grant) {
    return this.#inTurn(() => this.#close(grant));
  }

  /** From memory: the listener asks four times a second while anything is open, and every call of the API counts. */
  async list() {
    return [...this.#open.values()].map(({ service, source }) => ({ service, source }));
  }

  teardown() {
    return this.#inTurn(async () => {
      await this.#revokeAll(() => true);
      this.#open.clear();
      this.#services = null;
    });
  }

  async #close(grant) {
    // Not only what is in the book: `--teardown` and a start after a crash close what another process opened.
    await this.#call(() => this.#cloud.revoke(ruleOf(grant)), 'NotFound');
    await this.#until(grant, false);
    this.#open.delete(keyOf(grant));
  }

  async #revokeAll(isMeant) {
    const rules = await this.#call(() => this.#cloud.describe());
    for (const rule of rules.filter(({ description }) => description.startsWith(`${MARK} `)).filter(isMeant))
      await this.#call(() => this.#cloud.revoke(rule), 'NotFound');
    await this.#retry(async () => {
      const left = await this.#cloud.describe();
      return !left.some((rule) => rule.description.startsWith(`${MARK} `) && isMeant(rule));
    });
  }

  /** A rule that is not in force yet admits nobody, and one that still is admits somebody: both have to be waited for. */
  #until(grant, isOpen) {
    const text = textOf(ruleOf(grant));
    return this.#retry(
      async () => (await this.#cloud.describe()).some((rule) => textOf(rule) === text) === isOpen,
    );
  }

  /** Calls the API; an answer with the code `fine` says that it is so already. */
  async #call(action, fine) {
    let result;
    await this.#retry(async () => {
      try {
        result = await action();
      } catch (error) {
        if (error.code !== fine) throw error;
      }
      return true;
    });
    return result;
  }

  /** Until `isDone`, with longer and longer pauses; being throttled is a reason to wait, anything else is a failure. */
  async #retry(isDone) {
    let cause;
    for (let i = 0, pauseMs = this.#pauseMs; i < TRIES; i += 1, pauseMs *= 2) {
      try {
        if (await isDone()) return;
      } catch (error) {
        if (error.code !== 'Throttled') throw failed(error);
        cause = error;
      }
      await sleep(pauseMs);
    }
    throw failed(cause);
  }

  #inTurn(action) {
    const turn = this.#turns.then(action);
    this.#turns = turn.catch(() => undefined);
    return turn;
  }
}

/** Nothing of a grant reaches the cloud but what the listener has checked: numbers, an address, a service's name. */
function ruleOf({ service, protocol, port, source }) {
  const length = source.includes(':') ? 128 : 32;
  const cidr = source.includes('/') ? source : `${source}/${length}`;
  return { protocol, port, cidr, description: `${MARK} ${service}` };
}

function textOf({ protocol, port, cidr, description }) {
  return `${protocol} ${port} ${cidr} ${description}`;
}

function keyOf({ service, source }) {
  return `${service} ${source}`;
}

/** Whether the grants of a service stay good when the services are set up anew; its time may change. */
function isSame(one, other) {
  return ['name', 'protocol', 'port', 'connections'].every((key) => one?.[key] === other?.[key]);
}

function unsupported(message) {
  return new KnockError('ERR_FIREWALL_UNSUPPORTED', message);
}

function failed(cause) {
  return new KnockError('ERR_FIREWALL_COMMAND', 'security-group: the cloud did not do as asked', { cause });
}
