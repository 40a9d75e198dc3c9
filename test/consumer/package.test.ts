// The packed tarball, installed in an empty folder, works from ESM, CommonJS and TypeScript, and so do its programs.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../support/ports.ts';
import { installed, runIn, runText, typeCheck } from './installed.ts';
import { oldestTypeScript } from './versions.ts';

const STRICT = ['--strict', '--exactOptionalPropertyTypes', '--skipLibCheck', 'false'];

const listenerAt = (port: number): string => `
  const listener = new KnockListener({
    source: udpSocket({ port: ${port}, address: '127.0.0.1' }),
    schemes: [oneTime({ clients: { field: { secret: Buffer.alloc(32, 7) } } })],
    driver: mock(),
    services: { ssh: { port: 22 } },
    clients: [{ name: 'field', services: ['ssh'] }],
  });
`;

describe('the packed package', function () {
  this.timeout(300_000);

  before(() => installed());

  it('brings neither pcap nor types of Node along', async () => {
    const { folder } = await installed();
    const lock = readFileSync(join(folder, 'package-lock.json'), 'utf8');
    assert.ok(!/node_modules\/(pcap|@types\/node)"/u.test(lock));
    assert.ok(existsSync(join(folder, 'node_modules/portknock')));
  });

  it('works as an ES module', async () => {
    const ran = await runText(
      'user.mjs',
      `import { KnockListener, mock, oneTime, udpSocket } from 'portknock';
       ${listenerAt(await freePort())} await listener.start(); await listener.stop(); console.log('stopped');`,
    );
    assert.deepEqual([ran.code, ran.stdout], [0, 'stopped\n'], ran.stderr);
  });

  it('works as a CommonJS module', async () => {
    const ran = await runText(
      'user.cjs',
      `const { KnockListener, mock, oneTime, udpSocket } = require('portknock');
       ${listenerAt(await freePort())} listener.start().then(() => listener.stop()).then(() => console.log('stopped'));`,
    );
    assert.deepEqual([ran.code, ran.stdout], [0, 'stopped\n'], ran.stderr);
  });

  it('has one copy of each class per module format, and tells its errors across formats', async () => {
    const ran = await runText(
      'errors.mjs',
      `import { createRequire } from 'node:module';
       import * as index from 'portknock';
       import * as knocker from 'portknock/knocker';
       const require = createRequire(import.meta.url);
       const cjs = require('portknock');
       const fault = (from) => { try { from.parseProfile('{'); } catch (error) { return error; } };
       const both = [fault(knocker), fault(require('portknock/knocker'))];
       console.log(JSON.stringify({
         esmOnce: index.Knocker === knocker.Knocker && index.KnockError === knocker.KnockError,
         cjsOnce: cjs.Knocker === require('portknock/knocker').Knocker,
         apart: index.KnockError !== cjs.KnockError,
         told: both.flatMap((error) => [index.isKnockError(error), cjs.isKnockError(error)]),
         codes: both.map(({ code }) => code),
         plain: index.isKnockError(new Error('x')),
       }));`,
    );
    assert.equal(ran.code, 0, ran.stderr);
    assert.deepEqual(JSON.parse(ran.stdout), {
      esmOnce: true,
      cjsOnce: true,
      apart: true,
      told: [true, true, true, true],
      codes: ['ERR_PROFILE', 'ERR_PROFILE'],
      plain: false,
    });
  });

  for (const [name, text] of [
    ['missing-pcap.mjs', "import { isKnockError, liveCapture } from 'portknock';"],
    ['missing-pcap.cjs', "const { isKnockError, liveCapture } = require('portknock');"],
  ] as const) {
    it(`finds its capture program and says that pcap is not installed (${name})`, async () => {
      const ran = await runText(
        name,
        `${text}
         const sink = { frame() {}, end() {}, warning() {}, dropped() {}, error() {} };
         const clock = { now: Date.now, after: (ms, run) => { const t = setTimeout(run, ms); return () => clearTimeout(t); } };
         liveCapture({ interface: 'lo' }).open({ sink, clock, needs: [] }).then(
           () => console.log('open'),
           (error) => console.log(isKnockError(error), error.code, error.message),
         );`,
      );
      assert.match(ran.stdout, /^true ERR_PCAP_ABSENT .*pcap/u, ran.stderr);
    });
  }
});

describe('the types of the packed package', function () {
  this.timeout(300_000);

  const esm = `
    import { isKnockError, KnockListener, mock, oneTime, udpSocket, type FirewallDriver, type Grant } from 'portknock';
    import { Knocker, parseProfile, type Profile } from 'portknock/knocker';
    import * as testing from 'portknock/testing';
    const driver: FirewallDriver = mock();
    export ${listenerAt(40_100).trim().replace('mock()', 'driver')}
    listener.on('grant', ({ grant, scheme }) => { const one: Grant = grant; const name: string = scheme; void [one, name]; });
    listener.on('close', ({ reason }) => { const one: 'used' | 'expired' | 'revoked' | 'superseded' = reason; void one; });
    // @ts-expect-error no such event
    listener.on('granted', () => undefined);
    // @ts-expect-error a service needs a port
    void new KnockListener({ source: udpSocket({ port: 1 }), schemes: [], driver, services: { ssh: {} }, clients: [] });
    const profile: Profile = parseProfile('{}');
    export const port: number | undefined = (await new Knocker(profile).connect('ssh')).remotePort;
    export const code = (error: unknown): string => (isKnockError(error) ? error.code : '');
    void testing;
  `;
  const cjs = `
    import portknock = require('portknock');
    import knocker = require('portknock/knocker');
    const error: portknock.KnockError = new knocker.KnockError('ERR_PROFILE', 'x');
    const code: portknock.KnockErrorCode = error.code;
    export = code;
  `;
  const files = { 'user.ts': esm, 'user.cts': cjs };
  const bundler = ['--module', 'esnext', '--moduleResolution', 'bundler'];
  const table: readonly [what: string, files: Record<string, string>, flags: readonly string[]][] = [
    ['node16, from ES modules and CommonJS', files, ['--module', 'node16']],
    ['a bundler', { 'user.ts': esm }, bundler],
  ];
  for (const [what, texts, flags] of table) {
    it(`compile strictly, library files checked too: ${what}`, async () => {
      const ran = await typeCheck(texts, [...STRICT, ...flags]);
      assert.deepEqual([ran.code, ran.stdout], [0, '']);
    });
  }

  it('compile with the oldest TypeScript that docs/node.md names', async () => {
    const compiler = await oldestTypeScript();
    const ran = await typeCheck(files, [...STRICT, '--module', 'nodenext'], compiler);
    assert.deepEqual([ran.code, ran.stdout], [0, '']);
    const { stdout } = await runIn('.', process.execPath, [compiler, '--version']);
    const [, version = ''] = /^Version (\d+\.\d+)\./u.exec(stdout) ?? [];
    assert.ok(readFileSync('docs/node.md', 'utf8').includes(`TypeScript ${version} or newer`), stdout);
  });
});

describe('the installed programs', function () {
  this.timeout(300_000);

  const version = (JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }).version;
  for (const program of ['portknock', 'portknockd']) {
    it(`answer --version and --help: ${program}`, async () => {
      const { folder } = await installed();
      const bin = join(folder, 'node_modules/.bin', program);
      const shown = await runIn(folder, bin, ['--version']);
      assert.deepEqual([shown.code, shown.stdout.trim().split(' ').at(-1)], [0, version], shown.stderr);
      const help = await runIn(folder, bin, ['--help']);
      assert.equal(help.code, 0);
      assert.match(help.stdout, new RegExp(`\\b${program}\\b`, 'u'));
    });

    it(`refuse an unknown option with exit code 2 and nothing on stdout: ${program}`, async () => {
      const { folder } = await installed();
      const ran = await runIn(folder, join(folder, 'node_modules/.bin', program), ['--no-such-option']);
      assert.deepEqual([ran.code, ran.stdout], [2, '']);
      assert.match(ran.stderr, /no-such-option/u);
    });
  }
});
