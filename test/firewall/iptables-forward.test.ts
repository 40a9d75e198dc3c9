// The rules for services behind the gateway as text: against a golden file that was read line by line, and what must hold
// whatever the services are. That they do what they say is for the kernel to show (test/e2e/forward.test.ts).

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Service } from '../../lib/firewall/driver.ts';
import { formerIn } from '../../lib/firewall/iptables-forward.ts';
import { OURS, setupText, teardownText, type Ruleset } from '../../lib/firewall/iptables-rules.ts';

const NAS: Service = {
  ...{ name: 'nas', protocol: 'tcp', port: 2222, openForMs: 30_000, connections: 1 },
  to: { host: '10.0.0.5', port: 22 },
};
const SHARE: Service = {
  ...NAS,
  name: 'share',
  port: 445,
  connections: 2,
  to: { host: 'fd00::5', port: 4450 },
};
const ADMIN: Service = { ...NAS, name: 'admin', port: 8443, connections: 'unlimited' };
const VPN: Service = {
  ...{ ...NAS, name: 'vpn', protocol: 'udp', port: 51_820, connections: 2 },
  to: { host: '10.0.0.6', port: 51_820 },
};
const SSH: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 30_000, connections: 1 };

const RULESET: Ruleset = {
  family: 4,
  services: [SSH, NAS, SHARE, ADMIN, VPN],
  widths: new Map([['nas', [{ family: 4, length: 24 }]]]),
  peers: [],
  shut: { tcp: 'drop', udp: 'drop' },
  present: [],
  jumps: [],
  makesTable: false,
  extra: [],
  former: [],
  makesForward: false,
  nat: { present: [], jumps: [], makesTable: false, makesBase: false },
};

function linesOf(change: Partial<Ruleset> = {}): string[] {
  return setupText({ ...RULESET, ...change }).split('\n');
}

function chain(name: string, lines = linesOf()): string[] {
  return lines.filter((line) => line.startsWith(`-A ${name} `)).map((line) => line.slice(name.length + 4));
}

describe('setupText, with services behind the gateway', () => {
  it('is the golden text, for each family', () => {
    const golden = readFileSync(new URL('../vectors/iptables-forward.rules', import.meta.url), 'utf8');
    assert.equal(setupText(RULESET) + setupText({ ...RULESET, family: 6 }), golden);
  });

  it('is a transaction for each table, the ports closed and the way decided about before anything is sent there', () => {
    const lines = linesOf();
    assert.deepEqual(
      lines.filter((line) => /^\*|^COMMIT/u.test(line)),
      ['*filter', 'COMMIT', '*nat', 'COMMIT'],
    );
    const declared = new Set<string>();
    for (const line of lines) {
      const name = /^:(\S+) - \[0:0\]$/u.exec(line)?.[1];
      if (name !== undefined) declared.add(name);
      const target = /-j (\S+)/u.exec(line)?.[1] ?? '';
      const builtIn = ['', 'ACCEPT', 'DROP', 'REJECT', 'RETURN', 'CONNMARK', 'DNAT'];
      assert.ok(builtIn.includes(target) || declared.has(target), line);
    }
    assert.ok([...declared].every((name) => OURS.test(name) && name.length <= 28));
  });

  it('sends nothing on but the first packet of a source that has a grant, to this host', () => {
    // A datagram may take any of the lists.
    assert.equal(chain('PK-SEND-ON').length, 2 + 1 + 2);
    for (const rule of chain('PK-SEND-ON')) {
      assert.match(
        rule,
        /-m addrtype --dst-type LOCAL -m recent --name \S+ (?:--mask \S+ )?--rcheck --seconds 30 -j PK-S-/u,
      );
      if (rule.startsWith('-p tcp ')) assert.match(rule, / --syn /u);
      assert.doesNotMatch(rule, /--remove|--set|--update/u);
    }
  });

  it('goes by the mark on the way through, and leaves flows of others alone', () => {
    for (const rule of chain('PK-FORWARD'))
      assert.match(
        rule,
        /^-m connmark ! --mark 0x0\/0x30000000 -m conntrack --ctstate DNAT --ctproto \d+ --ctorigdstport \d+ -j PK-F-/u,
      );
    assert.equal(chain('PK-FORWARD').length, 3);
  });

  it('lets in whoever comes to the port itself only by what is open already', () => {
    assert.deepEqual(chain('PK-tcp-2222'), [
      '-m connmark --mark 0x20000000/0x30000000 -p tcp ! --syn -j ACCEPT',
      '-p tcp ! --syn -j PK-ADOPT',
      '-j DROP',
    ]);
    assert.deepEqual(chain('PK-udp-51820'), [
      '-m connmark --mark 0x20000000/0x30000000 -j ACCEPT',
      '-j DROP',
    ]);
  });

  it('spends on the way through only', () => {
    for (const line of linesOf().filter((one) => one.includes('--remove')))
      assert.match(line, /^-A PK-(?:F-|tcp-22 )/u);
    assert.equal(chain('PK-F-tcp-2222').filter((rule) => rule.includes('--remove')).length, 2);
  });

  it('is closed for the family that does not get there', () => {
    const lines = linesOf({ family: 6 });
    assert.deepEqual(chain('PK-F-tcp-2222', lines), []);
    assert.equal(chain('PK-tcp-2222', lines).at(-1), '-j DROP');
    assert.equal(chain('PK-SEND-ON', lines).length, 1);
    assert.deepEqual(chain('PK-S-tcp-445', lines).slice(1), [
      '-p tcp -j DNAT --to-destination [fd00::5]:4450',
    ]);
  });

  it('leaves FORWARD and nat alone where every service is on this host', () => {
    const text = setupText({ ...RULESET, services: [SSH] });
    assert.doesNotMatch(text, /nat|FORWARD|PK-S|PK-F/u);
  });

  it('lets connections of a service live on that was sent on before, and begins none', () => {
    const nat = {
      ...RULESET.nat,
      present: ['PK-SEND-ON', 'PK-S-tcp-2222'],
      jumps: ['-A PREROUTING -j PK-SEND-ON'],
    };
    const lines = linesOf({ services: [SSH], former: [{ protocol: 'tcp', port: 2222 }], nat });
    assert.deepEqual(chain('PK-F-tcp-2222', lines).slice(2), [
      '-m connmark --mark 0x20000000/0x30000000 -p tcp ! --syn -j ACCEPT',
      '-p tcp -j REJECT --reject-with tcp-reset',
    ]);
    assert.deepEqual(lines.slice(lines.indexOf('*nat')), [
      '*nat',
      '-D PREROUTING -j PK-SEND-ON',
      ':PK-S-tcp-2222 - [0:0]',
      ':PK-SEND-ON - [0:0]',
      '-X PK-S-tcp-2222',
      '-I PREROUTING 1 -j PK-SEND-ON',
      'COMMIT',
      '',
    ]);
  });

  it('remembers what was there because of its first rules', () => {
    const made = (change: Partial<Ruleset>): string[] =>
      linesOf(change).filter((line) => line.startsWith(':PK-MADE'));
    assert.deepEqual(made({}), []);
    assert.deepEqual(made({ makesForward: true }), [':PK-MADE-BASE - [0:0]']);
    assert.deepEqual(made({ present: ['PK-MADE-BASE'] }), [':PK-MADE-BASE - [0:0]']);
    const nat = { present: [], jumps: [], makesTable: true, makesBase: true };
    assert.deepEqual(made({ nat }), [':PK-MADE - [0:0]', ':PK-MADE-BASE - [0:0]']);
    assert.deepEqual(made({ nat: { ...RULESET.nat, present: ['PK-MADE', 'PK-SEND-ON'] } }), [
      ':PK-MADE - [0:0]',
    ]);
  });
});

describe('formerIn', () => {
  it('knows the chains of ports that are sent on from all others', () => {
    const chains = ['PK-tcp-22', 'PK-F-tcp-2222', 'PK-F-udp-53', 'PK-FORWARD', 'PK-S-tcp-2222'];
    assert.deepEqual(formerIn(chains), [
      { protocol: 'tcp', port: 2222 },
      { protocol: 'udp', port: 53 },
    ]);
  });
});

describe('teardownText, with services behind the gateway', () => {
  it('sends nothing on any more before the way through is gone', () => {
    const filter = { present: ['PK-FORWARD'], jumps: ['-A FORWARD -j PK-FORWARD'] };
    const nat = { present: ['PK-SEND-ON'], jumps: ['-A PREROUTING -j PK-SEND-ON'] };
    assert.deepEqual(
      teardownText(filter, nat)
        .split('\n')
        .filter((line) => /^[*-]/u.test(line)),
      [
        ...['*nat', '-D PREROUTING -j PK-SEND-ON', '-X PK-SEND-ON'],
        ...['*filter', '-D FORWARD -j PK-FORWARD', '-X PK-FORWARD'],
      ],
    );
    assert.equal(teardownText({ present: [], jumps: [] }, { present: [], jumps: [] }), '');
  });
});
