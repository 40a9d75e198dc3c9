// What a fwknopd.conf (protocols/fwknop.md 2.1) says of where packets arrive, and what else in it is not as it was.

import { printable } from '../errors.ts';
import type { FwknopValues } from './fwknop-file.ts';
import type { PlanEntry, PlanNote } from './import-yaml.ts';

/** Where packets arrive. */
export interface FwknopDaemon {
  readonly place: PlanEntry;
  readonly notes: readonly PlanNote[];
}

const USUAL = { PCAP_INTF: 'eth0', UDPSERV_PORT: '62201', MAX_SPA_PACKET_AGE: '120' } as const;
const FILTER = /^udp\s+(?:dst\s+)?port\s+(\d{1,5})$/iu;

/** What is said of a variable that differs from its default: `Y` where fwknopd says N, `N` where it says Y. */
const REMARKS: Readonly<
  Record<string, readonly [unless: string, kind: 'lost' | 'stricter', message: string]>
> = {
  ENABLE_TCP_SERVER: ['N', 'lost', 'packets are heard over UDP only'],
  ENABLE_SPA_OVER_HTTP: ['N', 'lost', 'packets are heard over UDP only'],
  ENABLE_X_FORWARDED_FOR: ['N', 'lost', 'a header that anybody can write opens for nobody'],
  ENABLE_SPA_PACKET_AGING: ['Y', 'stricter', 'packets are at most 120 s old'],
  ENABLE_DIGEST_PERSISTENCE: ['Y', 'stricter', 'a packet works once, also after a restart'],
  ENABLE_IPT_FORWARDING: ['N', 'lost', 'give a service to: ADDRESS:PORT, and who asks for it nat: true'],
  ENABLE_IPT_LOCAL_NAT: ['N', 'lost', 'give a service to: ADDRESS:PORT, and who asks for it nat: true'],
  ENABLE_IPT_SNAT: ['N', 'lost', 'source addresses stay as they are (docs/forwarding.md)'],
  ENABLE_IPT_OUTPUT: ['N', 'lost', 'what this host sends is the business of its own rules'],
  ENABLE_DESTINATION_RULE: ['N', 'lost', 'packets count at any address of this host'],
};

/** Reads what the variables say; without a file those that are usual. */
export function planDaemon(values: FwknopValues, device?: string): FwknopDaemon {
  const notes: PlanNote[] = [];
  const of = (name: keyof typeof USUAL): string => values.get(name)?.value ?? USUAL[name];
  for (const [name, { line, value }] of values) {
    const [unless, kind, message] = Object.hasOwn(REMARKS, name) ? (REMARKS[name] ?? []) : [];
    if (kind !== undefined && isYes(value) !== isYes(unless ?? ''))
      notes.push({ line, kind, message: `${name}: ${message}` });
  }
  const age = values.get('MAX_SPA_PACKET_AGE');
  if (age !== undefined && age.value !== USUAL.MAX_SPA_PACKET_AGE) {
    const kind = Number(age.value) > Number(USUAL.MAX_SPA_PACKET_AGE) ? 'stricter' : 'lost';
    notes.push({ line: age.line, kind, message: 'MAX_SPA_PACKET_AGE: packets are at most 120 s old' });
  }
  const bound = values.get('ENABLE_UDP_SERVER');
  if (bound !== undefined && isYes(bound.value) && device === undefined) {
    const port = Number(of('UDPSERV_PORT'));
    return { place: { line: bound.line, values: { socket: port, ...portOf(port) } }, notes };
  }
  const filter = values.get('PCAP_FILTER');
  const port = filter === undefined ? undefined : FILTER.exec(filter.value)?.[1];
  if (filter !== undefined && port === undefined) {
    const message = `PCAP_FILTER: knocks go to 62201/udp, not to ${printable(filter.value, 100)} (set knock_port)`;
    notes.push({ line: filter.line, kind: 'lost', message });
  }
  const place = { interface: device ?? of('PCAP_INTF'), ...portOf(Number(port ?? USUAL.UDPSERV_PORT)) };
  return { place: { line: values.get('PCAP_INTF')?.line ?? 1, values: place }, notes };
}

function portOf(port: number): { readonly knock_port?: number } {
  return port === Number(USUAL.UDPSERV_PORT) ? {} : { knock_port: port };
}

/** As fwknopd reads its switches. */
export function isYes(value: string): boolean {
  return /^y/iu.test(value);
}
