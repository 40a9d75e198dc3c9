// portknock explain: what it prints for people and for programs, from a file and from a pipe, and that it writes nothing.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import { parseBase64 } from '../../lib/base64.ts';
import { progressBar } from '../../cli/progress.ts';
import { wrap } from '../../cli/wrap.ts';
import { systemClock } from '../../lib/clock.ts';
import { oneTimeKnocks } from '../../lib/scheme/one-time-key.ts';
import { recorder } from '../../lib/testing/recorder.ts';
import { memorySource } from '../../lib/testing/source.ts';
import { frame } from '../support/frames.ts';
import { pcap } from '../support/savefile.ts';
import { Place, type Outcome } from './support.ts';

const START_MS = 1_700_000_000_000;
const SOURCES = ['198.51.100.20', '2001:db8::1234:5678:9abc:def0'] as const;

describe('portknock explain', function () {
  this.timeout(60_000);
  let place: Place;
  let capture: Buffer;
  let secrets: string[];

  const run = (line: string): Promise<Outcome> =>
    place.run(`portknock explain ${line} --config gw/portknockd.yaml`);

  before(async () => {
    place = await Place.make();
    await place.run('portknock init --dir gw --gateway gw.example --interface eth0 --service ssh=22');
    await place.run('portknock add-client field --one-time --services ssh --config gw/portknockd.yaml');
    secrets = await Promise.all(
      ['gateway.key', 'field.key'].map(async (file) =>
        (await readFile(place.path('gw', file), 'utf8')).trim(),
      ),
    );
    const secret = parseBase64(secrets[1] ?? '');
    assert.ok(secret !== null);
    const knocks = oneTimeKnocks({ secret }, START_MS / 10_000);
    const packets = SOURCES.flatMap((src, i) =>
      knocks
        .filter((_, index) => i === 0 || ![2, 4].includes(index))
        .map(({ port, tag }) => frame({ src, dstPort: port, payload: tag })),
    );
    capture = pcap(packets.map((bytes, i) => ({ bytes, timeMs: START_MS + i })));
    await writeFile(place.path('knocks.pcap'), capture);
  });

  after(async () => {
    for (const secret of secrets) assert.ok(!place.printed.includes(secret));
    await place.remove();
  });

  it('says packet by packet what would have been done, and what became of each source', async () => {
    const { code, out, err } = await run('knocks.pcap');
    assert.equal(code, 0, err);
    assert.match(err, /^replay state starts empty: .*\n$/u);
    const lines = out.split('\n');
    assert.deepEqual(lines.slice(0, 3), [
      `#1 2023-11-14T22:13:20.000Z 198.51.100.20 > 198.51.100.1 ${lines[0]?.split(' ').at(-1) ?? ''}`,
      '    one-time, client field: counted',
      '    knock 1 of 5; counted so far: 1',
    ]);
    assert.ok(out.includes('    opens ssh (tcp/22) to 198.51.100.20 for up to 30 s, 1 connection\n'));
    assert.ok(out.includes('198.51.100.20 knocked as field: opened once\n'));
    assert.match(out, /sent knocks 1, 2, 4 of client field:\s+knocks 3, 5\s+never\s+arrived/u);
  });

  it('keeps within 80 columns', async () => {
    const { out } = await run('knocks.pcap');
    assert.deepEqual(
      out.split('\n').filter((line) => line.length > 80),
      [],
    );
  });

  it('prints an object a line with --json', async () => {
    const { code, out } = await run('knocks.pcap --json');
    assert.equal(code, 0);
    const objects = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(
      objects.map(({ event }) => event),
      [...Array.from({ length: 8 }, () => 'packet'), 'source', 'source', 'summary'],
    );
    const { port, ...fifth } = objects[4] ?? {};
    assert.equal(typeof port, 'number');
    assert.deepEqual(fifth, {
      ...{ time: '2023-11-14T22:13:20.004Z', event: 'packet', packet: 5, source: SOURCES[0] },
      ...{
        destination: '198.51.100.1',
        protocol: 'udp',
        scheme: 'one-time',
        client: 'field',
        verdict: 'opened',
      },
      grants: [
        {
          ...{ service: 'ssh', protocol: 'tcp', port: 22, source: SOURCES[0], connections: 1 },
          open_until: '2023-11-14T22:13:50.004Z',
        },
      ],
      message: 'opens ssh (tcp/22) to 198.51.100.20 for up to 30 s, 1 connection',
    });
    assert.deepEqual(objects[9]?.unfinished, [
      { client: 'field', attempts: 1, seen: [1, 2, 4], knocks: 5, end: 'open' },
    ]);
    assert.deepEqual(objects[10], {
      ...{ event: 'summary', packets: 8, unread: {}, untold: 0, unlisted: 0 },
      ...{ first: '2023-11-14T22:13:20.000Z', last: '2023-11-14T22:13:20.007Z' },
    });
  });

  it('reads a pipe, and tells as the packets come', async () => {
    const child = place.startStream(['explain', '-', '--config', 'gw/portknockd.yaml', '--json']);
    child.stdin.write(capture);
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    while (!out.includes('"opened"')) await once(child.stdout, 'data');
    // As Ctrl-C does, which ends tcpdump as well.
    child.kill('SIGINT');
    const [code] = (await once(child, 'close')) as [number | null];
    assert.equal(code, 0);
    assert.match(out, /"event":"summary"/u);
  });

  it('leaves the state directory as it is', async () => {
    const before = await readFile(place.path('gw', 'state', 'replay'));
    await run('knocks.pcap');
    assert.deepEqual(await readFile(place.path('gw', 'state', 'replay')), before);
    assert.deepEqual(await readdir(place.path('gw', 'state')), ['replay']);
  });

  it('looks only at packets to the addresses that it is given', async () => {
    const { out } = await run('knocks.pcap --host 192.0.2.1');
    assert.match(out, /no packet touched a scheme\n8 packets not looked at: not-ours\n$/u);
  });

  const rows: readonly [line: string, code: number, message: RegExp][] = [
    ['knocks.pcap --host gw.example', 2, /--host must be an IP address, not 'gw\.example'/u],
    ['missing.pcap', 1, /savefile missing\.pcap: no such file/u],
    ['gw/portknockd.yaml', 1, /not a pcap or pcapng savefile/u],
    ['knocks.pcap more.pcap', 2, /argument is one too many: 'more\.pcap'/u],
  ];
  for (const [line, code, message] of rows) {
    it(`says what is wrong and exits ${code}: ${line}`, async () => {
      const ran = await run(line);
      assert.deepEqual([ran.code, ran.out], [code, '']);
      assert.match(ran.err, message);
    });
  }

  it('says what is wrong with the configuration, before it reads anything', async () => {
    await chmod(place.path('gw', 'field.key'), 0o644);
    const { code, err } = await run('missing.pcap');
    await chmod(place.path('gw', 'field.key'), 0o600);
    assert.equal(code, 2);
    assert.match(err, /portknockd\.yaml:\d+:\d+: client field: secret_file can be read by others/u);
  });
});

describe('the progress bar', () => {
  it('shows how much was read, at most five times a second, and makes room', async () => {
    let nowMs = 0;
    const drawn: string[] = [];
    const bar = progressBar(
      100_000,
      (text) => drawn.push(text),
      () => nowMs,
    );
    const source = memorySource();
    const sink = recorder();
    await bar.watch(source).open({ ...sink.context, clock: systemClock });
    for (let i = 0; i < 2001; i += 1) {
      if (i === 1000) nowMs = 200;
      source.frame(Buffer.alloc(9));
    }
    assert.deepEqual(
      drawn.map((text) => / (\d+) %$/u.exec(text)?.[1]),
      ['0', '25'],
    );
    bar.clear();
    bar.clear();
    assert.equal(drawn.length, 3);
    await source.close();
  });
});

describe('wrap', () => {
  const rows: readonly [text: string, indent: number, lines: readonly string[]][] = [
    ['', 0, ['']],
    ['one two', 2, ['  one two']],
    [`${'a'.repeat(40)} ${'b'.repeat(40)}`, 0, ['a'.repeat(40), 'b'.repeat(40)]],
    [`${'a'.repeat(39)} ${'b'.repeat(40)}`, 0, [`${'a'.repeat(39)} ${'b'.repeat(40)}`]],
    ['c'.repeat(170), 4, [`    ${'c'.repeat(76)}`, `    ${'c'.repeat(76)}`, `    ${'c'.repeat(18)}`]],
  ];
  for (const [text, indent, lines] of rows) {
    it(`breaks ${text.length} characters at ${80 - indent} columns`, () => {
      assert.deepEqual(wrap(text, indent), lines);
    });
  }
});
