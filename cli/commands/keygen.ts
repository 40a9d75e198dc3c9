// portknock keygen: a client's key pair, or a shared secret.

import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname } from 'node:path';
import { printable } from '../../lib/knocker.ts';
import { createKeyPair, createSecret } from '../../lib/index.ts';
import { readArgs, UsageError } from '../args.ts';
import { usualKeyFile } from '../identity.ts';
import { KEYGEN } from '../manual/keygen.ts';
import { EXIT_DONE, print, tell } from '../report.ts';

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, KEYGEN);
  if (line === null) return EXIT_DONE;
  const { out, comment, secret: wantsSecret } = line.values;
  if (wantsSecret === true) {
    if (comment !== undefined) throw new UsageError('--comment and --secret exclude each other');
    const secret = await createSecret(out);
    print(out ?? secret);
    return EXIT_DONE;
  }
  const path = out ?? usualKeyFile();
  // As ssh-keygen does.
  if (out === undefined) await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  for (const file of await createKeyPair({ path, comment: comment ?? usualComment() })) print(file);
  tell(`next: take ${printable(path, 1000)}.pub to the gateway, and there:`);
  tell(`  portknock add-client ${userName('NAME')} --key ${printable(basename(path))}.pub`);
  return EXIT_DONE;
}

function usualComment(): string {
  const [host = ''] = hostname().split('.');
  return `${userName('portknock')}@${host}`;
}

function userName(otherwise: string): string {
  const { USER: name = '' } = process.env;
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/u.test(name) ? name : otherwise;
}
