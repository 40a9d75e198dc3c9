// The one place that starts firewall programs: an argv array, no shell, a small fixed environment, a time limit.

import { spawn } from 'node:child_process';
import { KnockError, messageOf, printable, systemCode } from '../errors.ts';

export interface RunOptions {
  /** Written to the program's standard input. */
  readonly input?: string;
  /** Killed after this long; 10,000 ms unless said. */
  readonly timeoutMs?: number;
}

/** Far above any ruleset of ours; what a program prints beyond it is cut. */
const OUTPUT_LIMIT = 16 * 1024 * 1024;

/**
 * Runs a program to its end and returns its standard output.
 *
 * @throws KnockError `ERR_FIREWALL_MISSING` when there is no such program, `ERR_FIREWALL_PERMISSION`,
 *   `ERR_FIREWALL_COMMAND` with its first line of complaint when it fails or takes too long
 */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { status, stdout, stderr } = await start(program, args, options);
  if (status === 0) return stdout;
  const ended = typeof status === 'number' ? `exit status ${status}` : status;
  const complaint = stderr.split('\n').find((line) => line.trim() !== '') ?? ended;
  if (/permission denied|you must be root|operation not permitted/iu.test(stderr)) {
    throw new KnockError(
      'ERR_FIREWALL_PERMISSION',
      `${program} may not change the firewall: ${printable(complaint)} (run as root)`,
    );
  }
  throw new KnockError('ERR_FIREWALL_COMMAND', `${program} failed: ${printable(complaint)}`);
}

function start(
  program: string,
  args: readonly string[],
  { input = '', timeoutMs = 10_000 }: RunOptions,
): Promise<{ status: string | number; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const env = { PATH: process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
    const child = spawn(program, args, {
      env,
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    const read = collect(child.stdout);
    const complain = collect(child.stderr);
    child.once('error', (error) => {
      reject(
        systemCode(error) === 'ENOENT'
          ? new KnockError(
              'ERR_FIREWALL_MISSING',
              `${program} is not installed (install the Debian package iptables)`,
              { cause: error },
            )
          : new KnockError('ERR_FIREWALL_COMMAND', `${program} cannot be started: ${messageOf(error)}`, {
              cause: error,
            }),
      );
    });
    child.once('exit', (_code, signal) => {
      if (signal === null) return;
      // What it had started itself may live on and hold the pipes open.
      child.stdout.destroy();
      child.stderr.destroy();
    });
    child.once('close', (code, signal) => {
      const killed = child.killed ? `no answer within ${timeoutMs} ms` : `killed by ${signal ?? 'a signal'}`;
      resolve({ status: code ?? killed, stdout: read(), stderr: complain() });
    });
    // A program that does not read its input is judged by its exit status.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= OUTPUT_LIMIT) chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString('utf8');
}
