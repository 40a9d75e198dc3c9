// The programs of docs/node.md, run as they stand there, against a server behind a gate that only a knock opens.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { formatProfile, gate, KnockListener, memoryReplay, spa, udpSocket } from '../../lib/index.ts';
import { programOf } from '../docs/blocks.ts';
import { freePort } from '../support/ports.ts';
import { installed, runText } from './installed.ts';

const PAGE = 'docs/node.md';

describe('the recipes of docs/node.md', function () {
  this.timeout(300_000);
  let server: Server;
  let listener: KnockListener;
  let grants = 0;

  before(async () => {
    const { folder } = await installed();
    await symlink(resolve('node_modules/undici'), join(folder, 'node_modules/undici')).catch(() => undefined);
    server = createServer((_request, response) => response.end('behind the gate\n'));
    const accessKey = randomBytes(32);
    const secret = randomBytes(32);
    const knockPort = await freePort();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    listener = new KnockListener({
      source: udpSocket({ port: knockPort, address: '127.0.0.1' }),
      schemes: [
        spa({
          gateway: 'gw.example',
          accessKeys: [accessKey],
          port: knockPort,
          services: ['web'],
          clients: { me: { secret } },
        }),
      ],
      driver: gate(server),
      replay: memoryReplay(),
      services: { web: { port } },
      clients: [{ name: 'me', services: ['web'] }],
    });
    listener.on('grant', () => (grants += 1));
    await listener.start();
    const profile = formatProfile({
      host: '127.0.0.1',
      client: 'me',
      scheme: 'spa',
      gateway: 'gw.example',
      port: knockPort,
      accessKey,
      key: secret,
      bind: 'observed',
      services: { web: port },
    });
    await writeFile(join(folder, 'client.knock'), profile, { mode: 0o600 });
  });

  after(async () => {
    await listener.stop();
    server.close();
  });

  for (const [index, name] of ['with-http.mjs', 'with-undici.mjs'].entries()) {
    it(`gets through a knock ${name}`, async () => {
      const ran = await runText(name, programOf(PAGE, name), {});
      assert.deepEqual([ran.code, ran.stdout], [0, 'behind the gate\n'], ran.stderr);
      assert.ok(grants > index, 'it was the knock that opened');
    });
  }

  it('are refused without a knock', async () => {
    const { port } = server.address() as AddressInfo;
    // A client that is slow to get in knocks again.
    for (const { id } of listener.grants) await listener.revoke(id);
    await assert.rejects(fetch(`http://127.0.0.1:${port}/`));
  });
});
