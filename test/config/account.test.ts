// The key `user`: which accounts it takes, and that what it says holds for both ways to configure.

import assert from 'node:assert/strict';
import { accountIn, CAPTURE_UID, findAccount } from '../../lib/config/account.ts';
import { recordedReader, recordingReader } from '../../lib/config/bundle.ts';
import { parseConfig } from '../../lib/config/load.ts';
import { loadOrigin } from '../../lib/config/origin.ts';
import { ConfigError } from '../../lib/config/problems.ts';
import { requireReloadable } from '../../lib/config/reload.ts';
import { NOBODY } from '../../lib/capture/live.ts';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PASSWD = [
  '# a comment:x:5:5',
  'root:x:0:0:root:/root:/bin/sh',
  'toor:x:0:0::/root:/bin/sh',
  '+nis:x:7:7',
  'portknock:x:998:997:knocks:/nonexistent:/usr/sbin/nologin',
  'wheel:x:996:0::/:/bin/false',
  'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin',
  'broken:x:12a:1::/:',
  'huge:x:4294967295:1::/:',
  'short:x',
  '',
].join('\n');
const YAML = [
  'interface: eth0',
  'services: { ssh: { port: 22 } }',
  'clients:',
  `  a: { scheme: one-time, secret: "${Buffer.alloc(32, 7).toString('base64')}", services: [ssh] }`,
  '',
].join('\n');

const read = (path: string) =>
  path === '/etc/passwd'
    ? Promise.resolve({ text: PASSWD, mode: 0o644, uid: 0, regular: true, whole: true })
    : Promise.reject(new Error(path));
const parse = (user: string) => parseConfig(`${YAML}user: ${user}\n`, { path: '/f.yaml', readFile: read });

describe('the account that reads packets', () => {
  const portknock = { name: 'portknock', uid: 998, gid: 997 };
  const found: readonly [wanted: string, account: unknown][] = [
    ['portknock', portknock],
    ['998', portknock],
    ['nis', null],
    ['# a comment', null],
    ['broken', null],
    ['huge', null],
    ['short', null],
    ['12', null],
    ['997', null],
    ['', null],
    ['port', null],
  ];
  for (const [wanted, account] of found) {
    it(`is found in the host's list, or not: '${wanted}'`, () => {
      assert.deepEqual(accountIn(PASSWD, wanted), account);
    });
  }

  it('is what the configuration says', async () => {
    assert.deepEqual((await parse('portknock')).user, portknock);
    assert.deepEqual((await parse('998')).user, portknock);
    assert.equal((await parse('root')).user, 'root');
    assert.equal((await parseConfig(YAML, { path: '/f.yaml' })).user, null);
  });

  const refused: readonly [user: string, message: RegExp][] = [
    ['ghost', /^\/f\.yaml:5:7: user must be an account of this host, not 'ghost' \(useradd /u],
    ['toor', /^\/f\.yaml:5:7: user is root by another name: 'toor' \(write root\)$/u],
    ['0', /^\/f\.yaml:5:7: user is root by another name: '0'/u],
    ['nobody', /^\/f\.yaml:5:7: user is who captures already: 'nobody'/u],
    ['wheel', /^\/f\.yaml:5:7: user has the group of root: 'wheel'/u],
    ['"a b"', /^\/f\.yaml:5:7: user must be the name or the uid of an account, not "a b"/u],
    ['[a]', /^\/f\.yaml:5:7: user must be the name or the uid/u],
  ];
  for (const [user, message] of refused) {
    it(`is refused with its place: ${user}`, async () => {
      await assert.rejects(parse(user), (error) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.message, message);
        return true;
      });
    });
  }

  it('is never who captures', () => {
    assert.equal(CAPTURE_UID, NOBODY);
  });

  it('says so when the list cannot be read', async () => {
    const options = { path: '/f.yaml', readFile: () => Promise.reject(new Error('no')) };
    await assert.rejects(parseConfig(`${YAML}user: x\n`, options), /user cannot be looked up/u);
    await assert.rejects(findAccount('x', () => Promise.reject(new Error('no'))));
  });

  it('cannot change at a reload', async () => {
    const [one, other] = await Promise.all([parse('portknock'), parse('root')]);
    assert.throws(() => {
      requireReloadable(one, other);
    }, /^KnockError: user cannot change while portknockd runs \(restart it\)$/u);
  });
});

describe('the files of a configuration', () => {
  it('are read once by root, and are all that the other half reads', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'portknock-bundle-'));
    try {
      const path = join(folder, 'portknockd.yaml');
      const secret = Buffer.alloc(32, 7).toString('base64');
      await writeFile(join(folder, 'a.key'), `${secret}\n`, { mode: 0o600 });
      await writeFile(path, YAML.replace(`secret: "${secret}"`, 'secret_file: a.key'), { mode: 0o600 });
      const { reader, read: files } = recordingReader();
      const origin = { path, user: 'root' };
      const config = await loadOrigin(origin, reader);
      await rm(folder, { recursive: true });
      const told = JSON.parse(JSON.stringify(files())) as ReturnType<typeof files>;
      assert.deepEqual(await loadOrigin(origin, recordedReader(told)), config);
      assert.equal(config.user, 'root');
      await assert.rejects(recordedReader(told).file('/etc/shadow', 100), { code: 'ENOENT' });
      await assert.rejects(recordedReader(told).file('__proto__', 100), { code: 'ENOENT' });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('are taken with the option --user in place of the key, whose mistakes are its own', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'portknock-bundle-'));
    try {
      const path = join(folder, 'knockd.conf');
      await writeFile(
        path,
        '[options]\n interface = eth0\n[ssh]\n sequence = 7000,8000\n command = /bin/true\n',
      );
      const file = await loadOrigin({ path, knockd: {}, user: 'root' });
      assert.equal(file.user, 'root');
      await assert.rejects(loadOrigin({ path, knockd: {}, user: 'no-such-account' }), {
        code: 'ERR_CONFIG',
        message: /^--user must be an account of this host, not 'no-such-account'/u,
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
