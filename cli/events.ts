// What portknockd logs: every event with every field it can have. The names stay as they are: programs read them.
// docs/monitoring.md explains them, and a test compares the two.

/** Fields by event; which of them are there depends on what happened. */
export const EVENTS = {
  ready: ['source', 'driver', 'services', 'clients'],
  grant: ['id', 'client', 'service', 'port', 'source', 'open_until', 'scheme'],
  close: ['id', 'reason'],
  reject: ['reason', 'source', 'scheme', 'client', 'count', 'detail', 'clock_offset_seconds', 'message'],
  reload: ['services', 'clients'],
  warning: ['message'],
  error: ['code', 'message'],
  teardown: ['driver'],
  stop: ['reason'],
} as const;

export type EventName = keyof typeof EVENTS;

export type Field = string | number | boolean | readonly string[] | undefined;

/** What a program's events and their fields become. */
export type EventLog = <E extends EventName>(
  event: E,
  fields: Readonly<Partial<Record<(typeof EVENTS)[E][number], Field>>>,
) => void;
