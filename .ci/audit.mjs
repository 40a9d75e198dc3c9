// Asks the registry for known vulnerabilities of the packages in package-lock.json, by npm audit. Exit 0: it knows of
// none, or it could not be asked, which is said; 1: it knows of one, or, with --strict, could not be asked.
// Usage: node .ci/audit.mjs [--strict] [--registry URL]. CI runs it as it is, a release with --strict (docs/releasing.md).

import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values } = parseArgs({
  options: { strict: { type: 'boolean', default: false }, registry: { type: 'string' } },
});

const { state, text } = audit();
console.error(`audit: ${text}`);
if (state === 'unasked')
  console.error(
    'audit: NOT CHECKED, as the registry could not be asked; this says nothing about the packages',
  );
process.exitCode = state === 'vulnerable' || (state === 'unasked' && values.strict) ? 1 : 0;

// All packages in one question, those for development too: some of them end up inside the package.
function audit() {
  const registry = values.registry === undefined ? [] : [`--registry=${values.registry}`];
  const args = ['audit', '--json', '--audit-level=low', '--fetch-retries=0', ...registry];
  const { stdout, error } = spawnSync('npm', args, { cwd: root, encoding: 'utf8', timeout: 60_000 });
  const report = parsed(stdout);
  // Only a whole report counts as an answer: npm's exit code is 1 for a finding and for a failure alike.
  const total = report?.metadata?.vulnerabilities?.total;
  if (typeof total !== 'number') {
    const reason = report?.message ?? report?.error?.summary ?? error?.message ?? 'no answer';
    return { state: 'unasked', text: `no answer (${String(reason).split('\n')[0]})` };
  }
  if (total === 0) return { state: 'clean', text: 'no known vulnerability in any package' };
  const found = Object.values(report.vulnerabilities).map(
    ({ name, severity, range, via }) =>
      `\n  ${name} ${range} (${severity}): ${via.map((each) => each.title ?? `through ${each}`).join('; ')}`,
  );
  return { state: 'vulnerable', text: `${total} vulnerable:${found.join('')}` };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
