// The text that changes elements, and what is read from listings.

import assert from 'node:assert/strict';
import { parsePrefix } from '../../lib/address.ts';
import type { Service } from '../../lib/firewall/driver.ts';
import { changeLine, deleteLines, elementsIn, type Change } from '../../lib/firewall/nftables-sets.ts';

const SSH: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 30_000, connections: 1 };
const WEB: Service = { ...SSH, name: 'web', port: 443, connections: 3 };
const ANY: Service = { ...SSH, name: 'any', protocol: 'udp', port: 53, connections: 'unlimited' };

function change(service: Service, source: string, more: Partial<Change> = {}): Change {
  const prefix = parsePrefix(source);
  assert.ok(prefix !== null);
  return {
    ...{ service, source: prefix, connections: service.connections },
    ...{ until: Date.now() + 20_000, isNew: false, ...more },
  };
}

/** The commands of a line; times within the last 100 ms count as those wanted. */
function commands(...changes: Change[]): string[] {
  return changeLine('t', changes)
    .split('; ')
    .map((text) =>
      text.replace(/timeout (\d+)ms/gu, (_, ms) => `timeout ${Math.ceil(Number(ms) / 100) * 100}ms`),
    );
}

describe('changeLine', () => {
  it('makes an opening from nothing, whatever was there', () => {
    assert.deepEqual(commands(change(SSH, '192.0.2.7')), [
      'add element t tcp-22-v4-gate { 192.0.2.7 }',
      'delete element t tcp-22-v4-gate { 192.0.2.7 }',
      'add element t tcp-22-v4-gate { 192.0.2.7 timeout 20000ms }',
      'add element t tcp-22-v4-left { 192.0.2.7 }',
      'delete element t tcp-22-v4-left { 192.0.2.7 }',
      'add element t tcp-22-v4-left { 192.0.2.7 timeout 20500ms }',
      'add element t tcp-22-v4-spent { 192.0.2.7 }',
      'delete element t tcp-22-v4-spent { 192.0.2.7 }',
    ]);
  });

  it('only adds where nothing was', () => {
    assert.deepEqual(commands(change(SSH, '192.0.2.7', { isNew: true })), [
      'add element t tcp-22-v4-gate { 192.0.2.7 timeout 20000ms }',
      'add element t tcp-22-v4-left { 192.0.2.7 timeout 20500ms }',
    ]);
  });

  it('counts the connections before the last in an element of their own', () => {
    const more = (connections: number): string | undefined =>
      commands(change(WEB, '2001:db8::7', { connections, isNew: true })).find((text) =>
        text.includes('-more'),
      );
    assert.equal(
      more(3),
      'add element t tcp-443-v6-more { 2001:db8::7 limit rate 1/week burst 2 packets timeout 20500ms }',
    );
    assert.match(more(2) ?? '', /burst 1 packets/u);
    assert.equal(more(1), undefined);
  });

  it('has one set, and no count, for any number', () => {
    assert.deepEqual(commands(change(ANY, '192.0.2.7', { isNew: true })), [
      'add element t udp-53-v4-gate { 192.0.2.7 timeout 20000ms }',
    ]);
  });

  it('writes a prefix as its first address, into the set of its length', () => {
    assert.deepEqual(
      commands(change(ANY, '192.0.2.0/24', { isNew: true }), change(ANY, '2001:db8::/56', { isNew: true })),
      [
        'add element t udp-53-v4p24-gate { 192.0.2.0 timeout 20000ms }',
        'add element t udp-53-v6p56-gate { 2001:db8:: timeout 20000ms }',
      ],
    );
  });

  it('has one command for many elements, and one line for all', () => {
    const line = changeLine('t', [
      change(ANY, '192.0.2.7'),
      change(ANY, '192.0.2.8', { until: null }),
      change(ANY, '192.0.2.9', { isNew: true }),
    ]);
    assert.match(
      line,
      /^add element t udp-53-v4-gate \{ 192.0.2.7, 192.0.2.8 \}; delete element t udp-53-v4-gate \{ 192.0.2.7, 192.0.2.8 \}; add element t udp-53-v4-gate \{ 192.0.2.7 timeout \d+ms, 192.0.2.9 timeout \d+ms \}$/u,
    );
    assert.ok(!line.includes('\n'));
  });

  it('closes by deleting, and opens nothing whose time is over', () => {
    for (const until of [null, Date.now(), Date.now() - 10_000, 0]) {
      assert.ok(!changeLine('t', [change(WEB, '192.0.2.7', { until })]).includes('timeout'));
      assert.equal(changeLine('t', [change(WEB, '192.0.2.7', { until, isNew: true })]), '');
    }
  });
});

describe('deleteLines', () => {
  it('name every set that an opening can be in', () => {
    assert.deepEqual(deleteLines('t', change(WEB, '192.0.2.0/24')), [
      'delete element t tcp-443-v4p24-gate { 192.0.2.0 }',
      'delete element t tcp-443-v4p24-more { 192.0.2.0 }',
      'delete element t tcp-443-v4p24-left { 192.0.2.0 }',
      'delete element t tcp-443-v4p24-spent { 192.0.2.0 }',
    ]);
  });
});

describe('elementsIn', () => {
  const listing = (name: string, elements: string): string =>
    `table inet portknock {\n\tset ${name} {\n\t\ttype ipv4_addr\n\t\tsize 65535\n\t\tflags dynamic,timeout\n${elements}\t}\n}\n`;
  const read = (text: string): Record<string, string[]> =>
    Object.fromEntries([...elementsIn(text)].map(([name, addresses]) => [name, [...addresses]]));

  it('reads the addresses of each set, over several lines and with what stands behind them', () => {
    const text =
      listing(
        'a',
        '\t\telements = { 192.0.2.7 timeout 30s expires 29s980ms, 192.0.2.8,\n\t\t\t     192.0.2.9 limit rate 1/week burst 1 packets timeout 3s }\n',
      ) +
      listing('b', '') +
      listing('c', '\t\telements = { 2001:DB8:0::7 expires 1s }\n');
    assert.deepEqual(read(text), { a: ['192.0.2.7', '192.0.2.8', '192.0.2.9'], b: [], c: ['2001:db8::7'] });
  });

  it('reads nothing from anything else', () => {
    for (const text of [
      '',
      'nft> list set\n',
      'elements = { 192.0.2.7 }',
      '\tset a {',
      '\tset a {\n elements = { x, , }',
    ])
      assert.ok(
        Object.values(read(text)).every((addresses) => addresses.length === 0),
        text,
      );
  });
});
