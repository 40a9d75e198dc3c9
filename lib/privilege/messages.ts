// What the verifying half may ask of the half with root, as shapes: whatever has another one is no message. The other way
// round the half with root is trusted, so that those messages are types only.

import type { ChildReport } from '../capture/frames.ts';
import type { ConfigFiles } from '../config/bundle.ts';
import type { ConfigOrigin } from '../config/origin.ts';
import type { KnockErrorCode } from '../errors.ts';
import type { Grant } from '../firewall/driver.ts';
import { grantIn } from '../grant/record.ts';

/** A request has an `id`, and is answered; without one it only tells something. */
export type Request = { readonly id: number } & (
  | { readonly kind: 'open' | 'close'; readonly grant: Grant }
  | { readonly kind: 'hold'; readonly grants: readonly Grant[] }
  | { readonly kind: 'list' | 'setup' | 'reload' }
  | { readonly kind: 'capture'; readonly filter: string }
  | { readonly kind: 'mark'; readonly account: string }
);

export type Notice =
  | { readonly kind: 'hello' | 'ready' }
  /** It has the capture's pipe; it wants it to end; at once. */
  | { readonly kind: 'received' | 'retire' | 'kill'; readonly capture: number }
  | { readonly kind: 'alive'; readonly working: boolean };

/** From the verifying half. */
export type Question = Request | Notice;

/** To the verifying half. */
export type Order =
  | {
      readonly kind: 'begin';
      readonly origin: ConfigOrigin;
      readonly files: ConfigFiles;
      readonly greeting: unknown;
    }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | {
      readonly kind: 'refusal';
      readonly id: number;
      readonly code: KnockErrorCode | null;
      readonly message: string;
    }
  | { readonly kind: 'stop'; readonly reason: string }
  | { readonly kind: 'reload' | 'ping' }
  | { readonly kind: 'warning'; readonly message: string }
  | { readonly kind: 'report'; readonly capture: number; readonly report: ChildReport }
  | {
      readonly kind: 'ended';
      readonly capture: number;
      readonly code: number | null;
      readonly signal: string | null;
    };

/** Of a line from the verifying half: a filter for a thousand ports fits in. */
export const MOST_REQUEST_BYTES = 256 * 1024;
/** Of a line to it: the files of a configuration. */
export const MOST_ORDER_BYTES = 64 * 1024 * 1024;
/** Requests that may wait for their answers. */
export const MOST_WAITING = 1024;
/** Of the grants of an earlier run that are told at once. */
export const MOST_HELD_AT_ONCE = 100;

const CLIENT = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/u;
const ID = /^[a-z0-9]{1,64}$/u;
const MOST_ID = Number.MAX_SAFE_INTEGER;
const GRANT_KEYS = ['id', 'client', 'source', 'service', 'protocol', 'port', 'openUntil', 'connections'];

/** The message; `null` for anything that is none, to the last key. */
export function questionIn(value: unknown): Question | null {
  const fields = fieldsOf(value);
  if (fields === null) return null;
  switch (fields.kind) {
    case 'hello':
    case 'ready':
      return hasKeys(fields, ['kind']) ? { kind: fields.kind } : null;
    case 'received':
    case 'retire':
    case 'kill':
      return hasKeys(fields, ['kind', 'capture']) && isCount(fields.capture)
        ? { kind: fields.kind, capture: fields.capture }
        : null;
    case 'alive':
      return hasKeys(fields, ['kind', 'working']) && typeof fields.working === 'boolean'
        ? { kind: 'alive', working: fields.working }
        : null;
    default:
      return isCount(fields.id) ? requestIn(fields, fields.id) : null;
  }
}

function requestIn(fields: Fields, id: number): Request | null {
  const { kind } = fields;
  switch (kind) {
    case 'list':
    case 'setup':
    case 'reload':
      return hasKeys(fields, ['kind', 'id']) ? { kind, id } : null;
    case 'open':
    case 'close': {
      const grant = hasKeys(fields, ['kind', 'id', 'grant']) ? strictGrant(fields.grant) : null;
      return grant === null ? null : { kind, id, grant };
    }
    case 'hold': {
      const { grants: given } = fields;
      if (!hasKeys(fields, ['kind', 'id', 'grants']) || !Array.isArray(given)) return null;
      if (given.length > MOST_HELD_AT_ONCE) return null;
      const grants = given.map(strictGrant);
      return grants.includes(null) ? null : { kind, id, grants: grants.filter((grant) => grant !== null) };
    }
    case 'capture':
      return hasKeys(fields, ['kind', 'id', 'filter']) && typeof fields.filter === 'string'
        ? { kind, id, filter: fields.filter }
        : null;
    case 'mark':
      return hasKeys(fields, ['kind', 'id', 'account']) && typeof fields.account === 'string'
        ? { kind, id, account: fields.account }
        : null;
    default:
      return null;
  }
}

/** Made anew of what was looked at, so that nothing else gets on. */
function strictGrant(value: unknown): Grant | null {
  const fields = fieldsOf(value);
  if (fields === null) return null;
  const { to, id, client, openUntil } = fields;
  if (!hasKeys(fields, to === undefined ? GRANT_KEYS : [...GRANT_KEYS, 'to'])) return null;
  if (to !== undefined && !hasKeys(fieldsOf(to) ?? {}, ['host', 'port'])) return null;
  if (typeof id !== 'string' || !ID.test(id)) return null;
  if (typeof client !== 'string' || !CLIENT.test(client)) return null;
  return Number.isFinite(openUntil) ? grantIn(value) : null;
}

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(value: unknown): Fields | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

function hasKeys(fields: Fields, keys: readonly string[]): boolean {
  return Object.keys(fields).length === keys.length && keys.every((key) => Object.hasOwn(fields, key));
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MOST_ID;
}
