// What is read from a host's rules: which firewalls there are, what a closed port answers, and whom they would stop. What
// nft and iptables print is written down here as they print it.

import assert from 'node:assert/strict';
import type { Service } from '../../lib/firewall/driver.ts';
import { closedPorts, firewallsIn, hostWarnings, type HostFirewall } from '../../lib/firewall/host.ts';
import type { FilterState, Tables } from '../../lib/firewall/iptables-host.ts';
import { parseState } from '../../lib/firewall/nftables-state.ts';

type Json = Readonly<Record<string, unknown>>;

const ssh: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 3000, connections: 1 };
const dns: Service = { ...ssh, name: 'dns', protocol: 'udp', port: 53 };

const accept = { accept: null };
const drop = { drop: null };
const match = (left: Json, right: unknown, op = '=='): Json => ({ match: { op, left, right } });
const state = (...states: string[]): Json => match({ ct: { key: 'state' } }, states, 'in');
const dport = (right: unknown, protocol = 'tcp', op = '=='): Json =>
  match({ payload: { protocol, field: 'dport' } }, right, op);
const l4 = (right: unknown): Json => match({ meta: { key: 'l4proto' } }, right);
const rejects = (type: string, expr?: string): Json => ({
  reject: { type, ...(expr !== undefined && { expr }) },
});
const jump = (target: string): Json => ({ jump: { target } });

/** A listing of nft: chains with their policy (`null`: no hook) and rules. */
function listing(
  chains: Readonly<Record<string, readonly [policy: string | null, ...rules: (readonly Json[])[]]>>,
  table = 'inet filter',
): string {
  const [family, name] = table.split(' ');
  const place = { family, table: name };
  const items: Json[] = [{ metainfo: { version: '1.0.6' } }, { table: { family, name } }];
  for (const [chain, [policy]] of Object.entries(chains)) {
    const hook = policy === null ? {} : { type: 'filter', hook: 'input', prio: 0, policy };
    items.push({ chain: { ...place, name: chain, ...hook } });
  }
  for (const [chain, [, ...rules]] of Object.entries(chains))
    for (const [i, expr] of rules.entries()) items.push({ rule: { ...place, chain, handle: i, expr } });
  return JSON.stringify({ nftables: items });
}

function firewalls(
  text: string,
  saves: readonly (readonly [Tables, string])[] = [],
): readonly HostFirewall[] {
  const filters = saves.map(([tables, save]): readonly [Tables, FilterState] => [
    tables,
    { present: [], jumps: [], text: save },
  ]);
  return firewallsIn(parseState(text), filters);
}

const tables = (backend: 'legacy' | 'nft', family: 4 | 6 = 4): Tables => ({
  backend,
  family,
  save: '',
  restore: '',
});
/** What a closed TCP port answers over IPv4, and a closed UDP port over IPv6. */
const looks = (found: readonly HostFirewall[]): string[] => [
  closedPorts(found, 'tcp')[4],
  closedPorts(found, 'udp')[6],
];
const stopped = (found: readonly HostFirewall[], chain: string | null = null): string[] =>
  hostWarnings(found, { services: [ssh, dns], chain }).map(
    (line) => / let (.*) through/u.exec(line)?.[1] ?? line,
  );

const KERNEL = ['reject with tcp reset', 'reject with icmpx type port-unreachable'];
const BOTH = '22/tcp, 53/udp';

describe('the firewalls of a host', () => {
  const rows: readonly [
    what: string,
    chains: Parameters<typeof listing>[0],
    looks: readonly string[],
    stopped: readonly string[],
  ][] = [
    ['none', {}, KERNEL, []],
    ['a chain that accepts', { input: ['accept'] }, KERNEL, []],
    ['a chain that drops', { input: ['drop'] }, ['drop', 'drop'], [BOTH]],
    [
      'a last rule that drops',
      { input: ['accept', [state('established')], [{ counter: {} }, drop]] },
      ['drop', 'drop'],
      [BOTH],
    ],
    ['a chain that drops what is not new', { input: ['accept', [state('invalid'), drop]] }, KERNEL, []],
    ['an accepted port', { input: ['drop', [dport(22), accept]] }, ['drop', 'drop'], ['53/udp']],
    [
      'an accepted set and a range',
      {
        input: ['drop', [dport({ set: [80, { range: [20, 30] }] }), accept], [dport('@mine', 'udp'), accept]],
      },
      ['drop', 'drop'],
      [],
    ],
    [
      'all ports but one',
      { input: ['drop', [dport(25, 'tcp', '!='), accept]] },
      ['reject with tcp reset', 'drop'],
      ['53/udp'],
    ],
    [
      'th dport for both',
      { input: ['drop', [l4({ set: ['tcp', 'udp'] }), dport({ set: [22, 53] }, 'th'), accept]] },
      ['drop', 'drop'],
      [],
    ],
    [
      'an accepted port from some',
      {
        input: [
          'drop',
          [match({ payload: { protocol: 'ip', field: 'saddr' } }, '@friends'), dport(22), accept],
        ],
      },
      ['drop', 'drop'],
      [BOTH.replace('22/tcp, ', '')],
    ],
    [
      'an accepted port on some interface',
      { input: ['drop', [match({ meta: { key: 'iifname' } }, 'eth0'), accept]] },
      ['drop', 'drop'],
      [],
    ],
    [
      'everything on lo',
      { input: ['drop', [match({ meta: { key: 'iif' } }, 'lo'), accept]] },
      ['drop', 'drop'],
      [BOTH],
    ],
    [
      'everything but on lo',
      { input: ['drop', [match({ meta: { key: 'iif' } }, 'lo', '!='), accept]] },
      KERNEL,
      [],
    ],
    ['a limit', { input: ['drop', [{ limit: { rate: 5 } }, accept]] }, ['drop', 'drop'], []],
    [
      'a match of iptables, which nft cannot read',
      { input: ['drop', [{ xt: null }, accept]] },
      ['drop', 'drop'],
      [],
    ],
    [
      'a verdict map of states',
      {
        input: [
          'drop',
          [
            {
              vmap: {
                key: { ct: { key: 'state' } },
                data: {
                  set: [
                    ['established', accept],
                    ['new', jump('fresh')],
                  ],
                },
              },
            },
          ],
        ],
        fresh: [null, [dport(22), accept]],
      },
      ['drop', 'drop'],
      ['53/udp'],
    ],
    [
      'a verdict map of ports',
      {
        input: [
          'drop',
          [
            {
              vmap: {
                key: { payload: { protocol: 'tcp', field: 'dport' } },
                data: {
                  set: [
                    [22, accept],
                    [23, drop],
                  ],
                },
              },
            },
          ],
        ],
      },
      ['drop', 'drop'],
      ['53/udp'],
    ],
    [
      'a chain that decides',
      { input: ['accept', [jump('last')], [accept]], last: [null, [{ log: {} }], [drop]] },
      ['drop', 'drop'],
      [BOTH],
    ],
    [
      'a chain that comes back',
      { input: ['accept', [jump('a')], [drop]], a: [null, [{ return: null }], [accept]] },
      ['drop', 'drop'],
      [BOTH],
    ],
    [
      'a chain that was gone to',
      { input: ['accept', [{ goto: { target: 'a' } }], [drop]], a: [null, [state('related'), drop]] },
      KERNEL,
      [],
    ],
    [
      'chains in a circle',
      { input: ['drop', [jump('a')]], a: [null, [jump('b')]], b: [null, [jump('a')]] },
      ['drop', 'drop'],
      [BOTH],
    ],
    [
      'a reset, and the rest rejected',
      { input: ['accept', [l4('tcp'), rejects('tcp reset')], [rejects('icmpx', 'admin-prohibited')]] },
      ['reject with tcp reset', 'reject with icmpx type admin-prohibited'],
      [BOTH],
    ],
    [
      'a reset for all, which is for TCP',
      { input: ['drop', [rejects('tcp reset')]] },
      ['reject with tcp reset', 'drop'],
      [BOTH],
    ],
    [
      'an answer for IPv4 only',
      { input: ['accept', [rejects('icmp', 'host-prohibited')]] },
      ['reject with icmp type host-prohibited', KERNEL[1] ?? ''],
      [],
    ],
    [
      'an answer with a name that is none',
      { input: ['accept', [rejects('icmpx', 'x; flush ruleset')]] },
      ['reject', 'reject'],
      [BOTH],
    ],
    [
      'conditions of other protocols and families',
      {
        input: [
          'drop',
          [l4('icmp'), accept],
          [match({ payload: { protocol: 'ip', field: 'protocol' } }, 'icmp'), accept],
          [dport(22, 'sctp'), accept],
        ],
      },
      ['drop', 'drop'],
      [BOTH],
    ],
  ];
  for (const [what, chains, expected, refused] of rows) {
    it(`are read: ${what}`, () => {
      const found = firewalls(listing(chains));
      assert.deepEqual(looks(found), expected);
      assert.deepEqual(stopped(found), refused.length === 0 ? [] : [refused.join()]);
    });
  }

  it('are asked in the order of their priorities: the first that ends a packet answers', () => {
    const chain = (name: string, prio: number, policy: string): Json => ({
      chain: { family: 'inet', table: 't', name, hook: 'input', prio, policy },
    });
    const rule = (name: string, expr: Json): Json => ({
      rule: { family: 'inet', table: 't', chain: name, handle: 1, expr: [expr] },
    });
    const late = [chain('late', 10, 'drop'), chain('early', -1, 'accept')];
    const text = (items: readonly Json[]): string => JSON.stringify({ nftables: items });
    assert.equal(looks(firewalls(text(late)))[0], 'drop');
    const early = [...late, rule('early', rejects('icmpx', 'no-route'))];
    assert.equal(looks(firewalls(text(early)))[0], 'reject with icmpx type no-route');
  });

  it('are not our own table, other hooks, or what iptables keeps in nftables', () => {
    const item = (family: string, table: string, name: string, hook: string): Json => ({
      chain: { family, table, name, hook, prio: 0, policy: 'drop' },
    });
    const items = [
      item('inet', 'portknock', 'input', 'input'),
      item('inet', 'filter', 'output', 'output'),
      item('inet', 'filter', 'forward', 'forward'),
      item('ip', 'filter', 'INPUT', 'input'),
      item('ip6', 'mangle', 'INPUT', 'input'),
    ];
    assert.deepEqual(firewalls(JSON.stringify({ nftables: items })), []);
  });

  it('speak for their family only', () => {
    const found = firewalls(listing({ input: ['drop'] }, 'ip6 mine'));
    assert.deepEqual(closedPorts(found, 'tcp'), { 4: 'reject with tcp reset', 6: 'drop' });
    assert.deepEqual(stopped(found), [BOTH]);
  });

  for (const [what, save, kind, expected, refused] of [
    ['iptables that accepts', ':INPUT ACCEPT [0:0]', null, 'reject with tcp reset', []],
    ['iptables that drops', ':INPUT DROP [0:0]', 'iptables-nft', 'drop', [BOTH]],
    [
      'iptables with the ports',
      ':INPUT DROP [0:0]\n-A INPUT -p tcp -m multiport --dports 20:25,80 -j ACCEPT\n-A INPUT -p udp -m udp --dport 53 -j ACCEPT',
      'iptables-nft',
      'drop',
      [],
    ],
    [
      'iptables that drops the port by name',
      ':INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j DROP',
      'iptables-nft',
      'drop',
      [BOTH],
    ],
    [
      'the REJECT of Red Hat',
      ':INPUT ACCEPT [0:0]\n-A INPUT -j REJECT --reject-with icmp-host-prohibited',
      'iptables-nft',
      'reject with icmp type host-prohibited',
      [BOTH],
    ],
    [
      'a REJECT of a kind that is none',
      ':INPUT ACCEPT [0:0]\n-A INPUT -j REJECT --reject-with icmp-x;flush',
      'iptables-nft',
      'reject with icmp type port-unreachable',
      [BOTH],
    ],
    [
      'ufw',
      ':INPUT DROP [0:0]\n:ufw-user-input - [0:0]\n-A INPUT -j ufw-user-input\n-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT',
      'ufw',
      'drop',
      ['53/udp'],
    ],
    [
      'firewalld over iptables',
      ':INPUT DROP [0:0]\n:INPUT_ZONES - [0:0]\n-A INPUT -j INPUT_ZONES',
      'firewalld',
      'drop',
      [BOTH],
    ],
  ] as const) {
    it(`are read from iptables-save: ${what}`, () => {
      const found = firewalls('', [[tables('nft'), `*filter\n${save}\nCOMMIT\n`]]);
      assert.equal(found[0]?.kind ?? null, kind);
      assert.equal(closedPorts(found, 'tcp')[4], expected);
      assert.equal(closedPorts(found, 'tcp')[6], 'reject with tcp reset');
      assert.deepEqual(stopped(found), refused.length === 0 ? [] : [...refused]);
    });
  }

  it('are called by their names, with what to do', () => {
    const found = [
      ...firewalls(listing({ filter_INPUT: ['drop'] }, 'inet firewalld')),
      ...firewalls(listing({ input: ['drop'] })),
      ...firewalls('', [
        [tables('legacy', 6), ':INPUT DROP [0:0]'],
        [tables('nft'), ':INPUT DROP [0:0]\n:ufw-user-input - [0:0]'],
      ]),
    ];
    const lines = hostWarnings(found, { services: [ssh], chain: null });
    for (const [i, wanted] of [
      /^firewalld does not let 22\/tcp through.*firewall-cmd --permanent --add-port=22\/tcp/u,
      /^nftables \(chain inet filter input\) does not.*say chain: 'inet filter input'/u,
      /^iptables-legacy for IPv6 does not.*use the iptables driver/u,
      /^ufw \(iptables-nft\) does not.*ufw allow 22\/tcp/u,
    ].entries())
      assert.match(lines[i] ?? '', wanted);
  });

  it('are not warned of where our rules are inserted, or in a chain that they may call', () => {
    const found = firewalls(listing({ input: ['drop'], knocks: [null] }));
    assert.deepEqual(stopped(found, 'inet filter input'), []);
    assert.deepEqual(stopped(found, 'inet filter knocks'), []);
    assert.deepEqual(stopped(found, 'inet other input'), [BOTH]);
    assert.deepEqual(stopped(found, 'ip filter input'), [BOTH]);
  });
});

describe('parseState', () => {
  it('reads nothing from nothing, and refuses what is no JSON', () => {
    for (const text of [
      '',
      ' \n',
      '{}',
      '[]',
      'null',
      '{"nftables":7}',
      '{"nftables":[null,7,"x",[],{},{"rule":7}]}',
    ])
      assert.deepEqual(parseState(text).chains, []);
    for (const text of ['table inet x {', '{"nftables":[', 'Error: no JSON'])
      assert.throws(() => parseState(text), {
        code: 'ERR_FIREWALL_COMMAND',
        message: /built with JSON support/u,
      });
  });

  it('reads sets and tables by the place that they are in', () => {
    const items = [
      { table: { family: 'inet', name: 'portknock' } },
      { set: { family: 'inet', table: 'portknock', name: 'a' } },
      { set: { family: 'ip', table: 'portknock', name: 'b' } },
      { set: { family: 'inet', table: 'portknock', name: 'c' } },
    ];
    const { sets, tables: found } = parseState(JSON.stringify({ nftables: items }));
    assert.deepEqual([...found], ['inet portknock']);
    assert.deepEqual(sets.get('inet portknock'), ['a', 'c']);
  });
});
