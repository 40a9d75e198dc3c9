// What the stanzas of an access.conf become here (protocols/fwknop.md 2.2): a client each, the services that they open, and
// a note, with its line, for everything that is not as it was. No note shows a key.

import { parsePrefix } from '../address.ts';
import { printable } from '../errors.ts';
import { parseAccessPort, portText, type AccessPort } from '../scheme/fwknop-message.ts';
import { isYes } from './fwknop-daemon.ts';
import type { FwknopAccess, FwknopStanza } from './fwknop-file.ts';
import { keysOf, Refusal } from './fwknop-keys.ts';
import { clientName, serviceName } from './import-names.ts';
import type { PlanEntry, PlanNote } from './import-yaml.ts';
import type { Placed } from './knockd-lines.ts';

/** All of a file. */
export interface FwknopPlan {
  readonly services: ReadonlyMap<string, PlanEntry>;
  readonly clients: ReadonlyMap<string, PlanEntry>;
  readonly notes: readonly PlanNote[];
}

/** A port to open, and how. */
interface Service {
  readonly line: number;
  readonly port: AccessPort;
  readonly to: string | undefined;
  readonly seconds: number;
}

const USUAL_SECONDS = 30;
const MOST_SECONDS = 86_399;

/** What is said of variables that have no counterpart. */
const LOST: Readonly<Record<string, string>> = {
  DESTINATION: 'packets count at any address of this host',
  ENABLE_CMD_EXEC: 'no packet runs a command',
  FORCE_SNAT: 'source addresses stay as they are (docs/forwarding.md)',
  FORCE_MASQUERADE: 'source addresses stay as they are (docs/forwarding.md)',
  DISABLE_DNAT: 'a service is forwarded when it has a to:',
  GPG_DECRYPT_ID: 'GPG packets are not supported',
};
/** Read here, or nothing by themselves: how GPG, commands and the longest time are gone about. */
const KNOWN =
  /^(?:SOURCE|OPEN_PORTS|RESTRICT_PORTS|(?:HMAC_)?KEY(?:_BASE64)?|HMAC_DIGEST_TYPE|ENCRYPTION_MODE|FW_ACCESS_TIMEOUT|MAX_FW_TIMEOUT|REQUIRE_USERNAME|REQUIRE_SOURCE(?:_ADDRESS)?|ACCESS_EXPIRE(?:_EPOCH)?|(?:ENABLE_)?CMD_.*|FORCE_NAT|FORWARD_ALL|GPG_.*)$/u;

/** Plans what a file becomes. */
export function planAccess({ stanzas, notes }: FwknopAccess): FwknopPlan {
  const planner = new Planner(notes);
  for (const stanza of stanzas) planner.take(stanza);
  const services = [...planner.services].map(([name, service]) => [name, entryOf(service)] as const);
  return {
    services: new Map(services),
    clients: planner.clients,
    notes: planner.notes.toSorted((one, other) => one.line - other.line),
  };
}

class Planner {
  readonly services = new Map<string, Service>();
  readonly clients = new Map<string, PlanEntry>();
  readonly notes: PlanNote[];
  /** Lines of the stanzas whose keys have these hashes. */
  readonly #owners = new Map<string, number>();

  constructor(notes: readonly PlanNote[]) {
    this.notes = [...notes];
  }

  take(stanza: FwknopStanza): void {
    try {
      this.#client(stanza);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#note(error.line ?? stanza.line, 'refused', `stanza is left out: ${error.message}`);
    }
  }

  #client(stanza: FwknopStanza): void {
    const { line, values } = stanza;
    for (const name of ['CMD_CYCLE_OPEN', 'FORWARD_ALL']) {
      const found = values.get(name);
      if (found === undefined || (name === 'FORWARD_ALL' && !isYes(found.value))) continue;
      const advice = name === 'FORWARD_ALL' ? 'it opens everything' : 'write a service with open: and close:';
      throw new Refusal(`${name} is not carried over (${advice})`, found.line);
    }
    const { hashes, ...keys } = keysOf(stanza, this.#owners);
    const limits = limitsOf(stanza);
    const services = this.#services(stanza);
    for (const hash of hashes) this.#owners.set(hash, line);
    const user = values.get('REQUIRE_USERNAME');
    const name = clientName(user?.value ?? 'fwknop', this.clients);
    this.clients.set(name, { line, values: { scheme: 'fwknop', ...keys, ...limits, services } });
    this.#remark(stanza);
    const at = values.get('OPEN_PORTS')?.line ?? line;
    const how = 'for one connection, from where its packet came (lift it with connections, may_claim)';
    this.#note(at, 'stricter', `client ${name} opens ${services.join(', ')} ${how}`);
  }

  /** The services of the ports that it opens. */
  #services({ values, line }: FwknopStanza): readonly string[] {
    const given = values.get('OPEN_PORTS');
    if (given === undefined) throw new Refusal('any port could be asked for (add OPEN_PORTS)');
    const restricted = portsOf(values.get('RESTRICT_PORTS')).map(portText);
    const ports = portsOf(given).filter((port) => !restricted.includes(portText(port)));
    if (ports.length === 0) throw new Refusal('OPEN_PORTS leaves no port', given.line);
    const to = targetOf(values.get('FORCE_NAT'));
    const time = values.get('FW_ACCESS_TIMEOUT');
    const seconds = Math.min(Number(time?.value ?? USUAL_SECONDS) || USUAL_SECONDS, MOST_SECONDS);
    const wanted = ports.map((port) => {
      const name = serviceName(port);
      const known = this.services.get(name);
      if (known !== undefined && known.to !== to)
        throw new Refusal(`FORCE_NAT of ${portText(port)} is not that of line ${known.line}`);
      return { name, port, known };
    });
    for (const { name, port, known } of wanted) {
      if (known !== undefined && known.seconds !== seconds) {
        const message = `service ${name} is opened for different times: the shortest counts for all`;
        this.#note(time?.line ?? line, 'stricter', message);
      }
      const shortest = Math.min(known?.seconds ?? seconds, seconds);
      this.services.set(name, { line: known?.line ?? line, port, to, seconds: shortest });
    }
    return wanted.map(({ name }) => name);
  }

  #remark({ values }: FwknopStanza): void {
    for (const [name, { line, value }] of values) {
      const lost = Object.hasOwn(LOST, name) ? LOST[name] : undefined;
      if (lost !== undefined) {
        if (!/^(?:n|any)/iu.test(value)) this.#note(line, 'lost', `${name}: ${lost}`);
      } else if (name === 'REQUIRE_USERNAME') {
        this.#note(
          line,
          'lost',
          'REQUIRE_USERNAME: whose the keys are says who it is, whatever name is in the packet',
        );
      } else if (!KNOWN.test(name)) this.#note(line, 'warning', `${printable(name, 60)} is not known`);
    }
  }

  #note(line: number, kind: PlanNote['kind'], message: string): void {
    this.notes.push({ line, kind, message });
  }
}

function entryOf({ line, port: { port, protocol }, to, seconds }: Service): PlanEntry {
  return {
    line,
    values: {
      port,
      ...(protocol === 'tcp' ? {} : { protocol }),
      ...(to === undefined ? {} : { to }),
      open_for: `${seconds}s`,
    },
  };
}

/** From where, until when, and for whom. */
function limitsOf({ values }: FwknopStanza): Record<string, unknown> {
  const source = values.get('SOURCE');
  const from = listOf(source).filter((text) => text.toUpperCase() !== 'ANY');
  // Nothing would mean anywhere.
  if (listOf(source).length === 0) throw new Refusal('SOURCE is empty', source?.line);
  const odd = from.find((text) => parsePrefix(text) === null);
  if (odd !== undefined) throw new Refusal(`SOURCE: ${printable(odd, 60)} is no address`, source?.line);
  const isAnywhere = from.length < listOf(source).length;
  const expires = expiryOf(values.get('ACCESS_EXPIRE'), values.get('ACCESS_EXPIRE_EPOCH'));
  const isNamed = ['REQUIRE_SOURCE_ADDRESS', 'REQUIRE_SOURCE'].some((name) =>
    isYes(values.get(name)?.value ?? ''),
  );
  return {
    ...(isAnywhere ? {} : { from }),
    ...(expires === null ? {} : { expires }),
    ...(isNamed ? { require_address: true } : {}),
  };
}

/** As our `expires` has it. */
function expiryOf(day: Placed<string> | undefined, epoch: Placed<string> | undefined): string | null {
  if (epoch !== undefined) {
    const seconds = Number(epoch.value);
    // Up to the year 9999.
    if (/^\d{1,11}$/u.test(epoch.value)) return new Date(seconds * 1000).toISOString().replace('.000', '');
    throw new Refusal('ACCESS_EXPIRE_EPOCH must be seconds', epoch.line);
  }
  if (day === undefined) return null;
  const [, month = '', date = '', year] = /^(\d{1,2})\/(\d{1,2})\/(\d{4})$/u.exec(day.value) ?? [];
  if (year === undefined) throw new Refusal('ACCESS_EXPIRE must be MM/DD/YYYY', day.line);
  return `${year}-${month.padStart(2, '0')}-${date.padStart(2, '0')}`;
}

function portsOf(given: Placed<string> | undefined): readonly AccessPort[] {
  return listOf(given).map((text) => {
    const port = parseAccessPort(text.toLowerCase());
    if (port !== null) return port;
    throw new Refusal(`${printable(text, 60)} is no port (write tcp/22)`, given?.line);
  });
}

/** `10.0.0.5 22` as `10.0.0.5:22`. */
function targetOf(given: Placed<string> | undefined): string | undefined {
  if (given === undefined) return undefined;
  const [, host = '', port = ''] = /^([\d.]+)[\s,:]+(\d{1,5})$/u.exec(given.value) ?? [];
  if (parsePrefix(host) !== null && Number(port) >= 1 && Number(port) <= 65_535) return `${host}:${port}`;
  throw new Refusal('FORCE_NAT must be an address and a port', given.line);
}

function listOf(given: Placed<string> | undefined): readonly string[] {
  return (given?.value ?? '')
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '');
}
