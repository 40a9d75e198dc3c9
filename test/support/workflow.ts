// As much of a GitHub runner as our action and our examples need: steps one after the other, their scripts run as they
// stand, expressions filled in where GitHub fills them in.

import assert from 'node:assert/strict';
import { mkdtemp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { parse } from 'yaml';
import type { Machine } from './machine.ts';

export interface Step {
  readonly name?: string;
  readonly id?: string;
  readonly if?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly run?: string;
  readonly uses?: string;
  readonly with?: Readonly<Record<string, string>>;
}

/** action.yml */
export interface Action {
  readonly inputs: Readonly<Record<string, { readonly required?: boolean; readonly default?: string }>>;
  readonly outputs: Readonly<Record<string, { readonly value: string }>>;
  readonly runs: { readonly using: string; readonly steps: readonly (Step & { readonly shell: string })[] };
}

/** What expressions may name: `secrets`, `vars`, `inputs` by name. */
export type Context = Readonly<Record<string, Readonly<Record<string, string>>>>;

export interface Ran {
  /** Of the step that failed, or 0. */
  readonly status: number | null;
  /** What all steps said. */
  readonly stdout: string;
  readonly stderr: string;
  /** By step and name. */
  readonly outputs: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export async function readAction(): Promise<Action> {
  return parse(await readFile('action.yml', 'utf8')) as Action;
}

/** One job's worth of a runner. */
export class WorkflowRunner {
  readonly #machine: Machine;
  readonly #folder: string;
  readonly #env: NodeJS.ProcessEnv;
  #path: string[] = [];
  #steps = 0;

  private constructor(machine: Machine, folder: string, env: NodeJS.ProcessEnv) {
    this.#machine = machine;
    this.#folder = folder;
    this.#env = env;
  }

  /** `env`: beside what a runner sets. */
  static async create(machine: Machine, env: NodeJS.ProcessEnv = {}): Promise<WorkflowRunner> {
    const folder = await mkdtemp(machine.path('runner-'));
    await mkdir(join(folder, 'temp'));
    return new WorkflowRunner(machine, folder, env);
  }

  /** RUNNER_TEMP */
  get temp(): string {
    return join(this.#folder, 'temp');
  }

  /** Runs steps until one fails. */
  async run(steps: readonly Step[], context: Context): Promise<Ran> {
    const outputs: Record<string, Readonly<Record<string, string>>> = {};
    let [stdout, stderr] = ['', ''];
    for (const [index, step] of steps.entries()) {
      const fill = (text: string): string => filled(text, { context, outputs });
      if (step.if !== undefined && !holds(step.if, context)) continue;
      const ran = await this.#step(step, fill);
      stdout += ran.stdout;
      stderr += ran.stderr;
      outputs[step.id ?? String(index)] = ran.own;
      if (ran.status !== 0) return { status: ran.status, stdout, stderr, outputs };
    }
    return { status: 0, stdout, stderr, outputs };
  }

  /** Runs a composite action. */
  async use(action: Action, inputs: Readonly<Record<string, string>>): Promise<Ran> {
    const strangers = Object.keys(inputs).filter((name) => !Object.hasOwn(action.inputs, name));
    assert.deepEqual(strangers, [], 'inputs that the action does not have');
    const given = Object.entries(action.inputs).map(([name, { default: fallback }]) => {
      const value = inputs[name] ?? fallback;
      assert.ok(typeof value === 'string', `input ${name} is a string`);
      return [name, value] as const;
    });
    const context = { inputs: Object.fromEntries(given) };
    const ran = await this.run(action.runs.steps, context);
    if (ran.status !== 0) return ran;
    const values = Object.entries(action.outputs).map(
      ([name, { value }]) => [name, filled(value, { context, outputs: ran.outputs })] as const,
    );
    return { ...ran, outputs: { action: Object.fromEntries(values) } };
  }

  async #step(step: Step, fill: (text: string) => string) {
    if (step.run !== undefined) return this.#script(step.run, mapped(step.env, fill));
    if (step.uses?.startsWith('actions/checkout@') === true)
      return { status: 0, stdout: '', stderr: '', own: {} };
    assert.match(step.uses ?? '', /\/portknock@/u);
    const { outputs, ...ran } = await this.use(await readAction(), mapped(step.with, fill));
    return { ...ran, own: outputs.action ?? {} };
  }

  async #script(text: string, env: Readonly<Record<string, string>>) {
    this.#steps += 1;
    const file = (kind: string): string => join(this.#folder, `${this.#steps}.${kind}`);
    await writeFile(file('sh'), text);
    for (const kind of ['output', 'path']) await writeFile(file(kind), '');
    const path = [...this.#path, this.#machine.bin, process.env.PATH].join(delimiter);
    const { status, stdout, stderr } = await this.#machine.run('sh', ['-e', file('sh')], {
      env: {
        ...{ PATH: path, RUNNER_TEMP: this.temp, GITHUB_OUTPUT: file('output'), GITHUB_PATH: file('path') },
        ...this.#env,
        ...env,
      },
    });
    this.#path.unshift(...lines(await readFile(file('path'), 'utf8')));
    const own = lines(await readFile(file('output'), 'utf8')).map((line) => line.split(/=(.*)/u).slice(0, 2));
    return { status, stdout, stderr, own: Object.fromEntries(own) as Record<string, string> };
  }
}

function filled(
  text: string,
  known: { readonly context: Context; readonly outputs: Ran['outputs'] },
): string {
  return text.replace(/\$\{\{ *([^}]*?) *\}\}/gu, (_all, name: string) => {
    const [kind = '', first = '', outputs, last = ''] = name.split('.');
    const value = kind === 'steps' ? known.outputs[first]?.[last] : known.context[kind]?.[first];
    assert.ok(kind !== 'steps' || outputs === 'outputs', name);
    assert.ok(value !== undefined, `expression names nothing: ${name}`);
    return value;
  });
}

function holds(condition: string, context: Context): boolean {
  const [, name = '', wanted] = /^inputs\.([\w-]+) == '([^']*)'$/u.exec(condition) ?? [];
  assert.ok(wanted !== undefined, `condition is not understood: ${condition}`);
  return context.inputs?.[name] === wanted;
}

function mapped(
  values: Readonly<Record<string, string>> | undefined,
  fill: (text: string) => string,
): Record<string, string> {
  return Object.fromEntries(Object.entries(values ?? {}).map(([name, value]) => [name, fill(value)]));
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}
