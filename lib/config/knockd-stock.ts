// The commands that everybody puts into knockd.conf: a rule of iptables, ip6tables or ufw that lets the knocker reach a
// port. These become openings of the firewall driver; a rule that says anything more is none of them.

/** What a command does, when it is one of those. */
export interface StockRule {
  readonly change: 'add' | 'remove';
  /** The families whose sources it can name. */
  readonly families: readonly (4 | 6)[];
  readonly ports: readonly StockPort[];
  /** What of it is not as it says. */
  readonly remarks: readonly string[];
}

export interface StockPort {
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
}

/** A rule while it is read. */
interface Draft {
  change: StockRule['change'] | null;
  protocol: 'tcp' | 'udp' | null;
  ports: readonly number[];
  hasSource: boolean;
  accepts: boolean;
}

/** The token for the knocker's address, in knockd's words. */
const SOURCE = '%IP%';
const IPTABLES = /^(?:.*\/)?ip(6?)tables(?:-nft|-legacy)?$/u;
const UFW = /^(?:.*\/)?ufw$/u;
/** Chains that see what is not for this host, or comes from it. */
const OTHER_CHAINS = ['FORWARD', 'OUTPUT', 'PREROUTING', 'POSTROUTING'];
const STATES = /^(?:NEW|ESTABLISHED|RELATED)(?:,(?:NEW|ESTABLISHED|RELATED))*$/u;
const CHANGES: ReadonlyMap<string, StockRule['change']> = new Map([
  ...['-A', '--append', '-I', '--insert'].map((option) => [option, 'add'] as const),
  ...['-D', '--delete'].map((option) => [option, 'remove'] as const),
]);

/** Takes one word of an option, says whether the rule is still a stock one. */
type Take = (draft: Draft, word: string) => boolean;

const WITH_WORD: ReadonlyMap<string, Take> = new Map([
  ...alike(['-s', '--source', '--src'], (draft, word) => {
    draft.hasSource = word === SOURCE || word === `${SOURCE}/32` || word === `${SOURCE}/128`;
    return draft.hasSource;
  }),
  ...alike(['-p', '--protocol', '--proto'], (draft, word) => {
    draft.protocol = word === 'tcp' || word === 'udp' ? word : null;
    return draft.protocol !== null;
  }),
  ...alike(['--dport', '--destination-port', '--dports', '--destination-ports'], (draft, word) => {
    draft.ports = word.split(',').map(portOf);
    return draft.ports.every((port) => port > 0);
  }),
  ...alike(['-j', '--jump'], (draft, word) => (draft.accepts = word === 'ACCEPT')),
  ...alike(['-m', '--match'], (_, word) =>
    ['tcp', 'udp', 'multiport', 'state', 'conntrack', 'comment'].includes(word),
  ),
  ...alike(['--state', '--ctstate'], (_, word) => STATES.test(word) && word.includes('NEW')),
  ...alike(['-t', '--table'], (_, word) => word === 'filter'),
  ...alike(['--comment'], () => true),
]);
const ALONE = ['--syn', '-w', '--wait'];

/** The rule of a command; `null` for any other command. */
export function stockRule([program = '', ...args]: readonly string[]): StockRule | null {
  if (UFW.test(program)) return ufwRule(args);
  const six = IPTABLES.exec(program)?.[1];
  return six === undefined ? null : iptablesRule(args, six === '6' ? 6 : 4);
}

function iptablesRule(args: readonly string[], family: 4 | 6): StockRule | null {
  const draft: Draft = { change: null, protocol: null, ports: [], hasSource: false, accepts: false };
  const words = args.flatMap((word) =>
    /^--[a-z]+=/u.test(word) ? splitAt(word, word.indexOf('=')) : [word],
  );
  for (let at = 0; at < words.length; at += 1) {
    const option = words[at] ?? '';
    const next = words[at + 1];
    if (ALONE.includes(option)) {
      if (option !== '--syn' && isNumber(next)) at += 1;
      continue;
    }
    if (next === undefined) return null;
    at += 1;
    const change = CHANGES.get(option);
    if (change === undefined) {
      if (WITH_WORD.get(option)?.(draft, next) !== true) return null;
      continue;
    }
    if (draft.change !== null || OTHER_CHAINS.includes(next) || next.startsWith('-')) return null;
    draft.change = change;
    if (option !== '-A' && option !== '--append' && isNumber(words[at + 1])) at += 1;
  }
  const { change, ports, hasSource, accepts, protocol } = draft;
  if (change === null || !hasSource || !accepts || ports.length === 0) return null;
  const remarks =
    protocol === null ? ['iptables refuses --dport without -p tcp: with knockd it never opened'] : [];
  return { change, families: [family], ports: portsOf(ports, protocol ?? 'tcp'), remarks };
}

/** `allow from %IP% to any port 22 proto tcp`, perhaps after `insert 1`, `prepend` or `delete`. */
function ufwRule(args: readonly string[]): StockRule | null {
  const text = args.join(' ');
  const form =
    /^(?:(delete )|insert \d+ |prepend )?allow (?:in )?(?:proto (tcp|udp) )?from %IP% to any port ([\d,]+)(?: proto (tcp|udp))?(?: comment .*)?$/u;
  const parts = form.exec(text);
  if (parts === null) return null;
  const [, remove, before, list = '', after] = parts;
  const ports = list.split(',').map(portOf);
  if (ports.some((port) => port === 0)) return null;
  const protocol = before ?? after;
  return {
    change: remove === undefined ? 'add' : 'remove',
    families: [4, 6],
    ports: portsOf(ports, protocol === 'udp' ? 'udp' : 'tcp'),
    remarks:
      protocol === undefined ? ['ufw opens UDP as well, unless told proto tcp: here it is TCP alone'] : [],
  };
}

function portsOf(ports: readonly number[], protocol: 'tcp' | 'udp'): readonly StockPort[] {
  return ports.map((port) => ({ port, protocol }));
}

/** 0 for what is no port. */
function portOf(word: string): number {
  const port = /^\d{1,5}$/u.test(word) ? Number(word) : 0;
  return port <= 65_535 ? port : 0;
}

function isNumber(word: string | undefined): boolean {
  return word !== undefined && /^\d+$/u.test(word);
}

function splitAt(text: string, at: number): readonly [string, string] {
  return [text.slice(0, at), text.slice(at + 1)];
}

function alike(names: readonly string[], take: Take): readonly (readonly [string, Take])[] {
  return names.map((name) => [name, take]);
}
