// Which steps are valid now: t-3 to t+3 around the packet's own time, for every client, moved on as steps pass.
// The common move (one step forward) costs one step's key schedule per client.

import { stepAt, STEPS_AROUND } from './one-time-key.ts';

/** One window per step length, each keeping something (T) per client and valid step. */
export function stepWindows<C extends { readonly stepSeconds: number }, T>(
  clients: readonly C[],
  enter: (client: C, step: number) => T,
  leave: (value: T) => void,
  around = STEPS_AROUND,
): StepWindow<T[]>[] {
  return [...new Set(clients.map(({ stepSeconds }) => stepSeconds))].map((stepSeconds) => {
    const members = clients.filter((client) => client.stepSeconds === stepSeconds);
    return new StepWindow(
      stepSeconds,
      (step) => members.map((client) => enter(client, step)),
      (values) => {
        values.forEach(leave);
      },
      around,
    );
  });
}

/** Keeps something (T) per valid step. */
export class StepWindow<T> {
  readonly #live = new Map<number, T>();
  #present = Number.NaN;
  #turnsMs = 0;
  readonly #stepMs: number;
  readonly #stepSeconds: number;
  readonly #enter: (step: number) => T;
  readonly #leave: (value: T) => void;
  readonly #around: number;

  constructor(
    stepSeconds: number,
    enter: (step: number) => T,
    leave: (value: T) => void,
    around = STEPS_AROUND,
  ) {
    this.#stepSeconds = stepSeconds;
    this.#stepMs = stepSeconds * 1000;
    this.#enter = enter;
    this.#leave = leave;
    this.#around = around;
  }

  /**
   * Makes the window fit the packet's time; cheap unless a step has passed (or the clock was set back). Takes the
   * packet, since its time handed over as a number would be boxed, for every packet.
   */
  moveTo({ timeMs }: { readonly timeMs: number }): void {
    if (timeMs < this.#turnsMs && timeMs >= this.#turnsMs - this.#stepMs) return;
    this.#present = stepAt(timeMs, this.#stepSeconds);
    this.#turnsMs = (this.#present + 1) * this.#stepMs;
    const first = Math.max(0, this.#present - this.#around);
    const last = this.#present + this.#around;
    for (const [step, value] of this.#live) {
      if (step >= first && step <= last) continue;
      this.#live.delete(step);
      this.#leave(value);
    }
    for (let step = first; step <= last; step += 1) {
      if (!this.#live.has(step)) this.#live.set(step, this.#enter(step));
    }
  }
}
