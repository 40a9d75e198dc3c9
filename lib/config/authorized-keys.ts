// Clients from files in OpenSSH's authorized_keys format (design.md section 3): a line is options, a key, and the
// client's name as its comment. What a line says about whose knocks count is understood or refused.

import { printable } from '../errors.ts';
import { parseSshPublicKey, SSH_KEY_TYPE, sshKeyType } from '../crypto/ssh-key.ts';
import { authorizedClient, type AuthorizedLine, type OtherClients } from './authorized-client.ts';
import { readOptions } from './authorized-options.ts';
import { textOfFile, type FileContext } from './files.ts';
import type { SpaClientConfig } from './schema.ts';
import type { Section } from './section.ts';

/** What the clients of such a file must fit into, and where the file is. */
export interface AuthorizedContext extends OtherClients {
  readonly files: FileContext;
}

/** Says something about the current line, `at` characters into it. */
interface Report {
  readonly error: (at: number, message: string) => void;
  readonly warning: (at: number, message: string) => void;
}

/** 10,000 clients with options fit in. */
const MOST_FILE_BYTES = 8 * 1024 * 1024;
const MOST_CHARACTERS = 16_384;
/** More of them say only that it is another kind of file. */
const MOST_PROBLEMS = 100;
const PRIVATE_KEY = /^-+BEGIN [A-Z0-9 ]*PRIVATE KEY-+/mu;
const KEY_TYPE = /^(?:sk-)?(?:ssh|ecdsa)-[^\s=",]*[ \t]/u;
const ONLY_ED25519 = 'only ssh-ed25519 keys can sign knocks';

/** The clients of all files that `authorized_keys` names; lines with problems are reported. */
export async function authorizedClients(
  root: Section,
  context: AuthorizedContext,
): Promise<readonly SpaClientConfig[]> {
  const key = 'authorized_keys';
  const value = root.value(key);
  const names: readonly unknown[] = Array.isArray(value) ? value : [value];
  const clients: SpaClientConfig[] = [];
  for (const [i, name] of names.entries()) {
    if (typeof name !== 'string' || name === '') continue;
    const index = Array.isArray(value) ? i : undefined;
    const place = { key, index, name, kind: 'trusted', mostBytes: MOST_FILE_BYTES } as const;
    const file = await textOfFile(root, place, context.files);
    if (file === null) continue;
    // Its lines must not be quoted by any message.
    if (PRIVATE_KEY.test(file.text)) {
      const advice = 'put the line of the .pub file there, and the private key back to its owner';
      root.error(key, `${key} has a private key in it: ${printable(file.path, 1000)} (${advice})`, index);
    } else clients.push(...clientsOfFile(root, file, context));
  }
  return clients;
}

function clientsOfFile(
  { problems }: Section,
  { path: file, text }: { readonly path: string; readonly text: string },
  context: AuthorizedContext,
): readonly SpaClientConfig[] {
  const clients: SpaClientConfig[] = [];
  let faults = 0;
  for (const [index, raw] of text.split('\n').entries()) {
    const body = raw.trim();
    if (body === '' || body.startsWith('#')) continue;
    const indent = raw.length - raw.trimStart().length;
    const placed = (at: number, message: string) => ({
      ...{ file, line: index + 1, column: indent + at + 1, message },
    });
    if (faults >= MOST_PROBLEMS) {
      problems.errorElsewhere(
        placed(0, 'the rest was not read, after so many problems (is it the right file?)'),
      );
      break;
    }
    const report: Report = {
      error(at, message) {
        faults += 1;
        problems.errorElsewhere(placed(at, message));
      },
      warning(at, message) {
        problems.warningElsewhere(placed(at, message));
      },
    };
    const line = lineOf(body, report);
    const client = line === null ? null : authorizedClient(line, context, report.error);
    if (client !== null) clients.push(client);
  }
  return clients;
}

/** The line taken apart; `null` when it is to be skipped, or after reporting why it cannot be. */
function lineOf(text: string, report: Report): AuthorizedLine | null {
  if (text.length > MOST_CHARACTERS) {
    report.error(0, `line must have at most ${MOST_CHARACTERS} characters, not ${text.length} (shorten it)`);
    return null;
  }
  const bare = KEY_TYPE.test(text) || sshKeyType(text) !== null;
  const { options, problems, keyAt } = bare ? { options: {}, problems: [], keyAt: 0 } : readOptions(text);
  const publicKey = text.slice(keyAt ?? text.length);
  const type = sshKeyType(publicKey);
  const parsed = parseSshPublicKey(publicKey);
  if (type !== null && type !== SSH_KEY_TYPE) {
    report.warning(keyAt ?? 0, `key of type ${printable(type, 60)} is skipped: ${ONLY_ED25519}`);
    return null;
  }
  for (const { at, message } of problems) report.error(at, message);
  if (keyAt === null) return null;
  if (parsed === null) {
    report.error(keyAt, "key must be an OpenSSH public key (paste the line of the client's .pub file)");
    return null;
  }
  if (problems.length > 0) return null;
  const { blob, comment } = parsed;
  return { options, blob, publicKey, name: comment, nameAt: text.length - comment.length, keyAt };
}
