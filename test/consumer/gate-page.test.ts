// The programs of docs/gate.md, run as they stand there from the packed package, and what the page says of a cluster.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdir, mkdtemp, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import forge from 'node-forge';
import { generateSshKey } from '../../lib/crypto/ssh-key.ts';
import { createReplayFile, keySigner, Knocker, parseProfile } from '../../lib/index.ts';
import { programOf } from '../docs/blocks.ts';
import { freePort } from '../support/ports.ts';
import { Program, REFUSED, visit } from './example.ts';
import { installed, runIn } from './installed.ts';

const PAGE = 'docs/gate.md';

describe('docs/gate.md', function () {
  this.timeout(300_000);
  let folder: string;

  before(async () => {
    const consumer = (await installed()).folder;
    folder = await mkdtemp(join(consumer, 'gate-'));
    await mkdir(join(folder, 'node_modules'));
    for (const name of ['express', 'fastify'])
      await symlink(resolve('node_modules', name), join(folder, 'node_modules', name));
  });

  it('shows a service that lets in who has knocked, once (gate-admin.mjs)', async () => {
    const [admin, knock] = [await freePort(), await freePort()];
    const accessKey = Buffer.alloc(32, 9).toString('base64');
    const { privateText, publicLine } = generateSshKey('alice@laptop');
    await writeFile(join(folder, 'access.key'), `${accessKey}\n`);
    await writeFile(join(folder, 'alice.pub'), `${publicLine}\n`);
    await mkdir(join(folder, 'state'), { mode: 0o700 });
    await createReplayFile(join(folder, 'state/replay'));
    const text = programOf(PAGE, 'gate-admin.mjs')
      .replaceAll('8081', String(admin))
      .replaceAll('62201', String(knock))
      .replace("gateway: 'gw.example',", `gateway: 'gw.example', port: ${knock},`);
    await writeFile(join(folder, 'gate-admin.mjs'), text);
    const server = new Program('node gate-admin.mjs', folder, {});
    try {
      await server.says(/^ready$/u);
      assert.deepEqual(await visit(admin), REFUSED);
      const common = { portknock: 1, host: '127.0.0.1', client: 'alice', services: { admin } };
      const spa = { scheme: 'spa', gateway: 'gw.example', port: knock, access_key: accessKey };
      const profile = parseProfile(JSON.stringify({ ...common, ...spa, key: publicLine, bind: 'observed' }));
      await new Knocker(profile, { signer: await keySigner(privateText) }).knock('admin');
      await server.says(/^grant: alice$/u);
      assert.match((await visit(admin)).heard, /for those who knock\n$/u);
      assert.deepEqual(await visit(admin), REFUSED);
      assert.equal(await server.end('SIGTERM'), 0);
    } finally {
      await server.kill();
    }
  });

  it('shows servers of every kind, each of which refuses strangers (gate-servers.mjs)', async () => {
    const pem = selfSigned();
    await writeFile(join(folder, 'key.pem'), pem.key);
    await writeFile(join(folder, 'cert.pem'), pem.cert);
    await writeFile(join(folder, 'gate-servers.mjs'), programOf(PAGE, 'gate-servers.mjs'));
    const user = `import { once } from 'node:events';
      import { connect } from 'node:net';
      import { servers, driver } from './gate-servers.mjs';
      const names = Object.keys(servers);
      const services = names.map((name, i) => ({ name, protocol: 'tcp', port: i + 1, openForMs: 9000, connections: 1 }));
      await driver.setup(services, { warning: console.error });
      for (const name of names) {
        const server = servers[name].listen(0, '127.0.0.1');
        await once(server, 'listening');
        const socket = connect(server.address().port, '127.0.0.1');
        socket.write('GET / HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n');
        const [error] = await once(socket, 'error').catch((reason) => [reason]);
        console.log(name, error.code, socket.bytesRead);
        server.close();
      }`;
    await writeFile(join(folder, 'user.mjs'), user);
    const ran = await runIn(folder, process.execPath, ['user.mjs']);
    const names = ['tcp', 'tls', 'http', 'https', 'http2', 'fastify'];
    assert.deepEqual(ran.stdout, names.map((name) => `${name} ECONNRESET 0\n`).join(''), ran.stderr);
  });

  it('is right about a cluster: a warning, and a grant that only its own process knows', async () => {
    const text = `import cluster from 'node:cluster';
      import { once } from 'node:events';
      import { createServer } from 'node:net';
      import { gate } from 'portknock';
      if (cluster.isPrimary) {
        const workers = [cluster.fork({ GRANTS: '1' }), cluster.fork()];
        let ready = 0;
        for (const worker of workers) worker.on('message', (port) => (ready += 1) === 2 && console.log('port', port));
      } else {
        const server = createServer((socket) => socket.end('in'));
        const driver = gate(server);
        const service = { name: 'admin', protocol: 'tcp', port: 1, openForMs: 60000, connections: 'unlimited' };
        await driver.setup([service], { warning: (message) => console.log('warning', message) });
        const grant = { id: 'g', client: 'c', source: '127.0.0.1', service: 'admin', openUntil: Date.now() + 60000 };
        if (process.env.GRANTS) await driver.open({ ...service, ...grant });
        server.listen(0, '127.0.0.1');
        await once(server, 'listening');
        process.send(server.address().port);
      }`;
    await writeFile(join(folder, 'cluster.mjs'), text);
    const primary = new Program('node cluster.mjs', folder, {});
    try {
      await primary.says(/^warning gate: this process is one of a cluster/u);
      const [, port = ''] = (await primary.says(/^port \d+$/u)).split(' ');
      // Connections go to the processes in turn.
      const heard = [await visit(Number(port), ''), await visit(Number(port), '')].map((each) => each.heard);
      assert.deepEqual(heard.sort(), ['', 'in']);
    } finally {
      await primary.kill();
    }
  });
});

function selfSigned(): { key: string; cert: string } {
  const encoding = { type: 'pkcs1', format: 'pem' } as const;
  const { publicKey, privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: encoding,
    privateKeyEncoding: encoding,
  });
  const cert = forge.pki.createCertificate();
  cert.publicKey = forge.pki.publicKeyFromPem(publicKey);
  cert.validity.notAfter.setFullYear(cert.validity.notBefore.getFullYear() + 1);
  cert.setSubject([{ name: 'commonName', value: 'localhost' }]);
  cert.setIssuer([{ name: 'commonName', value: 'localhost' }]);
  cert.sign(forge.pki.privateKeyFromPem(privateKey), forge.md.sha256.create());
  return { key: privateKey, cert: forge.pki.certificateToPem(cert) };
}
