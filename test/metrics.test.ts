// Counts and what Prometheus is shown of them: names, labels, zeros, and that counting a packet costs no memory.

import assert from 'node:assert/strict';
import { Registry } from 'prom-client';
import { KnockCounts } from '../lib/counts.ts';
import type { Watched } from '../lib/metrics.ts';
import { promMetrics } from '../lib/prometheus.ts';

const LISTENER: Watched = {
  services: ['ssh', 'admin'],
  schemes: ['spa'],
  grants: [{ service: 'ssh' }, { service: 'ssh' }],
};

function busy(counts = new KnockCounts()): KnockCounts {
  counts.watch(LISTENER);
  counts.packet('decoded');
  counts.packet('decoded');
  counts.packet('truncated');
  counts.reject('stale', 'spa');
  counts.accept('spa', 3);
  counts.accept('spa', null);
  counts.grant('ssh', 'spa');
  counts.close('used', 'ssh');
  counts.dropped(4);
  counts.dropped(3);
  counts.error('ERR_REPLAY_WRITE');
  return counts;
}

/** Samples by name and labels, of ours only. */
async function samples(text: () => Promise<string>): Promise<Readonly<Record<string, number>>> {
  const lines = (await text()).split('\n').filter((line) => /^portknock_/u.test(line));
  return Object.fromEntries(
    lines.map((line) => [line.replace(/ \S+$/u, ''), Number(line.split(' ').at(-1))]),
  );
}

describe('KnockCounts', () => {
  it('has what was counted, by its labels', () => {
    const { packets, dropped, errors, grants, open } = busy().read();
    assert.deepEqual(packets, [
      { labels: { outcome: 'decoded' }, count: 2 },
      { labels: { outcome: 'truncated' }, count: 1 },
    ]);
    assert.equal(dropped, 7);
    assert.deepEqual(
      errors.filter(({ count }) => count > 0),
      [{ labels: { code: 'ERR_REPLAY_WRITE' }, count: 1 }],
    );
    assert.deepEqual(grants, [
      { labels: { service: 'ssh', scheme: 'spa' }, count: 1 },
      { labels: { service: 'admin', scheme: 'spa' }, count: 0 },
    ]);
    assert.deepEqual(
      open.map(({ labels, count }) => [labels.service, count]),
      [
        ['ssh', 2],
        ['admin', 0],
      ],
    );
  });

  it('counts several listeners together', () => {
    const counts = busy();
    counts.watch({ services: ['web'], schemes: ['one-time'], grants: [{ service: 'web' }] });
    assert.deepEqual(
      counts.read().open.map(({ labels, count }) => [labels.service, count]),
      [
        ['ssh', 2],
        ['admin', 0],
        ['web', 1],
      ],
    );
  });

  it('counts a packet without using memory', () => {
    const counts = busy();
    const many = (times: number): void => {
      for (let i = 0; i < times; i += 1) counts.packet('decoded');
    };
    many(200_000);
    const before = process.memoryUsage().heapUsed;
    many(200_000);
    // A number on the heap for each would be 3 MB.
    assert.ok(process.memoryUsage().heapUsed - before < 1_000_000);
    assert.equal(counts.read().packets[0]?.count, 400_002);
  });
});

describe('promMetrics', () => {
  it('shows every count by the name that the documentation gives it', async () => {
    const { text } = await promMetrics({ counts: busy() });
    const all = await samples(text);
    assert.equal(all['portknock_knocks_total{scheme="spa",result="accepted"}'], 2);
    assert.equal(all['portknock_knocks_total{scheme="spa",result="stale"}'], 1);
    assert.equal(all['portknock_knocks_total{scheme="spa",result="replay-failed"}'], 0);
    assert.equal(all['portknock_grants_total{service="ssh",scheme="spa"}'], 1);
    assert.equal(all['portknock_grants_open{service="ssh"}'], 2);
    assert.equal(all['portknock_grants_open{service="admin"}'], 0);
    assert.equal(all['portknock_grant_closes_total{service="ssh",reason="used"}'], 1);
    assert.equal(all['portknock_grant_closes_total{service="admin",reason="expired"}'], 0);
    assert.equal(all['portknock_packets_total{outcome="truncated"}'], 1);
    assert.equal(all.portknock_packets_dropped_total, 7);
    assert.equal(all['portknock_errors_total{code="ERR_REPLAY_WRITE"}'], 1);
    assert.equal(all['portknock_build_info{version="0.1.0"}'], 1);
    assert.ok(Math.abs((all.portknock_start_time_seconds ?? 0) - Date.now() / 1000) < 60);
  });

  it('shows what can happen before it happens, so that the first time is seen', async () => {
    const { metrics, text } = await promMetrics();
    metrics.watch(LISTENER);
    const before = await samples(text);
    metrics.reject('bad-tag', 'spa');
    metrics.grant('admin', 'spa');
    metrics.close('expired', 'admin');
    metrics.error('ERR_FIREWALL_COMMAND');
    metrics.accept('spa', 3);
    metrics.packet('decoded');
    metrics.dropped(1);
    const after = await samples(text);
    for (const name of [
      'portknock_knocks_total{scheme="spa",result="bad-tag"}',
      'portknock_knocks_total{scheme="spa",result="accepted"}',
      'portknock_grants_total{service="admin",scheme="spa"}',
      'portknock_grant_closes_total{service="admin",reason="expired"}',
      'portknock_errors_total{code="ERR_FIREWALL_COMMAND"}',
      'portknock_packets_total{outcome="decoded"}',
      'portknock_packets_dropped_total',
      'portknock_knock_to_open_seconds_count',
    ])
      assert.deepEqual([before[name], after[name]], [0, 1], name);
  });

  it('is read anew each time, in a registry that is passed in, beside what that has already', async () => {
    const registry = new Registry();
    const { metrics } = await promMetrics({ registry });
    const text = (): Promise<string> => registry.metrics();
    assert.equal((await samples(text)).portknock_packets_dropped_total, 0);
    metrics.dropped(2);
    metrics.dropped(3);
    assert.equal((await samples(text)).portknock_packets_dropped_total, 5);
    assert.equal((await samples(text)).portknock_packets_dropped_total, 5);
    assert.doesNotMatch(await text(), /^process_/mu);
  });

  it('counts from knock to open in buckets, of knocks that opened something', async () => {
    const { metrics, text } = await promMetrics();
    metrics.accept('spa', 3);
    metrics.accept('spa', 4000);
    metrics.accept('spa', null);
    const all = await samples(text);
    assert.equal(all['portknock_knock_to_open_seconds_bucket{le="0.002"}'], 0);
    assert.equal(all['portknock_knock_to_open_seconds_bucket{le="0.005"}'], 1);
    assert.equal(all.portknock_knock_to_open_seconds_count, 2);
    assert.equal(all.portknock_knock_to_open_seconds_sum, 4.003);
  });

  it('adds the process where it is asked to', async () => {
    const text = await (await promMetrics({ process: true })).text();
    for (const name of ['resident_memory_bytes', 'cpu_seconds_total', 'start_time_seconds'])
      assert.match(text, new RegExp(`^process_${name} [0-9.]*[1-9]`, 'mu'));
  });
});
