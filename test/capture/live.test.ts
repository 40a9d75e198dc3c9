// Live capture as far as it goes without the right to capture: what is said when it cannot start, each cause made real
// in a folder of its own, and that nothing is left running. The rest is in test/e2e.

import assert from 'node:assert/strict';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { liveCapture, liveCaptureBy } from '../../lib/capture/live.ts';
import { isKnockError } from '../../lib/errors.ts';
import { recorder } from '../../lib/testing/recorder.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MODULES = join(ROOT, 'node_modules');
const IS_ROOT = process.getuid?.() === 0;
const NOBODY = ['--reuid=65534', '--regid=65534', '--clear-groups'];

interface Outcome {
  readonly code: string;
  readonly message: string;
}

/** Runs try-capture.ts on a copy of the library; as nobody when this test is root and is told to. */
function tryCapture(module: string, device: string, asNobody = false): Promise<Outcome> {
  const script = join(ROOT, 'test/support/try-capture.ts');
  const node = [process.execPath, '--import', join(MODULES, 'tsx/dist/loader.mjs'), script, module, device];
  const [program = '', ...args] = asNobody && IS_ROOT ? ['setpriv', ...NOBODY, ...node] : node;
  return new Promise((resolve, reject) => {
    // Killed, and so rejected, when anything keeps it alive.
    execFile(program, args, { cwd: ROOT, timeout: 120_000 }, (error, stdout, stderr) => {
      if (error === null) resolve(JSON.parse(stdout) as Outcome);
      else reject(new Error(`${error.message}\n${stderr}`));
    });
  });
}

describe('liveCapture without the right to capture', function () {
  this.timeout(180_000);
  let folder = '';

  before(() => (folder = mkdtempSync(join(tmpdir(), 'portknock-live-'))));
  after(() => rmSync(folder, { recursive: true }));

  /** A copy of the library from which only the given packages can be found. */
  function copyOf(name: string): { readonly live: string; readonly modules: string } {
    const place = join(folder, name);
    cpSync(join(ROOT, 'lib'), join(place, 'lib'), { recursive: true });
    writeFileSync(join(place, 'package.json'), '{"type":"module"}');
    mkdirSync(join(place, 'node_modules'));
    return { live: join(place, 'lib/capture/live.ts'), modules: join(place, 'node_modules') };
  }

  it('says that the package pcap is not installed, and how it is', async () => {
    assert.deepEqual(await tryCapture(copyOf('absent').live, 'lo'), {
      code: 'ERR_PCAP_ABSENT',
      message: 'package pcap is not installed (npm install pcap, with the Debian package libpcap-dev)',
    });
  });

  it('says that the package pcap is not built, and how it is', async () => {
    const { live, modules } = copyOf('unbuilt');
    cpSync(join(MODULES, 'pcap'), join(modules, 'pcap'), {
      recursive: true,
      filter: (path) => !/\/pcap\/(?:build|node_modules)$/u.test(path),
    });
    for (const name of readdirSync(MODULES)) {
      if (name !== 'pcap') symlinkSync(join(MODULES, name), join(modules, name));
    }
    const outcome = await tryCapture(live, 'lo');
    assert.equal(outcome.code, 'ERR_PCAP_UNBUILT');
    assert.match(
      outcome.message,
      /^package pcap is installed but not built \(.*libpcap-dev.*npm rebuild pcap.*\)$/u,
    );
  });

  it('says that there is no right to capture', async () => {
    const outcome = await tryCapture(join(ROOT, 'lib/capture/live.ts'), 'lo', true);
    assert.deepEqual(outcome, {
      code: 'ERR_CAPTURE_PERMISSION',
      message: 'interface lo may not be captured (run as root or with CAP_NET_RAW)',
    });
  });

  it(`says that ${IS_ROOT ? 'there is no such interface' : 'it may not even be looked for'}, on one line`, async () => {
    const outcome = await tryCapture(join(ROOT, 'lib/capture/live.ts'), 'no\nsuch\x1b0');
    assert.equal(outcome.code, IS_ROOT ? 'ERR_CAPTURE_INTERFACE' : 'ERR_CAPTURE_PERMISSION');
    assert.match(outcome.message, /^interface no\\u\{a\}such\\u\{1b\}0 [\x20-\x7e]+$/u);
  });
});

describe('liveCapture', () => {
  it('names itself after its interface, and expects loopback sources on lo alone', () => {
    for (const [device, loopback] of [
      ['lo', true],
      ['eth0', false],
      ['any', false],
    ] as const) {
      const source = liveCapture({ interface: device });
      assert.deepEqual(
        [source.name, source.loopback, source.checksDestination],
        [`interface ${device}`, loopback, true],
      );
    }
  });

  it('starts no process once it was closed', async () => {
    const source = liveCapture({ interface: 'lo' });
    await source.close();
    await source.close();
    await assert.rejects(source.open(recorder().context), isKnockError);
  });

  it('ends its process when it is closed while it starts, and says so', async () => {
    const starts = (): ChildProcess =>
      spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1e9)'], {
        stdio: ['ignore', 'pipe', 'ignore', 'ipc'],
      });
    const source = liveCaptureBy({ interface: 'lo' }, starts);
    const opening = assert.rejects(source.open(recorder().context), {
      code: 'ERR_CAPTURE',
      message: /SIGKILL/u,
    });
    await source.close();
    await opening;
  });

  it('cannot be opened twice', async () => {
    const source = liveCapture({ interface: 'lo' });
    const first = source.open(recorder().context).catch(() => undefined);
    await assert.rejects(source.open(recorder().context), { code: 'ERR_CAPTURE', message: /a second time/u });
    await source.close();
    await first;
  });
});
