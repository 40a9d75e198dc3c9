// A running process with a Knocker: for each line on standard input it connects through a knock and waits for a byte.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Knocker, parseProfile } from '../lib/knocker.ts';

const knocker = new Knocker(parseProfile(await readFile(process.argv[2] ?? '', 'utf8')));
for await (const line of createInterface({ input: process.stdin })) {
  if (line !== 'connect') continue;
  const socket = await knocker.connect('ssh');
  await once(socket, 'readable');
  socket.destroy();
  process.stdout.write('connected\n');
}
