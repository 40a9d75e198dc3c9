// Lengths of time as people write them in a configuration or on a command line: `500ms`, `30s`, `2m`, `1h`.

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of `30s`, `2m`, `1h`, `500ms`; a plain whole number counts seconds. `null` for anything else. */
export function parseDuration(value: unknown): number | null {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string') return null;
  const parts = /^(\d{1,9})(ms|s|m|h)?$/u.exec(text);
  return parts === null ? null : Number(parts[1]) * (UNITS[parts[2] ?? 's'] ?? 1000);
}
