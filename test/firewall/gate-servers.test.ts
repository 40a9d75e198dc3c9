// The gate before each kind of server that a Node service has: raw TCP, TLS, HTTP/1.1 and HTTP/2, Express and Fastify.
// What a refused client gets to see, what the server gets to see of it, and what one connection is worth.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { Agent, createServer as createHttpServer, request, type IncomingMessage } from 'node:http';
import * as http2 from 'node:http2';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createRequire } from 'node:module';
import { Duplex } from 'node:stream';
import * as tls from 'node:tls';
import fastify from 'fastify';
import type { FirewallDriver, Grant, Service } from '../../lib/firewall/driver.ts';
import { gate } from '../../lib/firewall/gate.ts';

/** What is used of Express, which comes without types. */
interface ExpressApp {
  get(
    path: string,
    answer: (request: unknown, response: { send(text: string): unknown }) => unknown,
  ): unknown;
  listen(port: number, host: string): Server;
}
const express = createRequire(import.meta.url)('express') as () => ExpressApp;

const ADMIN: Service = { name: 'admin', protocol: 'tcp', port: 8443, openForMs: 30_000, connections: 1 };
const CONTEXT = { warning: () => undefined };
/** TLS with a shared key needs no certificate. */
const PSK = { ciphers: 'PSK-AES128-GCM-SHA256', maxVersion: 'TLSv1.2' } as const;
const KEY = Buffer.alloc(32, 7);

describe('gate before', () => {
  let server: Server;
  let driver: FirewallDriver;
  const clients: { destroy: () => void }[] = [];

  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy();
    await driver.teardown();
    if (!server.listening) return;
    server.close();
    await once(server, 'close');
  });

  const guard = async (given: Server): Promise<void> => {
    server = given;
    driver = gate(server);
    await driver.setup([ADMIN], CONTEXT);
  };
  const start = async (given: Server): Promise<void> => {
    await guard(given);
    if (!server.listening) server.listen(0, '127.0.0.1');
    if (!server.listening) await once(server, 'listening');
  };
  const portOf = (): number => (server.address() as AddressInfo).port;
  const admit = (): Promise<void> => driver.open(grantOf());
  const keep = <T extends { destroy: () => void }>(client: T): T => {
    clients.push(client);
    return client;
  };
  /** Everything that a client hears who speaks first. */
  const hear = async (text: string | Buffer): Promise<{ heard: string; code: string | undefined }> => {
    const socket = keep(connect(portOf(), '127.0.0.1'));
    const chunks: Buffer[] = [];
    let code: string | undefined;
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', (error: NodeJS.ErrnoException) => (code = error.code));
    socket.write(text);
    await new Promise((resolve) => socket.once('close', resolve));
    return { heard: Buffer.concat(chunks).toString('latin1'), code };
  };
  const REFUSED = { heard: '', code: 'ECONNRESET' };

  describe('a TLS server', () => {
    const events: string[] = [];
    const startTls = (): Promise<void> => {
      events.length = 0;
      const made = tls.createServer({
        ...PSK,
        pskCallback: () => (events.push('psk'), KEY),
        SNICallback: (_name, done) => (events.push('sni'), done(null)),
        ALPNCallback: () => (events.push('alpn'), undefined),
      });
      for (const name of ['connection', 'secureConnection', 'tlsClientError', 'newSession', 'keylog'])
        made.on(name, () => events.push(name));
      made.on('secureConnection', (socket: Socket) => socket.end('hello'));
      return start(made);
    };

    it('answers no ClientHello of a stranger, and none of its callbacks runs', async () => {
      await startTls();
      assert.deepEqual(await hear(await clientHello()), REFUSED);
      assert.deepEqual(events, []);
    });

    it('reads nothing of a ClientHello that was in the buffer before the connection was accepted', async () => {
      await startTls();
      const accepted: Socket[] = [];
      const note = (message: unknown): void => {
        accepted.push((message as { socket: Socket }).socket);
      };
      subscribe('net.server.socket', note);
      try {
        // Another process connects, sends and ends, while ours cannot accept.
        const hello = (await clientHello()).toString('base64');
        const program = `const s = net.connect(${portOf()}, '127.0.0.1', () => s.end(Buffer.from('${hello}', 'base64'), () => process.exit()))`;
        const { status } = spawnSync(process.execPath, ['-e', program], { env: {} });
        assert.equal(status, 0);
        while (accepted.length === 0) await new Promise((resolve) => setImmediate(resolve));
        const [socket] = accepted;
        assert.deepEqual([socket?.bytesRead, socket?.destroyed, accepted.length], [0, true, 1]);
        await new Promise((resolve) => setImmediate(resolve));
        assert.equal(socket?.bytesRead, 0);
        assert.deepEqual(events, []);
      } finally {
        unsubscribe('net.server.socket', note);
      }
    });

    it('is there for a granted connection, with one handshake', async () => {
      await startTls();
      await admit();
      const socket = keep(tls.connect({ port: portOf(), host: '127.0.0.1', ...pskClient() }));
      const [chunk] = (await once(socket, 'data')) as [Buffer];
      assert.equal(chunk.toString(), 'hello');
      assert.equal(events.filter((name) => name === 'secureConnection').length, 1);
      assert.deepEqual(await hear(await clientHello()), REFUSED);
    });
  });

  describe('an HTTP server', () => {
    const startHttp = (): Promise<void> =>
      start(createHttpServer((_request, response) => response.end('inside')));

    it('answers a stranger with nothing, not even the error of a bad request', async () => {
      await startHttp();
      server.on('clientError', () => assert.fail('it was read'));
      for (const text of ['GET / HTTP/1.1\r\nhost: x\r\n\r\n', 'nonsense\r\n\r\n'])
        assert.deepEqual(await hear(text), REFUSED);
    });

    it('serves any number of requests on the one connection of a grant, and no second connection', async () => {
      await startHttp();
      await admit();
      const agent = keep(new Agent({ keepAlive: true, maxSockets: 1 }));
      const ports = new Set<number | undefined>();
      for (let i = 0; i < 3; i += 1) {
        const response = await ask({ port: portOf(), agent });
        ports.add(response.socket.localPort);
        assert.equal(await textOf(response), 'inside');
      }
      assert.equal(ports.size, 1);
      await assert.rejects(ask({ port: portOf(), agent: false }), { code: 'ECONNRESET' });
    });

    it('upgrades a granted connection, as for WebSocket, and no other', async () => {
      await startHttp();
      const upgrades: string[] = [];
      server.on('upgrade', (incoming: IncomingMessage, socket: Duplex) => {
        upgrades.push(incoming.url ?? '');
        socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n');
        socket.pipe(socket);
      });
      const headers = { connection: 'upgrade', upgrade: 'websocket' };
      await assert.rejects(ask({ port: portOf(), agent: false, headers }), { code: 'ECONNRESET' });
      assert.deepEqual(upgrades, []);
      await admit();
      const asked = request({
        host: '127.0.0.1',
        port: portOf(),
        agent: false,
        headers,
        path: '/live',
      }).end();
      const [, socket] = (await once(asked, 'upgrade')) as [IncomingMessage, Socket];
      keep(socket).write('frame');
      const [chunk] = (await once(socket, 'data')) as [Buffer];
      assert.equal(chunk.toString(), 'frame');
      assert.deepEqual(upgrades, ['/live']);
    });

    it('refuses what a TLS front hands over without a grant, and survives it', async () => {
      await startHttp();
      const front = tls.createServer({ ...PSK, pskCallback: () => KEY }, (socket) => {
        server.emit('connection', socket);
      });
      front.listen(0, '127.0.0.1');
      await once(front, 'listening');
      try {
        const { port } = front.address() as AddressInfo;
        const inside = async (): Promise<string> => {
          const socket = keep(tls.connect({ port, host: '127.0.0.1', ...pskClient() }));
          socket.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
          let heard = '';
          socket.on('data', (chunk: Buffer) => (heard += chunk.toString()));
          socket.on('error', () => undefined);
          await new Promise((resolve) => socket.once('close', resolve));
          return heard;
        };
        assert.equal(await inside(), '');
        await admit();
        assert.match(await inside(), /inside$/u);
      } finally {
        front.close();
      }
    });
  });

  const http2Servers: readonly [
    what: string,
    make: () => Server,
    options: http2.SecureClientSessionOptions,
  ][] = [
    ['an HTTP/2 server', () => http2.createServer(), {}],
    [
      'an HTTP/2 server over TLS',
      () => http2.createSecureServer({ ...PSK, pskCallback: () => KEY }),
      pskClient(),
    ],
  ];
  for (const [what, make, options] of http2Servers) {
    describe(what, () => {
      it('opens a session for a granted connection only, and serves many streams on it', async () => {
        await start(make());
        let sessions = 0;
        server.on('session', () => (sessions += 1));
        server.on('stream', (stream: http2.ServerHttp2Stream) => stream.end('inside'));
        const url = `${what.endsWith('TLS') ? 'https' : 'http'}://127.0.0.1:${portOf()}`;
        const refused = keep(http2.connect(url, options));
        await assert.rejects(once(refused, 'connect').then(() => once(refused, 'remoteSettings')));
        assert.equal(sessions, 0);
        await admit();
        const session = keep(http2.connect(url, options));
        for (let i = 0; i < 3; i += 1)
          assert.equal(await textOf(session.request({ ':path': '/' })), 'inside');
        assert.equal(sessions, 1);
      });
    });
  }

  it('an Express app whose server listens already: nobody gets in between', async () => {
    const app = express();
    app.get('/', (_request, response) => response.send('inside'));
    await start(app.listen(0, '127.0.0.1'));
    await assert.rejects(ask({ port: portOf(), agent: false }), { code: 'ECONNRESET' });
    await admit();
    assert.equal(await textOf(await ask({ port: portOf(), agent: false })), 'inside');
    await assert.rejects(ask({ port: portOf(), agent: false }), { code: 'ECONNRESET' });
  });

  it('a Fastify app that listens on an address', async () => {
    const app = fastify();
    app.get('/', () => 'inside');
    await guard(app.server);
    await app.listen({ port: 0, host: '127.0.0.1' });
    await assert.rejects(ask({ port: portOf(), agent: false }), { code: 'ECONNRESET' });
    await admit();
    assert.equal(await textOf(await ask({ port: portOf(), agent: false })), 'inside');
    assert.equal((await app.inject('/')).body, 'inside', 'which is no connection');
    await app.close();
  });

  it('a server that hands paused connections to others', async () => {
    const handed: Socket[] = [];
    await start(createServer({ pauseOnConnect: true }, (socket) => handed.push(keep(socket))));
    assert.deepEqual(await hear('first words'), REFUSED);
    await admit();
    const socket = keep(connect(portOf(), '127.0.0.1'));
    await once(socket, 'connect');
    while (handed.length === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(handed[0]?.bytesRead, 0);
  });

  it('a server with room for one connection: strangers take no room', async () => {
    await start(createServer((socket) => socket.end('inside')));
    server.maxConnections = 1;
    await Promise.all(Array.from({ length: 4 }, () => hear('x')));
    await admit();
    assert.equal((await hear('')).heard, 'inside');
  });
});

function grantOf(): Grant {
  return {
    ...{ id: 'g1', client: 'alice', source: '127.0.0.1', service: 'admin', protocol: 'tcp', port: 8443 },
    ...{ openUntil: Date.now() + 30_000, connections: 1 },
  };
}

function pskClient(): tls.ConnectionOptions {
  return {
    ...PSK,
    pskCallback: () => ({ psk: KEY, identity: 'alice' }),
    checkServerIdentity: () => undefined,
  };
}

/** What a TLS client says first. */
async function clientHello(): Promise<Buffer> {
  return new Promise((resolve) => {
    const write = (chunk: Buffer): void => resolve(chunk);
    tls.connect({ socket: new Duplex({ read: () => undefined, write }), servername: 'admin.example' });
  });
}

async function ask(options: {
  port: number;
  agent: Agent | false;
  headers?: Record<string, string>;
}): Promise<IncomingMessage> {
  const [response] = (await once(request({ host: '127.0.0.1', ...options }).end(), 'response')) as [
    IncomingMessage,
  ];
  return response;
}

async function textOf(stream: AsyncIterable<Buffer>): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += chunk.toString();
  return text;
}
