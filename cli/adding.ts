// One run of `portknock add-client`: which client is meant, whether the running gateway took it up, what comes next.

import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { loadConfig, type GatewayConfig, type NewClient } from '../lib/index.ts';
import { KnockError, printable } from '../lib/knocker.ts';
import { listOption, UsageError, wordOption } from './args.ts';
import { askDaemon } from './control-client.ts';
import { ADD_CLIENT } from './manual/add-client.ts';
import { reasonOf } from './private-file.ts';
import { EXIT_DONE, EXIT_FAILED, tell } from './report.ts';

/** The options that say how the client will knock. */
export interface ClientValues {
  readonly key?: string;
  readonly psk?: boolean;
  readonly 'one-time'?: boolean;
  readonly sequence?: string;
  readonly bind?: string;
  readonly digest?: string;
  readonly carrier?: string;
}

const { options } = ADD_CLIENT;
const KINDS = ['key', 'psk', 'one-time', 'sequence'] as const;
const SSH_PORT = 22;

/** @throws UsageError, KnockError `ERR_KEY` */
export async function newClientOf(values: ClientValues): Promise<NewClient> {
  const { key, psk, sequence } = values;
  const [kind, other] = KINDS.filter((name) => values[name] !== undefined);
  if (kind === undefined)
    throw new UsageError('one of --key FILE.pub, --psk, --one-time and --sequence is missing');
  if (other !== undefined) throw new UsageError(`--${kind} and --${other} exclude each other`);
  onlyWith(values, kind, 'bind', ['key', 'psk']);
  onlyWith(values, kind, 'digest', ['one-time']);
  onlyWith(values, kind, 'carrier', ['one-time']);
  if (sequence !== undefined) return { scheme: 'sequence', sequence: listOption('sequence', sequence) };
  if (values['one-time'] === true) {
    const digest = wordOption('digest', values.digest ?? 'sha256', options.digest.completes);
    return {
      scheme: 'one-time',
      digest,
      carrier: wordOption('carrier', values.carrier ?? 'udp', options.carrier.completes),
    };
  }
  const bind = wordOption('bind', values.bind ?? 'observed', options.bind.completes);
  if (psk === true) return { scheme: 'spa', psk, bind };
  return { scheme: 'spa', key: await publicKeyLine(key ?? ''), bind };
}

/** Tells a running gateway of its new client. Resolves to the exit code: a gateway that refuses is a failure. */
export async function announce(path: string): Promise<number> {
  const { stateDir } = await loadConfig(path);
  const answer = await askDaemon(stateDir, { command: 'reload' });
  if (answer === null) {
    tell(`no portknockd is running; start it: portknockd --config ${printable(path, 1000)}`);
    return EXIT_DONE;
  }
  if (answer.ok) {
    tell('portknockd has taken it up');
    return EXIT_DONE;
  }
  for (const line of answer.message.split('\n')) tell(line, 'red');
  tell('portknockd did not take it up, and keeps its old rules (portknock reload tries again)', 'yellow');
  return EXIT_FAILED;
}

/** What the client does with its profile. */
export async function tellNext(path: string, name: string, profile: string): Promise<void> {
  const config = await loadConfig(path);
  const services = config.clients.find((client) => client.name === name)?.services ?? [];
  const file = printable(basename(profile), 200);
  tell(`next: take ${printable(profile, 1000)} to the client, and there:`);
  tell(`  ${commandFor(config, services, file)}`);
}

function commandFor(config: GatewayConfig, services: readonly string[], file: string): string {
  if (services.some((service) => config.services[service]?.port === SSH_PORT)) {
    return `ssh -o ProxyCommand='portknock connect -p ${file} %h %p' ${config.gateway ?? 'HOST'}`;
  }
  return `portknock send -p ${file} ${services[0] ?? ''} --wait`;
}

function onlyWith(
  values: ClientValues,
  kind: (typeof KINDS)[number],
  option: 'bind' | 'digest' | 'carrier',
  kinds: readonly (typeof KINDS)[number][],
): void {
  if (values[option] === undefined || kinds.includes(kind)) return;
  throw new UsageError(`--${option} needs ${kinds.map((each) => `--${each}`).join(' or ')}`);
}

/** The line of FILE.pub, or of standard input for `-`. */
async function publicKeyLine(path: string): Promise<string> {
  const shown = path === '-' ? 'standard input' : printable(path, 1000);
  let text: string;
  try {
    text = path === '-' ? await textOf(process.stdin) : await readFile(path, 'utf8');
  } catch (cause) {
    throw new KnockError(
      'ERR_KEY',
      `public key cannot be read: ${shown}: ${reasonOf(cause)} (check the path)`,
      {
        cause,
      },
    );
  }
  if (text.includes('PRIVATE KEY')) {
    const advice = 'it should never leave the client; take its .pub instead';
    throw new KnockError('ERR_KEY', `public key cannot be used: ${shown} holds a private key (${advice})`);
  }
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
  const [line] = lines;
  if (line !== undefined && lines.length === 1) return line.trim();
  const advice = 'give the one line of a FILE.pub';
  throw new KnockError(
    'ERR_KEY',
    `public key cannot be used: ${shown} has ${lines.length} lines (${advice})`,
  );
}
