// The one error family: failures of the host or of a caller's files. A bad packet is never an exception
// (see scheme/scheme.ts for reject reasons); a caller's mistake is a TypeError or a RangeError.

/** Every `code` that a {@link KnockError} can carry. */
export type KnockErrorCode =
  | 'ERR_PCAP_ABSENT' // the optional package `pcap` is not installed
  | 'ERR_PCAP_UNBUILT' // it is installed, but its native part was not built
  | 'ERR_CAPTURE_PERMISSION' // no right to capture
  | 'ERR_CAPTURE_INTERFACE' // no such interface
  | 'ERR_CAPTURE' // any other failure to capture
  | 'ERR_SAVEFILE' // a savefile that is not pcap or pcapng, or is damaged
  | 'ERR_FIREWALL_MISSING' // the firewall's program or kernel part is missing
  | 'ERR_FIREWALL_PERMISSION' // no right to change the firewall
  | 'ERR_FIREWALL_COMMAND' // a firewall program failed
  | 'ERR_FIREWALL_FULL' // no room for another grant; none was evicted
  | 'ERR_FIREWALL_UNSUPPORTED' // the driver cannot express this grant or service
  | 'ERR_REPLAY_UNREADABLE' // the replay state exists but cannot be trusted or read
  | 'ERR_REPLAY_WRITE' // the replay state could not be made durable
  | 'ERR_GRANT_JOURNAL' // grants could not be recorded, so none is opened
  | 'ERR_CONFIG' // a configuration with problems, see ConfigError
  | 'ERR_PROFILE' // a client profile that cannot be used
  | 'ERR_KEY' // a private key that cannot be used
  | 'ERR_PASSWORD' // a wrong or missing password or passphrase
  | 'ERR_AGENT' // the ssh-agent cannot be asked, or refused to sign
  | 'ERR_EXISTS' // something that would have to be overwritten
  | 'ERR_WRITE' // a file of ours could not be written
  | 'ERR_STATE' // the client's own state could not be kept
  | 'ERR_KNOCK_AHEAD' // too many knocks in a row: the next one-time step is not valid yet
  | 'ERR_RESOLVE' // the gateway's name has no usable address
  | 'ERR_SEND' // the host refused to send a packet
  | 'ERR_NOT_OPEN' // the port did not accept a connection in time
  | 'ERR_METRICS' // the metrics cannot be had: prom-client is missing, or their address cannot be bound
  | 'ERR_WARDEN' // one half of portknockd could not be started, or asked the other for what it may not have
  | 'ERR_LISTENER_STATE'; // start() or stop() called in the wrong state

const BRAND = Symbol.for('portknock.KnockError');

/** A failure of the host: it carries a literal `code` and, where there is one, the `cause`. */
export class KnockError extends Error {
  readonly code: KnockErrorCode;
  readonly [BRAND] = true;

  constructor(code: KnockErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'KnockError';
    this.code = code;
  }
}

/** Tells whether `value` is a {@link KnockError} of any copy of this package (ESM and CJS have their own). */
export function isKnockError(value: unknown): value is KnockError {
  return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[BRAND] === true;
}

/** The `code` of a Node system error, or an empty string. */
export function systemCode(error: unknown): string {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : '';
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Text from outside made fit to print on one line: control and non-ASCII characters become \u escapes. */
export function printable(text: string, limit = 200): string {
  const cut = text.length > limit ? `${text.slice(0, limit)}...` : text;
  return cut.replace(/[^\x20-\x7e]|\\/gu, (char) =>
    char === '\\' ? '\\\\' : `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`,
  );
}
