// Where metrics are scraped: one path, one method, and peers that ask too much, too often or too slowly.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { metricsPlace, openMetricsServer } from '../../cli/metrics-server.ts';
import { freePort } from '../support/ports.ts';

describe('the metrics server', () => {
  let folder: string;
  let path: string;
  let rendered: number;
  let close: () => Promise<void>;

  const open = (): Promise<() => Promise<void>> =>
    openMetricsServer({
      listen: { kind: 'unix', path },
      render: async () => `a_total ${(rendered += 1)}\n`,
    });

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'portknock-metrics-'));
    path = join(folder, 'metrics.sock');
    rendered = 0;
    close = await open();
  });

  afterEach(async () => {
    await close();
    await rm(folder, { recursive: true });
  });

  const get = (line: string, more = ''): Promise<string> =>
    said(path, `${line} HTTP/1.1\r\nHost: a\r\n${more}\r\n`);

  it('answers GET /metrics in the text format', async () => {
    const answer = await get('GET /metrics', 'Connection: close\r\n');
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/u);
    assert.match(answer, /\r\nContent-Type: text\/plain; version=0\.0\.4; charset=utf-8\r\n/u);
    assert.match(answer, /\r\na_total 1\n/u);
  });

  const refusals: readonly [line: string, more: string, status: number][] = [
    ['GET /', '', 404],
    ['GET /metrics/', '', 404],
    ['GET //metrics', '', 404],
    ['POST /metrics', 'Content-Length: 1\r\n', 405],
    ['HEAD /metrics', '', 405],
    ['DELETE /metrics', '', 405],
    ['GET /metrics', 'Content-Length: 1000000000\r\n', 400],
    ['GET /metrics', 'Transfer-Encoding: chunked\r\n', 400],
    ['GET /metrics', `X: ${'x'.repeat(9000)}\r\n`, 431],
    ['NONSENSE', '', 400],
  ];
  for (const [line, more, status] of refusals) {
    it(`refuses with ${status}, and hangs up: ${line} ${more.slice(0, 30).trim()}`, async () => {
      assert.match(await get(line, more), new RegExp(`^HTTP/1\\.1 ${status} `, 'u'));
      assert.equal(rendered, 0);
    });
  }

  it('gives whoever asks too often the last answer again', async () => {
    const twice =
      'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\nGET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
    assert.equal((await said(path, twice)).match(/a_total 1\n/gu)?.length, 2);
  });

  it('lets no more than so many wait at its door', async () => {
    const all = Array.from({ length: 20 }, () => connect({ path }).on('error', () => undefined));
    await Promise.all(all.slice(16).map((socket) => once(socket, 'close')));
    assert.equal(all.filter((socket) => !socket.destroyed).length, 16);
    for (const socket of all) socket.destroy();
  });

  it('is for its group too, and gone after the end, whoever is connected', async () => {
    assert.equal((await stat(path)).mode & 0o777, 0o660);
    const idle = connect({ path });
    await once(idle, 'connect');
    const gone = once(idle, 'close');
    await close();
    await gone;
    await assert.rejects(stat(path), { code: 'ENOENT' });
  });

  it('says which place is taken', async () => {
    await assert.rejects(open(), {
      code: 'ERR_METRICS',
      message: `metrics cannot be offered: somebody answers at ${path} (change metrics.listen)`,
    });
    const port = await freePort();
    const other = createServer().listen(port, '127.0.0.1');
    await once(other, 'listening');
    const listen = { kind: 'tcp', host: '127.0.0.1', port } as const;
    await assert.rejects(openMetricsServer({ listen, render: async () => '' }), {
      code: 'ERR_METRICS',
      message: `metrics cannot be offered: http://127.0.0.1:${port}/metrics: EADDRINUSE (free the address, or change metrics.listen)`,
    });
    other.close();
  });

  it('is named with brackets around an IPv6 address', () => {
    assert.equal(metricsPlace({ kind: 'tcp', host: '::1', port: 9469 }), 'http://[::1]:9469/metrics');
  });
});

async function said(path: string, text: string): Promise<string> {
  const socket = connect({ path });
  socket.on('error', () => undefined).write(text);
  const parts = await socket.setEncoding('utf8').toArray();
  return parts.join('');
}
