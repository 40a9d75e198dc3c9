// What a file may look like (design.md sections 2 and 4): rules over a file's path and text.

interface Rule {
  /** The files that it is about. */
  readonly of: RegExp;
  readonly not?: RegExp;
  /** What is wrong with this text, or null. */
  readonly fault: (text: string) => string | null;
}

const LINES = 250;
const COMMAND_LINES = 80;
const OURS = /^(lib|cli)\//u;
const ALL = /^(lib|cli|test|benchmarks|examples)\//u;
// These must spell out what they forbid.
const HOUSE = /^test\/house\//u;

const RULES: readonly Rule[] = [
  { of: OURS, fault: (text) => tooLong(text, LINES) },
  { of: /^cli\/commands\//u, fault: (text) => tooLong(text, COMMAND_LINES) },
  {
    of: OURS,
    fault: (text) =>
      /^(#!.*\n)?\/\/ \S/u.test(text) ? null : 'does not open with a comment that says what it decides',
  },
  { of: ALL, not: HOUSE, fault: finds(/\b(TODO|FIXME|XXX|HACK)\b/u) },
  { of: ALL, not: HOUSE, fault: finds(/\bas any\b|: any\b|<any>|\bas never as\b/u, code) },
  { of: ALL, not: HOUSE, fault: finds(/eslint-disable|@ts-(ignore|nocheck)|prettier-ignore/u) },
  { of: OURS, fault: finds(/^export default\b/mu) },
  { of: OURS, fault: finds(/^(export )?(declare )?(const )?(enum|namespace) /mu) },
  { of: /^lib\//u, fault: finds(/\bconsole\./u, code) },
  // The import graph does not see what createRequire loads.
  { of: OURS, not: /^lib\/crypto\/legacy\.ts$/u, fault: finds(/\brequire\(['"](node-forge|bcrypt-pbkdf)/u) },
  { of: OURS, fault: finds(/\bshell: *true\b|\bexecSync\b|\beval\(/u) },
  {
    of: OURS,
    fault: finds(/-----BEGIN|['"`][A-Za-z0-9+/]{40,}={0,2}['"`]|\b(AKIA|ghp_|npm_[A-Za-z0-9]{30})/u),
  },
  { of: /^test\//u, not: HOUSE, fault: finds(/\b(it|describe|context)\.(only|skip)\(/u) },
  {
    of: /^test\//u,
    not: /^test\/(house|e2e|slow|consumer)\//u,
    fault: finds(/\bsleep\(|\btimers\/promises\b/u),
  },
  {
    // A conformance suite brings its own assertions.
    of: /^test\/.*\.test\.ts$/u,
    fault: (text) => (/\bassert\b|\bfc\.|Conformance\(/u.test(text) ? null : 'asserts nothing'),
  },
];

/** Every broken rule, one line each. */
export function fileFaults(path: string, text: string): readonly string[] {
  return RULES.filter(({ of, not }) => of.test(path) && not?.test(path) !== true).flatMap(({ fault }) => {
    const found = fault(text);
    return found === null ? [] : [`${path} ${found}`];
  });
}

/** Hosts that a lock file or a manifest names, other than npm's public registry. */
export function foreignHosts(text: string): readonly string[] {
  const hosts = [...text.matchAll(/"(?:resolved|registry)": *"(?:git\+)?\w+:\/\/([^/"]+)/gu)].map(
    ([, host]) => host ?? '',
  );
  return hosts.filter((host) => host !== 'registry.npmjs.org');
}

function tooLong(text: string, limit: number): string | null {
  const lines = text.split('\n').length - 1;
  return lines > limit ? `has ${lines} lines, more than ${limit}` : null;
}

function finds(pattern: RegExp, part = (text: string) => text): (text: string) => string | null {
  return (text) => {
    const match = pattern.exec(part(text));
    if (match === null) return null;
    return `says "${match[0]}" in line ${text.slice(0, match.index).split('\n').length}`;
  };
}

// The text with its comment lines blanked, so that positions stay: an example in TSDoc may print.
function code(text: string): string {
  return text.replace(/^\s*(\/\/|\/?\*).*$/gmu, (line) => ' '.repeat(line.length));
}
