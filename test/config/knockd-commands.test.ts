// Commands of knockd.conf: which need no shell, and which are the rules that everybody writes.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { effectOf } from '../../lib/config/knockd-effects.ts';
import { stockRule } from '../../lib/config/knockd-stock.ts';
import { wordsOf } from '../../lib/config/knockd-words.ts';

describe('the words of a command', () => {
  const plain: readonly [text: string, argv: readonly string[]][] = [
    ['', []],
    ['/bin/a  b\tc ', ['/bin/a', 'b', 'c']],
    ['a "b c" \'d  e\' f', ['a', 'b c', 'd  e', 'f']],
    ['a b"c d"e\'f\'', ['a', 'bc def']],
    ['a "" \'\'', ['a', '', '']],
    ['a "it\'s" \'"$x`\'', ['a', "it's", '"$x`']],
    ['a b=c --d=%IP% e:f,g@h+i^j', ['a', 'b=c', '--d=%IP%', 'e:f,g@h+i^j']],
    ['a b#c d~e f!g !', ['a', 'b#c', 'd~e', 'f!g', '!']],
    ['nft add element inet f s { %IP% }', ['nft', 'add', 'element', 'inet', 'f', 's', '{', '%IP%', '}']],
    ['a {} {%IP%}', ['a', '{}', '{%IP%}']],
  ];
  for (const [text, argv] of plain) {
    it(`are those that a shell would make: ${text}`, () => {
      assert.deepEqual(wordsOf(text), { argv });
      const { stdout } = spawnSync('/bin/sh', ['-c', `set -- ${text}\nprintf '%s\\0' "$@"`], {
        encoding: 'utf8',
      });
      assert.deepEqual(stdout.split('\0').slice(0, -1), argv.length === 0 ? [''] : argv);
    });
  }

  const shell: readonly [text: string, because: string][] = [
    ['a | b', '|'],
    ['a & b', '&'],
    ['a; b', ';'],
    ['a > b', '>'],
    ['a < b', '<'],
    ['(a)', '('],
    ['a $b', '$'],
    ['a `b`', '`'],
    ['a "$b"', '"'],
    ['a "`b`"', '"'],
    ['a "b\\"c"', '"'],
    ['a b\\ c', '\\\\'],
    ['a *', '*'],
    ['a ?', '?'],
    ['a [b]', '['],
    ['a ~b', '~b'],
    ['a # b', '#'],
    ['a {b,c}', '{b,c}'],
    ['a b{1..3}', 'b{1..3}'],
    ['a "b', '"'],
    ["a 'b", "'"],
    ['A=b c', 'A=b'],
    ['if a', 'if'],
    ['. /x', '.'],
    ['! a', '!'],
    ['{ a', '{'],
    ['exec a', 'exec'],
    ['cd /', 'cd'],
  ];
  for (const [text, because] of shell) {
    it(`are a shell's business: ${text}`, () => {
      assert.deepEqual(wordsOf(text), { shell: because });
    });
  }
});

describe('a stock command', () => {
  const rules: readonly [text: string, change: string, families: string, ports: string, remarks?: number][] =
    [
      ['/sbin/iptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT', 'add', '4', '22/tcp'],
      ['/sbin/iptables -D INPUT -s %IP% -p tcp --dport 22 -j ACCEPT', 'remove', '4', '22/tcp'],
      ['/sbin/iptables -A INPUT -s %IP% --dport 22 -j ACCEPT', 'add', '4', '22/tcp', 1],
      ['iptables -I INPUT 1 -s %IP%/32 -p udp --dport 1194 -j ACCEPT', 'add', '4', '1194/udp'],
      ['iptables -w -I INPUT -p tcp -m tcp --syn --dport 22 -s %IP% -j ACCEPT', 'add', '4', '22/tcp'],
      [
        'iptables -w 5 -t filter -A knock --src %IP% --proto tcp --destination-port 22 --jump ACCEPT',
        'add',
        '4',
        '22/tcp',
      ],
      [
        'iptables -A INPUT -s %IP% -p tcp -m multiport --dports 80,443 -j ACCEPT',
        'add',
        '4',
        '80/tcp 443/tcp',
      ],
      [
        'iptables -A INPUT -s %IP% -p tcp --dport=22 -m state --state NEW,ESTABLISHED -j ACCEPT',
        'add',
        '4',
        '22/tcp',
      ],
      [
        'iptables -A INPUT -s %IP% -p tcp --dport 22 -m comment --comment "a b" -j ACCEPT',
        'add',
        '4',
        '22/tcp',
      ],
      ['/usr/sbin/ip6tables-nft -A INPUT -s %IP% -p tcp --dport 25 -j ACCEPT', 'add', '6', '25/tcp'],
      ['iptables-legacy -A INPUT -s %IP% -p tcp --dport 25 -j ACCEPT', 'add', '4', '25/tcp'],
      ['ufw allow from %IP% to any port 22', 'add', '4 6', '22/tcp', 1],
      ['/usr/sbin/ufw allow from %IP% to any port 22 proto tcp', 'add', '4 6', '22/tcp'],
      ['ufw allow proto udp from %IP% to any port 53', 'add', '4 6', '53/udp'],
      ['ufw insert 1 allow from %IP% to any port 80,443 proto tcp', 'add', '4 6', '80/tcp 443/tcp'],
      ['ufw delete allow from %IP% to any port 22 proto tcp', 'remove', '4 6', '22/tcp'],
      ['ufw allow in from %IP% to any port 22 proto tcp comment knock knock', 'add', '4 6', '22/tcp'],
    ];
  for (const [text, change, families, ports, remarks = 0] of rules) {
    it(`is known: ${text}`, () => {
      const words = wordsOf(text);
      const rule = 'argv' in words ? stockRule(words.argv) : null;
      assert.ok(rule !== null);
      const list = rule.ports.map(({ port, protocol }) => `${port}/${protocol}`).join(' ');
      assert.deepEqual([rule.change, rule.families.join(' '), list], [change, families, ports]);
      assert.equal(rule.remarks.length, remarks);
    });
  }

  const others = [
    'iptables -A INPUT -s %IP% -p tcp --syn -j ACCEPT',
    'iptables -A INPUT -p tcp --dport 22 -j ACCEPT',
    'iptables -A INPUT -s 192.0.2.1 -p tcp --dport 22 -j ACCEPT',
    'iptables -A INPUT -s %IP%/24 -p tcp --dport 22 -j ACCEPT',
    'iptables -A INPUT -s %IP% -p tcp --dport 22 -j DROP',
    'iptables -A INPUT -s %IP% -p tcp --dport 22',
    'iptables -A FORWARD -s %IP% -p tcp --dport 22 -j ACCEPT',
    'iptables -t nat -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT',
    'iptables -A INPUT -i eth0 -s %IP% -p tcp --dport 22 -j ACCEPT',
    'iptables -A INPUT -s %IP% -d 192.0.2.1 -p tcp --dport 22 -j ACCEPT',
    'iptables -A INPUT ! -s %IP% -p tcp --dport 22 -j ACCEPT',
    'iptables -A INPUT -s %IP% -p tcp --dport 22:30 -j ACCEPT',
    'iptables -A INPUT -s %IP% -p tcp --dport ssh -j ACCEPT',
    'iptables -A INPUT -s %IP% -p tcp --dport 65536 -j ACCEPT',
    'iptables -A INPUT -s %IP% -p tcp --dport 0 -j ACCEPT',
    'iptables -A INPUT -s %IP% -p icmp --dport 22 -j ACCEPT',
    'iptables -A INPUT -s %IP% -p tcp --dport 22 -m limit --limit 1/s -j ACCEPT',
    'iptables -A INPUT -s %IP% -p tcp --dport 22 -m state --state ESTABLISHED -j ACCEPT',
    'iptables -A INPUT -D INPUT -s %IP% -p tcp --dport 22 -j ACCEPT',
    'iptables -D INPUT 3',
    'iptables -A',
    'iptables constructor INPUT -s %IP% -p tcp --dport 22 -j ACCEPT',
    'ufw allow from %IP%',
    'ufw allow from %IP% to any port 8000:8010 proto tcp',
    'ufw allow from %IP% to 192.0.2.1 port 22',
    'ufw deny from %IP% to any port 22',
    'ufw route allow from %IP% to any port 22',
    'nft add element inet f s { %IP% }',
    'myiptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT',
    '',
  ];
  for (const text of others) {
    it(`is not one that says anything else: ${text}`, () => {
      const words = wordsOf(text);
      assert.equal('argv' in words ? stockRule(words.argv) : null, null);
    });
  }
});

describe('what the commands of a door come to', () => {
  const add = 'iptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT';
  const remove = add.replace('-A', '-D');
  const ports = [{ port: 22, protocol: 'tcp' }];
  const rows: readonly [start: string | null, stop: string | null, effect: unknown, allowShell?: boolean][] =
    [
      [null, null, { kind: 'nothing' }],
      ['', remove, { kind: 'nothing' }],
      [add, null, { kind: 'grant', ports, ends: false, remarks: [] }],
      [add, '', { kind: 'grant', ports, ends: false, remarks: [] }],
      [add, remove, { kind: 'grant', ports, ends: true, remarks: [] }],
      [add.replace('ip', 'ip6'), null, { kind: 'nothing' }],
      [remove, null, { kind: 'closing', ports }],
      ['/bin/x %IP%', null, { kind: 'programs', open: ['/bin/x', '{ip}'], close: null }],
      [
        '/bin/x a%IP%b%IP%',
        '/bin/y',
        { kind: 'programs', open: ['/bin/x', 'a{ip}b{ip}'], close: ['/bin/y'] },
      ],
      ['/bin/x {%IP%}', null, { kind: 'programs', open: ['/bin/x', '{{ip}}'], close: null }],
      // Something else is undone than was done.
      [
        add,
        remove.replace('22', '23'),
        {
          kind: 'programs',
          open: ['iptables', '-A', 'INPUT', '-s', '{ip}', '-p', 'tcp', '--dport', '22', '-j', 'ACCEPT'],
          close: ['iptables', '-D', 'INPUT', '-s', '{ip}', '-p', 'tcp', '--dport', '23', '-j', 'ACCEPT'],
        },
      ],
      ['a | b %IP%', null, { kind: 'refused', line: 1 }],
      ['a', 'b | c', { kind: 'refused', line: 2 }],
      ['a {port}', null, { kind: 'refused', line: 1 }, true],
      ['/bin/%IP%', null, { kind: 'refused', line: 1 }],
      ['a | b %IP%', 'c', { kind: 'programs', open: ['/bin/sh', '-c', 'a | b {ip}'], close: ['c'] }, true],
    ];
  for (const [start, stop, effect, allowShell = false] of rows) {
    it(`is known: ${start ?? '-'} / ${stop ?? '-'}${allowShell ? ' (with a shell)' : ''}`, () => {
      const placed = (line: number, value: string | null) => (value === null ? null : { line, value });
      const found = effectOf(placed(1, start), placed(2, stop), { family: 4, allowShell });
      const { kind } = found;
      assert.deepEqual(kind === 'refused' ? { kind, line: found.line } : found, effect);
    });
  }
});
