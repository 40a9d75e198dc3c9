// What the listener counts. Calls with literal arguments, so that counting a packet allocates nothing.

/** What can be read of a listener at any time. */
export interface Watched {
  /** Names of its services. */
  readonly services: readonly string[];
  /** Names of its schemes. */
  readonly schemes: readonly string[];
  /** What is open. */
  readonly grants: readonly { readonly service: string }[];
}

/** Where counts go. Implementations must be quick and must not throw: `packet` is called for every packet. */
export interface Metrics {
  /** Called once by a listener that counts here. */
  watch(listener: Watched): void;
  /**
   * One captured frame: `decoded` (offered to the schemes), `not-ours` (another host's), or why it was not decoded. And
   * `duplicate`, beside `decoded`, for one that turned out to be a knock's second copy.
   */
  packet(outcome: string): void;
  /** One refused knock, by reject reason and scheme. */
  reject(reason: string, scheme: string): void;
  /**
   * One accepted knock, by scheme. `openMs`: from its packet until everything that it opened was open, milliseconds;
   * `null` when it opened nothing (it asked to close).
   */
  accept(scheme: string, openMs: number | null): void;
  /** One opening, by service and scheme. */
  grant(service: string, scheme: string): void;
  /** One opening that ended, by reason (`used`, `expired`, `revoked`, `superseded`) and service. */
  close(reason: string, service: string): void;
  /** `count` more packets were lost before they reached us. */
  dropped(count: number): void;
  /** One failure of the host, by its `KnockErrorCode`, or `other`. */
  error(code: string): void;
}

/** Counts nothing. */
export const noMetrics: Metrics = {
  watch: nothing,
  packet: nothing,
  reject: nothing,
  accept: nothing,
  grant: nothing,
  close: nothing,
  dropped: nothing,
  error: nothing,
};

function nothing(): void {
  // Deliberately empty: the default of a listener without metrics.
}
