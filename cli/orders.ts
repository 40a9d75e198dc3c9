// Who tells a gateway to stop and to reload: signals, or the half of portknockd with root.

/** Tells. */
export interface Orders {
  /** Once: the end, and why. */
  readonly onStop: (run: (reason: string) => void) => void;
  readonly onReload: (run: () => void) => void;
}

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/** The signals of this process. */
export function signalOrders(): Orders {
  return {
    onStop(run) {
      for (const signal of SIGNALS) process.once(signal, run);
    },
    onReload(run) {
      process.on('SIGHUP', run);
    },
  };
}
