// The expiry-time of an authorized key, as sshd reads it (sshd(8), "AUTHORIZED_KEYS FILE FORMAT"): the host's local
// time, or UTC with a Z at the end.

const TIME = /^(\d{8}|\d{12}|\d{14})(Z|UTC)?$/iu;
const DIGITS = 14;

/** `YYYYMMDD[HHMM[SS]][Z]` as Unix milliseconds; `null` for anything else, dates that do not exist included. */
export function parseExpiry(text: string): number | null {
  const [, written = '', zone] = TIME.exec(text) ?? [];
  const digits = written.padEnd(DIGITS, '0');
  const number = (start: number, end: number): number => Number(digits.slice(start, end));
  const day = [number(0, 4), number(4, 6) - 1, number(6, 8)] as const;
  const time = [number(8, 10), number(10, 12), number(12, 14)] as const;
  const utcMs = Date.UTC(...day, ...time);
  // What rolled over into another day is not what was written; nobody knocked before 1970.
  const canonical = new Date(utcMs).toISOString().replace(/\D/gu, '').slice(0, DIGITS);
  if (written === '' || canonical !== digits || utcMs < 0) return null;
  return zone === undefined ? new Date(...day, ...time).getTime() : utcMs;
}
