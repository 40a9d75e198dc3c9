// The names of the kernel's lists: what shares one, and what must not.

import assert from 'node:assert/strict';
import { parsePrefix } from '../../lib/address.ts';
import type { Service } from '../../lib/firewall/driver.ts';
import { listGroups, listsOf, nameOf } from '../../lib/firewall/iptables-lists.ts';
import { widthOf } from '../../lib/firewall/width.ts';

const WEB: Service = { name: 'web', protocol: 'tcp', port: 443, openForMs: 1500, connections: 3 };

describe('listsOf', () => {
  it('has one list per connection, and one when their number is unlimited', () => {
    const names = (service: Service): string[] => listsOf(service).map(({ name }) => name);
    assert.deepEqual(names(WEB), ['portknock-tcp-443-1', 'portknock-tcp-443-2', 'portknock-tcp-443-3']);
    assert.deepEqual(names({ ...WEB, connections: 'unlimited' }), ['portknock-tcp-443-1']);
  });

  it('never gives two widths, ports or protocols the same list: the kernel keeps the first mask of a name', () => {
    const names: string[] = [];
    for (const protocol of ['tcp', 'udp'] as const) {
      for (const port of [1, 11, 111]) {
        const service = { ...WEB, protocol, port };
        names.push(...listsOf(service).map(({ name }) => name));
        for (let length = 1; length < 128; length += 1) {
          for (const family of length < 32 ? ([4, 6] as const) : ([6] as const))
            names.push(...listsOf(service, { family, length }).map(({ name }) => name));
        }
      }
    }
    assert.equal(new Set(names).size, names.length);
    // The kernel's limit is 199.
    for (const name of names) assert.match(name, /^[a-z0-9-]{1,60}$/u);
  });
});

describe('listGroups', () => {
  it('puts the address first and longer prefixes before shorter ones, however they came', () => {
    const widths = [24, 31, 28, 8].map((length) => ({ family: 4, length }) as const);
    const lengths = listGroups(WEB, widths).map(([list]) => list?.width?.length ?? 32);
    assert.deepEqual(lengths, [32, 31, 28, 24, 8]);
  });
});

describe('widthOf and nameOf', () => {
  for (const [text, options] of [
    ['192.0.2.7', '--name portknock-tcp-443-1'],
    ['192.0.2.0/24', '--name portknock-tcp-443-1-v4p24 --mask 255.255.255.0'],
    ['2001:db8::7', '--name portknock-tcp-443-1'],
    ['2001:db8::/24', '--name portknock-tcp-443-1-v6p24 --mask ffff:ff00::'],
  ] as const) {
    it(`name the list of ${text}`, () => {
      const source = parsePrefix(text);
      assert.ok(source !== null);
      assert.deepEqual(listsOf(WEB, widthOf(source)).map(nameOf)[0], options);
    });
  }
});
