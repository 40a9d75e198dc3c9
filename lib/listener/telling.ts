// What a listener says of its work, in one place: events to its owner (repetitions as one, with their count), and counts
// of all of it to its metrics.

import type { EventEmitter } from 'node:events';
import type { Clock } from '../clock.ts';
import { isKnockError } from '../errors.ts';
import type { Grant } from '../firewall/driver.ts';
import type { CloseReason } from '../grant/events.ts';
import type { Metrics } from '../metrics.ts';
import { RejectThrottle } from '../policy/throttle.ts';
import type { ListenerEvents } from './events.ts';
import { Failures } from './failures.ts';

export interface TellingParts {
  readonly emitter: EventEmitter<ListenerEvents>;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

/** Tells. */
export class Telling {
  readonly throttle: RejectThrottle;
  readonly #parts: TellingParts;
  readonly #failures: Failures;

  constructor(parts: TellingParts) {
    const { emitter, clock } = (this.#parts = parts);
    this.throttle = new RejectThrottle(clock, (reject) => emitter.emit('reject', reject));
    this.#failures = new Failures(clock, (error) => emitter.emit('error', error));
  }

  /** A knock was accepted: what it opened, which is nothing when it asked to close. */
  readonly accepted = (grants: readonly Grant[], scheme: string, timeMs: number): void => {
    const { emitter, metrics, clock } = this.#parts;
    // The packet's time is the capture's, whose clock may be ahead by a moment.
    metrics.accept(scheme, grants.length === 0 ? null : Math.max(0, clock.now() - timeMs));
    for (const grant of grants) {
      metrics.grant(grant.service, scheme);
      emitter.emit('grant', { grant, scheme });
    }
  };

  readonly closed = (grant: Grant, reason: CloseReason): void => {
    const { emitter, metrics } = this.#parts;
    metrics.close(reason, grant.service);
    emitter.emit('close', { grant, reason });
  };

  readonly failed = (error: unknown): void => {
    this.#parts.metrics.error(isKnockError(error) ? error.code : 'other');
    this.#failures.note(error);
  };

  readonly warning = (message: string): void => {
    this.#parts.emitter.emit('warning', { message });
  };

  /** Rejects that were held back. */
  flushRejects(): void {
    this.throttle.flush();
  }

  /** Failures that were held back. */
  flushFailures(): void {
    this.#failures.flush();
  }
}
