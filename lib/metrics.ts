// What the listener counts. Five calls with literal arguments, so that counting a packet allocates nothing.

/** Where counts go. Implementations must be quick and must not throw: `packet` is called for every packet. */
export interface Metrics {
  /** One captured frame: `decoded` (offered to the schemes), `not-ours` (another host's), or why it was not decoded. */
  packet(outcome: string): void;
  /** One refused knock, by reject reason and scheme. */
  reject(reason: string, scheme: string): void;
  /** One opening, by service and scheme. */
  grant(service: string, scheme: string): void;
  /** One opening that ended, by reason (`used`, `expired`, `revoked`, `superseded`) and service. */
  close(reason: string, service: string): void;
  /** `count` more packets were lost before they reached us. */
  dropped(count: number): void;
}

/** Counts nothing. */
export const noMetrics: Metrics = {
  packet: nothing,
  reject: nothing,
  grant: nothing,
  close: nothing,
  dropped: nothing,
};

function nothing(): void {
  // Deliberately empty: the default of a listener without metrics.
}
