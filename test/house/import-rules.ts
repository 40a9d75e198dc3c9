// Who may import what (design.md section 2), as data, and the check of an import graph against it.
// The graph is what esbuild's metafile says, so only imports that exist at run time count.

import { build, type Metafile, type Plugin } from 'esbuild';

/** Files of ours by path, each with what it imports. */
export type Graph = Readonly<Record<string, readonly Import[]>>;

export interface Import {
  /** A file of ours by its path from the root, or the name of a package or builtin. */
  readonly to: string;
  readonly ours: boolean;
  readonly dynamic: boolean;
}

interface Row {
  readonly of: RegExp;
  /** Own folders and files that it may import, besides its own folder and the leaves. */
  readonly ours: RegExp;
}

const LEAF = /^lib\/(errors|clock|address|metrics|counts|base64|duration|durable)\.ts$/u;
const NOTHING = /^$/u;

// The first row that fits a file counts. Every file of lib and cli needs one.
const ROWS: readonly Row[] = [
  { of: LEAF, ours: NOTHING },
  { of: /^lib\/prometheus\.ts$/u, ours: NOTHING },
  { of: /^lib\/(packet|crypto|replay)\//u, ours: NOTHING },
  { of: /^lib\/policy\/throttle\.ts$/u, ours: NOTHING },
  { of: /^lib\/capture\//u, ours: /^lib\/packet\//u },
  { of: /^lib\/scheme\//u, ours: /^lib\/(packet\/view\.ts|crypto\/)/u },
  { of: /^lib\/firewall\//u, ours: NOTHING },
  { of: /^lib\/policy\//u, ours: /^lib\/packet\/view\.ts$/u },
  { of: /^lib\/grant\//u, ours: /^lib\/firewall\/driver\.ts$/u },
  {
    of: /^lib\/listener\//u,
    ours: /^lib\/(grant\/|policy\/|packet\/|capture\/source\.ts|scheme\/(scheme|remark)\.ts|replay\/(store|memory)\.ts|firewall\/driver\.ts)/u,
  },
  { of: /^lib\/knocker\//u, ours: /^lib\/(crypto|scheme|packet\/view\.ts)/u },
  { of: /^lib\/config\/assemble\.ts$/u, ours: /^lib\/(?!index\.ts|testing)/u },
  // A configuration is checked by the rules that the schemes, the drivers and the profiles themselves have.
  {
    of: /^lib\/config\//u,
    ours: /^lib\/(scheme\/|crypto\/|knocker\/profile\.ts|packet\/view\.ts|firewall\/(command-template|nftables-(rules|sets)|iptables-lists|width|forward|driver)\.ts)/u,
  },
  // The half with root asks the policy and the configuration again; it has no store, no listener and no packet.
  {
    of: /^lib\/privilege\//u,
    ours: /^lib\/(capture\/|config\/|policy\/|firewall\/(driver|forward)\.ts|grant\/(lanes|record|request)\.ts|listener\/options\.ts)/u,
  },
  { of: /^lib\/testing(\.ts$|\/)/u, ours: /^lib\/(?!index\.ts|config\/|knocker)/u },
  { of: /^lib\/knocker\.ts$/u, ours: /^lib\/(knocker|scheme|crypto)\//u },
  { of: /^lib\/index\.ts$/u, ours: /^lib\/(?!index\.ts|testing)/u },
  // What commands say of themselves is data, which the build reads as well; only --help breaks it into lines.
  { of: /^cli\/manual\//u, ours: NOTHING },
  { of: /^cli\/pages\//u, ours: /^cli\/(manual\/|wrap\.ts$)/u },
  { of: /^lib\/halves\.ts$/u, ours: /^lib\/(config|privilege)\//u },
  { of: /^cli\//u, ours: /^(cli\/|lib\/(index|knocker|halves)\.ts$)/u },
];

// Packages and builtins that are kept in one place.
const KEPT: readonly { readonly name: RegExp; readonly only: RegExp; readonly dynamicOnly?: true }[] = [
  {
    name: /^(node:)?child_process$/u,
    only: /^(lib\/(firewall\/run|capture\/live|privilege\/spawn)\.ts|cli\/(notify|account)\.ts)$/u,
  },
  { name: /^prom-client$/u, only: /^lib\/prometheus\.ts$/u, dynamicOnly: true },
  { name: /^pcap$/u, only: /^lib\/capture\/child\.ts$/u, dynamicOnly: true },
  { name: /^(node-forge|bcrypt-pbkdf)$/u, only: /^lib\/crypto\/legacy\.ts$/u, dynamicOnly: true },
  { name: /^(yaml|valibot)$/u, only: /^lib\/config\//u },
  { name: /^(node:)?worker_threads$/u, only: NOTHING },
];

// What must not be reachable at all from a place, by any path of imports, lazy ones included.
const NEVER_REACHED: readonly { readonly from: RegExp; readonly to: RegExp }[] = [
  {
    from: /^lib\/knocker(\.ts$|\/)/u,
    to: /^(lib\/(capture|firewall|replay|grant|config|listener)\/|(node:)?(fs|fs\/promises|child_process)$|pcap$|yaml$|valibot$)/u,
  },
  {
    from: /^lib\/(scheme|packet|crypto)\//u,
    to: /^(node:)?(fs|fs\/promises|dgram|timers|child_process)$/u,
  },
];

const LIBRARY_BUILTINS = /^node:/u;
const PACKAGES = /^(bcrypt-pbkdf|debug|node-forge|valibot|yaml|pcap|prom-client|mocha)$/u;

/** Every broken rule, one line each. */
export function importFaults(graph: Graph): readonly string[] {
  return [
    ...Object.keys(graph).flatMap((file) => faultsOf(file, graph)),
    ...cycles(graph),
    ...reached(graph),
  ];
}

function faultsOf(file: string, graph: Graph): readonly string[] {
  const row = ROWS.find(({ of }) => of.test(file));
  if (row === undefined) return [`${file} has no row in the import table`];
  return (graph[file] ?? []).flatMap((each) =>
    each.ours ? ownFault(file, row, each.to) : foreignFault(file, each),
  );
}

function ownFault(file: string, row: Row, to: string): readonly string[] {
  if (to === 'lib/index.ts' && !file.startsWith('cli/')) return [`${file} imports ${to}, which is for users`];
  const sameFolder = folderOf(file) === folderOf(to) && folderOf(file) !== 'lib';
  return sameFolder || row.ours.test(to) || (LEAF.test(to) && !LEAF.test(file) && !file.startsWith('cli/'))
    ? []
    : [`${file} may not import ${to}`];
}

function foreignFault(file: string, { to, dynamic }: Import): readonly string[] {
  if (!LIBRARY_BUILTINS.test(to) && !PACKAGES.test(to))
    return [`${file} imports ${to}, which is no dependency`];
  if (file.startsWith('cli/') && !LIBRARY_BUILTINS.test(to)) return [`${file} may not import ${to}`];
  return KEPT.filter(({ name }) => name.test(to)).flatMap(({ only, dynamicOnly }) => {
    if (!only.test(file)) return [`${file} may not import ${to}`];
    return dynamicOnly === true && !dynamic ? [`${file} must load ${to} lazily`] : [];
  });
}

function cycles(graph: Graph): readonly string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) {
      found.push(`import cycle: ${inOrder(path.slice(path.indexOf(file))).join(' -> ')}`);
      return;
    }
    if (done.has(file)) return;
    for (const { to, ours } of graph[file] ?? []) if (ours) visit(to, [...path, file]);
    done.add(file);
  };
  for (const file of Object.keys(graph)) visit(file, []);
  return found;
}

// The same cycle reads the same, wherever it was entered.
function inOrder(cycle: readonly string[]): readonly string[] {
  const first = cycle.indexOf([...cycle].sort()[0] ?? '');
  return [...cycle.slice(first), ...cycle.slice(0, first + 1)];
}

function reached(graph: Graph): readonly string[] {
  return NEVER_REACHED.flatMap(({ from, to }) =>
    Object.keys(graph)
      .filter((file) => from.test(file))
      .flatMap((file) =>
        [...reachableFrom(file, graph)]
          .filter((each) => to.test(each))
          .map((each) => `${file} reaches ${each}`),
      ),
  );
}

function reachableFrom(start: string, graph: Graph): ReadonlySet<string> {
  const seen = new Set<string>();
  const waiting = [start];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    for (const { to } of graph[file] ?? []) {
      if (!seen.has(to)) waiting.push(to);
      seen.add(to);
    }
  }
  return seen;
}

function folderOf(file: string): string {
  return file.slice(0, file.lastIndexOf('/'));
}

/** The graph of real files, or of made-up ones given as texts by path. */
export async function importGraph(
  entries: readonly string[],
  texts?: Readonly<Record<string, string>>,
): Promise<Graph> {
  const { metafile } = await bundle(entries, texts === undefined ? [] : [virtualFiles(texts)]);
  return graphOf(metafile, texts !== undefined);
}

function graphOf(metafile: Metafile, virtual: boolean): Graph {
  const name = (path: string): string => (virtual ? path.replace(/^made-up:/u, '') : path);
  return Object.fromEntries(
    Object.entries(metafile.inputs).map(([file, { imports }]) => [
      name(file),
      imports.map(({ path, external, kind }) => ({
        to: name(path),
        ours: external !== true,
        dynamic: kind === 'dynamic-import',
      })),
    ]),
  );
}

/**
 * What the program `entry` loads before it can run the lazily loaded file `command`: own files and packages,
 * taken from a bundle that is split as the published one is.
 */
export async function loadedFor(
  entry: string,
  command: string,
  texts?: Readonly<Record<string, string>>,
): Promise<ReadonlySet<string>> {
  const { metafile } = await bundle([entry], texts === undefined ? [] : [virtualFiles(texts)]);
  const chunkOf = (file: string): string => {
    const isEntry = ([, { entryPoint }]: [string, { entryPoint?: string }]): boolean =>
      entryPoint === file || entryPoint === `made-up:${file}`;
    const found = Object.entries(metafile.outputs).find(isEntry)?.[0];
    if (found === undefined) throw new Error(`${file} is not loaded lazily by ${entry}`);
    return found;
  };
  const loaded = new Set<string>();
  const waiting = [chunkOf(entry), chunkOf(command)];
  for (let chunk = waiting.pop(); chunk !== undefined; chunk = waiting.pop()) {
    if (loaded.has(chunk)) continue;
    loaded.add(chunk);
    const output = metafile.outputs[chunk];
    for (const file of Object.keys(output?.inputs ?? {})) loaded.add(file.replace(/^made-up:/u, ''));
    for (const { path, kind, external } of output?.imports ?? []) {
      if (kind === 'dynamic-import') continue;
      if (external === true) loaded.add(path);
      else waiting.push(path);
    }
  }
  return loaded;
}

function bundle(entries: readonly string[], plugins: Plugin[]) {
  return build({
    entryPoints: [...entries],
    bundle: true,
    splitting: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    metafile: true,
    write: false,
    outdir: 'dist',
    logLevel: 'silent',
    plugins,
  });
}

function virtualFiles(texts: Readonly<Record<string, string>>): Plugin {
  return {
    name: 'made-up files',
    setup(host) {
      host.onResolve({ filter: /.*/ }, ({ path, importer, kind }) => {
        if (kind !== 'entry-point' && !path.startsWith('.')) return { path, external: true };
        const from = `file:///${importer}`;
        return {
          namespace: 'made-up',
          path: path.startsWith('.') ? new URL(path, from).pathname.slice(1) : path,
        };
      });
      host.onLoad({ filter: /.*/, namespace: 'made-up' }, ({ path }) => ({
        contents: texts[path] ?? '',
        loader: 'ts',
      }));
    },
  };
}
