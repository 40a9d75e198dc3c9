// Which datagram means what, as rules. That the kernel takes them is for test/e2e/user-namespace.test.ts to show.

import assert from 'node:assert/strict';
import type { Service } from '../../lib/firewall/driver.ts';
import { listsOf, type RecentList } from '../../lib/firewall/iptables-lists.ts';
import type { RecentLists } from '../../lib/firewall/recent-file.ts';
import { noteLists } from '../../lib/firewall/recent-note.ts';

const SSH: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 3000, connections: 1 };
const WEB: Service = { ...SSH, name: 'web', port: 443, connections: 2 };

describe('noteLists', () => {
  let lists: RecentLists;
  beforeEach(async () => {
    lists = await noteLists();
  });
  afterEach(() => lists.close());

  /** What each port does: `22: portknock-tcp-22-1 --set`. */
  const ports = (family: 4 | 6, named: readonly RecentList[]): Map<string, string> =>
    new Map(
      lists.rules(family, named).flatMap((rule) => {
        const [, port = '', list = '', action = ''] =
          /^-A PK-NOTE -p udp --dport (\d+) -m recent --name (.+) --(set|remove) --rdest$/u.exec(rule) ?? [];
        return port === '' ? [] : [[`${list} ${action}`, port] as const];
      }),
    );

  it('gives every list a port to add to it and a port to remove from it, the same in both families', () => {
    const named = [...listsOf(SSH), ...listsOf(WEB)];
    const found = ports(4, named);
    assert.equal(found.size, 6);
    assert.equal(new Set(found.values()).size, 6);
    assert.deepEqual(ports(6, named), found);
  });

  it('has rules for prefixes in their own family only, with their mask', () => {
    const named = [
      ...listsOf(SSH),
      ...listsOf(SSH, { family: 4, length: 24 }),
      ...listsOf(SSH, { family: 6, length: 56 }),
    ];
    const of = (family: 4 | 6): string[] => [...ports(family, named).keys()];
    assert.deepEqual(of(4), [
      ...['portknock-tcp-22-1 set', 'portknock-tcp-22-1 remove'],
      ...['set', 'remove'].map((action) => `portknock-tcp-22-1-v4p24 --mask 255.255.255.0 ${action}`),
    ]);
    assert.deepEqual(of(6).slice(2), [
      ...['set', 'remove'].map((action) => `portknock-tcp-22-1-v6p56 --mask ffff:ffff:ffff:ff00:: ${action}`),
    ]);
  });

  it('keeps the ports of lists that stay, and uses those of lists that went for new ones', () => {
    const before = ports(4, [...listsOf(SSH), ...listsOf(WEB)]);
    lists.keep(listsOf(WEB));
    const wide = listsOf(WEB, { family: 4, length: 24 });
    const after = ports(4, [...listsOf(WEB), ...wide]);
    for (const [what, port] of after) if (before.has(what)) assert.equal(port, before.get(what), what);
    assert.equal(new Set(after.values()).size, after.size);
    const freed = before.get('portknock-tcp-22-1 set');
    assert.ok([...after].some(([what, port]) => what.includes('v4p24') && port === freed));
  });

  it('lets only root write, and lets nothing out', () => {
    for (const family of [4, 6] as const) {
      const rules = lists.rules(family, listsOf(SSH));
      assert.equal(rules[0], ':PK-NOTE - [0:0]');
      assert.deepEqual(rules.at(-2), '-A PK-NOTE -j DROP');
      assert.match(rules.at(-1) ?? '', /^-I OUTPUT 1 -p udp --sport \d+ -m owner --uid-owner 0 -j PK-NOTE$/u);
    }
  });
});
