// What a line of an authorized_keys file makes of its key: the client's name, what it may open, from where, until when.

import { printable } from '../errors.ts';
import type { KeyOptions } from './authorized-options.ts';
import { unknownService } from './checks.ts';
import { parseExpiry } from './expiry.ts';
import type { KeyOwners } from './owners.ts';
import { BINDS, CLIENT_NAME, NAME_RULE, SPA_DEFAULTS, type SpaClientConfig } from './schema.ts';

/** A line taken apart; places are characters before. */
export interface AuthorizedLine {
  readonly options: KeyOptions;
  readonly blob: Uint8Array;
  readonly publicKey: string;
  readonly keyAt: number;
  readonly name: string;
  readonly nameAt: number;
}

/** What a new client must be told apart from, and the services there are. */
export interface OtherClients {
  /** `null` when no services are configured. */
  readonly serviceNames: readonly string[] | null;
  readonly owners: KeyOwners;
  /** Names of clients so far; those that are found are added. */
  readonly taken: Set<string>;
}

/** Notes a problem, `at` characters into the line. */
type Refuse = (at: number, problem: string) => null;

const KEY_BITS = 128;

/** The client of a line; `null` after reporting what is wrong with it. */
export function authorizedClient(
  line: AuthorizedLine,
  others: OtherClients,
  report: (at: number, message: string) => void,
): SpaClientConfig | null {
  const { name, options, publicKey } = line;
  const known = CLIENT_NAME.test(name);
  const refuse: Refuse = (at, problem) => {
    report(at, known ? `client ${name}: ${problem}` : problem);
    return null;
  };
  const isNew = isOneOfAKind(line, others, refuse);
  const services = servicesOf(line, others, refuse);
  const bind = bindOf(options, refuse);
  const expiry = expiryOf(options, refuse);
  if (!isNew || services === null || bind === null || expiry === null) return null;
  others.taken.add(name);
  const { widestPrefix } = SPA_DEFAULTS;
  const key = { publicKey };
  return { name, scheme: 'spa', services, bits: KEY_BITS, key, bind, widestPrefix, ...expiry };
}

function isOneOfAKind(
  { name, nameAt, keyAt, blob }: AuthorizedLine,
  { taken, owners }: OtherClients,
  refuse: Refuse,
): boolean {
  const owner = owners.take(name, blob);
  if (owner !== null) refuse(keyAt, `key is ${printable(owner)} (one client, one key: remove one of them)`);
  if (name === '') refuse(nameAt, "client's name is missing at the end of the line (add it)");
  else if (!CLIENT_NAME.test(name)) {
    const got = printable(name, 70);
    refuse(nameAt, `client's name must be ${NAME_RULE}, not '${got}' (change the end of the line)`);
  } else if (taken.has(name)) {
    refuse(nameAt, 'name is that of another client (give each its own, at the end of the line)');
  } else {
    return owner === null;
  }
  return false;
}

function servicesOf(
  { options, keyAt }: AuthorizedLine,
  { serviceNames }: OtherClients,
  refuse: Refuse,
): readonly string[] | null {
  const option = options['portknock-services'];
  if (option === undefined) {
    const example = printable(`portknock-services="${(serviceNames ?? ['ssh']).join(',')}"`);
    return refuse(keyAt, `portknock-services is missing (put ${example} and a blank before the key)`);
  }
  const { at, value } = option;
  if (value === '') {
    return refuse(at, 'portknock-services is empty (name what this client may open, as in "ssh,admin")');
  }
  const names = [...new Set(value.split(','))];
  const problems = names.map((name) => (serviceNames === null ? null : unknownService(name, serviceNames)));
  const strange = problems.filter((problem) => problem !== null);
  for (const problem of strange) refuse(at, problem);
  return strange.length === 0 ? names : null;
}

function bindOf(options: KeyOptions, refuse: Refuse): SpaClientConfig['bind'] | null {
  const option = options['portknock-bind'];
  if (option === undefined) return SPA_DEFAULTS.bind;
  const bind = BINDS.find((each) => each === option.value);
  if (bind !== undefined) return bind;
  const got = shown(option.value);
  return refuse(
    option.at,
    `portknock-bind must be observed, exact or prefix, not ${got} (write one of them)`,
  );
}

function expiryOf(options: KeyOptions, refuse: Refuse): Pick<SpaClientConfig, 'expiresAt'> | null {
  const option = options['expiry-time'];
  if (option === undefined) return {};
  const expiresAt = parseExpiry(option.value);
  if (expiresAt !== null) return { expiresAt };
  const rule = `expiry-time must be a date that exists, perhaps with a time, not ${shown(option.value)}`;
  return refuse(option.at, `${rule} (write it as 20301231 or 203012312359, with Z for UTC)`);
}

function shown(value: string): string {
  return `"${printable(value, 60)}"`;
}
