// The ruleset as text: against a golden file that was read line by line with firewall.md 4.2 beside it, and the things
// that must hold whatever the services are. That it does what it says is for the kernel to show (test/e2e).

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Service } from '../../lib/firewall/driver.ts';
import { hostRules, tableText, type NftRuleset } from '../../lib/firewall/nftables-rules.ts';
import type { Width } from '../../lib/firewall/width.ts';

const SSH: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 30_000, connections: 1 };
const WEB: Service = { ...SSH, name: 'web', port: 443, openForMs: 1500, connections: 3 };
const ADMIN: Service = { ...SSH, name: 'admin', port: 8443, openForMs: 120_000, connections: 'unlimited' };
const DNS: Service = { ...SSH, name: 'dns', protocol: 'udp', port: 53 };
const VPN: Service = { ...DNS, name: 'vpn', port: 51_820, connections: 'unlimited' };

const V4: readonly Width[] = [{ family: 4, length: 24 }];
const V6: readonly Width[] = [
  { family: 6, length: 56 },
  { family: 6, length: 64 },
];

const GOLDEN: NftRuleset = {
  services: [SSH, WEB, ADMIN, DNS, VPN],
  widths: new Map([
    ['ssh', [...V4, { family: 4, length: 28 }, ...V6]],
    ['web', V4],
    ['admin', V6],
    ['dns', V4],
    ['vpn', [{ family: 4, length: 31 }]],
  ]),
  peers: [
    { family: 4, address: '192.0.2.7', port: 50_000, localPort: 22, halfOpen: false },
    { family: 6, address: '2001:db8::7', port: 50_001, localPort: 443, halfOpen: false },
    { family: 4, address: '192.0.2.7', port: 50_000, localPort: 22, halfOpen: false },
  ],
  shut: {
    tcp: { 4: 'reject with tcp reset', 6: 'reject with tcp reset' },
    udp: { 4: 'reject with icmp type host-prohibited', 6: 'drop' },
  },
  present: null,
  keeps: new Set(),
  former: [],
  extra: [],
};

function linesOf(change: Partial<NftRuleset> = {}): string[] {
  return tableText({ ...GOLDEN, ...change }).split('\n');
}

/** The rules of a chain, in order. */
function chain(name: string, lines = linesOf()): string[] {
  const start = `add rule inet portknock ${name} `;
  return lines.filter((line) => line.startsWith(start)).map((line) => line.slice(start.length));
}

describe('tableText', () => {
  it('is the golden text', () => {
    const golden = readFileSync(new URL('../vectors/nftables.rules', import.meta.url), 'utf8');
    assert.equal(tableText(GOLDEN), golden);
  });

  it('names every set and chain before a rule does', () => {
    const declared = new Set<string>();
    for (const line of linesOf()) {
      const [, name] = /^add (?:set|chain) inet portknock (\S+)/u.exec(line) ?? [];
      if (name !== undefined) declared.add(name);
      if (!line.startsWith('add rule')) continue;
      for (const [, used = ''] of line.matchAll(/(?:@|goto |jump )([\w-]+)/gu))
        assert.ok(declared.has(used), line);
    }
  });

  it('closes a port to all that no rule before lets in', () => {
    for (const { protocol, port } of GOLDEN.services)
      assert.equal(chain(`${protocol}-${port}`).at(-1), `goto shut-${protocol}`);
    assert.deepEqual(chain('shut-tcp'), ['reject with tcp reset']);
    assert.equal(chain('tcp-22-pending').at(-1), 'reject with tcp reset');
  });

  it('leaves strangers to the rules of the host where it is told to', () => {
    const nothing = { 4: '', 6: '' };
    const lines = linesOf({ shut: { tcp: nothing, udp: { 4: '', 6: 'drop' } } });
    assert.deepEqual(chain('shut-tcp', lines), []);
    assert.deepEqual(chain('shut-udp', lines), ['meta nfproto ipv6 drop']);
  });

  it('lets no SYN in by the mark of an open connection, and counts on no packet but the last of a handshake', () => {
    for (const line of linesOf()) {
      if (/== 0x20000000 accept/u.test(line) && line.includes(' tcp-'))
        assert.match(line, /\) != syn ct mark/u);
      if (/@tcp-\S+-(?:left|more)/u.test(line) && line.startsWith('add rule'))
        assert.match(line, /== ack ct state established ct status assured ct direction original ip/u);
    }
  });

  it('asks for an address before prefixes, and for the longest of those first', () => {
    const asked = chain('tcp-22-pending').flatMap((rule) => /@tcp-22-(\S+)-left/u.exec(rule)?.[1] ?? []);
    assert.deepEqual(asked, ['v4', 'v6', 'v6p64', 'v6p56', 'v4p28', 'v4p24']);
  });

  it('counts the last connection of a grant apart from those before it', () => {
    const spends = chain('tcp-443-pending').filter((rule) => rule.includes('@tcp-443-v4-'));
    assert.match(spends[0] ?? '', /@tcp-443-v4-more goto now-open$/u);
    assert.match(
      spends[1] ?? '',
      /@tcp-443-v4-left add @tcp-443-v4-spent \{ ip saddr timeout 4s \} goto now-open$/u,
    );
    assert.equal(spends.length, 2);
  });

  it('adopts each connection once', () => {
    const adopted = linesOf().filter((line) => line.startsWith('add element'));
    assert.deepEqual(adopted, [
      'add element inet portknock adopt-v4 { 192.0.2.7 . 50000 . 22 }',
      'add element inet portknock adopt-v6 { 2001:db8::7 . 50001 . 443 }',
    ]);
  });

  describe('in the place of an earlier one', () => {
    const NAMES = ['gate', 'left', 'spent'].map((kind) => `tcp-22-v4-${kind}`);
    const present = {
      chains: ['input', 'now-open', 'tcp-22', 'tcp-22-pending', 'udp-99'],
      sets: [...NAMES, 'tcp-443-v4-gate', 'udp-99-v4-gate', 'adopt-v4'],
    };
    const lines = linesOf({
      present,
      keeps: new Set(['ssh']),
      extra: ['delete rule inet filter input handle 7'],
    });

    it('takes the rules out, and not the table', () => {
      assert.deepEqual(lines.slice(0, 2), ['add table inet portknock', 'flush table inet portknock']);
      assert.ok(!lines.some((line) => line.startsWith('delete table')));
    });

    it('keeps the sets of services that stay, and no others', () => {
      const gone = lines.flatMap((line) => /^delete set inet portknock (\S+)$/u.exec(line)?.[1] ?? []);
      assert.deepEqual(gone, ['tcp-443-v4-gate', 'udp-99-v4-gate', 'adopt-v4']);
      for (const name of NAMES)
        assert.ok(!lines.some((line) => line.startsWith(`add set inet portknock ${name} `)));
      for (const name of ['tcp-22-v6-gate', 'tcp-443-v4-gate', 'adopt-v4'])
        assert.ok(
          lines.some((line) => line.startsWith(`add set inet portknock ${name} `)),
          name,
        );
    });

    it('takes chains out that nothing goes to any more, and changes other tables last', () => {
      const gone = lines.flatMap((line) => /^delete chain inet portknock (\S+)$/u.exec(line)?.[1] ?? []);
      assert.deepEqual(gone, ['udp-99']);
      assert.deepEqual(lines.slice(-2), ['delete rule inet filter input handle 7', '']);
    });

    it('starts from nothing where nothing is to be kept', () => {
      const three = ['add table', 'delete table', 'add table'].map((verb) => `${verb} inet portknock`);
      assert.deepEqual(linesOf().slice(0, 3), three);
    });
  });
});

describe('hostRules', () => {
  it('let through what has our mark, and a SYN only while its connection is not open', () => {
    const rules = hostRules('inet filter input', GOLDEN.services);
    assert.deepEqual(rules, [
      'insert rule inet filter input tcp dport { 22, 443, 8443 } tcp flags & (fin | syn | rst | ack) == syn ct state new,established ct mark & 0x30000000 == 0x10000000 accept comment "portknock"',
      'insert rule inet filter input tcp dport { 22, 443, 8443 } tcp flags & (fin | syn | rst | ack) != syn ct mark & 0x30000000 == 0x20000000 accept comment "portknock"',
      'insert rule inet filter input udp dport { 53, 51820 } ct mark & 0x30000000 == 0x20000000 accept comment "portknock"',
    ]);
  });

  it('are none for a protocol without services', () => {
    assert.equal(hostRules('ip a b', [DNS]).length, 1);
    assert.equal(hostRules('ip a b', [SSH]).length, 2);
    assert.deepEqual(hostRules('ip a b', []), []);
  });
});
