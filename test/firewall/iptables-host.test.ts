// What a host's closed ports look like, read from its rules as iptables-save prints them.

import assert from 'node:assert/strict';
import { closedPortLooks } from '../../lib/firewall/iptables-host.ts';

/** What a stranger sees at a closed port: `drop`, or how it is rejected. */
function looks(rules: readonly string[], protocol: 'tcp' | 'udp' = 'tcp'): string {
  const shut = closedPortLooks(['*filter', ...rules, 'COMMIT', ''].join('\n'), protocol);
  assert.notEqual(shut, 'return');
  return typeof shut === 'string' ? shut : shut.rejectWith;
}

const OPEN = [':INPUT ACCEPT [12:3456]', ':FORWARD DROP [0:0]', ':OUTPUT ACCEPT [0:0]'];
const SHUT = [':INPUT DROP [12:3456]', ':FORWARD ACCEPT [0:0]', ':OUTPUT ACCEPT [0:0]'];
const USUAL = [
  '-A INPUT -i lo -j ACCEPT',
  '-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
  '-A INPUT -m conntrack --ctstate INVALID -j DROP',
  '-A INPUT -p icmp -j ACCEPT',
  '-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT',
  '-A INPUT -s 192.0.2.0/24 -j ACCEPT',
];

describe('closedPortLooks', () => {
  const rows: readonly [what: string, rules: readonly string[], tcp: string, udp: string][] = [
    ['no rules at all', OPEN, 'tcp-reset', 'port-unreach'],
    ['nothing, not even a policy', [], 'tcp-reset', 'port-unreach'],
    ['a policy that drops', SHUT, 'drop', 'drop'],
    ['the usual rules before a policy that accepts', [...OPEN, ...USUAL], 'tcp-reset', 'port-unreach'],
    ['the usual rules before a policy that drops', [...SHUT, ...USUAL], 'drop', 'drop'],
    ['the usual rules before a rule that drops', [...OPEN, ...USUAL, '-A INPUT -j DROP'], 'drop', 'drop'],
    [
      'a rule that accepts all before a policy that drops',
      [...SHUT, '-A INPUT -j ACCEPT'],
      'tcp-reset',
      'port-unreach',
    ],
    ['a plain REJECT', [...OPEN, '-A INPUT -j REJECT'], 'port-unreach', 'port-unreach'],
    [
      'the REJECT of Red Hat',
      [...OPEN, ...USUAL, '-A INPUT -j REJECT --reject-with icmp-host-prohibited'],
      'icmp-host-prohibited',
      'icmp-host-prohibited',
    ],
    [
      'a reset for TCP and an ICMP answer for UDP',
      [
        ...SHUT,
        '-A INPUT -p tcp -j REJECT --reject-with tcp-reset',
        '-A INPUT -p udp -j REJECT --reject-with icmp-port-unreachable',
      ],
      'tcp-reset',
      'icmp-port-unreachable',
    ],
    [
      'a reset for TCP, and the rest dropped, with the match written out',
      [...OPEN, '-A INPUT -p tcp -m tcp -j REJECT --reject-with tcp-reset', '-A INPUT -j DROP'],
      'tcp-reset',
      'drop',
    ],
    ['the first of two verdicts', [...OPEN, '-A INPUT -j DROP', '-A INPUT -j REJECT'], 'drop', 'drop'],
    [
      'rules of other chains',
      [...OPEN, '-A FORWARD -j DROP', '-A OUTPUT -j REJECT'],
      'tcp-reset',
      'port-unreach',
    ],
    [
      'a RETURN, which leads to the policy',
      [...SHUT, '-A INPUT -j RETURN', '-A INPUT -j ACCEPT'],
      'drop',
      'drop',
    ],
    ['targets that decide nothing', [...SHUT, '-A INPUT -j LOG', '-A INPUT -j CONNMARK'], 'drop', 'drop'],
    [
      'a rule with a comment',
      [...OPEN, '-A INPUT -m comment --comment "the \\"last\\" one -j ACCEPT" -j DROP'],
      'drop',
      'drop',
    ],
    [
      'a rule with a comment of one word',
      [...OPEN, '-A INPUT -p tcp -m comment --comment last -j DROP'],
      'drop',
      'port-unreach',
    ],
    [
      'a rule for new connections',
      [
        ...OPEN,
        '-A INPUT -p tcp -m conntrack --ctstate INVALID,NEW -j DROP',
        '-A INPUT -m state --state NEW -j REJECT',
      ],
      'drop',
      'port-unreach',
    ],
    [
      'rules for other states, which do not concern it',
      [
        ...OPEN,
        '-A INPUT -m conntrack --ctstate RELATED -j DROP',
        '-A INPUT -m conntrack ! --ctstate NEW -j DROP',
      ],
      'tcp-reset',
      'port-unreach',
    ],
    [
      'our own chains, which say nothing about the host',
      [
        ':PORTKNOCK - [0:0]',
        ':PK-tcp-22 - [0:0]',
        ...SHUT,
        '-A INPUT -j PORTKNOCK',
        '-A PORTKNOCK -j ACCEPT',
      ],
      'drop',
      'drop',
    ],
    [
      'a chain that decides',
      [
        ...OPEN,
        ':last.words - [0:0]',
        '-A INPUT -j last.words',
        '-A last.words -j REJECT --reject-with icmp-admin-prohibited',
      ],
      'icmp-admin-prohibited',
      'icmp-admin-prohibited',
    ],
    [
      'a chain that comes back, and the rule after it',
      [
        ...OPEN,
        ':none - [0:0]',
        '-A INPUT -j none',
        '-A none -p tcp -m tcp --dport 80 -j ACCEPT',
        '-A INPUT -j DROP',
      ],
      'drop',
      'drop',
    ],
    [
      'a chain that returns before its own end',
      [...OPEN, ':early - [0:0]', '-A INPUT -j early', '-A early -j RETURN', '-A early -j DROP'],
      'tcp-reset',
      'port-unreach',
    ],
    [
      'a chain that was gone to and comes back past the rule after it',
      [...OPEN, ':gone - [0:0]', '-A INPUT -g gone', '-A gone -p icmp -j ACCEPT', '-A INPUT -j DROP'],
      'tcp-reset',
      'port-unreach',
    ],
    [
      'chains that go round in a circle, which no kernel would take',
      [...OPEN, ':a - [0:0]', ':b - [0:0]', '-A INPUT -j a', '-A a -j b', '-A b -j a', '-A INPUT -j DROP'],
      'drop',
      'drop',
    ],
    [
      'chains whose names are half a pattern',
      [...OPEN, ':f2b-ssh.d (x) - [0:0]', ':a+b$ - [0:0]', '-A INPUT -j a+b$', '-A a+b$ -j DROP'],
      'drop',
      'drop',
    ],
  ];
  for (const [what, rules, tcp, udp] of rows) {
    it(`reads ${what}: TCP ${tcp}, UDP ${udp}`, () => {
      assert.equal(looks(rules, 'tcp'), tcp);
      assert.equal(looks(rules, 'udp'), udp);
    });
  }

  /** The chains that ufw sets up, with what one of its three defaults puts where. */
  function ufw(policy: 'ACCEPT' | 'DROP', verdicts: readonly string[]): string[] {
    const names = ['before-logging', 'before', 'after', 'after-logging', 'reject', 'track'].map(
      (one) => `ufw-${one}-input`,
    );
    return [
      `:INPUT ${policy} [0:0]`,
      ...[...names, 'ufw-user-input', 'ufw-not-local', 'ufw-logging-deny', 'ufw-skip-to-policy-input'].map(
        (name) => `:${name} - [0:0]`,
      ),
      ...names.map((name) => `-A INPUT -j ${name}`),
      '-A ufw-before-input -i lo -j ACCEPT',
      '-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      '-A ufw-before-input -m conntrack --ctstate INVALID -j DROP',
      '-A ufw-before-input -j ufw-not-local',
      '-A ufw-before-input -j ufw-user-input',
      '-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN',
      '-A ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN',
      '-A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j ufw-logging-deny',
      '-A ufw-not-local -j DROP',
      '-A ufw-after-input -p udp -m udp --dport 137 -j ufw-skip-to-policy-input',
      '-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT',
      ...verdicts,
    ];
  }

  it('reads ufw, whichever of its defaults is set', () => {
    assert.equal(looks(ufw('DROP', [])), 'drop');
    assert.equal(
      looks(ufw('ACCEPT', ['-A ufw-track-input -p tcp -m conntrack --ctstate NEW -j ACCEPT'])),
      'tcp-reset',
    );
    const rejects = ufw('DROP', ['-A ufw-reject-input -j REJECT --reject-with icmp-port-unreachable']);
    assert.equal(looks(rejects), 'icmp-port-unreachable');
    assert.equal(looks(rejects, 'udp'), 'icmp-port-unreachable');
  });
});
