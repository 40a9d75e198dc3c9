// The packed package on every Node line that it names, from the oldest version on: both module formats, a knock that
// opens, the programs. Deprecated API is an error there, and nothing may be said on stderr.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../support/ports.ts';
import { installed, runIn } from './installed.ts';
import { NODES, nodeOf } from './versions.ts';

const STRICT = ['--throw-deprecation', '--trace-warnings'];
const MANIFEST = JSON.parse(readFileSync('package.json', 'utf8')) as {
  version: string;
  engines: { node: string };
};

// Ends with one line of JSON. `portknock`, `knocker` and `testing` are what was imported or required.
const STORY = `
  const { createServer, connect } = node.net;
  const secret = Buffer.alloc(32, 7), accessKeys = [Buffer.alloc(32, 9)];
  async function story() {
    const server = createServer((socket) => socket.end('behind the gate'));
    await new Promise((done) => server.listen(0, '127.0.0.1', done));
    const { port } = server.address();
    const knockPort = Number(process.env.KNOCK_PORT);
    const listener = new portknock.KnockListener({
      source: portknock.udpSocket({ port: knockPort, address: '127.0.0.1' }),
      schemes: [portknock.spa({ gateway: 'gw', accessKeys, port: knockPort, services: ['web'], clients: { me: { secret } } })],
      driver: portknock.gate(server),
      services: { web: { port } },
      clients: [{ name: 'me', services: ['web'] }],
    });
    await listener.start();
    const profile = { host: '127.0.0.1', client: 'me', scheme: 'spa', gateway: 'gw', port: knockPort, accessKey: accessKeys[0],
      key: secret, bind: 'observed', services: { web: port } };
    const socket = await new knocker.Knocker(knocker.parseProfile(knocker.formatProfile(profile))).connect('web');
    let said = '';
    for await (const chunk of socket) said += chunk;
    await listener.stop();
    server.close();
    const sink = { frame() {}, end() {}, warning() {}, dropped() {}, error() {} };
    const clock = { now: Date.now, after: (ms, run) => { const t = setTimeout(run, ms); return () => clearTimeout(t); } };
    const pcap = await portknock.liveCapture({ interface: 'lo' }).open({ sink, clock, needs: [] }).catch((error) => error.code);
    const sealed = await knocker.sealProfile('text', 'a long password');
    const opened = await knocker.openSealed(sealed, 'a long password');
    const { version } = node.manifest;
    console.log(JSON.stringify({ node: process.versions.node, said, pcap, opened: String(opened), version, testing: typeof testing.virtualClock }));
  }
`;
const PROGRAMS = {
  'story.mjs': `
    import * as net from 'node:net';
    import * as portknock from 'portknock';
    import * as knocker from 'portknock/knocker';
    import * as testing from 'portknock/testing';
    import manifest from 'portknock/package.json' with { type: 'json' };
    const node = { net, manifest };
    ${STORY}
    await story();`,
  'story.cjs': `
    const portknock = require('portknock'), knocker = require('portknock/knocker'), testing = require('portknock/testing');
    const node = { net: require('node:net'), manifest: require('portknock/package.json') };
    ${STORY}
    story();`,
  // An ES module loaded by require() brings the ES copy of us, beside the CommonJS one: they tell each other's errors.
  'both.cjs': `
    const required = require('portknock'), { imported } = require('uses-portknock');
    let error;
    try { imported.parseProfile('{'); } catch (thrown) { error = thrown; }
    console.log(JSON.stringify([imported.KnockError === required.KnockError, required.isKnockError(error)]));`,
};

describe('the packed package', function () {
  // On a machine that has not got them yet, all of them are fetched.
  this.timeout(900_000);
  let folder = '';

  before(async function () {
    folder = (await installed()).folder;
    for (const [name, text] of Object.entries(PROGRAMS)) await writeFile(join(folder, name), text);
    const module = join(folder, 'node_modules/uses-portknock');
    await mkdir(module);
    await writeFile(
      join(module, 'package.json'),
      JSON.stringify({ name: 'uses-portknock', type: 'module', exports: './index.js' }),
    );
    await writeFile(join(module, 'index.js'), "export * as imported from 'portknock';");
    try {
      await nodeOf(NODES[0] ?? '');
    } catch (error) {
      console.log(`other versions of Node cannot be had here: ${String(error)}`);
      this.skip(); // which CI does not allow
    }
  });

  it('is tested from the very version on that it asks for', () => {
    assert.deepEqual(
      NODES.map((version) => version.split('.')[0]),
      ['20', '22', '24', '26'],
    );
    assert.equal(`>=${NODES[0]?.replace(/\.0$/u, '') ?? ''}`, MANIFEST.engines.node);
  });

  for (const version of NODES) {
    for (const name of ['story.mjs', 'story.cjs']) {
      it(`opens for a knock on Node ${version} (${name})`, async () => {
        const env = { KNOCK_PORT: String(await freePort()) };
        const ran = await runIn(folder, await nodeOf(version), [...STRICT, name], env);
        assert.deepEqual([ran.code, ran.stderr], [0, '']);
        assert.deepEqual(JSON.parse(ran.stdout), {
          node: version,
          said: 'behind the gate',
          pcap: 'ERR_PCAP_ABSENT',
          opened: 'text',
          version: MANIFEST.version,
          testing: 'function',
        });
      });
    }

    it(`can be required as the ES module that it is on Node ${version}`, async () => {
      const ran = await runIn(folder, await nodeOf(version), [...STRICT, 'both.cjs']);
      assert.deepEqual([ran.code, ran.stdout], [0, '[false,true]\n'], ran.stderr);
    });

    it(`has programs that work on Node ${version}`, async () => {
      const node = await nodeOf(version);
      const program = (name: string, ...args: string[]) =>
        runIn(folder, node, [...STRICT, join(folder, `node_modules/portknock/dist/${name}.js`), ...args]);
      for (const name of ['portknock', 'portknockd']) {
        const shown = await program(name, '--version');
        assert.deepEqual(
          [shown.code, shown.stdout.trim().split(' ').at(-1), shown.stderr],
          [0, MANIFEST.version, ''],
        );
        const help = await program(name, '--help');
        assert.deepEqual([help.code, help.stderr], [0, '']);
        assert.match(help.stdout, new RegExp(`\\b${name}\\b`, 'u'));
      }
      const gateway = await mkdtemp(join(folder, 'gateway-'));
      // No test on this host makes an account.
      const made = await program(
        'portknock',
        'init',
        '--dir',
        gateway,
        '--service',
        'ssh=22',
        '--user',
        'root',
      );
      assert.equal(made.code, 0, made.stderr);
      const config = join(gateway, 'portknockd.yaml');
      const checked = await program('portknockd', '--check', '--config', config);
      assert.equal(checked.code, 0, checked.stderr);
      await writeFile(config, 'services: 7\n');
      assert.equal((await program('portknockd', '--check', '--config', config)).code, 2);
    });
  }
});
