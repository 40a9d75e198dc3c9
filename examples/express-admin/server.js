// A service with two ports: one for everybody, and one for admins that lets nobody in who has not knocked.

import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { basename } from 'node:path';
import express from 'express';
import { fileReplay, gate, KnockListener, printable, spa, udpSocket } from 'portknock';
import {
  ACCESS_KEY_FILE,
  ADMIN_PORT,
  ADMINS,
  GATEWAY,
  HOST,
  KNOCK_PORT,
  OPEN_FOR_MS,
  PUBLIC_PORT,
  REPLAY_FILE,
} from './settings.js';

const open = express();
open.get('/', (_request, response) => {
  response.send('hello, everybody\n');
});

const admin = express();
admin.get('/stats', (_request, response) => {
  response.send(`up for ${Math.round(process.uptime())} s\n`);
});

const openServer = createServer(open);
const adminServer = createServer(admin);

const clients = await readClients();
const listener = new KnockListener({
  // Plain UDP: no root, no native code. With liveCapture() the knock port would be closed to a scan as well.
  source: udpSocket({ port: KNOCK_PORT, address: HOST }),
  schemes: [
    spa({
      gateway: GATEWAY,
      accessKeys: [await accessKey()],
      port: KNOCK_PORT,
      services: ['admin'],
      clients,
    }),
  ],
  // Guarded from this moment on, before it listens: there is no gap at the start.
  driver: gate(adminServer),
  services: { admin: { port: ADMIN_PORT, openForMs: OPEN_FOR_MS } },
  clients: Object.keys(clients).map((name) => ({ name, services: ['admin'] })),
  // On disk, so that a knock that was recorded is refused after a restart, too.
  replay: fileReplay(REPLAY_FILE),
});
listener.on('grant', ({ grant }) => console.log(`grant: ${grant.client} from ${grant.source}`));
listener.on('close', ({ grant, reason }) => console.log(`close: ${grant.client}: ${reason}`));
listener.on('reject', ({ reason, source }) => console.log(`reject: ${reason} from ${source}`));
listener.on('warning', ({ message }) => console.warn(`warning: ${message}`));
// A listener that reports an error is still safe: ports stay closed.
listener.on('error', (error) => console.error(`error: ${printable(error.message)}`));

// One signal ends everything: no more knocks, no more connections; requests under way are answered.
const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM']) process.once(name, () => stop.abort());
const { signal } = stop;

await listener.start({ signal });
openServer.listen({ port: PUBLIC_PORT, host: HOST, signal });
adminServer.listen({ port: ADMIN_PORT, host: HOST, signal });
await Promise.all([once(openServer, 'listening'), once(adminServer, 'listening')]);
console.log(`listening: ${HOST}:${PUBLIC_PORT} for everybody, ${HOST}:${ADMIN_PORT} for those who knock`);

/** The admins by name; their public keys are no secret. */
async function readClients() {
  const files = (await readdir(ADMINS)).filter((file) => file.endsWith('.pub'));
  const keys = await Promise.all(files.map((file) => readFile(`${ADMINS}/${file}`, 'utf8')));
  return Object.fromEntries(files.map((file, i) => [basename(file, '.pub'), { publicKey: keys[i].trim() }]));
}

async function accessKey() {
  return Buffer.from(await readFile(ACCESS_KEY_FILE, 'utf8'), 'base64');
}
