// The command driver: programs of the operator's open and close. A program is an argv; what a grant says is put into its
// arguments, and no shell ever reads them (attack 22). No kernel ends these openings: close() does, so a crash leaves
// them open until somebody who remembers them calls it.

import { systemClock, type Clock } from '../clock.ts';
import { KnockError, printable } from '../errors.ts';
import { commandOf, fill, type Command } from './command-template.ts';
import {
  isSameService,
  type DriverContext,
  type FirewallDriver,
  type Grant,
  type Opening,
  type Service,
} from './driver.ts';
import { refuseTargets } from './forward.ts';
import { run } from './run.ts';
import { prefixOf } from './source.ts';

/**
 * {@link command}'s options. A command is a program and its arguments; `{ip}`, `{port}`, `{protocol}`, `{seconds}` (how
 * long the opening lasts) and `{client}` are replaced in the arguments.
 */
export interface CommandOptions {
  readonly open: readonly string[];
  /** Undoes `open`; must do no harm when there is nothing to undo. */
  readonly close: readonly string[];
  /** Closes the services' ports; without placeholders; run at every set-up. */
  readonly setup?: readonly string[];
  /** Undoes `setup`. */
  readonly teardown?: readonly string[];
  /** A command that takes longer is killed, with what it started; 5,000 ms unless said. */
  readonly timeoutMs?: number;
  /** The host's clock unless given. */
  readonly clock?: Clock;
}

/**
 * A driver that runs programs.
 *
 * @throws RangeError for an empty command, an unknown placeholder, or one where there is no grant
 * @example
 * const driver = command({
 *   open: ['ipset', 'add', 'knocked', '{ip},{protocol}:{port}', 'timeout', '{seconds}', '-exist'],
 *   close: ['ipset', 'del', 'knocked', '{ip},{protocol}:{port}', '-exist'],
 * });
 */
export function command(options: CommandOptions): FirewallDriver {
  return new CommandDriver(options);
}

class CommandDriver implements FirewallDriver {
  readonly name = 'command';
  readonly real = true;
  readonly endsByItself = false;
  readonly #opens: Command;
  readonly #closes: Command;
  readonly #setsUp: Command | null;
  readonly #tearsDown: Command | null;
  readonly #timeoutMs: number;
  readonly #clock: Clock;
  /** By service and source. */
  readonly #grants = new Map<string, Grant>();
  #services: ReadonlyMap<string, Service> | null = null;
  /** An opening's commands must not overtake each other. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor({ open, close, setup, teardown, timeoutMs = 5000, clock = systemClock }: CommandOptions) {
    this.#opens = commandOf('open', open, true);
    this.#closes = commandOf('close', close, true);
    this.#setsUp = setup === undefined ? null : commandOf('setup', setup, false);
    this.#tearsDown = teardown === undefined ? null : commandOf('teardown', teardown, false);
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
  }

  setup(services: readonly Service[], context: DriverContext): Promise<void> {
    return this.#inTurn(() => this.#setup(services, context));
  }

  open(grant: Grant): Promise<void> {
    return this.#inTurn(() => this.#open(grant));
  }

  close(grant: Grant): Promise<void> {
    return this.#inTurn(() => this.#close(grant));
  }

  list(): Promise<readonly Opening[]> {
    return this.#inTurn(() =>
      Promise.resolve([...this.#grants.values()].map(({ service, source }) => ({ service, source }))),
    );
  }

  teardown(): Promise<void> {
    return this.#inTurn(async () => {
      const failures = await this.#closeAll([...this.#grants.values()]);
      this.#services = null;
      if (this.#tearsDown !== null) await this.#run(this.#tearsDown, null);
      if (failures.length > 0) throw failures[0];
    });
  }

  async #setup(services: readonly Service[], { warning, held = [] }: DriverContext): Promise<void> {
    refuseTargets(this.name, services);
    const wanted = new Map(services.map((service) => [service.name, service]));
    const gone = [...this.#grants.values()].filter(
      ({ service }) => !isSameService(this.#services?.get(service), wanted.get(service)),
    );
    const failures = await this.#closeAll(gone);
    if (failures.length > 0) throw failures[0];
    if (this.#setsUp !== null) await this.#run(this.#setsUp, null);
    if (this.#services === null) for (const grant of held) this.#grants.set(keyOf(grant), grant);
    this.#services = wanted;
    const counted = services.filter(({ connections }) => connections !== 'unlimited');
    if (counted.length === 0) return;
    warning(
      `command: nothing counts connections: ${counted.map(({ name }) => name).join(', ')} admits any number until ` +
        'its opening is closed (say connections: unlimited, or use the iptables or nftables driver)',
    );
  }

  async #open(grant: Grant): Promise<void> {
    if (prefixOf(this.name, grant.source) !== null) {
      throw new KnockError(
        'ERR_FIREWALL_UNSUPPORTED',
        `command: source must be one address, got '${printable(grant.source)}' (the client asks for a prefix)`,
      );
    }
    const service = this.#services?.get(grant.service);
    if (service?.port !== grant.port || service.protocol !== grant.protocol) {
      const wanted = `${printable(grant.service)} on ${grant.port}/${grant.protocol}`;
      throw new KnockError(
        'ERR_FIREWALL_UNSUPPORTED',
        `command: no such service was set up: ${wanted} (call setup first)`,
      );
    }
    // A command that adds a rule each time would need as many that remove one.
    if (this.#grants.has(keyOf(grant))) await this.#close(grant);
    if (grant.openUntil <= this.#clock.now()) return;
    // What cannot be put into words must not be opened.
    this.#wordsOf(this.#closes, grant);
    const words = this.#wordsOf(this.#opens, grant);
    this.#grants.set(keyOf(grant), grant);
    try {
      await this.#runWords(this.#opens, words);
    } catch (error) {
      // It may have opened before it failed. What cannot be closed either is kept, for the next who closes it.
      await this.#close(grant).catch(() => undefined);
      throw error;
    }
  }

  async #close(grant: Grant): Promise<void> {
    const held = this.#grants.get(keyOf(grant));
    if (held !== undefined) {
      await this.#run(this.#closes, held);
      this.#grants.delete(keyOf(grant));
      return;
    }
    // One of an earlier run that was cut short, perhaps; if it is not there, the command may say so.
    await this.#run(this.#closes, grant).catch(() => undefined);
  }

  async #closeAll(grants: readonly Grant[]): Promise<readonly unknown[]> {
    const failures: unknown[] = [];
    for (const grant of grants) {
      await this.#close(grant).catch((error: unknown) => {
        failures.push(error);
      });
    }
    return failures;
  }

  async #run(what: Command, grant: Grant | null): Promise<void> {
    await this.#runWords(what, this.#wordsOf(what, grant));
  }

  #wordsOf(what: Command, grant: Grant | null): ReturnType<typeof fill> {
    const leftMs = grant === null ? 0 : grant.openUntil - this.#clock.now();
    return fill(what, grant, Math.max(0, Math.ceil(leftMs / 1000)));
  }

  async #runWords({ name }: Command, [program, ...args]: ReturnType<typeof fill>): Promise<void> {
    await run(program, args, {
      timeoutMs: this.#timeoutMs,
      ifMissing: `the ${name} command names it: give its whole path`,
    });
  }

  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(action);
    this.#queue = turn.catch(() => undefined);
    return turn;
  }
}

function keyOf({ service, source }: Opening): string {
  return `${service} ${source}`;
}
