// What warden.test.ts starts: the half with root, and in place of the other half a program that does one thing. Without a
// kernel to end what is open: the driver is `command`.

import { readFileSync, writeFileSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { startHalves } from '../support/halves.ts';

const OTHER = '--other';
/** Node's own channel, in the other half. */
const CHANNEL = 4;

async function keep(path: string, deed: string): Promise<void> {
  const warden = await startHalves(path, {
    program: [fileURLToPath(import.meta.url), OTHER],
    greeting: deed,
    log: (event, { message }) => {
      print({ event, message });
    },
  });
  print({ ended: (await warden.ended).code });
}

async function doIt(): Promise<void> {
  const pipe = new Socket({ fd: 3 });
  const lines = createInterface({ input: pipe })[Symbol.asyncIterator]();
  const next = async () => JSON.parse(String((await lines.next()).value)) as Record<string, unknown>;
  const { greeting } = await next();
  const ask = async (fields: object): Promise<void> => {
    pipe.write(`${JSON.stringify({ id: 1, ...fields })}\n`);
    while ((await next()).id !== 1);
  };
  await ask({ kind: 'setup' });
  const grant = {
    ...{ id: 'a1', client: 'field', source: '192.0.2.7', service: 'ssh', protocol: 'tcp', port: 22 },
    ...{ connections: 1, openUntil: Date.now() + 30_000 },
  };
  await ask({ kind: 'open', grant });
  setTimeout(() => undefined, 60_000);
  if (greeting === 'garbled') writeSync(CHANNEL, 'x\n');
  if (greeting === 'endless') for (const part = Buffer.alloc(65_536, 'x'); ;) send(part);
  if (greeting === 'terminal') {
    const [, , , , , , terminal] = readFileSync('/proc/self/stat', 'latin1').split(' ');
    print({
      terminal,
      output: /^flags:\s*0?(\d+)/mu.exec(readFileSync('/proc/self/fdinfo/1', 'latin1'))?.[1],
    });
    process.exit(3);
  }
}

function send(part: Buffer): void {
  try {
    writeSync(CHANNEL, part);
  } catch (error) {
    if ((error as { code?: string }).code !== 'EAGAIN') throw error;
  }
}

function print(line: object): void {
  writeFileSync(1, `${JSON.stringify(line)}\n`);
}

const [, , role = '', ...words] = process.argv;
if (role === 'keep') await keep(words[0] ?? '', words[1] ?? '');
if (role === OTHER) await doIt();
