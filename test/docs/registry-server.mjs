// Serves a folder as a package registry, to any npm in this network namespace: NAME is NAME/index.json, its tarball
// NAME/package.tgz. Usage: node registry-server.mjs FOLDER PORT; says "ready" when it listens.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join, normalize } from 'node:path';

const [folder = '', port = ''] = process.argv.slice(2);

const server = createServer(async (request, response) => {
  const path = normalize(decodeURIComponent((request.url ?? '/').split('?')[0] ?? ''));
  const file = path.endsWith('.tgz') ? path : `${path}/index.json`;
  const body = await readFile(join(folder, file)).catch(() => null);
  response.writeHead(body === null ? 404 : 200, { connection: 'close' });
  response.end(body ?? '{"error":"not found"}');
});
server.listen(Number(port), '::', () => console.log('ready'));
