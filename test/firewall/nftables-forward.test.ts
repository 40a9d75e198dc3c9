// The rules for services behind the gateway as text: against a golden file that was read line by line, and what must hold
// whatever the services are. That they do what they say is for the kernel to show (test/e2e/forward.test.ts).

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Service } from '../../lib/firewall/driver.ts';
import { formerIn } from '../../lib/firewall/nftables-forward.ts';
import { hostForwardRules, tableText, type NftRuleset } from '../../lib/firewall/nftables-rules.ts';

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
  ...NAS,
  name: 'vpn',
  protocol: 'udp',
  port: 51_820,
  to: { host: '10.0.0.6', port: 51_820 },
};
const SSH: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 30_000, connections: 1 };

const RULESET: NftRuleset = {
  services: [SSH, NAS, SHARE, ADMIN, VPN],
  widths: new Map([['nas', [{ family: 4, length: 24 }]]]),
  peers: [],
  shut: { tcp: { 4: 'drop', 6: 'drop' }, udp: { 4: 'drop', 6: 'drop' } },
  present: null,
  keeps: new Set(),
  former: [],
  extra: [],
};

function linesOf(change: Partial<NftRuleset> = {}): string[] {
  return tableText({ ...RULESET, ...change }).split('\n');
}

function chain(name: string, lines = linesOf()): string[] {
  const start = `add rule inet portknock ${name} `;
  return lines.filter((line) => line.startsWith(start)).map((line) => line.slice(start.length));
}

describe('tableText, with services behind the gateway', () => {
  it('is the golden text', () => {
    const golden = readFileSync(new URL('../vectors/nftables-forward.rules', import.meta.url), 'utf8');
    assert.equal(tableText(RULESET), golden);
  });

  it('sends nothing on but the first packet of a source that has a grant, to this host', () => {
    const rules = chain('send-on');
    assert.equal(rules.length, 5);
    for (const rule of rules) {
      assert.match(rule, /^fib daddr type local (?:tcp|udp) dport \d+ /u);
      assert.match(rule, /@\S+-gate (?:.* )?goto \S+-send-on$/u);
      if (rule.includes(' tcp ')) assert.match(rule, /== syn /u);
    }
    assert.equal(linesOf().filter((line) => / dnat /u.test(line) && !/ct status/u.test(line)).length, 4);
  });

  it('goes by the mark on the way through, and leaves flows of others alone', () => {
    for (const rule of chain('forward'))
      assert.match(
        rule,
        /^meta l4proto \w+ ct status dnat ct mark & 0x30000000 != 0x0 ct original proto-dst vmap/u,
      );
    assert.equal(chain('forward').length, 2);
  });

  it('lets in whoever comes to the port itself only by what is open already', () => {
    assert.deepEqual(chain('tcp-2222'), [
      'tcp flags & (fin | syn | rst | ack) != syn ct mark & 0x30000000 == 0x20000000 accept',
      'tcp flags & (fin | syn | rst | ack) != syn jump adopt',
      'goto shut-tcp',
    ]);
    assert.deepEqual(chain('udp-51820'), ['ct mark & 0x30000000 == 0x20000000 accept', 'goto shut-udp']);
  });

  it('spends on the way through only, and each grant in one rule', () => {
    for (const line of linesOf()) {
      if (!/@\S+-(?:left|more)/u.test(line) || !line.startsWith('add rule')) continue;
      assert.match(line, /^add rule inet portknock (?:tcp-\d+-pending|udp-\d+-forward) /u);
    }
    assert.equal(chain('tcp-445-pending').filter((rule) => rule.includes('-v6-')).length, 2);
  });

  it('has sets of the one family that gets there', () => {
    const sets = linesOf().filter((line) => line.startsWith('add set'));
    assert.ok(sets.some((line) => line.includes(' tcp-2222-v4-gate ')));
    assert.ok(!sets.some((line) => line.includes(' tcp-2222-v6-gate ')));
    assert.ok(!sets.some((line) => line.includes(' tcp-445-v4-gate ')));
  });

  it('has none of it where every service is on this host', () => {
    const text = tableText({ ...RULESET, services: [SSH] });
    assert.doesNotMatch(text, /nat|forward|sent-on/u);
  });

  it('lets connections of a service live on that was sent on before, and begins none', () => {
    for (const services of [[SSH], [SSH, { ...SSH, name: 'local', port: 2222 }]]) {
      const lines = linesOf({ services, former: [{ protocol: 'tcp', port: 2222 }] });
      assert.deepEqual(chain('send-on', lines), []);
      assert.deepEqual(chain('tcp-2222-forward', lines).slice(1), [
        'tcp flags & (fin | syn | rst | ack) != syn ct mark & 0x30000000 == 0x20000000 accept',
        'reject with tcp reset',
      ]);
      assert.match(chain('forward', lines)[0] ?? '', /vmap \{ 2222 : goto tcp-2222-forward \}$/u);
    }
    const again = linesOf({ former: [{ protocol: 'tcp', port: 2222 }] });
    assert.deepEqual(again, linesOf());
  });
});

describe('formerIn', () => {
  it('knows the chains of ports that are sent on from all others', () => {
    const chains = ['tcp-22', 'tcp-2222-forward', 'udp-53-forward', 'forward', 'send-on', 'tcp-2222-send-on'];
    assert.deepEqual(formerIn(chains), [
      { protocol: 'tcp', port: 2222 },
      { protocol: 'udp', port: 53 },
    ]);
  });
});

describe('hostForwardRules', () => {
  it('let through what we sent on and marked, and nothing else', () => {
    const rules = hostForwardRules('inet filter forward', RULESET.services);
    assert.equal(rules.length, 6);
    for (const rule of rules.slice(0, -1)) {
      assert.match(
        rule,
        /^insert rule inet filter forward meta l4proto (?:tcp|udp) ct status dnat ct mark & 0x30000000 != 0x0 ct original proto-dst \{ [\d, ]+ \} .* accept comment "portknock"$/u,
      );
    }
    assert.ok(
      rules.some((rule) =>
        rule.includes('== syn ct state new,established ct mark & 0x30000000 == 0x10000000'),
      ),
    );
    assert.ok(!rules.some((rule) => /\{[^}]*\b22\b/u.test(rule)), 'a service of this host');
  });

  it('are none where every service is on this host', () => {
    assert.deepEqual(hostForwardRules('inet filter forward', [SSH]), []);
  });
});
