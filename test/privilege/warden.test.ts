// The half with root and what it shares with a half that was taken over: Node's own channel between them, and the
// terminal that portknockd was started at. As root, with processes.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('./other-half.ts', import.meta.url));

interface Line {
  readonly message?: string;
  readonly ended?: number;
  readonly terminal?: string;
  readonly output?: string;
}

describe('the half with root, beside one that was taken over', function () {
  this.timeout(180_000);
  let folder: string;

  beforeEach(async function () {
    if (process.getuid?.() !== 0) return this.skip();
    folder = await mkdtemp(join(tmpdir(), 'portknock-warden-'));
    await chmod(folder, 0o711);
    const [open, close] = ['/bin/touch', '/bin/rm'].map((program) => `[${program}, "${folder}/open-{ip}"]`);
    const config = [
      'interface: lo',
      'state_dir: state',
      'user: daemon',
      `firewall: { driver: command, open: ${open}, close: ${close} }`,
      'services: { ssh: { port: 22 } }',
      `clients: { field: { scheme: one-time, secret: "${Buffer.alloc(32, 7).toString('base64')}", services: [ssh] } }`,
      '',
    ];
    await writeFile(join(folder, 'portknockd.yaml'), config.join('\n'), { mode: 0o600 });
  });

  afterEach(() => rm(folder, { recursive: true, force: true }));

  const argv = (deed: string): readonly string[] => [
    ...[process.execPath, '--import', 'tsx', PROGRAM],
    ...['keep', join(folder, 'portknockd.yaml'), deed],
  ];
  const linesOf = ([program = '', ...words]: readonly string[]): Promise<readonly Line[]> =>
    new Promise((resolve) => {
      execFile(program, words, (_error, stdout, stderr) => {
        assert.equal(stderr, '');
        const lines = stdout.split('\n').filter((line) => line.startsWith('{'));
        resolve(lines.map((line) => JSON.parse(line) as Line));
      });
    });

  for (const [deed, why] of [
    ['garbled', /: something failed here: .*JSON/u],
    ['endless', /: what it sends takes too much memory here/u],
  ] as const) {
    it(`closes what no kernel closes when it is told nonsense (${deed})`, async () => {
      const lines = await linesOf(argv(deed));
      assert.ok(
        lines.some(({ message = '' }) => why.test(message)),
        JSON.stringify(lines),
      );
      assert.deepEqual(lines.at(-1), { ended: 1 });
      assert.deepEqual(
        (await readdir(folder)).filter((name) => name.startsWith('open')),
        [],
      );
    });
  }

  it('shares no terminal with it: nothing can be typed there for root, and nothing read', async () => {
    const command = argv('terminal')
      .map((word) => `'${word}'`)
      .join(' ');
    const lines = await linesOf(['script', '-qec', command, '/dev/null']);
    const { terminal, output } = lines.find((line) => line.terminal !== undefined) ?? {};
    assert.equal(terminal, '0', JSON.stringify(lines));
    // O_WRONLY is 1, O_RDWR is 2.
    assert.equal((Number(output) % 10) & 3, 1, output);
  });
});
