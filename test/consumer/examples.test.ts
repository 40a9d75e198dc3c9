// The examples as a user runs them: from the packed tarball, in an empty folder, with the commands of their READMEs.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { programOf } from '../docs/blocks.ts';
import { freePort } from '../support/ports.ts';
import { Example, REFUSED, Relay, visit, type Program } from './example.ts';
import { installed, type Ran } from './installed.ts';

const { version, devDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  version: string;
  devDependencies: Readonly<Record<string, string>>;
};

const OPEN_FOR_MS = 700;

describe('the examples', () => {
  for (const name of ['express-admin', 'fastify', 'custom-driver']) {
    it(`${name} names the packages that it imports, in the versions that are tested here`, () => {
      const { dependencies } = JSON.parse(readFileSync(`examples/${name}/package.json`, 'utf8')) as {
        dependencies: Readonly<Record<string, string>>;
      };
      for (const [dependency, wanted] of Object.entries(dependencies))
        assert.equal(wanted, dependency === 'portknock' ? version : devDependencies[dependency], dependency);
    });
  }
});

describe('examples/express-admin', function () {
  this.timeout(300_000);
  let example: Example;
  let server: Program;
  let relay: Relay;
  const ports = { open: 0, admin: 0, knock: 0 };

  before(async () => {
    await installed();
    Object.assign(ports, { open: await freePort(), admin: await freePort(), knock: await freePort() });
    example = await Example.copy('express-admin', [
      [8080, 'PUBLIC_PORT', ports.open],
      [8081, 'ADMIN_PORT', ports.admin],
      [62201, 'KNOCK_PORT', ports.knock],
    ]);
    relay = await Relay.to(ports.knock);
  });
  after(async () => {
    relay?.close();
    await example?.remove();
  });

  it('is set up and started by the commands of its README', async () => {
    server = await example.startAsShown();
    await server.says(/^listening: /u);
  });

  it('greets everybody on one port, and on the other whoever has knocked', async () => {
    const [open = '', hidden = '', admin = ''] = example.blocks[1] ?? [];
    assert.equal((await example.run(open)).stdout, 'hello, everybody\n');
    assert.ok(isReset(await example.run(hidden)));
    const ran = await triedAgain(example, admin);
    assert.match(ran.stdout, /^up for \d+ s\n$/u, ran.stderr);
    await server.says(/^grant: alice from 127\.0\.0\.1$/u);
    await server.says(/^close: alice: used$/u);
  });

  it('lets curl in once after a knock of the command line', async () => {
    const [send = '', curl = ''] = example.blocks[2] ?? [];
    const [granted, used] = [/^grant: alice/u, /^close: alice: used$/u];
    const before = await server.said(granted, 0);
    const sent = await example.run(send);
    assert.equal(sent.code, 0, sent.stderr);
    // A knock to get in, and one for curl, which the server writes to a disk first.
    await server.said(granted, before + 2);
    const usedBefore = await server.said(used, 0);
    const ran = await example.run(curl);
    assert.match(ran.stdout, /^up for \d+ s\n$/u, ran.stderr);
    const accepted = 1 + (await acceptedMore(example, curl));
    assert.equal(await server.said(used, usedBefore + accepted), usedBefore + accepted);
  });

  it('resets the second connection, and every one after a recorded knock, that was used, is sent again', async () => {
    assert.deepEqual(await visit(ports.admin), REFUSED);
    const knocker = await example.knocker('alice.knock', { key: 'alice', port: relay.port });
    server.skip();
    for (let i = 0; i < 2; i += 1) {
      await knocker.knock('admin');
      await server.says(/^grant: alice/u);
      assert.match((await visit(ports.admin)).heard, /^HTTP\/1\.1 404 /u);
      assert.deepEqual(await visit(ports.admin), REFUSED);
    }
    const [earlier, last] = relay.datagrams;
    assert.ok(earlier !== undefined && last !== undefined);
    // The last knock once more passes for a copy that the network made, which is not even reported; the one before does not.
    relay.send(last);
    relay.send(earlier);
    await server.says(/^reject: replayed/u);
    assert.deepEqual(await visit(ports.admin), REFUSED);
  });

  it('ends by SIGTERM with code 0, with a connection open that nobody uses', async () => {
    server.skip();
    await (await example.knocker('alice.knock', { key: 'alice' })).knock('admin');
    await server.says(/^grant: alice/u);
    const socket = connect(ports.admin, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('GET /stats HTTP/1.1\r\nhost: x\r\n\r\n');
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    assert.match(chunk.toString(), /^HTTP\/1\.1 200 /u);
    assert.equal(await server.end('SIGTERM'), 0);
    socket.destroy();
    assert.equal((await visit(ports.admin)).code, 'ECONNREFUSED');
  });

  describe('started anew', () => {
    before(async () => {
      server = example.start('node server.js', { OPEN_FOR_MS: String(OPEN_FOR_MS) });
      await server.says(/^listening: /u);
    });

    it('still refuses the recorded knock', async () => {
      const [recorded] = relay.datagrams;
      assert.ok(recorded !== undefined);
      relay.send(recorded);
      await server.says(/^reject: replayed/u);
      assert.deepEqual(await visit(ports.admin), REFUSED);
    });

    it('lets nobody in after its time', async () => {
      await (await example.knocker('alice.knock', { key: 'alice' })).knock('admin');
      await server.says(/^grant: alice/u);
      await server.says(/^close: alice: expired$/u);
      assert.deepEqual(await visit(ports.admin), REFUSED);
    });

    it('lets nobody in who came while it was suspended, once the time was over meanwhile', async () => {
      await (await example.knocker('alice.knock', { key: 'alice' })).knock('admin');
      await server.says(/^grant: alice/u);
      server.child.kill('SIGSTOP');
      await sleep(OPEN_FOR_MS + 100);
      // The server hears of it when it wakes up.
      const wake = (): void => void server.child.kill('SIGCONT');
      assert.deepEqual(await visit(ports.admin, 'GET /stats HTTP/1.1\r\n\r\n', wake), REFUSED);
    });

    it('keeps the admin port closed when it cannot hear knocks', async () => {
      await server.end('SIGTERM');
      const squatter = await Relay.to(1);
      try {
        const failed = example.start('node server.js', { KNOCK_PORT: String(squatter.port) });
        assert.equal(await failed.end(), 1);
        assert.equal((await visit(ports.admin)).code, 'ECONNREFUSED');
      } finally {
        squatter.close();
      }
    });
  });
});

describe('examples/fastify', function () {
  this.timeout(300_000);
  let example: Example;
  let server: Program;
  const ports = { api: 0, knock: 0 };

  before(async () => {
    await installed();
    Object.assign(ports, { api: await freePort(), knock: await freePort() });
    example = await Example.copy('fastify', [
      [8443, 'PORT', ports.api],
      [62201, 'KNOCK_PORT', ports.knock],
    ]);
  });
  after(() => example?.remove());

  it('is set up and started by the commands of its README', async () => {
    server = await example.startAsShown();
    await server.says(/"msg":"Server listening at /u);
  });

  it('lets a client in that knocks, and curl once after a knock', async () => {
    const [curl = '', client = ''] = example.blocks[1] ?? [];
    const [send = '', again = ''] = example.blocks[2] ?? [];
    const used = /"client":"worker","reason":"used","msg":"close"/u;
    const granted = /"client":"worker","source":"127\.0\.0\.1","msg":"grant"/u;
    assert.ok(isReset(await example.run(curl)));
    const ran = await triedAgain(example, client);
    assert.deepEqual(JSON.parse(ran.stdout), { jobs: ['sweep', 'mow'] }, ran.stderr);
    await server.says(granted);
    await server.says(used);
    const before = await server.said(granted, 0);
    assert.equal((await example.run(send)).code, 0);
    // A knock to get in, and one for curl, which the server writes to a disk first.
    await server.said(granted, before + 2);
    const usedBefore = await server.said(used, 0);
    assert.deepEqual(JSON.parse((await example.run(again)).stdout), { jobs: ['sweep', 'mow'] });
    const accepted = 1 + (await acceptedMore(example, again));
    assert.equal(await server.said(used, usedBefore + accepted), usedBefore + accepted);
    assert.deepEqual(await visit(ports.api), REFUSED);
  });

  it('ends by SIGTERM with code 0', async () => {
    assert.equal(await server.end('SIGTERM'), 0);
    assert.equal((await visit(ports.api)).code, 'ECONNREFUSED');
  });

  it('ends by itself where Fastify would listen with a server that nothing guards', async () => {
    // As on a host whose localhost has two addresses.
    await writeFile(
      join(example.folder, 'two.mjs'),
      `import dns from 'node:dns';
       const { lookup } = dns;
       const all = ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }));
       dns.lookup = (host, options, done) => (options.all ? done(null, all) : lookup(host, options, done));`,
    );
    const command = 'node --env-file=service.env --import ./two.mjs server.js';
    const failed = example.start(command, { HOST: 'localhost' });
    await failed.says(/listens with more than one server/u);
    assert.equal(await failed.end(), 1);
  });
});

describe('examples/custom-driver', function () {
  this.timeout(300_000);
  let example: Example;

  before(async () => {
    await installed();
    example = await Example.copy('custom-driver');
  });
  after(() => example?.remove());

  it('passes the conformance suite, installed and run by the commands of its README', async () => {
    for (const command of example.blocks[0] ?? []) {
      const ran = await example.run(command);
      assert.equal(ran.code, 0, `${command}: ${ran.stdout}${ran.stderr}`);
      if (command !== 'npm test') continue;
      assert.match(ran.stdout, /^\S+ fail 0$/mu);
      assert.ok(Number(/^\S+ pass (\d+)$/mu.exec(ran.stdout)?.[1]) >= 30, ran.stdout);
    }
  });

  it('shows a test file that runs', async () => {
    const program = programOf('examples/custom-driver/README.md', 'suite.mjs');
    await writeFile(join(example.folder, 'suite.mjs'), program);
    const ran = await example.run('node --test suite.mjs');
    assert.equal(ran.code, 0, ran.stdout);
    assert.ok(Number(/^\S+ pass (\d+)$/mu.exec(ran.stdout)?.[1]) >= 20, ran.stdout);
  });
});

/** curl says 7 where the reset comes before it has looked at the connection, 55 before it has asked, and 56 after. */
function isReset({ code, stdout }: Ran): boolean {
  return [7, 55, 56].includes(code) && stdout === '';
}

/** As docs/gate.md says: a connection that a busy service refuses late fails with ECONNRESET. */
async function triedAgain(example: Example, command: string): Promise<Ran> {
  for (let tries = 0; ; tries += 1) {
    const ran = await example.run(command);
    if (!ran.stderr.includes('ECONNRESET') || tries === 5) return ran;
  }
}

/**
 * Connects until it is refused; gives how often it was let in. A client that is slow to get in knocks again, and what that
 * opened is there still: the server says of each opening that it was used, once.
 */
async function acceptedMore(example: Example, curl: string): Promise<number> {
  for (let accepted = 0; accepted < 5; accepted += 1) if (isReset(await example.run(curl))) return accepted;
  return assert.fail('nobody is refused');
}
