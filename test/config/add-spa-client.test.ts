// add-client for SPA clients on a real disk: what gets into the configuration and the profile, and two at a time.

import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addClient, type AddClientOptions } from '../../lib/config/add-client.ts';
import { createConfig } from '../../lib/config/create.ts';
import { loadConfig } from '../../lib/config/load.ts';
import { isKnockError } from '../../lib/errors.ts';
import { parseProfile } from '../../lib/knocker/profile.ts';
import { KEY, OTHER_KEY, publicKey, RSA_KEY } from './support.ts';

const SERVICES = [
  { name: 'ssh', port: 22 },
  { name: 'admin', port: 8443 },
];

describe('addClient for a public key', () => {
  it('puts the key into the configuration, and no secret of the client anywhere', async () => {
    await inGateway(async (folder, path) => {
      const before = await readFile(path, 'utf8');
      const key = `  ${KEY}\talice@laptop\n`;
      const { profile, files } = await addClient({ path, name: 'alice', client: { scheme: 'spa', key } });
      assert.deepEqual(files, [path, join(folder, 'alice.knock')]);
      const line = `  alice: { scheme: spa, key: ${KEY} alice@laptop, services: [ssh, admin] }\n`;
      assert.equal(await readFile(path, 'utf8'), before.replace('clients: {}\n', `clients:\n${line}`));
      const [client] = (await loadConfig(path)).clients;
      assert.ok(client?.scheme === 'spa');
      assert.deepEqual(client.key, { publicKey: `${KEY} alice@laptop` });
      const accessKey = Buffer.from((await readFile(join(folder, 'gateway.key'), 'utf8')).trim(), 'base64');
      assert.deepEqual(parseProfile(await readFile(profile, 'utf8')), {
        host: 'gw.example',
        client: 'alice',
        scheme: 'spa',
        services: { ssh: 22, admin: 8443 },
        gateway: 'gw.example',
        port: 62201,
        accessKey,
        key: `${KEY} alice@laptop`,
        bind: 'observed',
      });
      assert.equal((await stat(profile)).mode & 0o777, 0o600);
    });
  });

  it('takes a comment that would mean something in YAML as it is', async () => {
    for (const comment of ['a: b', 'x # y', '"q', '{a}', '- [1], 2', '\u001b[2J', "it's"]) {
      await inGateway(async (_, path) => {
        const client = { scheme: 'spa', key: `${KEY} ${comment}` } as const;
        await addClient({ path, name: 'alice', client, services: ['ssh'] });
        const [added] = (await loadConfig(path)).clients;
        assert.ok(added?.scheme === 'spa' && 'publicKey' in added.key);
        const shown = comment.replace('\u001b', '').trim();
        assert.equal(added.key.publicKey, `${KEY} ${shown}`, comment);
      });
    }
  });

  it('says what the gateway is called, where its knocks go and how they are bound', async () => {
    await inGateway(async (_, path) => {
      const text = (await readFile(path, 'utf8')).replace('knock_port: 62201', 'knock_port: 40000');
      await writeFile(path, text);
      const client = { scheme: 'spa', key: KEY, bind: 'prefix' } as const;
      const { profile } = await addClient({
        path,
        name: 'a@b',
        client,
        host: '192.0.2.1',
        services: ['admin'],
      });
      const { host, client: name, services, ...rest } = parseProfile(await readFile(profile, 'utf8'));
      assert.ok(rest.scheme === 'spa');
      assert.deepEqual(
        [host, name, services, rest.gateway, rest.port, rest.bind],
        ['192.0.2.1', 'a@b', { admin: 8443 }, 'gw.example', 40000, 'prefix'],
      );
      const [added] = (await loadConfig(path)).clients;
      assert.ok(added?.scheme === 'spa' && added.bind === 'prefix');
    });
  });

  it('gives the first access key while there are two', async () => {
    await inGateway(async (folder, path) => {
      const fresh = Buffer.alloc(32, 0x77);
      await writeFile(join(folder, 'new.key'), fresh.toString('base64'), { mode: 0o600 });
      const text = await readFile(path, 'utf8');
      await writeFile(
        path,
        text.replace('access_key_file: gateway.key', 'access_key_file: [new.key, gateway.key]'),
      );
      const { profile } = await addClient({ path, name: 'a', client: { scheme: 'spa', key: KEY } });
      const parsed = parseProfile(await readFile(profile, 'utf8'));
      assert.ok(parsed.scheme === 'spa');
      assert.deepEqual(parsed.accessKey, fresh);
    });
  });
});

describe('addClient for a shared secret', () => {
  it('writes the secret beside the configuration and into the profile', async () => {
    await inGateway(async (folder, path) => {
      const { files } = await addClient({
        path,
        name: 'pi',
        client: { scheme: 'spa', psk: true, bind: 'exact' },
      });
      assert.deepEqual(files, [path, join(folder, 'pi.key'), join(folder, 'pi.knock')]);
      const profile = parseProfile(await readFile(join(folder, 'pi.knock'), 'utf8'));
      const [client] = (await loadConfig(path)).clients;
      assert.ok(client?.scheme === 'spa' && 'secret' in client.key && profile.scheme === 'spa');
      assert.deepEqual(profile.key, client.key.secret);
      assert.deepEqual([client.bind, profile.bind], ['exact', 'exact']);
      assert.equal((await stat(join(folder, 'pi.key'))).mode & 0o777, 0o600);
    });
  });
});

describe('a sealed profile', () => {
  it('is what the seal makes of it', async () => {
    await inGateway(async (_, path) => {
      let given = '';
      const seal = (text: string): Promise<string> => {
        given = text;
        return Promise.resolve('sealed\n');
      };
      const { profile } = await addClient({ path, name: 'a', client: { scheme: 'spa', key: KEY }, seal });
      assert.equal(await readFile(profile, 'utf8'), 'sealed\n');
      assert.equal(parseProfile(given).client, 'a');
    });
  });

  it('is not asked for when its place is taken', async () => {
    await inGateway(async (folder, path) => {
      await writeFile(join(folder, 'a.knock'), 'mine');
      const seal = (): Promise<string> => Promise.reject(new Error('asked'));
      const adding = addClient({ path, name: 'a', client: { scheme: 'spa', key: KEY }, seal });
      await assert.rejects(adding, coded('ERR_EXISTS'));
    });
  });
});

describe('addClient changes nothing', () => {
  const spa = (key: string): AddClientOptions['client'] => ({ scheme: 'spa', key });
  const rows: readonly [what: string, options: Partial<AddClientOptions>, error: assert.AssertPredicate][] = [
    ['for a key of another type', { client: spa(RSA_KEY) }, /^RangeError: key must not be of type ssh-rsa/u],
    ['for a key that is cut off', { client: spa(KEY.slice(0, -8)) }, /^RangeError: key must be an OpenSSH/u],
    [
      'for a key with options',
      { client: spa(`restrict ${KEY}`) },
      /^RangeError: key must be an OpenSSH public key/u,
    ],
    [
      'for a private key, and says no word of it',
      { client: spa(`-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNza`) },
      /^RangeError: key must be the public one, this is a private key [^b]*\(paste the line of the \.pub file; the private one stays with the client\)$/u,
    ],
    ['for a key that another client has', { client: spa(`${OTHER_KEY} x`) }, coded('ERR_CONFIG')],
    [
      'when the seal fails',
      { seal: () => Promise.reject(new Error('no password')) },
      /^Error: no password$/u,
    ],
    ['for a service that is not configured', { services: ['web'] }, RangeError],
  ];
  for (const [what, options, error] of rows) {
    it(what, async () => {
      await inGateway(async (folder, path) => {
        await addClient({ path, name: 'taken', client: spa(`${OTHER_KEY} taken`) });
        const before = await contents(folder);
        await assert.rejects(addClient({ path, name: 'new', client: spa(KEY), ...options }), error);
        assert.deepEqual(await contents(folder), before);
      });
    });
  }

  it('when somebody else changes the configuration meanwhile', async () => {
    await inGateway(async (folder, path) => {
      const seal = async (text: string): Promise<string> => {
        await writeFile(path, `${await readFile(path, 'utf8')}# by hand\n`);
        return text;
      };
      const adding = addClient({ path, name: 'a', client: { scheme: 'spa', psk: true }, seal });
      await assert.rejects(adding, /file was changed by somebody else meanwhile/u);
      assert.deepEqual(await readdir(folder), ['gateway.key', 'portknockd.yaml', 'state']);
      assert.match(await readFile(path, 'utf8'), /clients: \{\}\n# by hand\n$/u);
    });
  });

  it('while somebody else is writing the configuration, and leaves that alone', async () => {
    await inGateway(async (folder, path) => {
      await writeFile(join(folder, '.portknockd.yaml.lock'), 'theirs');
      const before = await contents(folder);
      await assert.rejects(
        addClient({ path, name: 'a', client: { scheme: 'spa', psk: true } }),
        (error) =>
          coded('ERR_WRITE')(error) &&
          /is being changed by somebody else: .* remove .*\/\.portknockd\.yaml\.lock\)$/u.test(String(error)),
      );
      assert.deepEqual(await contents(folder), before);
    });
  });
});

describe('clients that are added at the same time', () => {
  it('are in the configuration, or refused: none is lost', async () => {
    await inGateway(async (folder, path) => {
      const names = Array.from({ length: 12 }, (_, i) => `c${i}`);
      let waiting = [...names];
      while (waiting.length > 0) {
        const outcomes = await Promise.allSettled(
          waiting.map((name, i) =>
            addClient({
              path,
              name,
              client: { scheme: 'spa', key: publicKey(names.indexOf(name) * 256 + i) },
            }),
          ),
        );
        const refused = outcomes.flatMap((outcome, i) =>
          outcome.status === 'rejected' && coded('ERR_WRITE')(outcome.reason) ? [waiting[i] ?? ''] : [],
        );
        assert.ok(refused.length < waiting.length, 'somebody must get through');
        const added = names.filter((name) => !refused.includes(name));
        const { clients } = await loadConfig(path);
        assert.deepEqual(clients.map(({ name }) => name).sort(), [...added].sort());
        const profiles = (await readdir(folder)).filter((name) => name.endsWith('.knock'));
        assert.deepEqual(profiles.sort(), added.map((name) => `${name}.knock`).sort());
        waiting = refused;
      }
    });
  });
});

function inGateway(body: (folder: string, path: string) => Promise<void>): Promise<void> {
  return inFolder(async (folder) => {
    const path = join(folder, 'portknockd.yaml');
    await createConfig({ path, services: SERVICES, interface: 'lo', gateway: 'gw.example' });
    await body(folder, path);
  });
}

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'portknock-add-'));
  try {
    await body(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function contents(folder: string): Promise<readonly string[]> {
  const names = (await readdir(folder)).filter((name) => name !== 'state').sort();
  return Promise.all(names.map(async (name) => `${name}: ${await readFile(join(folder, name), 'utf8')}`));
}

function coded(code: string): (error: unknown) => boolean {
  return (error) => isKnockError(error) && error.code === code;
}
