// Why a knock was refused or missed, in words, with what to do: for whoever reads what explain() found. No secret is in
// them: neither keys nor the ports that a sequence would have had next.

import type { AttemptRemark, MissReason } from '../scheme/remark.ts';
import type { Rejection, RejectReason } from '../scheme/scheme.ts';

const REFUSED: Readonly<Record<RejectReason, string>> = {
  'bad-tag':
    'the gateway tag is wrong: sealed with another access key, or changed on the way (give the client a profile of this gateway)',
  malformed: 'its content breaks the format (is the client of another version?)',
  audience: 'it is meant for a gateway of another name (compare gateway here and in the profile)',
  'unknown-client': 'no client with that key is configured (add the client, or correct its key)',
  stale: 'sent too long ago by its own clock (set the clock of client or gateway right)',
  future: 'sent in the future by its own clock (set the clock of client or gateway right)',
  'bad-signature':
    "the client's own proof is wrong: another key behind the same name, or forged (compare the keys)",
  'too-many-checks':
    'more signatures came than are checked (somebody with the access key sends bad ones, or the client too many)',
  'too-many-knocks': "so many of the client's knocks are under way that this one is not (knock less often)",
  'bind-refused': 'it names a wider source than bind of this client allows (knock with the bind that it has)',
  'source-mismatch':
    'it came from another address than it names: redirected, or through a NAT (knock with the address that the gateway sees)',
  'prefix-too-wide': 'it asks for a wider prefix than widest_prefix allows (ask for a longer one)',
  'client-expired': "the client's key had expired (renew its expiry-time)",
  'wrong-port':
    'a valid tag on a port that is not its own: redirected on the way (look for port rewriting between the two)',
  'gpg-packet':
    'a packet of fwknop in its GPG mode, which is not supported (give the client a symmetric key)',
  'hmac-mismatch':
    'a packet of fwknop whose HMAC is that of no client (compare hmac_key and hmac_digest with the sender)',
  'decrypt-failed':
    'a packet of fwknop that does not decrypt (compare key and encryption_mode with the sender)',
  'digest-mismatch': 'a packet of fwknop whose inner digest is wrong (changed, or made by a broken client)',
  'command-refused': 'it asks to run a command, which no client may',
  'nat-refused': 'it asks for a forwarding that the client may not have',
  'port-refused': "it asks for a port that is none of the client's services (look at its services)",
  'attempt-table-full': 'too many sources send this same knock (it was recorded, and is being repeated)',
  replayed:
    'this knock, or a later one of the client, was accepted before (a copy; or two devices with one key)',
  'replay-window': 'the replay state was missing (wait until old knocks have expired)',
  'replay-failed': 'the replay state could not be written (look at the disk of state_dir)',
  'source-refused':
    'a source that nothing is opened for: where this client may not knock from, loopback, our own, or not unicast',
  'client-unknown': 'the scheme knows the client, the policy does not (list it under clients)',
  'service-refused':
    'the client may not open that service, or there is none of that name (look at its services)',
  'grant-failed': "the firewall refused (look at the gateway's log)",
};

const MISSED: Readonly<Record<MissReason, string>> = {
  'wrong-length': 'on the knock port, but no knock has this length: other traffic, or cut on the way',
  'wrong-hint':
    'on the knock port, but not a knock for this access key and hour (another access key, a clock that is hours off, or other traffic)',
  'other-hour':
    "sealed with this gateway's access key, but for another hour: the sender's clock is hours off",
  'unknown-tag':
    'as long as a one-time knock, but its tag is none of a client now (another secret, a clock that is far off, or other traffic)',
  'other-step': 'a one-time knock, but for another time than now (set the clock of client or gateway right)',
};

/** Why a knock was refused. */
export function refusal({
  reason,
  detail = '',
  clockOffsetMs,
}: Pick<Rejection, 'reason' | 'detail' | 'clockOffsetMs'>): string {
  return `${REFUSED[reason]}${detail === '' ? '' : `: ${detail}`}${offsetText(clockOffsetMs)}`;
}

/** Why a packet that looked like a knock is none. */
export function miss(reason: MissReason, clockOffsetMs?: number): string {
  return `${MISSED[reason]}${offsetText(clockOffsetMs)}`;
}

/** What became of a packet of a sequence. */
export function step({ kind, knock, knocks, seen }: AttemptRemark): string {
  const which = knock === null ? 'another packet' : `knock ${knock} of ${knocks}`;
  const next = seen.length + 1;
  switch (kind) {
    case 'counted':
      return `${which}; counted so far: ${seen.join(', ')}`;
    case 'repeated':
      return `${which} once more: it was counted before`;
    case 'late':
      return `${which}, too late: the time since the first knock was over (knock faster, or allow a longer sequence_timeout)`;
    case 'broken':
      return `${which} came in place of knock ${next}: the sequence starts over`;
  }
}

function offsetText(clockOffsetMs: number | undefined): string {
  if (clockOffsetMs === undefined) return '';
  const seconds = Math.round(Math.abs(clockOffsetMs) / 1000);
  return `; the client's clock is ${seconds} s ${clockOffsetMs < 0 ? 'behind' : 'ahead'}`;
}
