// Who signs the knocks of a profile with a public key: the first place that has the private half. Nothing is signed
// to find out, and no passphrase is asked for a key that is another.

import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { agentSigner, KnockError, keySigner, printable, type Profile, type Signer } from '../lib/knocker.ts';
import { askAgent } from './agent-keys.ts';
import { UsageError } from './args.ts';
import { withSecret } from './password.ts';
import { readPrivate } from './private-file.ts';
import { keyBlobOf, keyNameOf } from './public-key.ts';

/** Nobody to sign, and why. */
interface Nobody {
  readonly why: string;
}

/** Names in ~/.ssh; the second is what `portknock keygen` writes. */
const USUAL_FILES = ['id_ed25519', 'portknock_ed25519'];

/**
 * The signer of `-i FILE`, PORTKNOCK_KEY (text or path), the ssh-agent or ~/.ssh, in this order; `undefined` for a
 * profile that needs none.
 *
 * @throws KnockError `ERR_KEY` when there is none or the one that was named does not fit, `ERR_PASSWORD`
 */
export async function identityOf(profile: Profile, option: string | undefined): Promise<Signer | undefined> {
  if (profile.scheme !== 'spa' || typeof profile.key !== 'string') {
    if (option === undefined) return undefined;
    throw new UsageError('-i needs a profile with a public key, and this one has a secret of its own');
  }
  const { key } = profile;
  const named = option ?? process.env.PORTKNOCK_KEY ?? '';
  if (named !== '') return namedKey(key, named, option === undefined);
  const agent = await agentKey(key);
  return 'why' in agent ? ((await usualKey(key)) ?? refuse(key, agent.why)) : agent;
}

/** Where `portknock keygen` puts a key unless told otherwise. */
export function usualKeyFile(): string {
  return join(sshFolder(), 'portknock_ed25519');
}

async function namedKey(key: string, named: string, mayBeText: boolean): Promise<Signer> {
  const isText = mayBeText && named.trimStart().startsWith('-----');
  const name = isText ? 'PORTKNOCK_KEY' : printable(named, 1000);
  const text = isText ? named : await readKeyFile(named);
  if (holds(text, key)) return signerOf(text, name);
  // What is no private key at all is refused here with words of its own.
  const other = await unlessEncrypted(text);
  const got =
    other === null ? '' : `, and is ${keyNameOf(`- ${Buffer.from(other.publicKey).toString('base64')}`)}`;
  throw new KnockError(
    'ERR_KEY',
    `private key is not that of the profile: ${name} is not ${keyNameOf(key)}${got} (name the right one)`,
  );
}

async function agentKey(key: string): Promise<Signer | Nobody> {
  const { SSH_AUTH_SOCK: socketPath = '' } = process.env;
  if (socketPath === '') return { why: 'there is no ssh-agent (SSH_AUTH_SOCK is not set)' };
  const publicKey = keyBlobOf(key);
  const found = await askAgent(socketPath, publicKey);
  switch (found) {
    case 'holds':
      return agentSigner({ socketPath, publicKey });
    case 'lacks':
      return { why: 'the ssh-agent does not have it, or is locked (ssh-add -X)' };
    case 'silent':
      return { why: `no ssh-agent answers at ${printable(socketPath)}` };
  }
}

async function usualKey(key: string): Promise<Signer | undefined> {
  for (const path of USUAL_FILES.map((name) => join(sshFolder(), name))) {
    // What cannot be read is not there for us; the message in the end names it.
    const [text, line] = await Promise.all(
      [path, `${path}.pub`].map((file) => readFile(file, 'utf8').catch(() => '')),
    );
    if (holds(text ?? '', key) || (text !== '' && keyBlobOf(line ?? '').equals(keyBlobOf(key)))) {
      return signerOf(await readKeyFile(path), printable(path, 1000));
    }
  }
  return undefined;
}

/** Asks for a passphrase only when the file is encrypted. */
async function signerOf(text: string, name: string): Promise<Signer> {
  const open = await unlessEncrypted(text);
  if (open !== null) return open;
  const secret = {
    what: `passphrase of ${name}`,
    variable: 'PORTKNOCK_PASSPHRASE',
    advice: 'set PORTKNOCK_PASSPHRASE, or ssh-add the key and use the agent',
  } as const;
  return withSecret(secret, (passphrase) => keySigner(text, { passphrase: () => passphrase }));
}

async function unlessEncrypted(text: string): Promise<Signer | null> {
  const encrypted = new Error('passphrase is not asked for yet');
  const passphrase = (): string => {
    throw encrypted;
  };
  try {
    return await keySigner(text, { passphrase });
  } catch (error) {
    if (error === encrypted) return null;
    throw error;
  }
}

function readKeyFile(path: string): Promise<string> {
  return readPrivate({ path, what: 'private key', code: 'ERR_KEY' });
}

/** A private key file in OpenSSH's format shows its public half, encrypted or not. */
function holds(text: string, key: string): boolean {
  const body = text.replace(/-----[A-Z ]+-----/gu, '');
  return Buffer.from(body, 'base64').includes(keyBlobOf(key));
}

function refuse(key: string, why: string): never {
  const files = USUAL_FILES.map((name) => printable(join(sshFolder(), name), 300)).join(' or ');
  throw new KnockError(
    'ERR_KEY',
    `private key of ${keyNameOf(key)} is not found: ${why}, and it is not ${files} (ssh-add it, or name it with -i FILE)`,
  );
}

function sshFolder(): string {
  const { HOME: home = '' } = process.env;
  return join(home === '' ? homedir() : home, '.ssh');
}
