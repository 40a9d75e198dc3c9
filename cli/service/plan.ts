// What kind of service this host needs: where Node and our programs are, and what the configuration asks for.

import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { loadConfig, type GatewayConfig } from '../../lib/index.ts';
import { UsageError } from '../args.ts';
import type { Service } from './unit.ts';

/** {@link planService}'s options. */
export interface PlanOptions {
  readonly config: string;
  /** In place of the configuration's. */
  readonly user?: string | undefined;
  /** A folder that will be the root of the host. */
  readonly root: string;
  /** This program, as it was started. */
  readonly self: string;
  readonly node: string;
}

/** The service, and what is to be said about it. */
export interface Plan {
  readonly service: Service;
  readonly warnings: readonly string[];
}

const USUAL = { stateDir: '/var/lib/portknock', user: 'portknock' } as const;
/** Folders that the unit hides. */
const HIDDEN = /^\/(home|root|run\/user)\//u;
/** Of programs that keep several versions of Node: the folder is gone with the version. */
const VERSIONS = /\/(\.?nvm|\.?fnm\w*|\.?volta|\.?asdf|\.?nodenv|\.?nodebrew|mise|n\/versions)\//u;

/** @throws ConfigError when the configuration is wrong, or is missing and is not to come later (`root`) */
export async function planService(options: PlanOptions): Promise<Plan> {
  const { root, node } = options;
  const config = resolve(options.config);
  const there = join(root, config);
  const loaded = root === '/' || existsSync(there) ? await loadConfig(there) : null;
  const programs = dirname(realpathSync(options.self));
  if (options.self.endsWith('.ts'))
    throw new UsageError('portknock runs from its source (install-service is for an installed one)');
  const user = loaded?.user ?? null;
  const named = typeof user === 'string' ? user : user?.name;
  if (named !== undefined && options.user !== undefined && options.user !== named)
    throw new UsageError(
      `--user is '${options.user}', and the configuration says ${named} (change it there)`,
    );
  const legacy = loaded?.firewall.driver === 'iptables' && usesLegacy(loaded, root);
  const stateDir = loaded === null ? USUAL.stateDir : withoutRoot(loaded.stateDir, root);
  const service: Service = {
    ...{ node, programs, config, legacy, stateDir },
    user: options.user ?? named ?? USUAL.user,
    internet: legacy || (loaded !== null && needsInternet(loaded)),
    home: [node, programs, config, stateDir].some((path) => HIDDEN.test(`${path}/`)),
    writes: loaded === null ? [] : foldersWritten(loaded, root),
  };
  return { service, warnings: warningsOf(service, loaded) };
}

/** Without sockets of IPv4 and IPv6 it can capture and speak to the kernel's firewall, which is all that most gateways do. */
function needsInternet({ source, firewall, services, metrics }: GatewayConfig): boolean {
  if (source.kind === 'socket' || metrics?.kind === 'tcp') return true;
  return firewall.driver === 'command' || hasCommands(services);
}

function hasCommands(services: GatewayConfig['services']): boolean {
  return Object.values(services).some(({ commands }) => commands !== undefined);
}

/** As the iptables driver decides it: what `iptables` means here, unless only the other one holds rules. */
function usesLegacy({ firewallBackend }: GatewayConfig, root: string): boolean {
  if (firewallBackend !== 'auto') return firewallBackend === 'legacy';
  const folders = ['/usr/sbin', '/sbin', '/usr/bin', '/usr/local/sbin'];
  const program = folders.map((folder) => join(root, folder, 'iptables')).find((path) => existsSync(path));
  if (program !== undefined && realpathSync(program).includes('legacy')) return true;
  return ['ip_tables_names', 'ip6_tables_names'].some((name) => {
    try {
      return readFileSync(`/proc/net/${name}`, 'latin1').includes('filter');
    } catch {
      return false;
    }
  });
}

/** Used sequences are marked in the file that they are from, by a new one in its place. */
function foldersWritten({ clients }: GatewayConfig, root: string): readonly string[] {
  const lists = clients.flatMap((client) => (client.scheme === 'sequence-list' ? [client.file] : []));
  return [...new Set(lists.map((file) => withoutRoot(dirname(resolve(file)), root)))];
}

function withoutRoot(path: string, root: string): string {
  const folder = root.replace(/\/$/u, '');
  return path.startsWith(`${folder}/`) ? path.slice(folder.length) : path;
}

function warningsOf({ node, programs, home, user }: Service, config: GatewayConfig | null): string[] {
  const warnings: string[] = [];
  const install = 'install it for the whole host, as in /usr';
  if (VERSIONS.test(node))
    warnings.push(`node is kept by a version manager and moves with the version: ${node} (${install})`);
  if (home) {
    const what = [node, programs].some((path) => HIDDEN.test(`${path}/`))
      ? install
      : 'move it to /etc or /opt';
    warnings.push(`the service needs files in a home, so ProtectHome is read-only (${what})`);
  }
  if (user === 'root')
    warnings.push('everything runs as root (user: portknock in the configuration leaves it little)');
  if (config !== null && (config.firewall.driver === 'command' || hasCommands(config.services)))
    warnings.push(
      'your firewall programs run with the same restrictions (docs/service.md says how to loosen them)',
    );
  return warnings;
}
