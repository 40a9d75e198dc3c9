// Where Prometheus scrapes portknockd: GET /metrics, and nothing else. A peer that is slow, or asks without end, holds neither
// the daemon nor much of its memory.

import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { MetricsConfig } from '../lib/index.ts';
import { isKnockError, KnockError, messageOf, printable, systemCode } from '../lib/knocker.ts';
import { listenUnix } from './unix-server.ts';

export interface MetricsServerOptions {
  readonly listen: MetricsConfig;
  /** The metrics as text. */
  readonly render: () => Promise<string>;
}

const MOST_CLIENTS = 16;
const MOST_HEADER_BYTES = 8192;
const PATIENCE_MS = 5000;
/** Whoever asks more often gets the last answer again. */
const FRESH_MS = 100;
const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** As it is named in `portknock status`. */
export function metricsPlace(listen: MetricsConfig): string {
  if (listen.kind === 'unix') return `unix:${listen.path}`;
  const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host;
  return `http://${host}:${listen.port}/metrics`;
}

/** Answers until the result is called. @throws KnockError `ERR_METRICS` when it cannot be bound */
export async function openMetricsServer(options: MetricsServerOptions): Promise<() => Promise<void>> {
  const { listen } = options;
  const render = notTooOften(options.render);
  const server = createServer(
    {
      maxHeaderSize: MOST_HEADER_BYTES,
      headersTimeout: PATIENCE_MS,
      requestTimeout: PATIENCE_MS,
      keepAliveTimeout: PATIENCE_MS,
      connectionsCheckingInterval: 1000,
    },
    (request, response) => void answer({ request, response, render }),
  );
  server.maxConnections = MOST_CLIENTS;
  // One that does not read its answer.
  server.setTimeout(2 * PATIENCE_MS);
  try {
    await bind(server, listen);
  } catch (cause) {
    throw new KnockError('ERR_METRICS', refusal(listen, cause), { cause });
  }
  server.on('error', () => undefined);
  return async () => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close', { signal: AbortSignal.timeout(100) }).catch(() => undefined);
  };
}

async function bind(server: Server, listen: MetricsConfig): Promise<void> {
  if (listen.kind === 'unix') {
    const { path } = listen;
    // Its group may read: that of a collector.
    const place = { path, mode: 0o660, what: 'metrics socket', key: 'metrics.listen' };
    await listenUnix(server, {
      ...place,
      taken: `metrics cannot be offered: somebody answers at ${printable(path)} (change metrics.listen)`,
    });
    return;
  }
  const { host, port } = listen;
  server.listen({ host, port });
  await once(server, 'listening');
}

function refusal(listen: MetricsConfig, cause: unknown): string {
  if (isKnockError(cause)) return cause.message;
  const why = printable(systemCode(cause) === '' ? messageOf(cause) : systemCode(cause));
  return `metrics cannot be offered: ${metricsPlace(listen)}: ${why} (free the address, or change metrics.listen)`;
}

async function answer({
  request,
  response,
  render,
}: {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly render: () => Promise<string>;
}): Promise<void> {
  response.setHeader('Cache-Control', 'no-store');
  const refuse = (status: number, text: string): void => {
    response.writeHead(status, { 'Content-Type': 'text/plain', Connection: 'close' }).end(`${text}\n`);
  };
  if (request.url?.split('?')[0] !== '/metrics') {
    refuse(404, 'not found: the metrics are at /metrics');
    return;
  }
  if (request.method !== 'GET') {
    response.setHeader('Allow', 'GET');
    refuse(405, 'only GET');
    return;
  }
  const { 'content-length': length = '0', 'transfer-encoding': coding } = request.headers;
  if (length !== '0' || coding !== undefined) {
    refuse(400, 'a request has no body');
    return;
  }
  try {
    const text = await render();
    response.writeHead(200, { 'Content-Type': CONTENT_TYPE }).end(text);
  } catch {
    refuse(500, 'metrics cannot be read');
  }
}

function notTooOften(render: () => Promise<string>): () => Promise<string> {
  let last: Promise<string> | null = null;
  let madeMs = -Infinity;
  return () => {
    const nowMs = performance.now();
    if (last === null || nowMs - madeMs >= FRESH_MS) {
      madeMs = nowMs;
      last = render();
    }
    return last;
  };
}
