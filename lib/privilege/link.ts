// The verifying half's side of the pipe: its questions with their answers, and the orders that it gets. When the pipe ends,
// the half with root is gone, and this one has nothing left to do.

import { Socket } from 'node:net';
import type { CaptureProcess } from '../capture/live-child.ts';
import { recordedReader, type ConfigFiles } from '../config/bundle.ts';
import { loadOrigin, type ConfigOrigin } from '../config/origin.ts';
import type { GatewayConfig } from '../config/schema.ts';
import { KnockError } from '../errors.ts';
import type { FirewallDriver } from '../firewall/driver.ts';
import { LineChannel } from './channel.ts';
import { MOST_ORDER_BYTES, MOST_WAITING, type Notice, type Order } from './messages.ts';
import { RemoteCaptures } from './remote-capture.ts';
import { RemoteDriver, type Ask, type Asked } from './remote-driver.ts';

/** What a gateway is put together with where another process has the rights for it. */
export interface Through {
  /** A driver that has it done elsewhere. */
  readonly driver: (like: FirewallDriver) => FirewallDriver;
  /** Starts a capture process elsewhere. */
  readonly startCapture: () => CaptureProcess;
  /** Marks a sequence as used in its file. */
  readonly mark: (account: string) => Promise<void>;
}

/** The half with root, as this process sees it. */
export interface WardenLink {
  /** What the caller of startWarden() had to say. */
  readonly greeting: unknown;
  readonly config: GatewayConfig;
  readonly through: Through;
  /** Has the configuration read anew; it is not in force before the driver's setup(). @throws KnockError `ERR_CONFIG` */
  readonly load: () => Promise<GatewayConfig>;
  /** Tells that the ports are closed and the capture runs, and that a reload is over. */
  readonly ready: () => void;
  readonly onStop: (run: (reason: string) => void) => void;
  readonly onReload: (run: () => void) => void;
  /** Takes what tells whether this half does its work; the other one asks every few seconds. */
  readonly onPing: (isWorking: () => boolean) => void;
}

interface Waiting {
  readonly asked: Asked;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

const PIPE = 3;

/**
 * Joins the half that started this process; this one ends when that one does.
 *
 * @throws KnockError `ERR_WARDEN` when nobody started it so
 */
export async function joinWarden(): Promise<WardenLink> {
  // Without either, this is somebody who typed the word.
  if (process.send === undefined) {
    throw new KnockError('ERR_WARDEN', 'this is for portknockd itself (start portknockd without that word)');
  }
  // Whoever ends all of a service's processes tells both halves, and the other one says when it is time.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
  const link = new Link(new Socket({ fd: PIPE }));
  const { origin, files, greeting } = await link.begin;
  const load = (read: ConfigFiles): Promise<GatewayConfig> => loadOrigin(origin, recordedReader(read));
  return {
    greeting,
    config: await load(files),
    through: link.through,
    load: async () => load((await link.ask({ kind: 'reload' })) as ConfigFiles),
    ready: () => {
      link.tell({ kind: 'ready' });
    },
    onStop: (run) => {
      link.stop = run;
    },
    onReload: (run) => {
      link.reload = run;
    },
    onPing: (isWorking) => {
      link.isWorking = isWorking;
    },
  };
}

type Begin = { readonly origin: ConfigOrigin; readonly files: ConfigFiles; readonly greeting: unknown };

class Link {
  readonly begin: Promise<Begin>;
  stop: (reason: string) => void = () => process.exit(0);
  reload: () => void = () => undefined;
  isWorking: () => boolean = () => false;
  readonly #channel: LineChannel;
  readonly #captures: RemoteCaptures;
  readonly #waiting = new Map<number, Waiting>();
  /** Not asked yet: the other half takes so many at a time. */
  #queue: Waiting[] = [];
  #last = 0;
  #warning: (message: string) => void = () => undefined;
  #started: (begin: Begin) => void = () => undefined;

  constructor(pipe: Socket) {
    this.begin = new Promise((resolve) => {
      this.#started = resolve;
    });
    const leave = (): void => process.exit(1);
    this.#channel = new LineChannel(pipe, {
      mostBytes: MOST_ORDER_BYTES,
      take: (order) => {
        this.#take(order as Order);
      },
      ended: leave,
    });
    this.#captures = new RemoteCaptures({ ask: this.ask, tell: this.tell });
    process.once('disconnect', leave);
    process.on('message', (message: { readonly capture: number }, packets: unknown) => {
      if (packets instanceof Socket) this.#captures.handOver(message.capture, packets);
    });
    this.tell({ kind: 'hello' });
  }

  readonly ask: Ask = (asked) =>
    new Promise((resolve, reject) => {
      this.#queue.push({ asked, resolve, reject });
      this.#next();
    });

  readonly tell = (notice: Notice): void => {
    this.#channel.send(notice);
  };

  get through(): Through {
    const listen = (warning: (message: string) => void): void => {
      this.#warning = warning;
    };
    return {
      driver: (like) => new RemoteDriver(like, { ask: this.ask, listen }),
      startCapture: () => this.#captures.start(),
      mark: async (account) => {
        await this.ask({ kind: 'mark', account });
      },
    };
  }

  #next(): void {
    while (this.#waiting.size < MOST_WAITING) {
      const next = this.#queue.shift();
      if (next === undefined) return;
      const id = (this.#last += 1);
      this.#waiting.set(id, next);
      this.#channel.send({ id, ...next.asked });
    }
  }

  #take(order: Order): void {
    switch (order.kind) {
      case 'begin':
        this.#started(order);
        break;
      case 'answer':
        this.#answered(order.id)?.resolve(order.value);
        break;
      case 'refusal': {
        const { code, message } = order;
        const error = code === null ? new Error(message) : new KnockError(code, message);
        this.#answered(order.id)?.reject(error);
        break;
      }
      case 'stop':
        this.stop(order.reason);
        break;
      case 'reload':
        this.reload();
        break;
      case 'ping':
        this.tell({ kind: 'alive', working: this.isWorking() });
        break;
      case 'warning':
        this.#warning(order.message);
        break;
      case 'report':
        this.#captures.report(order.capture, order.report);
        break;
      case 'ended':
        this.#captures.ended(order.capture, order.code, order.signal);
        break;
    }
  }

  #answered(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    this.#next();
    return waiting;
  }
}
