// The iptables ruleset as text for iptables-restore. One connection is spent on the packet that completes the
// handshake, never on the SYN: a spoofed SYN cannot burn a grant, a repeated SYN is not refused, and a second
// completion is. Two bits of the connection mark say how far a connection got.

import type { Service } from './driver.ts';
import type { LivePeer } from './live-peers.ts';

/** What an unauthorised packet to a protected port gets; `return` leaves it to the host's own rules. */
export type Shut = 'drop' | 'return' | { readonly rejectWith: string };

export const MAIN = 'PORTKNOCK';
/** Every chain of ours, and nobody else's, is called like this. */
export const OURS = /^(?:PORTKNOCK|PK-[A-Za-z0-9-]+)$/u;

const OPEN = 'PK-OPEN';
const PENDING = 'PK-PENDING';
const RESET = 'PK-RESET';
const ADOPT = 'PK-ADOPT';
const PENDING_MARK = '0x10000000/0x30000000';
const NO_MARK = '0x0/0x30000000';
const OPEN_MARK = '0x20000000/0x30000000';
/** One list, and some rules, per connection that a knock admits. */
export const MOST_CONNECTIONS = 16;

export interface Ruleset {
  readonly services: readonly Service[];
  /** Connections that were there before the rules, and must live on. */
  readonly peers: readonly LivePeer[];
  readonly shut: { readonly tcp: Shut; readonly udp: Shut };
  /** Chains of ours that stand in the kernel now. */
  readonly present: readonly string[];
  /** Rules of other chains that jump to ours, as iptables-save prints them. */
  readonly jumps: readonly string[];
  /** More lines for the transaction, with chains of their own. */
  readonly extra: readonly string[];
}

/** The xt_recent lists of a service: each holds one connection's worth of a grant, the last also admits SYNs. */
export function listsOf({ protocol, port, connections }: Service): readonly string[] {
  const count = connections === 'unlimited' ? 1 : connections;
  return Array.from({ length: count }, (_, i) => `portknock-${protocol}-${port}-${i + 1}`);
}

/** Input for `iptables-restore --noflush`: puts the whole ruleset in place of any earlier one, in one transaction. */
export function setupText(ruleset: Ruleset): string {
  const { services, peers, present, jumps, extra } = ruleset;
  const chains = [MAIN, OPEN, PENDING, RESET, ADOPT, ...services.map(chainOf)];
  const stale = present.filter((chain) => !chains.includes(chain));
  return transaction([
    ...jumps.map(removeRule),
    ...[...stale, ...chains].map((chain) => `:${chain} - [0:0]`),
    ...stale.map((chain) => `-X ${chain}`),
    ...extra,
    `-A ${OPEN} -j CONNMARK --set-mark ${OPEN_MARK}`,
    `-A ${OPEN} -j ACCEPT`,
    `-A ${PENDING} -j CONNMARK --set-mark ${PENDING_MARK}`,
    `-A ${PENDING} -j ACCEPT`,
    `-A ${RESET} -j CONNMARK --set-mark ${NO_MARK}`,
    `-A ${RESET} -j ACCEPT`,
    ...peers.map(
      (peer) =>
        `-A ${ADOPT} -p tcp -s ${peer.address} --sport ${peer.port} --dport ${peer.localPort} -j ${OPEN}`,
    ),
    ...services.flatMap((service) => serviceRules(service, ruleset.shut[service.protocol])),
    // Loopback is not the outside: whoever is on the host reaches the service anyway.
    `-A ${MAIN} -i lo -j RETURN`,
    ...services.map(
      (service) => `-A ${MAIN} -p ${service.protocol} --dport ${service.port} -j ${chainOf(service)}`,
    ),
    `-I INPUT 1 -j ${MAIN}`,
  ]);
}

/** Input for `iptables-restore --noflush`: removes every rule and chain of ours. */
export function teardownText({ present, jumps }: Pick<Ruleset, 'present' | 'jumps'>): string {
  return transaction([
    ...jumps.map(removeRule),
    ...present.map((chain) => `:${chain} - [0:0]`),
    ...present.map((chain) => `-X ${chain}`),
  ]);
}

function serviceRules(service: Service, shut: Shut): string[] {
  const chain = chainOf(service);
  const rules = service.protocol === 'tcp' ? tcpRules(service) : udpRules(service);
  return [...rules, shutRule(shut)].map((rule) => `-A ${chain} ${rule}`);
}

function tcpRules(service: Service): string[] {
  const seconds = Math.ceil(service.openForMs / 1000);
  const lists = listsOf(service);
  const admits = `-m recent --name ${lists.at(-1) ?? ''} --rcheck --seconds ${seconds}`;
  // After a reset by the server, conntrack calls a new SYN on the same ports ESTABLISHED: marks never admit a SYN
  // to an open connection.
  const live = `-m connmark --mark ${OPEN_MARK} -p tcp ! --syn -j ACCEPT`;
  const adopt = `-p tcp ! --syn -j ${ADOPT}`;
  const fresh = `-p tcp --syn -m conntrack --ctstate NEW ${admits}`;
  if (service.connections === 'unlimited')
    return [live, adopt, `${fresh} -j ${OPEN}`, `${repeatedSyn(OPEN_MARK)} ${admits} -j ACCEPT`];
  // ASSURED: conntrack saw this very handshake through. ESTABLISHED alone would do for a blind attacker: his forged
  // SYN makes the real client answer our SYN-ACK with a reset, and after it conntrack lets any acknowledgement pass.
  const completes =
    `-m connmark --mark ${PENDING_MARK} -m conntrack --ctstate ESTABLISHED --ctstatus ASSURED --ctdir ORIGINAL ` +
    '-p tcp --tcp-flags SYN,RST,ACK ACK';
  return [
    live,
    `${repeatedSyn(PENDING_MARK)} -j ACCEPT`,
    // --remove is one step under the list's lock, so exactly one of racing completions gets each entry.
    ...lists.map(
      (list) =>
        `${completes} -m recent --name ${list} --rcheck --seconds ${seconds} -m recent --name ${list} --remove -j ${OPEN}`,
    ),
    `-m connmark --mark ${PENDING_MARK} -p tcp --tcp-flags RST RST -j ${RESET}`,
    `-m connmark --mark ${PENDING_MARK} -p tcp -j REJECT --reject-with tcp-reset`,
    adopt,
    `${fresh} -j ${PENDING}`,
  ];
}

/** A SYN sent once more because the first or its answer was lost: the server has not answered, or only with SYN-ACK. */
function repeatedSyn(mark: string): string {
  return `-m connmark --mark ${mark} -p tcp --syn -m conntrack --ctstate NEW,ESTABLISHED`;
}

/** A datagram completes no handshake: the first one spends the grant, and who can spoof the source can spend it too. */
function udpRules(service: Service): string[] {
  const seconds = Math.ceil(service.openForMs / 1000);
  const spend = (list: string): string => {
    const check = `-m conntrack --ctstate NEW -m recent --name ${list} --rcheck --seconds ${seconds}`;
    return service.connections === 'unlimited'
      ? `${check} -j ${OPEN}`
      : `${check} -m recent --name ${list} --remove -j ${OPEN}`;
  };
  return [`-m connmark --mark ${OPEN_MARK} -j ACCEPT`, ...listsOf(service).map(spend)];
}

function shutRule(shut: Shut): string {
  if (shut === 'drop') return '-j DROP';
  if (shut === 'return') return '-j RETURN';
  return shut.rejectWith === 'tcp-reset'
    ? '-p tcp -j REJECT --reject-with tcp-reset'
    : `-j REJECT --reject-with ${shut.rejectWith}`;
}

function chainOf({ protocol, port }: Service): string {
  return `PK-${protocol}-${port}`;
}

function removeRule(rule: string): string {
  return rule.replace(/^-A/u, '-D');
}

function transaction(lines: readonly string[]): string {
  return ['*filter', ...lines, 'COMMIT', ''].join('\n');
}
