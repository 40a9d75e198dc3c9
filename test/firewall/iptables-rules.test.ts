// The ruleset as text: against a golden file that was read line by line with firewall.md 4.3 beside it, and the things
// that must hold whatever the services are. That it does what it says is for the kernel to show (test/e2e).

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Service } from '../../lib/firewall/driver.ts';
import { listGroups } from '../../lib/firewall/iptables-lists.ts';
import { OURS, setupText, teardownText, type Ruleset } from '../../lib/firewall/iptables-rules.ts';
import type { Width } from '../../lib/firewall/width.ts';

const SSH: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 30_000, connections: 1 };
const WEB: Service = { name: 'web', protocol: 'tcp', port: 443, openForMs: 1500, connections: 3 };
const ADMIN: Service = {
  name: 'admin',
  protocol: 'tcp',
  port: 8443,
  openForMs: 120_000,
  connections: 'unlimited',
};
const DNS: Service = { name: 'dns', protocol: 'udp', port: 53, openForMs: 30_000, connections: 1 };
const VPN: Service = {
  name: 'vpn',
  protocol: 'udp',
  port: 51_820,
  openForMs: 30_000,
  connections: 'unlimited',
};
const ALL = [SSH, WEB, ADMIN, DNS, VPN];

const V4: readonly Width[] = [{ family: 4, length: 24 }];
const V6: readonly Width[] = [
  { family: 6, length: 56 },
  { family: 6, length: 64 },
];

const GOLDEN: Ruleset = {
  family: 4,
  services: ALL,
  widths: new Map([
    ['ssh', [...V4, { family: 4, length: 28 }, ...V6]],
    ['web', V4],
    ['admin', [...V6, ...V4]],
    ['dns', V4],
    ['vpn', [{ family: 4, length: 31 }]],
  ]),
  peers: [{ family: 4, address: '192.0.2.7', port: 50_000, localPort: 22, halfOpen: false }],
  shut: { tcp: { rejectWith: 'tcp-reset' }, udp: 'drop' },
  present: [],
  jumps: [],
  makesTable: false,
  extra: [],
  former: [],
  makesForward: false,
  nat: { present: [], jumps: [], makesTable: false, makesBase: false },
};

function linesOf(change: Partial<Ruleset> = {}): string[] {
  return setupText({ ...GOLDEN, ...change }).split('\n');
}

/** The rules of a chain, in order. */
function chain(name: string, lines = linesOf()): string[] {
  return lines.filter((line) => line.startsWith(`-A ${name} `)).map((line) => line.slice(name.length + 4));
}

describe('setupText', () => {
  it('is the golden text', () => {
    const golden = readFileSync(new URL('../vectors/iptables.rules', import.meta.url), 'utf8');
    assert.equal(setupText(GOLDEN), golden);
  });

  it('is one transaction, which names every chain before a rule jumps to it', () => {
    const lines = linesOf();
    assert.equal(lines[0], '*filter');
    assert.deepEqual(lines.slice(-2), ['COMMIT', '']);
    const declared = new Set<string>();
    for (const line of lines) {
      const name = /^:(\S+) - \[0:0\]$/u.exec(line)?.[1];
      if (name !== undefined) declared.add(name);
      const target = /-j (\S+)/u.exec(line)?.[1] ?? '';
      const builtIn = ['', 'ACCEPT', 'DROP', 'REJECT', 'RETURN', 'CONNMARK'];
      assert.ok(builtIn.includes(target) || declared.has(target), line);
    }
    assert.ok([...declared].every((name) => OURS.test(name) && name.length <= 28));
  });

  it('hooks itself in before all other rules, and only when everything else stands', () => {
    assert.equal(linesOf().at(-3), '-I INPUT 1 -j PORTKNOCK');
    assert.equal(linesOf().filter((line) => line.includes('INPUT')).length, 1);
  });

  it('ends every service chain with what strangers get, so that nothing falls through', () => {
    for (const [shut, last] of [
      ['drop', '-j DROP'],
      ['return', '-j RETURN'],
      [{ rejectWith: 'tcp-reset' }, '-p tcp -j REJECT --reject-with tcp-reset'],
      [{ rejectWith: 'icmp-host-prohibited' }, '-j REJECT --reject-with icmp-host-prohibited'],
    ] as const) {
      const lines = linesOf({ shut: { tcp: shut, udp: 'drop' } });
      for (const port of [22, 443, 8443]) assert.equal(chain(`PK-tcp-${port}`, lines).at(-1), last);
      for (const port of [53, 51_820]) assert.equal(chain(`PK-udp-${port}`, lines).at(-1), '-j DROP');
    }
  });

  it('never admits a SYN by the mark of an open connection, unless connections are unlimited', () => {
    for (const { port } of [SSH, WEB]) {
      for (const rule of chain(`PK-tcp-${port}`)) {
        if (rule.includes('--mark 0x20000000')) assert.match(rule, /-p tcp ! --syn -j ACCEPT$/u);
      }
    }
  });

  it('spends one list entry per connection, each in the rule that admits it', () => {
    for (const service of [SSH, WEB, DNS]) {
      const widths = (GOLDEN.widths.get(service.name) ?? []).filter(({ family }) => family === 4);
      const lists = listGroups(service, widths)
        .flat()
        .map(({ name }) => name);
      assert.equal(lists.length, Number(service.connections) * (1 + widths.length));
      const rules = chain(`PK-${service.protocol}-${service.port}`).filter((rule) =>
        rule.includes('--remove'),
      );
      assert.deepEqual(
        rules.map((rule) => /--name (\S+) (?:--mask \S+ )?--remove -j PK-OPEN$/u.exec(rule)?.[1]),
        lists,
      );
      // No entry is spent that has run out of time.
      for (const rule of rules)
        assert.match(
          rule,
          /--name (\S+ (?:--mask \S+ )?)--rcheck --seconds \d+ -m recent --name \1--remove/u,
        );
    }
    assert.equal(
      linesOf({ services: [ADMIN, VPN] }).some((line) => line.includes('--remove')),
      false,
    );
  });

  it('gives every rule that names a list its one mask, and each family lists of its own', () => {
    const names: string[] = [];
    for (const [family, masks] of [
      [4, { 24: '255.255.255.0', 28: '255.255.255.240', 31: '255.255.255.254' }],
      [6, { 56: 'ffff:ffff:ffff:ff00::', 64: 'ffff:ffff:ffff:ffff::' }],
    ] as const) {
      for (const line of linesOf({ family })) {
        for (const [, name = '', mask] of line.matchAll(/--name (\S+)(?: --mask (\S+))?/gu)) {
          const [, own, length] = /-v(\d)p(\d+)$/u.exec(name) ?? [];
          if (own !== undefined) assert.equal(Number(own), family, line);
          assert.equal(mask, Object.entries(masks).find(([key]) => key === length)?.[1], line);
          names.push(name);
        }
      }
    }
    assert.ok(names.includes('portknock-tcp-22-1-v6p64') && names.includes('portknock-udp-51820-1-v4p31'));
  });

  it('spends an address before a prefix, and a longer prefix before a shorter one', () => {
    for (const [family, suffixes] of [
      [4, ['', '-v4p28', '-v4p24']],
      [6, ['', '-v6p64', '-v6p56']],
    ] as const) {
      const lines = linesOf({ family });
      const spends = chain('PK-tcp-22', lines).flatMap(
        (rule) => /--name (\S+) (?:--mask \S+ )?--remove/u.exec(rule)?.[1] ?? [],
      );
      assert.deepEqual(
        spends,
        suffixes.map((suffix) => `portknock-tcp-22-1${suffix}`),
      );
    }
  });

  it('has as many rules a service as its head says', () => {
    for (const service of ALL) {
      for (const widths of [[], V6, [...V6, { family: 6, length: 60 } as const]]) {
        const lines = linesOf({ family: 6, widths: new Map([[service.name, widths]]) });
        const n = service.connections === 'unlimited' ? 1 : service.connections;
        const [base, more] =
          service.protocol === 'udp'
            ? [n + 2, n]
            : service.connections === 'unlimited'
              ? [5, 2]
              : [n + 7, n + 1];
        const rules = chain(`PK-${service.protocol}-${service.port}`, lines);
        assert.equal(rules.length, base + more * widths.length, `${service.name} ${widths.length}`);
      }
    }
  });

  it('rounds times up to whole seconds, at least one', () => {
    for (const [openForMs, seconds] of [
      [1, 1],
      [1000, 1],
      [1001, 2],
      [86_399_999, 86_400],
    ] as const) {
      const lines = linesOf({ services: [{ ...SSH, openForMs }] });
      assert.deepEqual(
        new Set(lines.flatMap((line) => /--seconds (\d+)/u.exec(line)?.[1] ?? [])),
        new Set([String(seconds)]),
      );
    }
  });

  it('lets connections that are there go on, and gives no SYN the benefit', () => {
    const peers = [
      { family: 4, address: '192.0.2.7', port: 50_000, localPort: 22, halfOpen: false },
      { family: 4, address: '192.0.2.8', port: 50_001, localPort: 443, halfOpen: false },
    ] as const;
    const lines = linesOf({ peers });
    assert.deepEqual(chain('PK-ADOPT', lines), [
      '-p tcp -s 192.0.2.7 --sport 50000 --dport 22 -j PK-OPEN',
      '-p tcp -s 192.0.2.8 --sport 50001 --dport 443 -j PK-OPEN',
    ]);
    for (const line of lines.filter((one) => one.endsWith('-j PK-ADOPT'))) assert.match(line, /! --syn/u);
  });

  it('takes the place of an earlier ruleset: its jumps go first, its chains are emptied, stale ones removed', () => {
    const lines = linesOf({
      services: [SSH],
      present: ['PORTKNOCK', 'PK-OPEN', 'PK-tcp-2222', 'PK-NOTE'],
      jumps: ['-A INPUT -j PORTKNOCK', '-A OUTPUT -p udp -m udp --sport 4000 -j PK-NOTE'],
    });
    assert.deepEqual(lines.slice(1, 3), [
      '-D INPUT -j PORTKNOCK',
      '-D OUTPUT -p udp -m udp --sport 4000 -j PK-NOTE',
    ]);
    for (const stale of ['PK-tcp-2222', 'PK-NOTE']) {
      // Emptied by its declaration, then removed.
      assert.ok(
        lines.indexOf(`:${stale} - [0:0]`) < lines.indexOf(`-X ${stale}`) &&
          lines.includes(`:${stale} - [0:0]`),
      );
    }
    assert.equal(
      lines.some((line) => /^-X (?:PORTKNOCK|PK-OPEN|PK-tcp-22)$/u.test(line)),
      false,
    );
    assert.equal(lines.filter((line) => line === ':PK-OPEN - [0:0]').length, 1);
  });

  it('carries the lines that the way of writing lists needs', () => {
    const extra = [':PK-NOTE - [0:0]', '-A PK-NOTE -j DROP'];
    const lines = linesOf({ extra, present: ['PK-NOTE'] });
    const at = lines.indexOf('-X PK-NOTE');
    assert.deepEqual(lines.slice(at + 1, at + 3), extra);
  });
});

describe('the mark of a table that our first rule made', () => {
  const marks = (change: Partial<Ruleset>): readonly string[] =>
    linesOf(change).filter((line) => line.includes('PK-MADE'));

  it('is put there at the first set-up, stays at every other, and is in no ruleset of others', () => {
    assert.deepEqual(marks({ makesTable: true }), [':PK-MADE - [0:0]']);
    assert.deepEqual(marks({ present: ['PORTKNOCK', 'PK-MADE'] }), [':PK-MADE - [0:0]']);
    assert.deepEqual(marks({ present: ['PORTKNOCK'] }), []);
  });
});

describe('teardownText', () => {
  it('removes jumps and chains, and nothing of anybody else', () => {
    const filter = {
      present: ['PORTKNOCK', 'PK-OPEN'],
      jumps: ['-A INPUT -j PORTKNOCK', '-A FORWARD -m comment --comment "-A x" -j PK-OPEN'],
    };
    const text = teardownText(filter, { present: [], jumps: [] });
    assert.deepEqual(text.split('\n'), [
      '*filter',
      '-D INPUT -j PORTKNOCK',
      '-D FORWARD -m comment --comment "-A x" -j PK-OPEN',
      ':PORTKNOCK - [0:0]',
      ':PK-OPEN - [0:0]',
      '-X PORTKNOCK',
      '-X PK-OPEN',
      'COMMIT',
      '',
    ]);
  });
});

describe('OURS', () => {
  it('knows our chains from others', () => {
    for (const name of ['PORTKNOCK', 'PK-OPEN', 'PK-tcp-22', 'PK-NOTE']) assert.match(name, OURS);
    for (const name of ['INPUT', 'PORTKNOCK2', 'portknock', 'PK', 'PK-', 'XPK-OPEN', 'PK-a b', 'KNOCK']) {
      assert.doesNotMatch(name, OURS);
    }
  });
});
