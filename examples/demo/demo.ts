// `npm run demo`: portknock's main job on the terminal. As root, or as anyone where user namespaces are allowed, in
// network namespaces with a real sshd; elsewhere, or with PORTKNOCK_DEMO=loopback, on loopback, and it says so.
// Exit 0 only when every step did what it should.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { findPlace, isOneUser } from './place.ts';
import { nodeArgv, Processes } from './processes.ts';
import { Story } from './story.ts';

const INSIDE = 'inside-namespaces';
const DIFFERENCE =
  'What is different: no ssh, but an echo service in this process; no iptables, but a gate in front of it, which ' +
  'refuses without hiding (a scan finds an open port, where a firewall would show none); no capture, but sixteen UDP ' +
  'sockets. The knock, its verification and the replay log are the real ones.';
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

process.env.PATH = `${process.env.PATH ?? '/usr/bin:/bin'}:/usr/local/sbin:/usr/sbin:/sbin`;
process.exitCode = await (process.argv[2] === INSIDE ? inNamespaces() : outside());

async function outside(): Promise<number> {
  const place = findPlace();
  return place.kind === 'loopback' ? onLoopback(place.why) : enter(place.unshare);
}

/** Runs this program again in namespaces of its own, and passes signals on. */
async function enter(flags: readonly string[]): Promise<number> {
  const inside = ['setpriv', '--pdeathsig', 'TERM', ...nodeArgv('examples/demo/demo.ts', INSIDE)];
  const child = spawn('unshare', [...flags, ...inside], { stdio: 'inherit' });
  const relay = (signal: NodeJS.Signals): void => void child.kill(signal);
  for (const signal of SIGNALS) process.on(signal, relay);
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  return code ?? 128 + constants.signals[signal ?? 'SIGKILL'];
}

async function inNamespaces(): Promise<number> {
  const { prepare, tellNamespaces } = await import('./namespaces.ts');
  const processes = await prepare();
  const story = new Story();
  story.say(
    `portknock demo, ${isOneUser() ? 'without' : 'as'} root: network namespaces, a real sshd, iptables, pcap`,
  );
  story.say('Nothing of this host is changed.');
  return perform(
    story,
    () => tellNamespaces(story, processes),
    () => processes.end(),
  );
}

async function onLoopback(why: string): Promise<number> {
  const { tellLoopback } = await import('./loopback.ts');
  const folder = await mkdtemp(join(tmpdir(), 'portknock-demo-'));
  const processes = new Processes(folder);
  const story = new Story();
  story.say('portknock demo, on loopback');
  story.say(`Without network namespaces: ${why}.`);
  story.say(DIFFERENCE);
  return perform(
    story,
    () => tellLoopback(story, processes, folder),
    async () => {
      await processes.end();
      await rm(folder, { recursive: true, force: true });
    },
  );
}

/** Plays until the end, a failure or a signal, and cleans up in any case. */
async function perform(
  story: Story,
  play: () => Promise<void>,
  cleanUp: () => Promise<void>,
): Promise<number> {
  const ended = new Promise<number>((resolve) => {
    process.on('uncaughtException', (error) => {
      story.interrupt(error.message);
      resolve(1);
    });
    for (const signal of SIGNALS) {
      process.on(signal, () => {
        story.interrupt(signal);
        resolve(128 + constants.signals[signal]);
      });
    }
  });
  const played = play().then(
    () => 0,
    () => 1,
  );
  const code = await Promise.race([played, ended]);
  await cleanUp();
  if (code === 0) story.say(`\nEvery step did what it should, in ${story.elapsed()}.`);
  else story.say('\nThe demo failed. What it had started has been ended.');
  // After a signal something may still be waiting for an event that will not come.
  process.exit(code);
}
