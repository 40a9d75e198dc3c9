// Makes the keys, once: node setup.js
// Writes service.env, the secrets of the service, and client.knock for its one client.

import { mkdir, writeFile } from 'node:fs/promises';
import { createReplayFile, createSecret, formatProfile } from 'portknock';

const { HOST = '127.0.0.1', PORT = '8443', KNOCK_PORT = '62201' } = process.env;
const bytes = (base64) => Buffer.from(base64, 'base64');

const [accessKey, secret] = [await createSecret(), await createSecret()];
const profile = formatProfile({
  scheme: 'spa',
  host: HOST,
  port: Number(KNOCK_PORT),
  gateway: 'fastify.example',
  client: 'worker',
  // A shared secret, which suits machines that have no SSH key; the service has to keep it as well.
  key: bytes(secret),
  accessKey: bytes(accessKey),
  bind: 'observed',
  services: { api: Number(PORT) },
});
await writeFile('client.knock', profile, { mode: 0o600, flag: 'wx' });
await mkdir('state', { recursive: true, mode: 0o700 });
await createReplayFile('state/replay');
await writeFile('service.env', `ACCESS_KEY=${accessKey}\nWORKER_SECRET=${secret}\n`, {
  mode: 0o600,
  flag: 'wx',
});
console.log('client.knock, service.env');
