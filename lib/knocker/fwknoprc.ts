// From a stanza of ~/.fwknoprc to a profile (protocols/fwknop.md 2.4): what it says, after what [default] says, and which
// of its lines have no counterpart here. No message shows a value: some of them are keys.

import { isIPv4 } from 'node:net';
import { parseBase64 } from '../base64.ts';
import { HASH_NAMES } from '../crypto/hashes.ts';
import { KnockError, printable } from '../errors.ts';
import { ENCRYPTION_MODES } from '../scheme/fwknop-cipher.ts';
import { parseAccessPort } from '../scheme/fwknop-message.ts';
import { formatProfile, parseProfile, type FwknopProfile } from './profile.ts';

/** Which stanza, and what it leaves open. */
export interface FwknopStanza {
  readonly stanza: string;
  /** What knocks call the user, unless the stanza has a SPOOF_USER. */
  readonly user: string;
}

interface Line {
  readonly number: number;
  readonly value: string;
}

/** What has no counterpart, and is not missed. */
const QUIET =
  /^(VERBOSE|NO_SAVE_ARGS|RAND_PORT|SPA_SOURCE_PORT|RESOLVE_.*|WGET_CMD|USE_WGET_USER_AGENT|HTTP_USER_AGENT|SERVER_RESOLVE_IPV4|USE_HMAC)$/u;
const USUAL_NAMES: Readonly<Record<number, string>> = { 22: 'ssh', 80: 'http', 443: 'https' };
const OFF = /^n(o)?$/iu;

/**
 * The profile of a stanza, and a line for each thing in it that was not carried over.
 *
 * @throws KnockError `ERR_PROFILE` when there is no such stanza, or its knocks cannot be sent by us
 */
export function profileOfFwknoprc(
  text: string,
  options: FwknopStanza,
): { readonly profile: FwknopProfile; readonly notes: readonly string[] } {
  const { stanza, user: name } = options;
  const values = valuesOf(text, stanza);
  const notes: string[] = [];
  const take = (variable: string): string | undefined => {
    const value = values.get(variable)?.value;
    values.delete(variable);
    return value;
  };
  if (!OFF.test(take('USE_GPG') ?? 'N')) refuse('USE_GPG: GPG packets are not supported');
  if ((take('SPA_SERVER_PROTO') ?? 'udp').toLowerCase() !== 'udp') refuse('SPA_SERVER_PROTO must be udp');
  const user = take('SPOOF_USER') ?? name;
  const accessLine = values.get('ACCESS')?.number ?? 0;
  const services = servicesOf(take('ACCESS') ?? '', (port) =>
    notes.push(`line ${accessLine}: ${printable(port, 20)} is not carried over (profiles name TCP ports)`),
  );
  const sourceLine = values.get('ALLOW_IP')?.number ?? 0;
  const allow = take('ALLOW_IP') ?? 'source';
  if (!isIPv4(allow) && allow !== 'source') {
    notes.push(`line ${sourceLine}: ALLOW_IP is taken for source: knocks name no address`);
  }
  const timeout = Number(take('FW_TIMEOUT') ?? 0);
  const hmacKey = keyOf('HMAC_KEY', take('HMAC_KEY'), take('HMAC_KEY_BASE64'));
  const key = keyOf('KEY', take('KEY'), take('KEY_BASE64'));
  if (key === null) refuse('KEY_BASE64 is missing');
  if (hmacKey === null) notes.push(`stanza ${printable(stanza, 60)} has no HMAC key: knocks go without one`);
  const profile: FwknopProfile = {
    ...{ host: take('SPA_SERVER') ?? stanza, scheme: 'fwknop', services, user, key, hmacKey },
    client: /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/u.test(user) ? user : 'fwknop',
    port: Number(take('SPA_SERVER_PORT') ?? 62_201),
    encryptionMode: wordOf('ENCRYPTION_MODE', take('ENCRYPTION_MODE') ?? 'cbc', ENCRYPTION_MODES),
    hmacDigest: wordOf('HMAC_DIGEST_TYPE', take('HMAC_DIGEST_TYPE') ?? 'sha256', HASH_NAMES),
    digest: wordOf('DIGEST_TYPE', take('DIGEST_TYPE') ?? 'sha256', HASH_NAMES),
    source: isIPv4(allow) && allow !== '0.0.0.0' ? allow : 'observed',
    timeoutSeconds: timeout === 0 ? null : timeout,
  };
  for (const [variable, { number }] of values) {
    if (!QUIET.test(variable)) notes.push(`line ${number}: ${printable(variable, 60)} is not carried over`);
  }
  // By the rules that hold for every profile.
  return { profile: parseProfile(formatProfile(profile)) as FwknopProfile, notes };
}

/** The variables of a stanza over those of [default]; a value ends at the first blank, semicolon or #. */
function valuesOf(text: string, stanza: string): Map<string, Line> {
  const stanzas = new Map<string, Map<string, Line>>();
  let current = new Map<string, Line>();
  for (const [index, line] of text.split('\n').entries()) {
    const header = /^\s*\[([^\]]+)\]/u.exec(line)?.[1];
    if (header !== undefined) {
      current = stanzas.get(header) ?? new Map<string, Line>();
      stanzas.set(header, current);
    }
    const [, variable, value] = /^\s*([A-Z][A-Z0-9_]*)\s+([^\s;#]+)/u.exec(line) ?? [];
    if (variable !== undefined && value !== undefined) current.set(variable, { number: index + 1, value });
  }
  const found = stanzas.get(stanza);
  if (found === undefined) {
    const names = [...stanzas.keys()].map((each) => printable(each, 60)).join(', ');
    refuse(`there is no stanza ${printable(stanza, 60)} (there is ${names === '' ? 'none' : names})`);
  }
  return new Map([...(stanzas.get('default') ?? []), ...found]);
}

function servicesOf(access: string, skip: (port: string) => void): Record<string, number> {
  const services: Record<string, number> = {};
  for (const text of access.split(',').filter(Boolean)) {
    const port = parseAccessPort(text.toLowerCase());
    if (port?.protocol === 'tcp') services[USUAL_NAMES[port.port] ?? `tcp-${port.port}`] = port.port;
    else skip(text);
  }
  return Object.keys(services).length === 0 ? refuse('ACCESS names no TCP port') : services;
}

function keyOf(name: string, text: string | undefined, base64: string | undefined): Buffer | null {
  if (base64 === undefined) return text === undefined ? null : Buffer.from(text, 'utf8');
  return parseBase64(base64) ?? refuse(`${name}_BASE64 is not base64`);
}

function wordOf<const T extends string>(name: string, text: string, words: readonly T[]): T {
  const found = words.find((word) => word === text.toLowerCase());
  return found ?? refuse(`${name} must be ${words.join(', ')}`);
}

function refuse(problem: string): never {
  throw new KnockError('ERR_PROFILE', `stanza cannot be used: ${problem}`);
}
