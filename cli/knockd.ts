// The options about a knockd.conf, which `portknock import` and `portknockd` share.

import type { KnockdOptions } from '../lib/index.ts';

export interface KnockdValues {
  readonly interface?: string | undefined;
  readonly state?: string | undefined;
  readonly strict?: boolean | undefined;
  readonly 'allow-shell'?: boolean | undefined;
}

/** What the library is told. */
export function knockdOptions(values: KnockdValues): KnockdOptions {
  const { interface: device, state, strict = false, 'allow-shell': allowShell = false } = values;
  return {
    ...{ strict, allowShell },
    ...(device === undefined ? {} : { interface: device }),
    ...(state === undefined ? {} : { stateDir: state }),
  };
}
