// Savefiles: every format, every way to be cut into chunks, every way to be broken.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { captureFile } from '../../lib/capture/file.ts';
import type { PacketSource } from '../../lib/capture/source.ts';
import { isKnockError } from '../../lib/errors.ts';
import { LINK_ETHERNET, LINK_LINUX_SLL, LINK_RAW } from '../../lib/packet/link.ts';
import { recorder, type RecordingSink } from '../../lib/testing/recorder.ts';
import { frame } from '../support/frames.ts';
import { pcap, pcapHeader, pcapng, pcapPacket, SAVED_AT_MS, type PcapOptions } from '../support/savefile.ts';

interface Seen {
  readonly hex: string;
  readonly wire: number;
  readonly link: number;
  readonly timeMs: number;
}

interface Reading {
  readonly frames: readonly Seen[];
  readonly sink: RecordingSink;
}

async function readAll(source: PacketSource): Promise<Reading> {
  const sink = recorder();
  const frames: Seen[] = [];
  sink.onFrame = (bytes, start, captured, wire, link, timeMs) =>
    void frames.push({ hex: bytes.toString('hex', start, start + captured), wire, link, timeMs });
  await source.open(sink.context);
  await sink.finished();
  await source.close();
  return { frames, sink };
}

/** `bytes` as a stream of chunks of `size`. */
function chunked(bytes: Buffer, size: number): Readable {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) chunks.push(Buffer.from(bytes.subarray(at, at + size)));
  return Readable.from(chunks);
}

const read = (bytes: Buffer): Promise<Reading> => readAll(captureFile(chunked(bytes, 65_536)));
const code = (error: unknown): string =>
  isKnockError(error) ? `${error.code} ${error.message}` : String(error);

async function damageOf(bytes: Buffer): Promise<{ frames: number; error: string }> {
  const { frames, sink } = await read(bytes);
  assert.equal(sink.ends, 0, 'a damaged file does not end');
  return { frames: frames.length, error: sink.errors.map(code).join() };
}

const PACKETS = [frame({ payload: 'one' }), frame({ protocol: 'tcp' }), frame({ payload: 'x'.repeat(1000) })];
const HEXES = PACKETS.map((packet) => packet.toString('hex'));

describe('captureFile', () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'portknock-file-'));
  });
  after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const save = (name: string, bytes: Buffer): string => {
    writeFileSync(join(folder, name), bytes);
    return join(folder, name);
  };

  describe('pcap', () => {
    for (const big of [false, true]) {
      for (const format of ['usec', 'nsec', 'modified'] as const) {
        it(`reads ${format} files in ${big ? 'big' : 'little'}-endian order`, async () => {
          const options: PcapOptions = { big, format, link: LINK_RAW };
          const saved = PACKETS.map((bytes, i) => ({
            bytes,
            timeMs: SAVED_AT_MS + i + 0.25,
            wire: 2000 + i,
          }));
          const { frames, sink } = await read(pcap(saved, options));
          const expected = HEXES.map((hex, i) => ({
            hex,
            wire: 2000 + i,
            link: LINK_RAW,
            timeMs: SAVED_AT_MS + i,
          }));
          assert.deepEqual(frames, expected);
          assert.deepEqual([sink.ends, sink.errors, sink.warnings], [1, [], []]);
        });
      }
    }

    it('reads a file without packets', async () => {
      const { frames, sink } = await read(pcapHeader());
      assert.deepEqual([frames.length, sink.ends, sink.warnings], [0, 1, []]);
    });

    it('takes the link type from under the flags for a frame check sequence', async () => {
      const { frames } = await read(pcap([frame()], { link: (0x14000000 | LINK_LINUX_SLL) >>> 0 }));
      assert.deepEqual(
        frames.map(({ link }) => link),
        [LINK_LINUX_SLL],
      );
    });

    it('refuses a packet longer than 256 KiB and delivers those before it', async () => {
      const long = pcapPacket({ bytes: Buffer.alloc(0) });
      long.writeUInt32LE(262_145, 8);
      const { frames, error } = await damageOf(Buffer.concat([pcap(PACKETS), long, Buffer.alloc(50)]));
      assert.equal(frames, 3);
      assert.match(error, /^ERR_SAVEFILE savefile stream: damaged at byte \d+: packet of 262145 bytes/u);
    });

    it('refuses another version', async () => {
      const bytes = pcap(PACKETS);
      bytes.writeUInt16LE(3, 4);
      assert.match((await damageOf(bytes)).error, /ERR_SAVEFILE .*pcap version 3/u);
    });

    it('reads a packet of exactly 256 KiB', async () => {
      const { frames } = await read(pcap([Buffer.alloc(262_144, 7), frame()]));
      assert.deepEqual(
        frames.map(({ hex }) => hex.length / 2),
        [262_144, frame().length],
      );
    });
  });

  describe('pcapng', () => {
    for (const big of [false, true]) {
      const ng = pcapng(big);
      it(`reads all three packet blocks in ${big ? 'big' : 'little'}-endian order`, async () => {
        const blocks = [
          ng.section(),
          ng.interface(LINK_RAW),
          ng.packet(PACKETS[0] ?? Buffer.alloc(0), { wire: 5000 }),
          ng.obsoletePacket(PACKETS[1] ?? Buffer.alloc(0)),
          ng.simplePacket(PACKETS[2] ?? Buffer.alloc(0)),
        ];
        const { frames, sink } = await read(Buffer.concat(blocks));
        assert.deepEqual(
          frames.map(({ hex }) => hex),
          HEXES,
        );
        assert.deepEqual(
          frames.map(({ timeMs }) => timeMs),
          [SAVED_AT_MS, SAVED_AT_MS, SAVED_AT_MS],
        );
        assert.deepEqual(
          frames.map(({ wire }) => wire),
          [5000, PACKETS[1]?.length, PACKETS[2]?.length],
        );
        assert.deepEqual([sink.ends, sink.warnings], [1, []]);
      });

      it(`reads stamps in any unit and with an offset, ${big ? 'big' : 'little'}-endian`, async () => {
        const offset = Buffer.alloc(8);
        if (big) offset.writeBigInt64BE(-10n);
        else offset.writeBigInt64LE(-10n);
        const nanos = ng.option(9, Buffer.of(9));
        const binary = ng.option(9, Buffer.of(0x80 | 10));
        const blocks = [
          ng.section(),
          ng.interface(LINK_ETHERNET, { options: [ng.option(2, Buffer.from('eth0')), nanos] }),
          ng.interface(LINK_RAW, { options: [binary, ng.option(14, offset), ng.option(0, Buffer.alloc(0))] }),
          ng.interface(LINK_LINUX_SLL, { options: [ng.option(9, Buffer.of(0))] }),
          ng.packet(frame(), { id: 0, stamp: BigInt(SAVED_AT_MS) * 1_000_000n }),
          ng.packet(frame(), { id: 1, stamp: BigInt(SAVED_AT_MS / 1000 + 10) * 1024n + 512n }),
          ng.packet(frame(), { id: 2, stamp: 1_700_000_000n }),
        ];
        const { frames } = await read(Buffer.concat(blocks));
        assert.deepEqual(
          frames.map(({ link, timeMs }) => [link, timeMs]),
          [
            [LINK_ETHERNET, SAVED_AT_MS],
            [LINK_RAW, SAVED_AT_MS + 500],
            [LINK_LINUX_SLL, SAVED_AT_MS],
          ],
        );
      });
    }

    it('reads sections of different byte order after each other, each with its own interfaces', async () => {
      const [little, big] = [pcapng(false), pcapng(true)];
      const one = [little.section(), little.interface(LINK_RAW), little.packet(frame())];
      const two = [big.section(), big.interface(LINK_ETHERNET), big.packet(frame())];
      const { frames } = await read(Buffer.concat([...one, ...two]));
      assert.deepEqual(
        frames.map(({ link }) => link),
        [LINK_RAW, LINK_ETHERNET],
      );
    });

    const ng = pcapng();
    const head = [ng.section(), ng.interface()];

    it('passes over blocks that it does not know, however long', async () => {
      const strange = [
        ng.block(4, Buffer.alloc(40)),
        ng.block(5, Buffer.alloc(8)),
        ng.block(0x80001234, Buffer.alloc(900_000)),
      ];
      for (const size of [1000, 65_536, 2_000_000]) {
        const bytes = Buffer.concat([...head, ...strange, ng.packet(frame())]);
        const { frames, sink } = await readAll(captureFile(chunked(bytes, size)));
        assert.equal(frames.length, 1);
        assert.deepEqual([sink.warnings, sink.errors], [[], []]);
      }
    });

    it("cuts a simple packet to its interface's snap length", async () => {
      const blocks = [
        ng.section(),
        ng.interface(LINK_RAW, { snaplen: 10 }),
        ng.simplePacket(Buffer.alloc(10), 99),
      ];
      const { frames } = await read(Buffer.concat(blocks));
      assert.deepEqual(
        frames.map(({ hex, wire }) => [hex.length, wire]),
        [[20, 99]],
      );
    });

    const broken: readonly [name: string, pattern: RegExp, block: Buffer][] = [
      [
        'a packet of an unknown interface',
        /interface 3, which was never described/u,
        ng.packet(frame(), { id: 3 }),
      ],
      [
        'a block too short to be one',
        /block of 8 bytes/u,
        Buffer.from('0600000008000000080000000000', 'hex'),
      ],
      ['a block of odd length', /block of 33 bytes/u, Buffer.from('060000002100000000000000', 'hex')],
      [
        'a packet block without room for its fields',
        /packet block of 16 bytes/u,
        ng.block(6, Buffer.alloc(4)),
      ],
      [
        'a packet longer than its block',
        /packet of 4294967295 bytes/u,
        withU32(ng.packet(frame()), 20, 0xffffffff),
      ],
      ['a block whose two lengths differ', /two lengths/u, withU32(ng.block(6, Buffer.alloc(40)), 48, 48)],
      [
        'a packet block of a gigabyte',
        /record of 1073741824 bytes/u,
        withU32(ng.packet(frame()), 4, 2 ** 30),
      ],
      ['a section of another version', /version 9/u, withU32(ng.section(), 12, 9)],
      ['a section without its magic', /byte-order magic/u, withU32(ng.section(), 8, 9)],
      [
        'an option longer than its block',
        /option longer/u,
        ng.block(1, Buffer.alloc(8), Buffer.from('09000900', 'hex')),
      ],
    ];
    for (const [name, pattern, block] of broken) {
      it(`refuses ${name} and delivers what was before it`, async () => {
        const { frames, error } = await damageOf(
          Buffer.concat([...head, ng.packet(frame()), block, Buffer.alloc(64)]),
        );
        assert.equal(frames, 1);
        assert.match(error, pattern);
        assert.match(
          error,
          /^ERR_SAVEFILE savefile stream: damaged at byte 172|^ERR_SAVEFILE savefile stream: damaged at byte \d+/u,
        );
      });
    }
  });

  describe('chunks', () => {
    const ng = pcapng();
    const files: readonly [string, Buffer][] = [
      ['pcap', pcap(PACKETS)],
      [
        'pcapng',
        Buffer.concat([ng.section(), ng.interface(), ...PACKETS.map((packet) => ng.packet(packet))]),
      ],
    ];
    for (const [name, bytes] of files) {
      it(`of any size give the same ${name} packets, from a stream and from a file`, async () => {
        const path = save(`chunks.${name}`, bytes);
        for (const size of [1, 2, 3, 5, 7, 11, 13, 24, 40, 97, 500, 1100, 5000]) {
          const streamed = await readAll(captureFile(chunked(bytes, size)));
          assert.deepEqual(
            streamed.frames.map(({ hex }) => hex),
            HEXES,
            `stream in chunks of ${String(size)}`,
          );
          const filed = await readAll(captureFile(path, { chunkBytes: size }));
          assert.deepEqual(
            filed.frames.map(({ hex }) => hex),
            HEXES,
            `file in chunks of ${String(size)}`,
          );
        }
      });

      it(`torn anywhere in a ${name} file give what is whole, and one warning`, async () => {
        const ends = new Set<number>();
        for (let length = 4; length < bytes.length; length += 1) {
          const { frames, sink } = await readAll(captureFile(chunked(bytes.subarray(0, length), 300)));
          assert.deepEqual(
            frames.map(({ hex }) => hex),
            HEXES.slice(0, frames.length),
          );
          assert.deepEqual([sink.errors, sink.ends], [[], 1]);
          if (sink.warnings.length === 0) ends.add(length);
          else assert.match(sink.warnings.join(), /ends within a record/u);
        }
        assert.equal(ends.size, name === 'pcap' ? 3 : 4, 'only at a record boundary is there no warning');
      });
    }
  });

  describe('open()', () => {
    const refused = async (source: PacketSource): Promise<string> => {
      const sink = recorder();
      const error: unknown = await source.open(sink.context).then(
        () => 'opened',
        (reason: unknown) => reason,
      );
      assert.deepEqual(sink.errors, []);
      return code(error);
    };

    it('says what is wrong with a path', async () => {
      assert.match(
        await refused(captureFile(join(folder, 'absent'))),
        /^ERR_SAVEFILE savefile .*absent: no such file$/u,
      );
      assert.match(await refused(captureFile(folder)), /^ERR_SAVEFILE .*: a directory/u);
      assert.match(
        await refused(captureFile(join(folder, 'a\nb'))),
        /^ERR_SAVEFILE savefile [^\n]*u\{a\}b: no such file$/u,
      );
      assert.match(await refused(captureFile(`${folder}\0`)), /^ERR_SAVEFILE /u);
    });

    it('says what is wrong with a file that is no savefile', async () => {
      assert.match(await refused(captureFile(save('empty', Buffer.alloc(0)))), /^ERR_SAVEFILE .*, empty$/u);
      assert.match(
        await refused(captureFile(save('short', Buffer.alloc(3)))),
        /^ERR_SAVEFILE .*, too short$/u,
      );
      assert.match(await refused(captureFile(save('text', Buffer.from('hello')))), /starts with 68656c6c/u);
      assert.match(
        await refused(captureFile(save('gz', Buffer.from('1f8b0800', 'hex')))),
        /compressed: unpack it/u,
      );
    });

    it('refuses a stream that fails or gives text', async () => {
      const failing = new Readable({
        read() {
          this.destroy(new Error('cable pulled'));
        },
      });
      assert.match(await refused(captureFile(failing)), /^ERR_SAVEFILE savefile stream: cable pulled/u);
      assert.match(await refused(captureFile(Readable.from(['text']))), /^ERR_SAVEFILE .*gives strings/u);
    });

    it('checks its arguments at once', () => {
      for (const chunkBytes of [0, 1.5, NaN, 2 ** 30])
        assert.throws(() => captureFile('x', { chunkBytes }), RangeError);
    });
  });

  describe('a stream that goes on', () => {
    it('is read as it comes', async () => {
      const stream = new PassThrough();
      const sink = recorder();
      const source = captureFile(stream);
      stream.write(pcap(PACKETS.slice(0, 1)));
      await source.open(sink.context);
      await sink.frames(1);
      stream.write(pcapPacket(frame()));
      await sink.frames(2);
      await source.close();
      assert.equal(stream.destroyed, true);
      assert.equal(sink.ends, 0);
    });

    it('that fails later is an error', async () => {
      const stream = new PassThrough();
      const sink = recorder();
      const source = captureFile(stream);
      stream.write(pcap(PACKETS.slice(0, 1)));
      await source.open(sink.context);
      await sink.frames(1);
      stream.destroy(new Error('cable pulled'));
      await sink.finished();
      assert.match(sink.errors.map(code).join(), /^ERR_SAVEFILE savefile stream: cable pulled/u);
    });

    it('can be closed before its first byte came, which open() reports', async () => {
      const source = captureFile(new PassThrough());
      const opening = source.open(recorder().context);
      await source.close();
      await assert.rejects(opening, isKnockError);
    });

    it('lets timers run between its chunks', async () => {
      let turns = 0;
      const sink = recorder();
      const count = (): void => {
        turns += 1;
        if (sink.ends === 0) setImmediate(count);
      };
      const source = captureFile(chunked(pcap(Array.from({ length: 50 }, () => frame())), 100));
      await source.open(sink.context);
      setImmediate(count);
      await sink.finished();
      assert.ok(turns >= 25, `the event loop went round ${String(turns)} times`);
    });
  });

  it('reads standard input for "-"', () => {
    const script = `
      const { captureFile } = await import(${JSON.stringify(new URL('../../lib/capture/file.ts', import.meta.url).href)});
      let frames = 0;
      const sink = { frame() { frames += 1; }, end() { process.stdout.write(String(frames)); }, error(e) { throw e; } };
      await captureFile('-').open({ sink, needs: [] });`;
    const input = pcap(PACKETS);
    const child = spawnSync(process.execPath, ['--import=tsx', '--input-type=module', '-e', script], {
      input,
    });
    assert.equal(`${child.stdout.toString()}${child.stderr.toString()}`, '3');
  });

  it('reads a pipe by its path', () => {
    const script = `
      const { captureFile } = await import(${JSON.stringify(new URL('../../lib/capture/file.ts', import.meta.url).href)});
      let frames = 0;
      const sink = { frame() { frames += 1; }, end() { process.stdout.write(String(frames)); }, error(e) { throw e; } };
      await captureFile('/dev/stdin').open({ sink, needs: [] });`;
    const path = save('piped.pcap', pcap(PACKETS));
    const run = `cat '${path}' | '${process.execPath}' --import=tsx --input-type=module -e "$SCRIPT"`;
    const child = spawnSync('sh', ['-c', run], { env: { ...process.env, SCRIPT: script } });
    assert.equal(`${child.stdout.toString()}${child.stderr.toString()}`, '3');
  });
});

function withU32(bytes: Buffer, at: number, value: number): Buffer {
  bytes.writeUInt32LE(value, at);
  return bytes;
}
