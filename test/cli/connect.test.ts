// portknock connect: a ProxyCommand. Behind a real gateway on loopback, with servers that end, answer and break in
// every order.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { LoopbackGateway } from './gateway.ts';
import { Place, type Outcome, type StreamProcess } from './support.ts';

const SECRET = Buffer.alloc(32, 9);

describe('portknock connect', function () {
  this.timeout(60_000);
  let place: Place;
  let gateway: LoopbackGateway;
  let serve: (socket: Socket) => void;

  before(async () => {
    place = await Place.make();
    gateway = await LoopbackGateway.start({ secret: SECRET }, (socket) => {
      serve(socket);
    });
    await gateway.writeProfile(place.path('alice.knock'), SECRET);
    await gateway.writeProfile(place.path('two.knock'), SECRET, {
      services: { echo: gateway.port, web: 8080 },
    });
  });

  after(async () => {
    await gateway.stop();
    await place.remove();
  });

  const connect = (...words: readonly string[]): StreamProcess =>
    place.startStream(['connect', '-p', 'alice.knock', ...words]);
  /** The next connection that the gateway lets in. */
  const served = (): Promise<Socket> =>
    new Promise((resolve) => {
      serve = resolve;
    });

  it('goes on with the answer after the end of its input, and exits 0', async () => {
    serve = (socket) => {
      const chunks: Buffer[] = [];
      socket.on('data', (chunk: Buffer) => chunks.push(chunk));
      socket.on('end', () => socket.end(`you said ${Buffer.concat(chunks).toString()}`));
    };
    const child = connect();
    child.stdin.end('hello');
    assert.deepEqual(await outcome(child), { code: 0, signal: null, out: 'you said hello', err: '' });
  });

  it('ends its output when the server ends, and goes on with its input', async () => {
    const coming = served();
    const child = connect('127.0.0.1', String(gateway.port));
    child.stdin.write('first ');
    const socket = await coming;
    const heard: string[] = [];
    socket.setEncoding('utf8').on('data', (text: string) => heard.push(text));
    socket.end('bye');
    const out = await child.stdout.setEncoding('utf8').toArray();
    assert.equal(out.join(''), 'bye');
    assert.equal(child.exitCode, null);
    const ended = once(socket, 'end');
    child.stdin.end('last');
    await ended;
    assert.equal(heard.join(''), 'first last');
    assert.deepEqual(await once(child, 'close'), [0, null]);
  });

  it('passes 20 MB both ways at once, unchanged', async () => {
    serve = (socket) => socket.pipe(socket);
    const child = connect();
    const sent = randomBytes(20_000_000);
    child.stdin.end(sent);
    const back = createHash('sha256');
    for await (const chunk of child.stdout) back.update(chunk as Buffer);
    assert.equal(back.digest('hex'), createHash('sha256').update(sent).digest('hex'));
    assert.deepEqual(await once(child, 'close'), [0, null]);
  });

  it('keeps what the server sent at once after accepting', async () => {
    serve = (socket) => socket.end('SSH-2.0-test\r\n');
    const child = connect();
    child.stdin.end();
    assert.equal((await outcome(child)).out, 'SSH-2.0-test\r\n');
  });

  it('exits 1 when the server resets the connection, and says so on stderr only', async () => {
    const coming = served();
    const child = connect();
    const socket = await coming;
    socket.write('half of it');
    await once(child.stdout, 'readable');
    socket.resetAndDestroy();
    const { code, out, err } = await outcome(child);
    assert.deepEqual([code, out], [1, 'half of it']);
    assert.match(err, /^portknock: connection to port \d+ of 127\.0\.0\.1 broke: .*ECONNRESET\n$/u);
  });

  it('exits 0 when a server that has ended no longer takes its input', async () => {
    const coming = served();
    const child = connect();
    const socket = await coming;
    socket.end('bye');
    await child.stdout.toArray();
    socket.resetAndDestroy();
    child.stdin.on('error', () => undefined);
    const noise = setInterval(() => child.stdin.write('more'), 20);
    assert.deepEqual(await once(child, 'close'), [0, null]);
    clearInterval(noise);
  });

  it('ends when nobody reads its output any more', async () => {
    serve = (socket) => {
      const noise = setInterval(() => socket.write('tick'), 5);
      socket.on('close', () => {
        clearInterval(noise);
      });
    };
    const child = connect();
    await once(child.stdout, 'data');
    child.stdout.destroy();
    assert.deepEqual(await once(child, 'close'), [0, null]);
  });

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    it(`is killed by ${signal} like every program, and the server sees the end`, async () => {
      const coming = served();
      const child = connect();
      const socket = await coming;
      socket.write('ready');
      await once(child.stdout, 'data');
      const ended = once(socket.resume(), 'end');
      child.kill(signal);
      assert.deepEqual(await once(child, 'close'), [null, signal]);
      await ended;
    });
  }

  it('exits 1 with the reason when the port stays closed', async () => {
    await gateway.writeProfile(place.path('wrong.knock'), Buffer.alloc(32, 10));
    const { code, out, err } = await place.run('portknock connect -p wrong.knock --timeout 300ms', {}, '');
    assert.deepEqual([code, out], [1, '']);
    assert.match(
      err,
      /^portknock: port \d+ of 127\.0\.0\.1 did not accept after \d knocks? in 0\.3 s \(.*\)\n$/u,
    );
  });

  it('says what to do about a host that is only a name in the user’s head', async () => {
    // A name server that cannot be reached must not use up the time.
    const { code, out, err } = await place.run(
      `portknock connect -p alice.knock gw.invalid ${gateway.port}`,
      { RES_OPTIONS: 'timeout:1 attempts:1' },
    );
    assert.deepEqual([code, out], [1, '']);
    assert.equal(
      err,
      "portknock: host has no address: 'gw.invalid' (if it is only a name of yours, give it a HostName in ~/.ssh/config, such as 127.0.0.1)\n",
    );
  });

  const mistakes: readonly [words: string, message: () => string][] = [
    ['-p alice.knock host', () => `PORT is missing behind host (one of ${gateway.port} (echo))`],
    [
      '-p alice.knock host 23',
      () => `PORT must be one of the profile's services, ${gateway.port} (echo), not '23'`,
    ],
    [
      '-p two.knock',
      () => `HOST PORT is missing, and the profile has several services: ${gateway.port} (echo), 8080 (web)`,
    ],
    ['-p alice.knock -4 -6', () => '-4 and -6 exclude each other'],
    ['-p alice.knock --source nowhere', () => "--source must be an address or a prefix, got 'nowhere'"],
    [
      '-p alice.knock --timeout 0s',
      () => "--timeout must be a length of time, not '0s' (write it as 10s or 2m)",
    ],
    [
      '-p alice.knock --password-fd 0',
      () => "--password-fd must not be one of the stream's own, 0, 1 and 2, not 0",
    ],
    ['', () => 'profile is not given (use -p FILE, or set PORTKNOCK_PROFILE)'],
  ];
  for (const [words, message] of mistakes) {
    it(`says so in one line and exits 2: portknock connect ${words}`, async () => {
      const expected: Outcome = { code: 2, out: '', err: `portknock: ${message()}\n` };
      assert.deepEqual(await place.run(`portknock connect ${words}`.trim()), expected);
    });
  }
});

async function outcome(child: StreamProcess) {
  const texts = [child.stdout, child.stderr].map((stream) => stream.setEncoding('utf8').toArray());
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  const [out = [], err = []] = (await Promise.all(texts)) as string[][];
  return { code, signal, out: out.join(''), err: err.join('') };
}
