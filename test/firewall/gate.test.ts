// The in-process driver on real sockets: who is let in, how often, until when, and what the server gets to see.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, get } from 'node:http';
import { connect, createServer, Socket, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { isKnockError } from '../../lib/errors.ts';
import type { Grant, Service } from '../../lib/firewall/driver.ts';
import { gate } from '../../lib/firewall/gate.ts';
import type { CloseReason } from '../../lib/grant/events.ts';
import { GrantManager } from '../../lib/grant/manager.ts';
import { virtualClock } from '../../lib/testing/clock.ts';
import { GreetingServer } from '../support/greeting.ts';

const SSH: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 30_000, connections: 1 };
const WEB: Service = { name: 'web', protocol: 'tcp', port: 443, openForMs: 30_000, connections: 1 };
const CONTEXT = { warning: () => undefined };

describe('gate', () => {
  let clock = virtualClock();
  let greeter: GreetingServer;

  beforeEach(async () => {
    clock = virtualClock();
    greeter = await GreetingServer.listen('::');
  });
  afterEach(() => greeter.close());

  const guarded = async () => {
    const driver = gate(greeter.server, { clock });
    await driver.setup([SSH], CONTEXT);
    return driver;
  };
  const grantOf = (changes: Partial<Grant> = {}): Grant => ({
    ...{ id: 'g1', client: 'alice', source: '127.0.0.1', service: 'ssh', protocol: 'tcp', port: 22 },
    ...{ openUntil: clock.now() + 30_000, connections: 1 },
    ...changes,
  });

  it('opens a real service, so that the listener asks for durable replay state', () => {
    assert.equal(gate(greeter.server).real, true);
  });

  it('guards from its construction on, so that no set-up can come too late', async () => {
    gate(greeter.server, { clock });
    assert.equal((await greeter.visit('127.0.0.1')).greeted, false);
    assert.equal(greeter.seen, 0);
  });

  it('resets a connection without a grant, and the server never hears of it', async () => {
    await guarded();
    for (const source of ['127.0.0.1', '127.0.0.2', '::1']) {
      const { greeted, reset } = await greeter.visit(source);
      assert.deepEqual({ greeted, reset }, { greeted: false, reset: true }, source);
    }
    assert.equal(greeter.seen, 0);
    const connections = await new Promise((resolve) => {
      greeter.server.getConnections((_error, count) => resolve(count));
    });
    assert.equal(connections, 0);
  });

  it('hides refused connections from listeners that came before it and after it', async () => {
    const heard: string[] = [];
    greeter.server.on('connection', () => heard.push('before'));
    const driver = await guarded();
    greeter.server.on('connection', () => heard.push('after'));
    await greeter.visit('127.0.0.1');
    assert.deepEqual(heard, []);
    await driver.open(grantOf());
    await greeter.visit('127.0.0.1');
    assert.deepEqual(heard, ['before', 'after']);
  });

  // The server listens on ::, so IPv4 comes to it as ::ffff:127.0.0.1.
  for (const source of ['127.0.0.1', '::1']) {
    it(`knows the source ${source} however the socket writes it`, async () => {
      const driver = await guarded();
      await driver.open(grantOf({ source }));
      assert.equal((await greeter.visit('127.0.0.2')).greeted, false);
      assert.equal((await greeter.visit(source)).greeted, true);
      assert.equal((await greeter.visit(source)).greeted, false);
    });
  }

  for (const [source, remoteAddress] of [
    ['fe80::1', 'fe80::1%eth0'],
    ['192.0.2.7', '::FFFF:192.0.2.7'],
    ['2001:db8::7', '2001:DB8:0::7'],
  ] as const) {
    it(`knows the source ${source} of a connection from ${remoteAddress}`, async () => {
      const seen: Socket[] = [];
      const server = createServer((socket) => seen.push(socket));
      const driver = gate(server, { clock });
      await driver.setup([SSH], CONTEXT);
      const comes = (): boolean => server.emit('connection', from(remoteAddress));
      comes();
      assert.equal(seen.length, 0);
      await driver.open(grantOf({ source }));
      comes();
      comes();
      assert.equal(seen.length, 1);
    });
  }

  for (const { connections, admitted } of [
    { connections: 1, admitted: 1 },
    { connections: 3, admitted: 3 },
    { connections: 'unlimited', admitted: 8 },
  ] as const) {
    it(`admits ${admitted} of 8 racing connections through a grant for ${connections}`, async () => {
      const driver = await guarded();
      await driver.open(grantOf({ connections }));
      const visits = await Promise.all(Array.from({ length: 8 }, () => greeter.visit('127.0.0.1')));
      assert.equal(visits.filter(({ greeted }) => greeted).length, admitted);
      assert.equal(greeter.seen, admitted);
      assert.equal((await driver.list()).length, connections === 'unlimited' ? 1 : 0);
    });
  }

  it('admits until the millisecond of openUntil, whatever the wall clock does meanwhile', async () => {
    const driver = await guarded();
    await driver.open(grantOf({ openUntil: clock.now() + 5000, connections: 'unlimited' }));
    clock.set(0);
    await clock.advance(4999);
    assert.equal((await greeter.visit('127.0.0.1')).greeted, true);
    await clock.advance(1);
    assert.equal((await greeter.visit('127.0.0.1')).greeted, false);
  });

  it('lists an opening a moment longer than it lasts: absence would mean that it was used', async () => {
    const driver = await guarded();
    await driver.open(grantOf({ openUntil: clock.now() + 5000 }));
    await clock.advance(5250);
    assert.deepEqual(await driver.list(), [{ service: 'ssh', source: '127.0.0.1' }]);
    await clock.advance(750);
    assert.deepEqual(await driver.list(), []);
  });

  it('does not open a grant whose time is over', async () => {
    const driver = await guarded();
    await driver.open(grantOf({ openUntil: clock.now() }));
    assert.deepEqual(await driver.list(), []);
    assert.equal((await greeter.visit('127.0.0.1')).greeted, false);
  });

  it('keeps an admitted connection through expiry, close and tear-down', async () => {
    const driver = await guarded();
    await driver.open(grantOf({ connections: 2 }));
    const { echoes } = await greeter.visit('127.0.0.1');
    await clock.advance(31_000);
    assert.equal(await echoes(), true, 'after its time');
    await driver.close(grantOf());
    assert.equal(await echoes(), true, 'after close');
    await driver.teardown();
    assert.equal(await echoes(), true, 'after tear-down');
  });

  it('keeps a connection that was there before set-up', async () => {
    const { echoes } = await greeter.visit('127.0.0.1');
    await guarded();
    assert.equal(await echoes(), true);
  });

  it('admits nobody once the time is over by the clock, though the host slept and no timer has run', async () => {
    const driver = await guarded();
    await driver.open(grantOf({ connections: 'unlimited' }));
    await driver.open(grantOf({ source: '127.0.0.0/30', connections: 'unlimited' }));
    clock.set(clock.now() + 29_999);
    assert.equal((await greeter.visit('127.0.0.1')).greeted, true);
    assert.equal((await greeter.visit('127.0.0.2')).greeted, true);
    clock.set(clock.now() + 1);
    assert.equal((await greeter.visit('127.0.0.1')).greeted, false);
    assert.equal((await greeter.visit('127.0.0.2')).greeted, false);
  });

  it('gives the server back at tear-down as it was', async () => {
    const driver = await guarded();
    await driver.setup([SSH], CONTEXT);
    await driver.teardown();
    assert.equal(Object.hasOwn(greeter.server, 'emit'), false);
    assert.equal((await greeter.visit('127.0.0.1')).greeted, true);
  });

  it('lets everybody through after tear-down also when somebody has wrapped the server since', async () => {
    const driver = await guarded();
    const ours = greeter.server.emit.bind(greeter.server);
    const theirs = (event: string, ...args: unknown[]): boolean => ours(event, ...args);
    greeter.server.emit = theirs;
    await driver.teardown();
    assert.equal(greeter.server.emit, theirs);
    assert.equal((await greeter.visit('127.0.0.1')).greeted, true);
  });

  it('has the end of an unused grant reported as expired, not as used', async () => {
    const driver = await guarded();
    const ends: CloseReason[] = [];
    const events = { closed: (_: Grant, reason: CloseReason) => ends.push(reason), failed: assert.ifError };
    const manager = new GrantManager({ driver, services: [SSH], clock, events });
    await manager.issue({ client: 'alice', source: '127.0.0.1', services: ['ssh'] });
    await clock.advance(30_000);
    await manager.issue({ client: 'alice', source: '127.0.0.1', services: ['ssh'] });
    await greeter.visit('127.0.0.1');
    await clock.advance(1000);
    assert.deepEqual(ends, ['expired', 'used']);
  });

  it('leaves no timer behind a grant that was closed, spent, replaced or torn down', async () => {
    const driver = await guarded();
    await driver.open(grantOf());
    await driver.open(grantOf());
    assert.equal(clock.pending, 1);
    await driver.close(grantOf());
    assert.equal(clock.pending, 0);
    await driver.open(grantOf());
    await greeter.visit('127.0.0.1');
    assert.equal(clock.pending, 0);
    await driver.open(grantOf());
    await driver.teardown();
    assert.equal(clock.pending, 0);
  });

  it('keeps the connections of several servers apart', async () => {
    const other = await GreetingServer.listen('127.0.0.1');
    try {
      const driver = gate({ ssh: greeter.server, web: other.server }, { clock });
      await driver.setup([SSH, WEB], CONTEXT);
      await driver.open(grantOf({ service: 'web', port: 443 }));
      assert.equal((await greeter.visit('127.0.0.1')).greeted, false);
      assert.equal((await other.visit('127.0.0.1')).greeted, true);
    } finally {
      await other.close();
    }
  });

  it('guards an http server', async () => {
    const server = createHttpServer((_request, response) => response.end('inside'));
    const driver = gate({ ssh: server }, { clock });
    await driver.setup([SSH], CONTEXT);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const fetchStatus = (): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        get({ host: '127.0.0.1', port, agent: false }, (response) => {
          response.resume();
          resolve(response.statusCode);
        }).once('error', reject);
      });
    await assert.rejects(fetchStatus(), { code: 'ECONNRESET' });
    await driver.open(grantOf());
    assert.equal(await fetchStatus(), 200);
    server.close();
    await once(server, 'close');
  });

  it('refuses a stream that tells no address, and survives one that fails while it is refused', async () => {
    await guarded();
    for (const error of [null, new Error('it could not be closed')]) {
      const destroy = (_: Error | null, done: (error: Error | null) => void): void => done(error);
      const stream = new Duplex({ read: () => undefined, write: () => undefined, destroy });
      greeter.server.emit('connection', stream);
      // Not once() of node:events, which would listen for errors, too.
      await new Promise((resolve) => stream.once('close', resolve));
      assert.equal(stream.destroyed, true);
    }
    assert.equal(greeter.seen, 0);
  });

  it('refuses whoever comes over a unix socket, and survives it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'portknock-gate-'));
    const path = join(folder, 'socket');
    const server = createServer((socket) => socket.end('hello'));
    const driver = gate(server, { clock });
    server.listen(path);
    await once(server, 'listening');
    try {
      const socket = connect(path);
      socket.resume();
      await once(socket, 'close');
      assert.equal(socket.bytesRead, 0);
      await assert.rejects(driver.setup([SSH], CONTEXT), isUnsupported);
    } finally {
      server.close();
      await once(server, 'close');
      rmSync(folder, { recursive: true });
    }
  });

  // The server listens on ::, so IPv4 comes to it as ::ffff:127.0.0.1.
  it('admits the addresses of a prefix, however the socket writes them, and counts them as one', async () => {
    const driver = await guarded();
    await driver.open(grantOf({ source: '127.0.0.0/30', connections: 2 }));
    const outcomes: boolean[] = [];
    for (const source of ['127.0.0.4', '::1', '127.0.0.1', '127.0.0.3', '127.0.0.2'])
      outcomes.push((await greeter.visit(source)).greeted);
    assert.deepEqual(outcomes, [false, false, true, true, false]);
    assert.deepEqual(await driver.list(), []);
  });

  it('keeps its guard, its grants and its connections through a second set-up', async () => {
    const driver = await guarded();
    const { emit } = greeter.server;
    await driver.open(grantOf({ connections: 2 }));
    const { echoes } = await greeter.visit('127.0.0.1');
    await driver.setup([{ ...SSH, openForMs: 1000 }], CONTEXT);
    assert.equal(greeter.server.emit, emit);
    assert.equal(await echoes(), true);
    assert.equal((await greeter.visit('127.0.0.2')).greeted, false);
    assert.equal((await greeter.visit('127.0.0.1')).greeted, true);
    assert.equal((await greeter.visit('127.0.0.1')).greeted, false);
  });

  it('keeps a server closed whose service a second set-up leaves out, and its connections', async () => {
    const other = await GreetingServer.listen('127.0.0.1');
    try {
      const driver = gate({ ssh: greeter.server, web: other.server }, { clock });
      await driver.setup([SSH, WEB], CONTEXT);
      await driver.open(grantOf());
      const { echoes } = await greeter.visit('127.0.0.1');
      await driver.open(grantOf());
      await driver.setup([WEB], CONTEXT);
      assert.equal(await echoes(), true);
      assert.equal((await greeter.visit('127.0.0.1')).greeted, false);
      assert.equal((await other.visit('127.0.0.1')).greeted, false);
      await driver.setup([SSH, WEB], CONTEXT);
      assert.equal((await greeter.visit('127.0.0.1')).greeted, false);
      await driver.open(grantOf());
      assert.equal((await greeter.visit('127.0.0.1')).greeted, true);
    } finally {
      await other.close();
    }
  });

  const refused: readonly [what: string, services: readonly Service[]][] = [
    ['a UDP service', [{ ...SSH, protocol: 'udp' }]],
    ['two services for one server', [SSH, WEB]],
  ];
  for (const [what, services] of refused) {
    it(`refuses ${what} at set-up, and changes nothing`, async () => {
      const driver = gate(greeter.server, { clock });
      await assert.rejects(driver.setup(services, CONTEXT), isUnsupported);
      assert.equal((await greeter.visit('127.0.0.1')).greeted, false);
      await driver.setup([SSH], CONTEXT);
      await driver.open(grantOf({ connections: 2 }));
      await assert.rejects(driver.setup(services, CONTEXT), isUnsupported);
      assert.equal((await greeter.visit('127.0.0.1')).greeted, true);
    });
  }

  it('refuses a service whose server it does not have, and changes nothing', async () => {
    const driver = gate({ ssh: greeter.server, toString: createServer() }, { clock });
    for (const name of ['web', 'constructor']) {
      await assert.rejects(driver.setup([SSH, { ...WEB, name }], CONTEXT), isUnsupported);
    }
    assert.equal((await greeter.visit('127.0.0.1')).greeted, false);
  });

  const strangers: readonly [what: string, value: unknown, message: RegExp][] = [
    ['an Express app', () => undefined, /got function .*http\.createServer\(app\)/u],
    ['nothing', undefined, /got undefined/u],
    ['null', null, /got null/u],
    ['no server at all', {}, /at least one/u],
    ['a Fastify app', { version: '5', server: createServer() }, /'version' must be .*fastify\.server/u],
    ['a name that would break a line', { 'a\nb': 1 }, /^server 'a\\u\{a\}b' must/u],
  ];
  for (const [what, value, message] of strangers) {
    it(`refuses ${what} in place of a server`, () => {
      assert.throws(() => gate(value as Server), { name: 'TypeError', message });
    });
  }

  it('refuses one server under two names, and guards none of them', async () => {
    assert.throws(() => gate({ ssh: greeter.server, web: greeter.server }), TypeError);
    assert.equal((await greeter.visit('127.0.0.1')).greeted, true);
  });

  it('refuses a grant that contradicts its service, and prints nothing of it unescaped', async () => {
    const driver = await guarded();
    for (const wrong of [{ port: 23 }, { protocol: 'udp' as const }, { service: 'a\nb' }]) {
      await assert.rejects(driver.open(grantOf(wrong)), (error) => {
        assert.ok(isUnsupported(error));
        assert.doesNotMatch((error as Error).message, /\n/u);
        return true;
      });
    }
    assert.deepEqual(await driver.list(), []);
  });
});

function isUnsupported(error: unknown): boolean {
  return isKnockError(error) && error.code === 'ERR_FIREWALL_UNSUPPORTED';
}

/** A connection of that source. */
function from(remoteAddress: string): Socket {
  return Object.defineProperty(new Socket(), 'remoteAddress', { value: remoteAddress });
}
