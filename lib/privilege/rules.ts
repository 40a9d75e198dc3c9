// What of a configuration the half with root goes by when it is asked for something.

import type { PacketSource } from '../capture/source.ts';
import type { Prefix } from '../address.ts';
import type { FirewallDriver, Service } from '../firewall/driver.ts';
import type { ClientAccess } from '../policy/access.ts';
import type { CaptureNeed } from '../scheme/scheme.ts';

/** Who may open what, and what has to be seen for it. */
export interface GuardRules {
  readonly services: readonly Service[];
  readonly clients: readonly ClientAccess[];
  /** Of clients whose knocks may name addresses that they do not come from: which. */
  readonly elsewhere: ReadonlyMap<string, readonly Prefix[]>;
  readonly source: Pick<PacketSource, 'loopback' | 'checksDestination'>;
  readonly needs: readonly CaptureNeed[];
  /** Marks a sequence as used in its file; does nothing for an account that is none. */
  readonly mark: (account: string) => Promise<void>;
}

/** A configuration as this half needs it. */
export interface Guarded {
  readonly rules: GuardRules;
  readonly driver: FirewallDriver;
  /** What is captured; `null`: nothing, the other half binds a socket. */
  readonly device: string | null;
}
