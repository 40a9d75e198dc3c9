// The message of a packet of fwknop (protocols/fwknop.md 1.2): an address and the ports to open for it, and the inner
// target of NAT messages.

import { formatAddress, parseAddress, type Address } from '../address.ts';

/** A port to open, as fwknop names it. */
export interface AccessPort {
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
}

/** What a message asks for. */
export interface AccessMessage {
  /** IPv4; `null`: wherever the packet comes from (written 0.0.0.0). */
  readonly address: Address | null;
  readonly ports: readonly AccessPort[];
}

/** In place of an address: wherever the packet comes from. */
export const ANYWHERE = '0.0.0.0';
const PORT = /^(tcp|udp)\/(\d{1,5})$/u;
const TARGET = /^([^ /?"'\\,]{1,70}),(\d{1,5})$/u;

/** `198.51.100.7,tcp/22,udp/53`. */
export function encodeAccess({ address, ports }: AccessMessage): string {
  return [address === null ? ANYWHERE : formatAddress(address), ...ports.map(portText)].join(',');
}

/** What {@link encodeAccess} wrote; `null` for anything else. */
export function decodeAccess(message: string): AccessMessage | null {
  const [host = '', ...rest] = message.split(',');
  const address = parseAddress(host);
  if (address?.family !== 4) return null;
  const ports = rest.map(parseAccessPort).filter((port) => port !== null);
  if (ports.length === 0 || ports.length < rest.length) return null;
  return { address: host === ANYWHERE ? null : address, ports };
}

/** `tcp/22`; `null` for anything else. */
export function parseAccessPort(text: string): AccessPort | null {
  const parts = PORT.exec(text);
  const port = Number(parts?.[2]);
  if (parts === null || port < 1 || port > 65_535) return null;
  return { protocol: parts[1] === 'udp' ? 'udp' : 'tcp', port };
}

/** A port as fwknop and its users write it: `tcp/22`. */
export function portText({ protocol, port }: AccessPort): string {
  return `${protocol}/${port}`;
}

/** The inner target of a NAT message, written `HOST:PORT`; `null` when it is none. */
export function decodeTarget(nat: string): string | null {
  const parts = TARGET.exec(nat);
  const port = Number(parts?.[2]);
  if (parts === null || port < 1 || port > 65_535) return null;
  return `${parts[1] ?? ''}:${port}`;
}
