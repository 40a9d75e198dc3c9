// A scheme for tests of what comes after recognition: a UDP packet's payload says what the scheme makes of it.

import type { Match, RejectReason, Scheme } from '../../lib/scheme/scheme.ts';
import { UDP } from '../../lib/packet/view.ts';
import { frame } from './frames.ts';

export interface SpokenOptions {
  readonly clients?: readonly string[];
  readonly name?: string;
  readonly replayable?: boolean;
}

/** Understands what {@link request} and {@link reject} write. */
export function spoken({
  clients = ['alice'],
  name = 'spoken',
  replayable = false,
}: SpokenOptions = {}): Scheme {
  return {
    name,
    needs: [{ protocol: 'udp', ports: [1, 65_535] }],
    clients,
    validityMs: 70_000,
    replayable,
    match(packet) {
      if (packet.protocol !== UDP || packet.payloadLength === 0) return null;
      const end = packet.payloadStart + packet.payloadLength;
      const [kind, what = '', client = '', services = ''] = packet.bytes
        .toString('latin1', packet.payloadStart, end)
        .split(' ');
      if (kind === 'reject') return { kind, reason: what as RejectReason, client };
      if (kind !== 'request') return null;
      const counter = what === '-' ? null : BigInt(what);
      return {
        kind,
        client,
        services: services === '' ? null : services.split(','),
        counter,
      } satisfies Match;
    },
  };
}

/** A frame that asks to open `services` (all when not said) with a counter (`null`: without replay protection). */
export function request(
  counter: number | null,
  {
    client = 'alice',
    services = [] as readonly string[],
    src = '198.51.100.7',
    dst = undefined as string | undefined,
  } = {},
): Buffer {
  const payload = `request ${counter ?? '-'} ${client} ${services.join(',')}`;
  return frame({ src, payload, ...(dst === undefined ? {} : { dst }) });
}

/** A frame that the scheme itself refuses. */
export function reject(reason: RejectReason, { client = 'alice', src = '198.51.100.7' } = {}): Buffer {
  return frame({ src, payload: `reject ${reason} ${client}` });
}
