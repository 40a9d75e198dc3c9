// The story with everything real: two hosts as network namespaces, sshd, portknockd with pcap and iptables, nmap, ssh.
// Runs inside a network and a mount namespace of its own, so that nothing of this host is touched.

import type { ChildProcess } from 'node:child_process';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { createWorld, type World } from '../../test/support/netns.ts';
import { OPEN_FOR_MS, play, type Stage } from './acts.ts';
import { isInstalled, isOneUser } from './place.ts';
import { EventQueue, type GatewayEvent } from './events.ts';
import { nodeArgv, pidsIn, Processes, says, stop } from './processes.ts';
import { readRecording } from './recording.ts';
import { startSshd } from './sshd.ts';
import { expect, type Story } from './story.ts';

/** In memory, in our mount namespace: it vanishes with us. */
const FOLDER = '/run/portknock-demo';
const CONFIG = 'portknockd.yaml';
const PORTKNOCK = 'cli/portknock.ts';
const RECORDING = 'examples/demo/recording.ts';
const NMAP = ['nmap', '-Pn', '-n'] as const;
/** No port is asked twice: nobody else is on this line to lose packets. */
const ALL_PORTS = ['-p-', '-T5', '--min-rate', '50000', '--max-retries', '0'];
const SSH = ['ssh', '-F', 'ssh_config', 'gateway'] as const;
/** For a connection that should get through, and for one that should not, seconds. */
const SSH_PATIENCE = { yes: 20, no: 1 };
/** What was sent has been recorded long before. */
const PATIENCE_MS = 5000;
const REMOTE = 'echo "I am $USER"; uname -sr';

export async function prepare(): Promise<Processes> {
  const mounts = new Processes('/');
  await mounts.must(['mount', '-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', '/run']);
  await mkdir(FOLDER);
  // sshd reads the user's public key as that user.
  await chmod(FOLDER, 0o711);
  process.env.TMPDIR = '/run';
  return new Processes(FOLDER);
}

export async function tellNamespaces(story: Story, processes: Processes): Promise<void> {
  const world = await createWorld();
  try {
    await tell(story, processes, world);
  } finally {
    await processes.end();
    await world.destroy();
  }
}

async function tell(story: Story, processes: Processes, world: World): Promise<void> {
  const address = world.address[4];
  const scan = async (args: readonly string[]): Promise<string> => {
    story.command([...NMAP, ...args, address].join(' '));
    const said = await processes.must([...NMAP, ...args, address], world.outside);
    return said.replace(/^(Starting|Warning|Nmap|Host is up|MAC Address).*$/gmu, '');
  };
  let sshd: ChildProcess;
  let portknockd: ChildProcess;
  const events = new EventQueue();

  await story.step('A gateway with sshd on port 22', async () => {
    story.note(
      `Two network namespaces: the gateway, ${address}, and the outside, ${world.client[4]}. The gateway's firewall drops all but ssh.`,
    );
    await world.gateway.must('iptables', ['-A', 'INPUT', '-p', 'tcp', '--dport', '22', '-j', 'ACCEPT']);
    await world.gateway.must('iptables', ['-P', 'INPUT', 'DROP']);
    sshd = await startSshd({ folder: FOLDER, space: world.gateway, address, processes });
    const said = await scan(['-p', '22']);
    story.quote(said);
    expect(/^22\/tcp +open/mu.test(said), 'nmap to find port 22 open', 'it did not');
    return 'anybody can see that sshd is there';
  });

  await story.step('portknock hides it', async () => {
    portknockd = await startGateway(story, processes, world, events);
    return 'port 22 is closed; the other rules are as they were';
  });

  await story.step('nmap looks for it from outside', async () => {
    const said = await scan(ALL_PORTS);
    story.quote(said);
    const silent = /All 65535 scanned ports .* ignored/u.test(said) && said.includes('65535 filtered');
    expect(silent, 'nmap to find 65535 silent ports', 'it found something else');
    return 'not one of the 65535 TCP ports answers';
  });

  await play(story, stageOf(story, processes, world, events));

  await story.step('Goodbye', async () => {
    await stop(portknockd);
    await stop(sshd);
    const status = portknockd.exitCode;
    expect(status === 0, 'portknockd to stop with exit status 0', `it was ${String(status)}`);
    const left = [...pidsIn(world.gateway), ...pidsIn(world.outside)];
    expect(left.length === 0, 'every process to have ended', `left are ${left.join(', ')}`);
    await world.destroy();
    return 'no process is left; rules and keys vanish with the namespaces';
  });
}

async function startGateway(
  story: Story,
  processes: Processes,
  { gateway, address, device }: World,
  events: EventQueue,
): Promise<ChildProcess> {
  const portknock = async (...args: readonly string[]): Promise<void> => {
    story.command(`portknock ${args.join(' ')}`);
    await processes.must(nodeArgv(PORTKNOCK, ...args), gateway);
  };
  await portknock(
    'init',
    '--dir',
    '.',
    '--user',
    'root',
    '-i',
    device,
    '--gateway',
    address[4],
    '-s',
    'ssh=22',
  );
  await portknock('add-client', 'laptop', '--one-time', '-s', 'ssh', '-c', CONFIG);
  const path = join(FOLDER, CONFIG);
  const written = await readFile(path, 'utf8');
  const openFor = `open_for: ${OPEN_FOR_MS / 1000}s`;
  await writeFile(path, written.replace(/^open_for: 30s/mu, openFor));
  story.note(`To keep this short, ${openFor} takes the place of 30s in ${CONFIG}.`);
  story.command(`portknockd -c ${CONFIG}`);
  const child = processes.start(nodeArgv('cli/portknockd.ts', '-c', CONFIG, '--log', 'json'), gateway);
  if (child.stdout !== null) {
    createInterface({ input: child.stdout }).on('line', (line) => {
      events.push(JSON.parse(line) as GatewayEvent);
    });
  }
  let complaint = '';
  child.stderr?.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
  await events.next('ready', 60_000).catch((error: unknown) => {
    throw complaint === '' ? error : new Error(`portknockd did not start: ${complaint}`);
  });
  return child;
}

function stageOf(story: Story, processes: Processes, world: World, events: EventQueue): Stage {
  const { outside } = world;
  const recording = 'knock.pcap';
  const knock = async (): Promise<number> => {
    story.command('portknock send -p laptop.knock ssh');
    const said = await processes.must(nodeArgv(PORTKNOCK, 'send', '-p', 'laptop.knock', 'ssh'), outside);
    story.quote(said);
    return Number(/\((\d+) packets\)/u.exec(said)?.[1]);
  };
  return {
    service: 'ssh',
    gateway: 'portknockd',
    events,
    async knock() {
      await knock();
    },
    async connect(should) {
      story.command(`${SSH.join(' ')} '${REMOTE}'`);
      const config = join(FOLDER, 'ssh_config');
      const patience = `ConnectTimeout ${SSH_PATIENCE[should ? 'yes' : 'no']}`;
      await writeFile(config, (await readFile(config, 'utf8')).replace(/^ConnectTimeout .*$/mu, patience));
      const { status, stdout, stderr } = await processes.run([...SSH, REMOTE], outside);
      story.quote(stdout + stderr);
      return status === 0 && stdout.startsWith('I am demo');
    },
    async knockRecorded() {
      const recorder = await startRecorder(story, processes, world, recording);
      await recorded(join(FOLDER, recording), await knock());
      await stop(recorder, 'SIGINT');
      return (await readRecording(join(FOLDER, recording))).length;
    },
    async replay() {
      story.command(`node recording.ts send ${recording}`);
      story.quote(await processes.must(nodeArgv(RECORDING, 'send', recording), outside));
    },
  };
}

/** Waits until the recorder has written so many packets. */
async function recorded(path: string, count: number): Promise<void> {
  for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await pause(50)) {
    const found = await readRecording(path).catch(() => []);
    if (found.length >= count) return;
  }
}

/** At the gateway's end of the line. tcpdump becomes another user when it is root, and fails where there is none. */
async function startRecorder(
  story: Story,
  processes: Processes,
  { gateway, device }: World,
  file: string,
): Promise<ChildProcess> {
  const tcpdump = [
    'tcpdump',
    '-Z',
    'root',
    '--immediate-mode',
    '-U',
    '-i',
    device,
    '-w',
    file,
    'udp',
  ] as const;
  const ours = ['record', device, file] as const;
  const useTcpdump = isInstalled('tcpdump') && !isOneUser();
  story.command(`${useTcpdump ? tcpdump.join(' ') : `node recording.ts ${ours.join(' ')}`} &`);
  const child = processes.start(useTcpdump ? tcpdump : nodeArgv(RECORDING, ...ours), gateway);
  await says(child, 'listening on');
  return child;
}
