// An internal API, guarded as a whole by the plugin in hide.js.

import Fastify from 'fastify';
import { fileReplay, spa, udpSocket } from 'portknock';
import { hide } from './hide.js';

const { HOST = '127.0.0.1', PORT = '8443', KNOCK_PORT = '62201', ACCESS_KEY, WORKER_SECRET } = process.env;
if (!ACCESS_KEY || !WORKER_SECRET)
  throw new Error('ACCESS_KEY and WORKER_SECRET must be set (node setup.js)');

const app = Fastify({ logger: true });
app.get('/jobs', async () => ({ jobs: ['sweep', 'mow'] }));

await app.register(hide, {
  port: Number(PORT),
  openForMs: Number(process.env.OPEN_FOR_MS ?? 10_000),
  source: udpSocket({ port: Number(KNOCK_PORT), address: HOST === 'localhost' ? '127.0.0.1' : HOST }),
  schemes: [
    spa({
      gateway: 'fastify.example',
      accessKeys: [Buffer.from(ACCESS_KEY, 'base64')],
      port: Number(KNOCK_PORT),
      services: ['api'],
      clients: { worker: { secret: Buffer.from(WORKER_SECRET, 'base64') } },
    }),
  ],
  clients: [{ name: 'worker', services: ['api'] }],
  replay: fileReplay('state/replay'),
});

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void app.close());
await app.listen({ host: HOST, port: Number(PORT) });
