// A past without knocks, for schemes tried by themselves.

import type { KnockHistory } from '../../lib/scheme/scheme.ts';

export const NO_HISTORY: KnockHistory = { floor: () => null };
