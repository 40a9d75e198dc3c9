// The text of a configuration: a new one with comments to learn from, and an old one with a client more. What an
// administrator wrote stays as it is, to the byte wherever that can be done.

import { isDeepStrictEqual } from 'node:util';
import { Document, isMap, parse, parseDocument, stringify, type YAMLMap } from 'yaml';

export interface NewConfig {
  readonly gateway: string;
  readonly interface: string;
  readonly stateDir: string;
  readonly accessKeyFile: string;
  readonly services: readonly { readonly name: string; readonly port: number }[];
  readonly user?: string;
}

/** The text of a new configuration, without clients. */
export function newConfigText({
  gateway,
  interface: device,
  stateDir,
  accessKeyFile,
  services,
  user,
}: NewConfig): string {
  const lines = services.map(({ name, port }) => `  ${scalar(name)}: { port: ${port} }`);
  const set = (line: string, comment: string): string => `${line.padEnd(30)} # ${comment}`;
  return `# portknock gateway. Check it with: portknockd --check --config THIS_FILE
# Paths are relative to this file. Times are written as 30s, 2m or 1h.

${set(`gateway: ${scalar(gateway)}`, 'what clients call this host')}
${set(`interface: ${scalar(device)}`, 'where knocks arrive (any for all interfaces)')}
${set('knock_port: 62201', 'UDP port of the knocks; nothing ever answers there')}
${set(`state_dir: ${scalar(stateDir)}`, 'which knocks were used: they must not work again')}
${user === undefined ? '' : `${set(`user: ${scalar(user)}`, 'whom the half that reads packets runs as, without rights')}\n`}${set('firewall: iptables', 'or nftables')}
${set('protect: true', "close the services' ports, like the host's other closed ports;")}
${set('', 'or drop, reject, or false when your own rules close them')}
${set(`access_key_file: ${scalar(accessKeyFile)}`, 'part of every profile: keeps strangers from the parser')}

# What is hidden. More: protocol: udp, open_for: 2m, connections: unlimited
services:
${lines.join('\n')}

${set('open_for: 30s', 'how long an unused opening lasts')}
${set('connections: 1', 'how many connections one knock admits')}

# Who may knock: portknock add-client NAME --key NAME.pub
# (NAME.pub is an ssh-ed25519 public key: the client's own, or made there with portknock keygen)
clients: {}
`;
}

/** The text with one client more. The text must be a valid configuration without that client. */
export function addClientText(text: string, name: string, entry: Readonly<Record<string, unknown>>): string {
  const line = `${scalar(name)}: ${flow(entry)}`;
  const before = (parse(text) ?? {}) as { clients?: Record<string, unknown> | null };
  const wanted = { ...before, clients: { ...before.clients, [name]: entry } };
  const spliced = splice(text, line);
  if (spliced !== null && isDeepStrictEqual(parse(spliced), wanted)) return spliced;
  // A shape that we do not splice: comments stay, spacing may change.
  const document = parseDocument(text);
  if (!isMap(document.get('clients', true))) document.set('clients', document.createNode({}));
  const node = document.createNode(entry);
  if (isMap(node)) node.flow = true;
  document.setIn(['clients', name], node);
  return document.toString({ lineWidth: 0 });
}

/** Puts the line behind the last client of a block map, or in place of `{}`; `null` where there is neither. */
function splice(text: string, line: string): string | null {
  const document = parseDocument(text);
  if (!document.has('clients')) return `${text.replace(/\n*$/u, '\n')}\nclients:\n  ${line}\n`;
  const clients = document.get('clients', true);
  if (!isMap(clients) || !clients.range) return null;
  const [start, end] = clients.range;
  if (/^\{\s*\}$/u.test(text.slice(start, end)))
    return `${text.slice(0, start).trimEnd()}\n  ${line}${text.slice(end)}`;
  if (clients.flow === true || clients.items.length === 0) return null;
  return insertAfter(text, lastCharacter(text, clients, end), `${indentAt(text, start)}${line}`);
}

/** A block map's end may lie behind empty lines and comments that belong to what follows. */
function lastCharacter(text: string, clients: YAMLMap, end: number): number {
  const last = clients.items.at(-1)?.value as { range?: readonly number[] | null } | null | undefined;
  return text.slice(0, last?.range?.[1] ?? end).trimEnd().length;
}

function insertAfter(text: string, offset: number, line: string): string {
  const newline = text.indexOf('\n', offset);
  return newline < 0 ? `${text}\n${line}\n` : `${text.slice(0, newline)}\n${line}${text.slice(newline)}`;
}

function indentAt(text: string, offset: number): string {
  return text.slice(text.lastIndexOf('\n', offset - 1) + 1, offset);
}

function flow(entry: Readonly<Record<string, unknown>>): string {
  const document = new Document(entry);
  if (isMap(document.contents)) document.contents.flow = true;
  return document.toString({ lineWidth: 0 }).trim().replaceAll('[ ', '[').replaceAll(' ]', ']');
}

/** A word as YAML, quoted when it must be. */
function scalar(word: string): string {
  return stringify(word, { lineWidth: 0 }).trim();
}
