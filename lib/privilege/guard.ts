// The half with root, as far as it is asked for something: it owns the firewall's driver and the configuration as root has
// read it, and does what fits both. Nothing here reads a packet, or what a stranger sent.

import { captureFilter } from '../capture/filter.ts';
import type { Clock } from '../clock.ts';
import { KnockError } from '../errors.ts';
import type { FirewallDriver, Grant, Opening } from '../firewall/driver.ts';
import { Lanes } from '../grant/lanes.ts';
import { keyOf } from '../grant/request.ts';
import { Bucket } from './bucket.ts';
import { GrantCheck } from './grant-check.ts';
import { Ledger, MOST_LIVE } from './ledger.ts';
import type { Guarded, GuardRules } from './rules.ts';

/** {@link Guard}'s options. */
export interface GuardOptions {
  readonly first: Guarded;
  /** Reads the configuration anew; what the other half is told of it. @throws KnockError `ERR_CONFIG` */
  readonly reload: () => Promise<{ readonly next: GuardRules; readonly told: unknown }>;
  readonly clock: Clock;
  /** For what the operator should know of the driver, at any time. */
  readonly warning: (message: string) => void;
  /** Told of each request that is refused, with why in words of ours. */
  readonly refused: (why: string) => void;
}

/** Far more than any gateway needs: they bound what a stolen half can make this one do. */
const OPENS = { most: 10_000, perSecond: 2000 };
const RELOADS = { most: 50, perSecond: 5 };
/** Captures that begin: a restart each 10 s goes on for ever. */
const CAPTURES = { most: 30, perSecond: 0.5 };
/** The other half made its filter a moment ago. */
const SKEWS_MS = [0, -90_000, 90_000] as const;
const MOST_LISTS = 64;

interface Rules {
  readonly rules: GuardRules;
  readonly check: GrantCheck;
}

/** Does what it is asked for, or rejects. */
export class Guard {
  readonly #options: GuardOptions;
  readonly #driver: FirewallDriver;
  readonly #clock: Clock;
  readonly #ledger: Ledger;
  readonly #lanes = new Lanes();
  readonly #opens: Bucket;
  readonly #reloads: Bucket;
  readonly #captures: Bucket;
  #current: Rules;
  /** What the file says since the last reload that has not come to anything yet. */
  #pending: Rules | null = null;
  /** What was in force before: packets are seen for both until the capture has changed. */
  #before: GuardRules | null = null;
  #held: Grant[] = [];
  #isSetUp = false;
  #stopped = false;
  #lists = 0;

  constructor(options: GuardOptions) {
    const { first, clock } = options;
    this.#options = options;
    this.#driver = first.driver;
    this.#clock = clock;
    this.#current = this.#rulesOf(first.rules);
    this.#opens = new Bucket(OPENS, clock.now());
    this.#reloads = new Bucket(RELOADS, clock.now());
    this.#captures = new Bucket(CAPTURES, clock.now());
    this.#ledger = new Ledger({
      clock,
      driver: this.#driver,
      close: (grant) =>
        this.#lanes.along([keyOf(grant)], async () => {
          // Another one may have taken its place meanwhile.
          if (this.#ledger.has(grant)) await this.#close(grant);
        }),
    });
  }

  /** @throws KnockError `ERR_WARDEN` for a grant that no knock can have brought about; what the driver throws */
  open(grant: Grant): Promise<void> {
    return this.#lanes.along([keyOf(grant)], async () => {
      if (this.#stopped) throw new KnockError('ERR_WARDEN', 'the half with root has ended');
      const { check, rules } = this.#current;
      const fault = this.#isSetUp ? check.fault(grant) : 'comes before the ports are closed';
      if (fault !== null) throw this.#refusal(`a grant that ${fault}`);
      if (!this.#opens.take(this.#clock.now())) throw this.#refusal('too many grants a second');
      const service = rules.services.find(({ name }) => name === grant.service);
      if (!this.#ledger.enter(grant, service?.openForMs ?? 0)) {
        throw new KnockError('ERR_FIREWALL_FULL', `${MOST_LIVE} grants are open (no more at a time)`);
      }
      await this.#driver.open(grant);
      this.#ledger.opened(grant);
    });
  }

  /** @throws KnockError `ERR_WARDEN` for what neither is configured nor was open; what the driver throws */
  close(grant: Grant): Promise<void> {
    return this.#lanes.along([keyOf(grant)], () => {
      if (!this.#current.check.knows(grant) && !this.#ledger.knows(grant)) {
        throw this.#refusal('to close what is for no configured service');
      }
      return this.#close(grant);
    });
  }

  async list(): Promise<readonly Opening[]> {
    if (this.#lists >= MOST_LISTS) throw this.#refusal('too many lists at a time');
    this.#lists += 1;
    try {
      const askedAt = performance.now();
      const listed = await this.#driver.list();
      this.#ledger.reconcile(listed, askedAt);
      return listed;
    } finally {
      this.#lists -= 1;
    }
  }

  /** Takes grants of an earlier run, which the first set-up is told of. @throws KnockError `ERR_WARDEN` */
  hold(grants: readonly Grant[]): void {
    if (this.#isSetUp || this.#held.length + grants.length > MOST_LIVE) {
      throw this.#refusal('to go on with grants that are none of an earlier run');
    }
    this.#held.push(...grants);
  }

  /**
   * Closes the ports: at first those of the configuration, later those of the one that was read last. Resolves to what the
   * operator should know. @throws KnockError `ERR_WARDEN`; what the driver throws
   */
  setup(): Promise<readonly string[]> {
    return this.#lanes.alone(async () => {
      const next = this.#isSetUp ? this.#pending : this.#current;
      if (next === null) throw this.#refusal('to set up what is set up');
      this.#pending = null;
      const warnings: string[] = [];
      let warning = (message: string): void => {
        warnings.push(message);
      };
      const context = {
        warning: (message: string): void => {
          warning(message);
        },
      };
      if (this.#isSetUp) await this.#driver.setup(next.rules.services, context);
      else await this.#driver.setup(next.rules.services, { ...context, held: this.#heldBy(next) });
      warning = this.#options.warning;
      this.#isSetUp = true;
      if (next !== this.#current) this.#before = this.#current.rules;
      this.#current = next;
      return warnings;
    });
  }

  /** @throws KnockError `ERR_CONFIG`, `ERR_WARDEN`; the rules that were read before count then */
  async reload(): Promise<unknown> {
    if (!this.#reloads.take(this.#clock.now())) throw this.#refusal('too many reloads a second');
    const { next, told } = await this.#options.reload();
    this.#pending = this.#rulesOf(next);
    return told;
  }

  /** Looks at what is to be captured. @throws KnockError `ERR_WARDEN` for anything but what the schemes have to see */
  requireFilter(filter: string): void {
    if (!this.#captures.take(this.#clock.now())) throw this.#refusal('too many captures a minute');
    if (this.#options.first.device === null || !this.#filters().includes(filter))
      throw this.#refusal('to capture what no knock is');
  }

  async mark(account: string): Promise<void> {
    await this.#current.rules.mark(account);
  }

  /** Opens nothing from the call on, and ends what no kernel ends; resolves when it is done, or has failed. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#ledger.stop();
    if (this.#driver.endsByItself !== false) return;
    await this.#lanes.idle();
    await Promise.allSettled(this.#ledger.grants.map((grant) => this.#close(grant)));
  }

  async #close(grant: Grant): Promise<void> {
    await this.#driver.close(grant);
    this.#ledger.forget(grant);
  }

  /** A driver that ends nothing by itself has to be told of all, so that they can be closed. */
  #heldBy({ check, rules }: Rules): readonly Grant[] {
    const endsByItself = this.#driver.endsByItself !== false;
    const held = this.#held.filter((grant) => !endsByItself || check.fault(grant) === null);
    this.#held = [];
    for (const grant of held) {
      const service = rules.services.find(({ name }) => name === grant.service);
      this.#ledger.enter(grant, service?.openForMs ?? 0);
      this.#ledger.opened(grant);
    }
    return held;
  }

  /** While the rules change, what either set of them has to see is captured. */
  #filters(): readonly string[] {
    const now = this.#clock.now();
    const { needs } = this.#current.rules;
    const others = [this.#pending?.rules, this.#before].flatMap((rules) => (rules ? [rules.needs] : []));
    return [needs, ...others.map((other) => [...needs, ...other])].flatMap((all) =>
      SKEWS_MS.map((skewMs) => captureFilter(all, now + skewMs)),
    );
  }

  #rulesOf(rules: GuardRules): Rules {
    return { rules, check: new GrantCheck(rules, this.#clock) };
  }

  #refusal(what: string): KnockError {
    this.#options.refused(what);
    return new KnockError('ERR_WARDEN', `the half with root refused ${what}`);
  }
}
