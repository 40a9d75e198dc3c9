// What separation-hostile.test.ts starts in a namespace: the half with root as it is, and in place of the other half a
// program that tries whatever somebody could who has taken that one over. Speaks JSON on standard output.

import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Grant } from '../../lib/firewall/driver.ts';
import { startHalves } from '../support/halves.ts';

/** A grant as no knock brings it about, and one that the configuration allows. */
export type Try = readonly [title: string, grant: Record<string, unknown>];

const OTHER = '--hostile';

export type HostileLine =
  | { readonly asked: string; readonly refused: string | null }
  | { readonly did: string; readonly failed: string | null }
  | { readonly log: string; readonly message: string }
  | { readonly ended: number };

function print(line: HostileLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** The half with root. */
async function keep(path: string, last: string): Promise<void> {
  const warden = await startHalves(path, {
    program: [fileURLToPath(import.meta.url), OTHER],
    greeting: { path, last },
    log: (log, { message }) => {
      print({ log, message });
    },
  });
  print({ ended: (await warden.ended).code });
}

/** Somebody in the place of the other half. */
async function attack(): Promise<void> {
  const pipe = new Socket({ fd: 3 });
  const lines = createInterface({ input: pipe })[Symbol.asyncIterator]();
  const next = async () => JSON.parse(String((await lines.next()).value)) as Record<string, unknown>;
  const send = (value: unknown): void => void pipe.write(`${JSON.stringify(value)}\n`);
  const begin = await next();
  const { path, last } = begin.greeting as { path: string; last: string };
  let id = 0;
  const ask = async (asked: string, fields: Record<string, unknown>): Promise<void> => {
    id += 1;
    send({ id, ...fields });
    for (let answer = await next(); ; answer = await next()) {
      if (answer.id !== id) continue;
      print({ asked, refused: answer.kind === 'refusal' ? String(answer.message) : null });
      return;
    }
  };
  send({ kind: 'hello' });
  const good: Grant = {
    ...{ id: 'a1', client: 'alice', source: '10.77.0.3', service: 'ssh', protocol: 'tcp', port: 22 },
    ...{ connections: 1, openUntil: Date.now() + 15_000 },
  };
  await ask('open before setup', { kind: 'open', grant: good });
  await ask('setup', { kind: 'setup' });
  await ask('setup again', { kind: 'setup' });
  for (const [title, changes] of grants(Date.now())) {
    await ask(title, { kind: 'open', grant: { ...good, ...changes } });
  }
  for (const filter of ['', 'tcp', 'ip or ip6', 'udp port 53', 'less 1']) {
    await ask(`capture '${filter}'`, { kind: 'capture', filter });
  }
  await ask('hold after setup', { kind: 'hold', grants: [good] });
  for (const [title, run] of deeds(path)) did(title, run);
  await refusesPort();
  // What is allowed: anybody, within limits.
  await ask('a configured service', { kind: 'open', grant: { ...good, openUntil: Date.now() + 15_000 } });
  switch (last) {
    case 'teardown':
      send({ id: id + 1, kind: 'teardown' });
      break;
    case 'channel':
      process.send?.({ kind: 'open', grant: good });
      break;
    default:
      pipe.write('x'.repeat(300_000));
  }
  setTimeout(() => undefined, 60_000);
}

function grants(now: number): readonly Try[] {
  return [
    ['a port that is not configured', { port: 23 }],
    ['a service that is not configured', { service: 'telnet' }],
    ['another port of a service', { service: 'ssh', port: 2222 }],
    ['another protocol', { protocol: 'udp' }],
    ['more connections', { connections: 16 }],
    ['unlimited connections', { connections: 'unlimited' }],
    ['a forward', { to: { host: '10.0.0.5', port: 22 } }],
    ['an hour', { openUntil: now + 3_600_000 }],
    ['everybody', { source: '0.0.0.0/0' }],
    ['half of everybody', { source: '128.0.0.0/1' }],
    ['a network', { source: '10.77.0.0/24' }],
    ['a network of IPv6', { source: 'fd77::/64' }],
    ['the unspecified address', { source: '0.0.0.0' }],
    ['loopback', { source: '127.0.0.1' }],
    ['the gateway itself', { source: '10.77.0.1' }],
    ['multicast', { source: '224.0.0.1' }],
    ['a client that is not there', { client: 'mallory' }],
    ['a service of another client', { client: 'bob' }],
    ['a client that has expired', { client: 'late' }],
    ['a client of another network', { client: 'near' }],
  ];
}

/** What root could do, done by this process itself. */
function deeds(config: string): readonly [title: string, run: () => void][] {
  const parent = process.ppid;
  const runs =
    (program: string, ...args: string[]) =>
    (): void => {
      const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
      if (status !== 0) throw new Error(error?.message ?? stderr.trim());
    };
  return [
    ['write the kernel lists', writeLists],
    ['run iptables', runs('iptables', '-P', 'INPUT', 'ACCEPT')],
    ['flush iptables', runs('iptables', '-F')],
    ['run nft', runs('nft', 'flush', 'ruleset')],
    ['read the configuration', () => void readFileSync(config)],
    [
      'write the configuration',
      () => {
        writeFileSync(config, 'firewall: mock');
      },
    ],
    ['read the shadow file', () => void readFileSync('/etc/shadow')],
    ['end the half with root', () => process.kill(parent, 'SIGKILL')],
    ['stop the half with root', () => process.kill(parent, 'SIGSTOP')],
    [
      'read its memory',
      () => {
        closeSync(openSync(`/proc/${parent}/mem`, 'r'));
      },
    ],
    ['read its environment', () => void readFileSync(`/proc/${parent}/environ`)],
    ['use its files', () => void readdirSync(`/proc/${parent}/fd`)],
    ['become root', () => process.setuid?.(0)],
    ['become root by a program', runs('setpriv', '--reuid', '0', 'true')],
    ['capture', runs('tcpdump', '-c', '1', '-i', 'gw0')],
    [
      'make a namespace of its own',
      runs('unshare', '-U', '-n', '-r', 'nsenter', '-t', String(parent), '-n', 'true'),
    ],
  ];
}

function writeLists(): void {
  const folder = '/proc/net/xt_recent';
  const lists = readdirSync(folder);
  if (lists.length === 0) throw new Error('there are none');
  for (const list of lists) writeFileSync(`${folder}/${list}`, '+10.77.0.3\n');
}

function did(title: string, run: () => void): void {
  try {
    run();
    print({ did: title, failed: null });
  } catch (error) {
    print({ did: title, failed: (error as Error).message.slice(0, 200) });
  }
}

async function refusesPort(): Promise<void> {
  const server = createServer();
  const failed = await new Promise<string | null>((resolve) => {
    server.once('error', ({ message }) => {
      resolve(message);
    });
    server.listen(80, () => {
      resolve(null);
    });
  });
  server.close();
  print({ did: 'listen on port 80', failed });
}

const [, , role = '', ...words] = process.argv;
if (role === 'keep') await keep(words[0] ?? '', words[1] ?? '');
if (role === OTHER) await attack();
