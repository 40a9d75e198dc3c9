// Marks in files of one-time sequences: what is claimed gets one, before anything opens, and the right line of the file
// does, which is where knockd goes wrong.

import assert from 'node:assert/strict';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { markingReplay, markUsed } from '../../lib/config/list-marks.ts';
import { parseConfig } from '../../lib/config/load.ts';
import { ConfigError } from '../../lib/config/problems.ts';
import type { ClientConfig } from '../../lib/config/schema.ts';
import { memoryReplay } from '../../lib/replay/memory.ts';
import { parseKnockPort } from '../../lib/scheme/sequence.ts';
import { virtualClock } from '../../lib/testing/clock.ts';

const knocksOf = (text: string) => text.split(' ').map((each) => parseKnockPort(each) ?? assert.fail(each));

describe('the marks of used sequences', () => {
  let folder: string;
  let file: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'portknock-marks-'));
    file = join(folder, 'sequences');
  });

  after(() => rm(folder, { recursive: true }));

  const write = async (text: string): Promise<void> => {
    await writeFile(file, text);
    await chmod(file, 0o600);
  };

  const rows: readonly [what: string, before: string, knocks: string, after: string][] = [
    ['a blank in front is replaced', ' 1,9,5\n 2,8,4\n', '1 9 5', '#1,9,5\n 2,8,4\n'],
    ['no digit is', '1,9,5\n2,8,4\n', '1 9 5', '#1,9,5\n2,8,4\n'],
    ['the last line is marked', ' 1,9,5\n 2,8,4', '2 8 4', ' 1,9,5\n#2,8,4'],
    ['not the malformed line before it', ' 7:icmp\n 1,9,5\n', '1 9 5', ' 7:icmp\n#1,9,5\n'],
    [
      'whatever its spelling',
      '# used\n\n 01:tcp , 9:UDP,5\r\n',
      '1 9/udp 5',
      '# used\n\n#01:tcp , 9:UDP,5\r\n',
    ],
    ['wherever it stands twice', ' 1,9,5\n 2,8,4\n\t1,9,5\n', '1 9 5', '#1,9,5\n 2,8,4\n#1,9,5\n'],
    ['nothing when it is gone', ' 2,8,4\n', '1 9 5', ' 2,8,4\n'],
    ['nothing when it is marked', '#1,9,5\n', '1 9 5', '#1,9,5\n'],
  ];
  for (const [what, text, knocks, marked] of rows) {
    it(`are right: ${what}`, async () => {
      await write(text);
      await markUsed({ file, knocks: knocksOf(knocks) });
      assert.equal(await readFile(file, 'utf8'), marked);
      assert.equal((await stat(file)).mode & 0o777, 0o600);
    });
  }

  const listOf = (...sequences: string[]): ClientConfig => ({
    ...{ name: 'old', scheme: 'sequence-list' as const, services: ['ssh'], bits: 50, file, timeoutMs: 1000 },
    sequences: sequences.map(knocksOf),
  });

  it('are made by the claim, once, of that client and scheme alone', async () => {
    await write(' 1,9,5\n 2,8,4\n');
    const clients = [listOf('1 9 5', '2 8 4')];
    const warnings: string[] = [];
    const replay = markingReplay(memoryReplay(), { clients: () => clients });
    const warning = (message: string): void => void warnings.push(message);
    await replay.open({ clock: virtualClock(), windowMs: 0, warning });
    for (const account of [
      'sequence old 1/tcp,9/tcp,5/tcp',
      'sequence-list new 1/tcp,9/tcp,5/tcp',
      'spa old',
    ]) {
      assert.equal(await replay.claim(account, 1n), 'claimed');
    }
    assert.equal(await readFile(file, 'utf8'), ' 1,9,5\n 2,8,4\n');
    const account = 'sequence-list old 2/tcp,8/tcp,4/tcp';
    const results = await Promise.all([replay.claim(account, 1n), replay.claim(account, 1n)]);
    assert.deepEqual(results, ['claimed', 'replayed']);
    assert.equal(await readFile(file, 'utf8'), ' 1,9,5\n#2,8,4\n');
    assert.deepEqual([replay.floor(account), warnings], [1n, []]);
  });

  it('are missed with a warning when the file cannot be written: the claim is what counts', async () => {
    await rm(file);
    const clients = [listOf('1 9 5')];
    const warnings: string[] = [];
    const replay = markingReplay(memoryReplay(), { clients: () => clients });
    const warning = (message: string): void => void warnings.push(message);
    await replay.open({ clock: virtualClock(), windowMs: 0, warning });
    assert.equal(await replay.claim('sequence-list old 1/tcp,9/tcp,5/tcp', 1n), 'claimed');
    assert.match(warnings.join('\n'), /^sequence was used, and is not marked so in .*sequences: .*ENOENT/u);
  });

  const config = (clients: string): string =>
    `interface: lo\nservices: { ssh: { port: 22 } }\nclients:\n${clients}`;
  const entry = (name: string): string =>
    `  ${name}: { scheme: sequence-list, sequences_file: sequences, services: [ssh] }\n`;
  const load = (text: string) => parseConfig(text, { path: join(folder, 'portknockd.yaml') });

  it('and lines that are none are passed over, with a warning for the latter', async () => {
    await write('# 3,1,2\n 1,9,5\n\n x,9:icmp\n 1:tcp,9,5\n 2:udp,8,4\n');
    const { clients, warnings } = await load(config(entry('old')));
    const [client] = clients;
    assert.ok(client?.scheme === 'sequence-list');
    assert.deepEqual(client.sequences, [knocksOf('1 9 5'), knocksOf('2/udp 8 4')]);
    assert.equal(client.bits, 50);
    assert.deepEqual(
      warnings.map(({ file: at, line, message }) => [at === file, line, message.split(':')[0]]),
      [
        [true, 4, 'line is passed over'],
        [true, 5, 'sequence stands above already'],
      ],
    );
  });

  const faults: readonly [what: string, text: string, clients: string, problems: RegExp, mode?: number][] = [
    ['port 0', ' 1,x,5\n', entry('old'), /sequences:1:1: sequence has port 0/u],
    ['neighbouring ports', ' 1,2,3\n', entry('old'), /sequences:1:1: a port scan in order/u],
    ['one port', ' 1\n', entry('old'), /sequences:1:1: a sequence has 2 to 32 knocks/u],
    ['one end of two', ' 1,9,5\n 9,5\n', entry('old'), /sequences:2:1: .* end alike/u],
    ['two clients of one file', ' 1,9,5\n', entry('old') + entry('new'), /sequences:1:1: .* end alike/u],
    [
      'a file that others read',
      ' 1,9,5\n',
      entry('old'),
      /sequences_file can be read by others: .* \(chmod 600/u,
      0o644,
    ],
    ['no file', '', entry('old').replace('sequences,', 'none,'), /sequences_file cannot be read/u],
    [
      'a family that is none',
      '',
      entry('old').replace(', services', ', family: 5, services'),
      /family must be 4 or 6/u,
    ],
    [
      'a key that is none',
      '',
      entry('old').replace(', services', ', sequence: [], services'),
      /key is not known: sequence /u,
    ],
  ];
  for (const [what, text, clients, problems, mode = 0o600] of faults) {
    it(`are not made in a file with ${what}`, async () => {
      await write(text);
      await chmod(file, mode);
      await assert.rejects(load(config(clients)), (error: unknown) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.message, problems);
        return true;
      });
    });
  }

  it('on every line leave nobody who can knock, which is a warning', async () => {
    await write('#1,9,5\n');
    const { clients, warnings } = await load(config(entry('old')));
    assert.deepEqual(
      clients.map(({ bits }) => bits),
      [0],
    );
    assert.match(warnings[0]?.message ?? '', /no sequence left/u);
  });
});
