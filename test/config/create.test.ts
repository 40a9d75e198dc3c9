// init, add-client and keygen on a real disk: private, whole, and never over something that is there.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addClient } from '../../lib/config/add-client.ts';
import { createConfig, createKeyPair, createSecret } from '../../lib/config/create.ts';
import { loadConfig } from '../../lib/config/load.ts';
import { isKnockError } from '../../lib/errors.ts';
import { parseSshPublicKey } from '../../lib/crypto/ssh-key.ts';
import { parseProfile } from '../../lib/knocker/profile.ts';

const SERVICES = [{ name: 'ssh', port: 22 }];

describe('createConfig', () => {
  it('makes a gateway whose every file is private', async () => {
    await inFolder(async (folder) => {
      const path = join(folder, 'new', 'portknockd.yaml');
      const files = await createConfig({ path, services: SERVICES, interface: 'lo', gateway: 'gw.example' });
      assert.deepEqual(files, [
        path,
        join(folder, 'new', 'gateway.key'),
        join(folder, 'new', 'state', 'replay'),
      ]);
      for (const file of files) assert.equal(await modeOf(file), 0o600, file);
      assert.equal(await modeOf(join(folder, 'new')), 0o700);
      assert.equal((await loadConfig(path)).accessKeys[0]?.length, 32);
    });
  });

  it('keeps replay state that is there already', async () => {
    await inFolder(async (folder) => {
      await mkdir(join(folder, 'state'));
      await writeFile(join(folder, 'state', 'replay'), 'precious');
      const path = join(folder, 'portknockd.yaml');
      await createConfig({ path, services: SERVICES });
      assert.equal(await readFile(join(folder, 'state', 'replay'), 'utf8'), 'precious');
    });
  });

  it('names an account that the host has, and none that it has not', async () => {
    await inFolder(async (folder) => {
      const path = join(folder, 'portknockd.yaml');
      const options = { path, services: SERVICES, interface: 'lo' };
      await assert.rejects(createConfig({ ...options, user: 'ghost' }), /account of this host, not 'ghost'/u);
      assert.deepEqual(await readdir(folder), []);
      await createConfig({ ...options, user: 'daemon' });
      assert.match(await readFile(path, 'utf8'), /^user: daemon\b/mu);
    });
  });

  for (const file of ['portknockd.yaml', 'gateway.key']) {
    it(`does nothing when ${file} is there`, async () => {
      await inFolder(async (folder) => {
        await writeFile(join(folder, file), 'mine');
        await assert.rejects(
          createConfig({ path: join(folder, 'portknockd.yaml'), services: SERVICES }),
          coded('ERR_EXISTS'),
        );
        assert.deepEqual(await readdir(folder), [file]);
        assert.equal(await readFile(join(folder, file), 'utf8'), 'mine');
      });
    });
  }
});

describe('addClient', () => {
  it('writes a profile with which the client says what the gateway expects', async () => {
    await inGateway(async (folder, path) => {
      await addClient({
        path,
        name: 'field',
        client: { scheme: 'one-time', digest: 'md5' },
        services: ['ssh'],
      });
      const profile = parseProfile(await readFile(join(folder, 'field.knock'), 'utf8'));
      const [client] = (await loadConfig(path)).clients;
      assert.ok(client?.scheme === 'one-time' && profile.scheme === 'one-time');
      assert.deepEqual(Buffer.from(profile.secret), Buffer.from(client.key.secret));
      const { digest, knocks, ports, step, carrier, host, services } = profile;
      assert.deepEqual(
        { digest, knocks, ports, step, carrier },
        { digest: 'md5', knocks: 5, ports: [20000, 52767], step: 10, carrier: 'udp' },
      );
      assert.deepEqual([host, services], ['gw.example', { ssh: 22 }]);
      for (const file of ['field.key', 'field.knock']) assert.equal(await modeOf(join(folder, file)), 0o600);
    });
  });

  it('gives each client its own secret', async () => {
    await inGateway(async (folder, path) => {
      for (const name of ['a', 'b'])
        await addClient({ path, name, client: { scheme: 'one-time' }, services: ['ssh'] });
      const [a, b] = await Promise.all(
        ['a.key', 'b.key'].map((file) => readFile(join(folder, file), 'utf8')),
      );
      assert.notEqual(a, b);
      assert.deepEqual(
        (await loadConfig(path)).clients.map(({ name }) => name),
        ['a', 'b'],
      );
    });
  });

  it('chooses ports that a bound socket hears', async () => {
    await inGateway(async (_, path) => {
      await writeFile(path, (await readFile(path, 'utf8')).replace(/interface: lo/u, 'socket: 40000-40015'));
      await addClient({ path, name: 'a', client: { scheme: 'one-time' }, services: ['ssh'] });
      const [client] = (await loadConfig(path)).clients;
      assert.ok(client?.scheme === 'one-time');
      assert.deepEqual(client.key.ports, [40000, 40015]);
    });
  });

  it('keeps the mode of the configuration, and the link that leads to it', async () => {
    await inGateway(async (folder, path) => {
      await chmod(path, 0o640);
      const link = join(folder, 'link.yaml');
      await symlink(path, link);
      await addClient({ path: link, name: 'a', client: { scheme: 'one-time' }, services: ['ssh'] });
      assert.equal(await modeOf(path), 0o640);
      assert.ok((await readFile(path, 'utf8')).includes('  a: {'));
      assert.deepEqual((await readdir(folder)).sort(), [
        'a.key',
        'a.knock',
        'gateway.key',
        'link.yaml',
        'portknockd.yaml',
        'state',
      ]);
    });
  });

  const refusals: readonly [
    what: string,
    options: Partial<Parameters<typeof addClient>[0]>,
    error: assert.AssertPredicate,
  ][] = [
    ['a name that is taken', { name: 'taken' }, coded('ERR_EXISTS')],
    ['a profile that is there', { out: 'gateway.key' }, coded('ERR_EXISTS')],
    ['a key file that is there', { name: 'gateway' }, coded('ERR_EXISTS')],
    ['a name that leads elsewhere', { name: '../x' }, RangeError],
    ['a service that is not configured', { services: ['constructor'] }, RangeError],
    ['a host that is none', { host: 'a b' }, coded('ERR_PROFILE')],
    [
      'a sequence of neighbours',
      { client: { scheme: 'sequence', sequence: ['1/tcp', '2/tcp'] } },
      coded('ERR_CONFIG'),
    ],
  ];
  for (const [what, options, error] of refusals) {
    it(`changes nothing for ${what}`, async () => {
      await inGateway(async (folder, path) => {
        await addClient({ path, name: 'taken', client: { scheme: 'one-time' }, services: ['ssh'] });
        const before = await contents(folder);
        const out = options.out === undefined ? {} : { out: join(folder, options.out) };
        const client = { scheme: 'one-time' } as const;
        await assert.rejects(
          addClient({ path, name: 'new', client, services: ['ssh'], ...options, ...out }),
          error,
        );
        assert.deepEqual(await contents(folder), before);
      });
    });
  }
});

describe('createKeyPair', () => {
  it('writes a private key that ssh-keygen reads, and its public line', async () => {
    await inFolder(async (folder) => {
      const path = join(folder, 'alice');
      assert.deepEqual(await createKeyPair({ path, comment: 'alice@laptop' }), [path, `${path}.pub`]);
      const line = await readFile(`${path}.pub`, 'utf8');
      assert.equal(parseSshPublicKey(line)?.comment, 'alice@laptop');
      assert.equal(execFileSync('ssh-keygen', ['-y', '-f', path], { encoding: 'utf8' }), line);
      assert.equal(await modeOf(path), 0o600);
    });
  });

  for (const file of ['alice', 'alice.pub']) {
    it(`does nothing when ${file} is there`, async () => {
      await inFolder(async (folder) => {
        await writeFile(join(folder, file), 'mine');
        const making = createKeyPair({ path: join(folder, 'alice'), comment: '' });
        await assert.rejects(making, coded('ERR_EXISTS'));
        assert.deepEqual(await contents(folder), [`${file}: mine`]);
      });
    });
  }

  it('leaves nothing behind when the directory is not there', async () => {
    await inFolder((folder) =>
      assert.rejects(createKeyPair({ path: join(folder, 'no', 'a'), comment: '' }), coded('ERR_WRITE')),
    );
  });
});

describe('createSecret', () => {
  it('writes 32 bytes in base64 to a private file, and never over another', async () => {
    await inFolder(async (folder) => {
      const path = join(folder, 'a.key');
      const secret = await createSecret(path);
      assert.equal(await readFile(path, 'utf8'), `${secret}\n`);
      assert.equal(Buffer.from(secret, 'base64').length, 32);
      assert.equal(await modeOf(path), 0o600);
      await assert.rejects(createSecret(path), coded('ERR_EXISTS'));
      assert.equal(await readFile(path, 'utf8'), `${secret}\n`);
    });
  });

  it('says so when the directory is not there', async () => {
    await inFolder((folder) => assert.rejects(createSecret(join(folder, 'no', 'a.key')), coded('ERR_WRITE')));
  });
});

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'portknock-config-'));
  try {
    await body(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function inGateway(body: (folder: string, path: string) => Promise<void>): Promise<void> {
  return inFolder(async (folder) => {
    const path = join(folder, 'portknockd.yaml');
    await createConfig({ path, services: SERVICES, interface: 'lo', gateway: 'gw.example' });
    await body(folder, path);
  });
}

async function contents(folder: string): Promise<readonly string[]> {
  const names = (await readdir(folder)).filter((name) => name !== 'state').sort();
  return Promise.all(names.map(async (name) => `${name}: ${await readFile(join(folder, name), 'utf8')}`));
}

async function modeOf(path: string): Promise<number> {
  return (await stat(path)).mode & 0o777;
}

function coded(code: string): (error: unknown) => boolean {
  return (error) => isKnockError(error) && error.code === code;
}
