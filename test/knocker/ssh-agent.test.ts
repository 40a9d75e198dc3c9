// An ssh-agent that signs: a real one, and one that does everything wrong.

import assert from 'node:assert/strict';
import { generateKeyPairSync, sign, verify } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { generateSshKey, parseSshPublicKey, sshFingerprint } from '../../lib/crypto/ssh-key.ts';
import { ed25519PublicKey, sshsigBlob, verifySshsig } from '../../lib/crypto/sshsig.ts';
import { sshString, sshUint32 } from '../../lib/crypto/ssh-wire.ts';
import { isKnockError, messageOf } from '../../lib/errors.ts';
import { agentSigner } from '../../lib/knocker/signer.ts';
import { virtualClock } from '../../lib/testing/clock.ts';
import { scratch, sshKeygen, startSshAgent, writePrivate, type SshAgent } from '../support/ssh-tools.ts';

type Answer = Uint8Array | { readonly last: Uint8Array } | null | 'never';

const MESSAGE = Buffer.from('a knock');

describe('a real ssh-agent', () => {
  const at = scratch();
  let agent: SshAgent;
  let publicKey: Buffer;
  let key: Buffer;
  // Answers for the user: yes to "may this key be used", and a password for locking.
  const askpass = (answer: string, code: number): string => {
    writeFileSync(at(`askpass-${answer}`), `#!/bin/sh\necho ${answer}\nexit ${code}\n`);
    chmodSync(at(`askpass-${answer}`), 0o700);
    return at(`askpass-${answer}`);
  };
  const start = async (name: string, ...helper: [] | [string]): Promise<void> => {
    agent = await startSshAgent(at(name), ...helper);
  };
  before(() => {
    // A file that we wrote, which ssh-add must take.
    const { privateText, publicLine } = generateSshKey('alice@laptop');
    writePrivate(at('key'), privateText);
    ({ blob: publicKey, key } = parseSshPublicKey(publicLine)!);
    sshKeygen(at('other'));
    sshKeygen(at('rsa'), { type: 'rsa', args: ['-b', '2048'] });
  });
  afterEach(() => agent.stop());

  it('signs with the key that it has among others, as often as it is asked', async () => {
    await start('agent');
    for (const name of ['other', 'key', 'rsa']) agent.add('-q', at(name));
    const signer = agentSigner({ socketPath: agent.socketPath, publicKey });
    assert.deepEqual(signer.publicKey, publicKey);
    const messages = ['', 'one', 'x'.repeat(20_000)].map((text) => Buffer.from(text));
    const signatures = await Promise.all(messages.map((message) => signer.sign(message)));
    for (const [index, message] of messages.entries()) {
      assert.ok(verify(null, message, ed25519PublicKey(key), signatures[index]!));
    }
    assert.ok(verifySshsig(ed25519PublicKey(key), MESSAGE, await signer.sign(sshsigBlob(MESSAGE))));
  });

  it('is told apart when it does not have the key', async () => {
    await start('empty');
    agent.add('-q', at('other'));
    await assert.rejects(agentSigner({ socketPath: agent.socketPath, publicKey }).sign(MESSAGE), {
      code: 'ERR_AGENT',
      message: `ssh-agent does not have the key ${sshFingerprint(publicKey)} (ssh-add FILE; if it is locked: ssh-add -X)`,
    });
    agent.add('-q', at('key'));
    assert.equal((await agentSigner({ socketPath: agent.socketPath, publicKey }).sign(MESSAGE)).length, 64);
  });

  it('signs when its user says yes, and is told apart when the answer is no', async () => {
    await start('confirming', askpass('yes', 0));
    agent.add('-q', '-c', at('key'));
    assert.equal((await agentSigner({ socketPath: agent.socketPath, publicKey }).sign(MESSAGE)).length, 64);
    await agent.stop();
    await start('refusing', askpass('no', 1));
    agent.add('-q', '-c', at('key'));
    await assert.rejects(agentSigner({ socketPath: agent.socketPath, publicKey }).sign(MESSAGE), {
      code: 'ERR_AGENT',
      message: 'ssh-agent refused to sign (confirm the signature when it asks)',
    });
  });

  it('that is locked shows no key', async () => {
    await start('locked', askpass('password', 0));
    agent.add('-q', at('key'));
    agent.add('-x');
    const signer = agentSigner({ socketPath: agent.socketPath, publicKey });
    await assert.rejects(signer.sign(MESSAGE), {
      code: 'ERR_AGENT',
      message: /if it is locked: ssh-add -X/u,
    });
    agent.add('-X');
    assert.equal((await signer.sign(MESSAGE)).length, 64);
  });

  it('that has ended is told apart', async () => {
    await start('ended');
    const { socketPath } = agent;
    await agent.stop();
    await assert.rejects(agentSigner({ socketPath, publicKey }).sign(MESSAGE), (error) => {
      const [before, after = ''] = messageOf(error).split(socketPath);
      assert.equal(before, 'no ssh-agent listens at ');
      // Whether it still takes its socket away depends on when the signal comes.
      assert.match(after, /^: (ENOENT|ECONNREFUSED) \(start one, or set SSH_AUTH_SOCK\)$/u);
      return true;
    });
  });
});

describe('an ssh-agent that does not do as it should', () => {
  const at = scratch();
  const pair = generateKeyPairSync('ed25519');
  const raw = pair.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
  const publicKey = Buffer.concat([sshString('ssh-ed25519'), sshString(raw)]);
  let servers: Server[] = [];
  let sockets: Socket[] = [];

  /** An agent that answers each request with what `answers` has next; null: it hangs up. */
  const fake = async (...answers: readonly Answer[]): Promise<string> => {
    const path = at(`fake${servers.length}`);
    const server = createServer((socket) => {
      sockets.push(socket);
      let turn = 0;
      socket.on('error', () => undefined);
      socket.on('data', () => {
        const answer = answers[turn] ?? null;
        turn += 1;
        if (answer === null) socket.end();
        else if (answer === 'never') return;
        else if (answer instanceof Uint8Array) socket.write(answer);
        else socket.end(answer.last);
      });
    });
    servers.push(server);
    server.listen(path);
    await once(server, 'listening');
    return path;
  };
  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    sockets = [];
  });
  after(() => {
    for (const server of servers) server.close();
    servers = [];
  });

  const message = (type: number, ...fields: readonly Uint8Array[]): Buffer =>
    sshString(Buffer.concat([Buffer.of(type), ...fields]));
  const identities = (...blobs: readonly Uint8Array[]): Buffer =>
    message(
      12,
      sshUint32(blobs.length),
      ...blobs.flatMap((blob) => [sshString(blob), sshString('a comment')]),
    );
  const signed = (algorithm: string, signature: Uint8Array, more = ''): Buffer =>
    message(14, sshString(Buffer.concat([sshString(algorithm), sshString(signature), Buffer.from(more)])));
  const listed = identities(publicKey);
  const good = sign(null, MESSAGE, pair.privateKey);
  const answer = signed('ssh-ed25519', good);
  const REFUSED = Buffer.from('0000000105', 'hex');

  it('is a sound test: one that answers well is believed', async () => {
    const socketPath = await fake(identities(Buffer.from('x'), publicKey, publicKey), answer);
    assert.deepEqual(await agentSigner({ socketPath, publicKey }).sign(MESSAGE), good);
  });

  it('may answer in small pieces', async () => {
    const socketPath = at('pieces');
    const server = createServer((socket) => {
      let left = [listed, answer];
      socket.setNoDelay(true).on('data', () => {
        const [bytes = Buffer.alloc(0), ...others] = left;
        left = others;
        const next = (index: number): void => {
          if (index < bytes.length)
            socket.write(bytes.subarray(index, index + 1), () => setImmediate(next, index + 1));
        };
        next(0);
      });
    }).listen(socketPath);
    servers.push(server);
    await once(server, 'listening');
    assert.deepEqual(await agentSigner({ socketPath, publicKey }).sign(MESSAGE), good);
  });

  const otherKey = generateKeyPairSync('ed25519').privateKey;
  const NONSENSE = 'ssh-agent answered nonsense';
  const HUNG_UP = 'ssh-agent hung up instead of answering (see whether it works: ssh-add -l)';
  const rows: readonly [what: string, answers: readonly Answer[], message: string][] = [
    ['hangs up at once', [null], HUNG_UP],
    ['hangs up within a length', [{ last: listed.subarray(0, 3) }], HUNG_UP],
    ['hangs up within the list', [{ last: listed.subarray(0, -1) }], HUNG_UP],
    ['hangs up instead of signing', [listed, null], HUNG_UP],
    ['hangs up within a signature', [listed, { last: answer.subarray(0, -1) }], HUNG_UP],
    ['refuses to list its keys', [REFUSED], 'ssh-agent refused to list its keys (unlock it'],
    ['refuses to sign', [listed, REFUSED], 'ssh-agent refused to sign (confirm'],
    ['has no keys', [identities()], 'ssh-agent does not have the key SHA256:'],
    ['has other keys', [identities(publicKey.subarray(1))], 'ssh-agent does not have the key SHA256:'],
    ['says nothing in an answer', [sshUint32(0)], `${NONSENSE}: no list of keys`],
    ['announces 4 GiB', [Buffer.alloc(4, 0xff)], `${NONSENSE}: 4294967299 bytes at once`],
    ['announces a byte too many', [sshUint32(256 * 1024 - 3)], `${NONSENSE}: 262145 bytes at once`],
    ['is a web server', [Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')], `${NONSENSE}: 1213486164 bytes`],
    ['answers another question', [answer], `${NONSENSE}: no list of keys`],
    ['lists more keys than it has', [message(12, sshUint32(0xffffffff))], `${NONSENSE}: no list of keys`],
    ['lists fewer', [message(12, sshUint32(0), sshString(publicKey))], `${NONSENSE}: no list of keys`],
    [
      'lists half a key',
      [message(12, sshUint32(1), sshUint32(51), publicKey)],
      `${NONSENSE}: no list of keys`,
    ],
    ['lists its keys again', [listed, listed], `${NONSENSE}: no signature`],
    ['signs under another number', [listed, Buffer.from(answer).fill(12, 4, 5)], `${NONSENSE}: no signature`],
    ['signs with nothing', [listed, sshUint32(0)], `${NONSENSE}: no signature`],
    ['signs with another algorithm', [listed, signed('ssh-rsa', good)], `${NONSENSE}: no signature`],
    ['signs too short', [listed, signed('ssh-ed25519', good.subarray(1))], `${NONSENSE}: no signature`],
    ['signs too long', [listed, signed('ssh-ed25519', Buffer.alloc(65))], `${NONSENSE}: no signature`],
    ['adds to a signature', [listed, signed('ssh-ed25519', good, 'x')], `${NONSENSE}: no signature`],
    ['adds to an answer', [listed, message(14, answer.subarray(5), REFUSED)], `${NONSENSE}: no signature`],
    [
      'signs another message',
      [listed, signed('ssh-ed25519', sign(null, Buffer.from('another'), pair.privateKey))],
      `${NONSENSE}: a signature that does not verify`,
    ],
    [
      'signs with another key',
      [listed, signed('ssh-ed25519', sign(null, MESSAGE, otherKey))],
      `${NONSENSE}: a signature that does not verify`,
    ],
    [
      'signs with zeros',
      [listed, signed('ssh-ed25519', Buffer.alloc(64))],
      `${NONSENSE}: a signature that does`,
    ],
  ];
  for (const [what, answers, said] of rows) {
    it(`is refused when it ${what}`, async () => {
      const socketPath = await fake(...answers);
      await assert.rejects(agentSigner({ socketPath, publicKey }).sign(MESSAGE), (error) => {
        assert.ok(isKnockError(error));
        assert.equal(error.code, 'ERR_AGENT');
        assert.ok(error.message.startsWith(said), error.message);
        assert.match(error.message, / \([^()]+\)$/u);
        return true;
      });
    });
  }

  it('is given up after 30 s, not earlier', async () => {
    for (const answers of [['never'], [listed, 'never'], [listed.subarray(0, 9), 'never']] as const) {
      const clock = virtualClock();
      const socketPath = await fake(...answers);
      const signing = agentSigner({ socketPath, publicKey, clock }).sign(MESSAGE);
      const failures: unknown[] = [];
      const end = signing.catch((error: unknown) => failures.push(error));
      await once(servers.at(-1)!, 'connection');
      await clock.advance(29_999);
      assert.equal(failures.length, 0);
      await clock.advance(1);
      await end;
      const [failure] = failures;
      assert.ok(isKnockError(failure));
      assert.equal(failure.code, 'ERR_AGENT');
      assert.equal(failure.message, 'ssh-agent did not answer within 30 s (confirm the signature in time)');
      assert.equal(clock.pending, 0);
    }
  });

  it('is given up when the caller gives up', async () => {
    const socketPath = await fake('never');
    const signer = agentSigner({ socketPath, publicKey });
    const controller = new AbortController();
    const reason = new Error('enough');
    const signing = signer.sign(MESSAGE, { signal: controller.signal });
    const [socket] = (await once(servers.at(-1)!, 'connection')) as [Socket];
    const hungUp = once(socket, 'close');
    controller.abort(reason);
    await assert.rejects(signing, reason);
    await hungUp;
  });

  it('is not even called when the caller has given up before', async () => {
    const socketPath = await fake(listed, answer);
    const signer = agentSigner({ socketPath, publicKey });
    const reason = new Error('enough');
    await assert.rejects(signer.sign(MESSAGE, { signal: AbortSignal.abort(reason) }), reason);
    await signer.sign(MESSAGE);
    assert.equal(sockets.length, 1);
  });

  it('is left after each signature, good or bad', async () => {
    for (const answers of [[listed, answer], [listed, REFUSED], [REFUSED]]) {
      const clock = virtualClock();
      const socketPath = await fake(...answers);
      const connected = once(servers.at(-1)!, 'connection');
      await agentSigner({ socketPath, publicKey, clock })
        .sign(MESSAGE)
        .catch(() => undefined);
      const [socket] = (await connected) as [Socket];
      if (!socket.closed) await once(socket, 'close');
      assert.equal(clock.pending, 0);
    }
  });

  it('is no agent when it is no socket', async () => {
    const file = writePrivate(at('file'), 'x');
    const rows = [
      [at('nothing'), 'ENOENT'],
      [file, 'ECONNREFUSED'],
      [`${file}/below`, 'ENOTDIR'],
    ] as const;
    for (const [socketPath, code] of rows) {
      await assert.rejects(agentSigner({ socketPath, publicKey }).sign(MESSAGE), {
        code: 'ERR_AGENT',
        message: `no ssh-agent listens at ${socketPath}: ${code} (start one, or set SSH_AUTH_SOCK)`,
      });
    }
    const path = '/tmp/\x1b[31m';
    await assert.rejects(agentSigner({ socketPath: path, publicKey }).sign(MESSAGE), {
      message: /\/tmp\/\\u\{1b\}\[31m/u,
    });
  });
});

describe('agentSigner', () => {
  it('refuses a caller that names no socket, or no Ed25519 key', () => {
    const publicKey = Buffer.concat([sshString('ssh-ed25519'), sshString(Buffer.alloc(32, 9))]);
    assert.throws(() => agentSigner({ socketPath: '', publicKey }), {
      name: 'TypeError',
      message: /^socketPath/u,
    });
    for (const blob of [Buffer.alloc(0), publicKey.subarray(19), Buffer.concat([publicKey, publicKey])]) {
      const message = `publicKey must be an ssh-ed25519 key blob (got ${blob.length} bytes)`;
      assert.throws(() => agentSigner({ socketPath: '/x', publicKey: blob }), {
        name: 'RangeError',
        message,
      });
    }
  });

  it('keeps its key when the caller changes the bytes that it was given', () => {
    const publicKey = Buffer.concat([sshString('ssh-ed25519'), sshString(Buffer.alloc(32, 9))]);
    const signer = agentSigner({ socketPath: '/x', publicKey });
    publicKey.fill(0);
    assert.equal(signer.publicKey.at(-1), 9);
  });
});
