// The iptables driver where root is only the root of a user namespace and /proc is not its own, so that the kernel's
// lists are written by datagrams: prefixes and a second set-up, under the suite that every driver must pass.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chownSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { finished } from '../support/netns.ts';
import { describeInNamespaces } from './support.ts';
import { FOLDER, VARIABLE } from '../support/programs.ts';

const NOBODY = 65534;
const AS_NOBODY = ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups'];
const CASES = 'iptables-.*(prefix|second set-up brings|second set-up what|before a second set-up)';

describeInNamespaces('in a user namespace', function () {
  this.timeout(600_000);
  let folder: string;

  before(() => {
    const { status, stderr } = spawnSync('setpriv', [...AS_NOBODY, 'unshare', '-rnm', 'true'], {
      encoding: 'utf8',
    });
    assert.equal(status, 0, `user namespaces are not allowed here: ${stderr}`);
    folder = mkdtempSync(join(tmpdir(), 'portknock-userns-'));
    spawnSync('chmod', ['755', folder]);
    for (const name of ['home', 'checkout']) mkdirSync(join(folder, name));
    chownSync(join(folder, 'home'), NOBODY, NOBODY);
  });

  after(() => {
    rmSync(folder, { recursive: true });
  });

  it('the iptables driver opens to prefixes and can be set up again, on both back-ends', async () => {
    // The checkout may be in a folder that others cannot enter, so it is shown to them elsewhere. Its rules' lock is
    // in /run.
    const show = 'mount --bind "$1" "$2" && cd "$2" && shift 2 && exec setpriv "$@"';
    const inside = 'mount -t tmpfs tmpfs /run && exec "$@"';
    const mocha = [process.execPath, 'node_modules/mocha/bin/mocha.js', '--reporter', 'min', '-g', CASES];
    const child = spawn(
      'unshare',
      [
        ...['-m', 'sh', '-c', show, 'sh', resolve('.'), join(folder, 'checkout'), ...AS_NOBODY],
        ...['unshare', '-rnm', 'sh', '-c', inside, 'sh', ...mocha, 'test/e2e/conformance.test.ts'],
      ],
      {
        // Coverage would be written where this user may not write.
        env: {
          ...process.env,
          NODE_V8_COVERAGE: '',
          // Nor could it make the bundles anew.
          [VARIABLE]: join(folder, 'checkout', FOLDER),
          HOME: join(folder, 'home'),
          TMPDIR: join(folder, 'home'),
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    const { status, stdout, stderr } = await finished(child);
    assert.equal(status, 0, stdout + stderr);
    assert.ok(Number(/(\d+) passing/u.exec(stdout)?.[1]) >= 20, stdout);
    assert.doesNotMatch(stdout, /pending/u);
  });
});
