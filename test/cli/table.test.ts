// What people see of grants and of a gateway's state: within the terminal's width, whatever the names and addresses are.

import assert from 'node:assert/strict';
import { grantLines, inOrder, span, statusLines, type Status } from '../../cli/showing.ts';
import type { GrantRow } from '../../cli/standing.ts';
import { shorten, table } from '../../cli/table.ts';

const NOW = Date.parse('2026-11-29T18:00:00.000Z');
const V6 = '2001:db8:1234:5678:9abc:def0:1234:5678';

function row(more: Partial<GrantRow> = {}): GrantRow {
  return {
    ...{ id: '6286e069450bfbca', client: 'alice', service: 'ssh', protocol: 'tcp', port: 22 },
    ...{ source: '198.51.100.7', open_until: '2026-11-29T18:00:27.000Z', connections: 1, state: 'open' },
    ...more,
  };
}

function shown(rows: readonly GrantRow[], ended: readonly GrantRow[] = []): readonly string[] {
  return grantLines(inOrder({ rows, ended, ended_count: ended.length }), NOW);
}

describe('the table of grants', () => {
  it('has a line for each, in columns, the one that ends first at the top', () => {
    const more = {
      service: 'admin',
      connections: 'unlimited',
      open_until: '2026-11-29T18:10:00.000Z',
    } as const;
    const ended = row({ id: 'aaaabbbbccccdddd', state: 'used', ended: '2026-11-29T17:59:55.000Z' });
    assert.deepEqual(shown([row({ id: '09e95083e1b9ae92', port: 8443, ...more }), row()], [ended]), [
      'ID        CLIENT  SERVICE      PORT  SOURCE         LEFT  CONN  STATE',
      '6286e069  alice   ssh        22/tcp  198.51.100.7    27s     1  unused',
      '09e95083  alice   admin    8443/tcp  198.51.100.7  10m0s   any  open',
      'aaaabbbb  alice   ssh        22/tcp  198.51.100.7      -     1  used 5s ago',
    ]);
  });

  it('fits 80 columns with the longest addresses and names, and loses no source', () => {
    const long = {
      client: 'deploy-production-europe-west-1-a-name-of-sixty-four-characters1',
      service: 'a-service-name-of-32-characters1',
      port: 65_535,
      source: `${V6}/128`,
      ended: '2026-11-29T17:50:01.000Z',
      state: 'superseded',
    } as const;
    const second = row({ id: '09e95083e1b9ae92', source: V6 });
    const lines = shown([row(), second], [row({ id: 'aaaabbbbccccdddd', ...long })]);
    assert.deepEqual(lines, [
      'ID        CLIENT        SERVICE           PORT  LEFT  CONN  STATE',
      '6286e069  alice         ssh             22/tcp   27s     1  unused',
      '  from 198.51.100.7',
      '09e95083  alice         ssh             22/tcp   27s     1  unused',
      `  from ${V6}`,
      'aaaabbbb  deplo...ers1  a-se...ers1  65535/tcp     -     1  superseded 9m59s ago',
      `  from ${V6}/128`,
    ]);
    for (const line of lines) assert.ok(line.length <= 80, line);
  });

  it('shows as much of each id as tells it apart', () => {
    const lines = shown([row({ id: '6286e069450bfbca' }), row({ id: '6286e0694500aaaa' })]);
    assert.deepEqual(
      lines.map((line) => line.split(' ')[0]),
      ['ID', '6286e069450b', '6286e0694500'],
    );
  });

  it('says that nothing is open', () => {
    assert.deepEqual(shown([]), ['no grant is open']);
  });

  it('lets nothing that is no printable ASCII out of a name', () => {
    const lines = shown([row({ client: 'eve\u001b[2J\nroot' })]);
    assert.match(lines.join('\n'), /eve\\u\{1b\}\[2J\\u\{a\}root/u);
  });

  it('leaves the middle of a long name out', () => {
    assert.deepEqual(
      ['abcdefghij', 'abcdefghijk'].map((name) => shorten(name, 10)),
      ['abcdefghij', 'abcd...ijk'],
    );
    assert.equal(table([{ title: 'A', least: 4 }], [['x'.repeat(200)]], 80)[1]?.length, 80);
  });
});

describe('the state of a gateway', () => {
  const STATUS: Status = {
    ...{
      version: '0.1.0',
      pid: 7,
      config: '/etc/portknock/portknockd.yaml',
      since: '2026-11-29T17:00:00.000Z',
    },
    ...{
      uptime_seconds: 3600,
      source: 'pcap eth0',
      driver: 'nftables',
      services: ['ssh', 'admin'],
      clients: 2,
    },
    ...{
      replay_durable: true,
      metrics: null,
      grants_open: 1,
      knocks_accepted: 2,
      knocks_refused: 13,
      grants: 3,
    },
    ...{ closes: { used: 1, expired: 1, revoked: 0, superseded: 0 }, packets: { decoded: 20, truncated: 1 } },
    ...{ packets_dropped: 0, errors: { other: 0, ERR_REPLAY_WRITE: 2 }, last_rejects: [] },
    rejects: [
      {
        reason: 'stale',
        scheme: 'spa',
        count: 12,
        last: '2026-11-29T17:58:00.000Z',
        source: V6,
        client: 'bob',
      },
      {
        reason: 'attempt-table-full',
        scheme: 'one-time',
        count: 1,
        last: '2026-11-29T17:59:00.000Z',
        source: '192.0.2.1',
      },
    ],
  };

  it('is a subject a line, then refused knocks by reason, the last one first', () => {
    const lines = statusLines(STATUS, NOW);
    assert.deepEqual(lines, [
      'portknockd 0.1.0, pid 7, up 1h0m (since 2026-11-29T17:00:00.000Z)',
      'config    /etc/portknock/portknockd.yaml',
      'listens   pcap eth0',
      'firewall  nftables',
      'services  ssh, admin',
      'clients   2',
      'replay    durable',
      'metrics   off',
      'grants    1 open, 3 in all: 1 used, 1 expired',
      'knocks    2 accepted, 13 refused',
      'packets   20 decoded, 1 truncated; 0 lost',
      'errors    2 ERR_REPLAY_WRITE',
      '',
      'refused knocks, by reason',
      'REASON              SCHEME    COUNT      LAST  CLIENT',
      'attempt-table-full  one-time      1  1m0s ago  -',
      '  from 192.0.2.1',
      'stale               spa          12  2m0s ago  bob',
      `  from ${V6}`,
    ]);
  });

  it('fits 80 columns with many services', () => {
    const services = Array.from({ length: 40 }, (_, i) => `service-${i}`);
    const lines = statusLines({ ...STATUS, services }, NOW);
    assert.ok(lines.every((line) => line.length <= 80));
    assert.match(lines.join(' ').replace(/\s+/gu, ' '), /service-38, service-39 clients/u);
  });

  it('tells time in two units', () => {
    const table: readonly [ms: number, text: string][] = [
      [-5, '0s'],
      [1, '1s'],
      [59_001, '1m0s'],
      [3_599_000, '59m59s'],
      [3_600_000, '1h0m'],
      [86_399_000, '23h59m'],
      [180_000_000, '2d2h'],
    ];
    for (const [ms, text] of table) assert.equal(span(ms), text);
  });
});
