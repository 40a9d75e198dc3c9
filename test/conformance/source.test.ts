// The sources that we ship (but for live capture, which needs root) under the suite that every source must pass.

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { captureFile } from '../../lib/capture/file.ts';
import { udpSocket } from '../../lib/capture/socket.ts';
import type { PacketSource } from '../../lib/capture/source.ts';
import { KnockError } from '../../lib/errors.ts';
import { memorySource } from '../../lib/testing/source.ts';
import { sourceConformance, type SourceHarness } from '../../lib/testing/source-suite.ts';
import { frame } from '../support/frames.ts';
import { freePorts } from '../support/ports.ts';
import { pcap, pcapPacket } from '../support/savefile.ts';

function memory(): SourceHarness {
  const source = memorySource();
  return {
    source,
    send() {
      source.frame(frame());
      source.frame(frame({ protocol: 'tcp' }));
    },
    broken: memorySource({ refuse: new KnockError('ERR_CAPTURE', 'memory: told to refuse') }),
  };
}

function savefile(): SourceHarness {
  const source = captureFile(Readable.from([pcap([frame(), frame(), frame()])]));
  return { source, send: () => undefined, broken: captureFile('/nonexistent/file.pcap') };
}

function pipe(): SourceHarness {
  const stream = new PassThrough();
  stream.write(pcap([]));
  return {
    source: captureFile(stream),
    send() {
      if (stream.writable) stream.write(Buffer.concat([pcapPacket(frame()), pcapPacket(frame())]));
    },
    broken: captureFile(Readable.from([Buffer.from('not a savefile')])),
  };
}

async function socket(): Promise<SourceHarness> {
  const [port, taken] = await freePorts(2);
  const client = createSocket('udp4');
  const occupant = createSocket('udp4');
  occupant.bind(taken, '127.0.0.1');
  await once(occupant, 'listening');
  return {
    source: udpSocket({ port, address: '127.0.0.1' }),
    send() {
      for (const text of ['one', 'two', 'three']) client.send(text, port, '127.0.0.1');
    },
    broken: udpSocket({ port: taken, address: '127.0.0.1' }),
    dispose() {
      client.close();
      occupant.close();
    },
  };
}

describe('source conformance', () => {
  const suites = [
    ...sourceConformance('memorySource', memory),
    ...sourceConformance('captureFile of a savefile', savefile),
    ...sourceConformance('captureFile of a pipe', pipe),
    ...sourceConformance('udpSocket', socket),
  ];
  for (const { title, run } of suites) it(title, run);
});

describe('the source suite', () => {
  /** Titles of the cases that a source fails, of those whose title has `only` in it. */
  async function failures(spoil: (good: PacketSource) => PacketSource, only = ''): Promise<string[]> {
    const failed: string[] = [];
    const cases = sourceConformance('spoilt', () => {
      const harness = memory();
      return { ...harness, source: spoil(harness.source) };
    });
    const chosen = cases.filter(({ title }) => title.includes(only));
    assert.ok(chosen.length > 0);
    for (const { title, run } of chosen) await run().catch(() => failed.push(title.replace('spoilt: ', '')));
    return failed;
  }

  function spoilt(good: PacketSource, change: Partial<PacketSource>): PacketSource {
    return {
      name: good.name,
      loopback: good.loopback,
      checksDestination: good.checksDestination,
      open: (context) => good.open(context),
      close: () => good.close(),
      ...change,
    };
  }

  it('passes a good source', async () => {
    assert.deepEqual(await failures((good) => good), []);
  });

  it('finds a source that delivers before it is open', async () => {
    const early = await failures((good) =>
      spoilt(good, {
        async open(context) {
          const bytes = frame();
          context.sink.frame(bytes, 0, bytes.length, bytes.length, 1, 0);
          await good.open(context);
        },
      }),
    );
    assert.ok(early.includes('opens before it delivers'));
  });

  it('finds a source that goes on after close()', async () => {
    const deaf = await failures((good) => spoilt(good, { close: () => Promise.resolve() }));
    assert.ok(deaf.includes('delivers nothing and does not end after close()'));
    assert.ok(deaf.includes('delivers no more once close() was called, also from inside a frame'));
  });

  it('finds a source whose close() waits for a packet', async () => {
    const quietly = 'closes twice, and at once when nothing arrives';
    const stuck = await failures((good) => {
      let closes = 0;
      // The suite itself closes once more when a case has failed.
      return spoilt(good, {
        close: () => ((closes += 1) <= 2 ? new Promise(() => undefined) : Promise.resolve()),
      });
    }, quietly);
    assert.deepEqual(stuck, [quietly]);
  });

  it('finds a source that can be opened twice', async () => {
    const again = await failures((good) =>
      spoilt(good, { open: (context) => good.open(context).catch(() => undefined) }),
    );
    assert.ok(again.includes('cannot be opened a second time'));
  });

  it('finds a source that lies about its frames', async () => {
    const liar = await failures((good) =>
      spoilt(good, {
        open: ({ sink, ...rest }) =>
          good.open({
            ...rest,
            sink: {
              ...sink,
              frame: (bytes, start, captured, wire, link, timeMs) => {
                sink.frame(bytes, start, captured + 100, wire, link, timeMs);
              },
            },
          }),
      }),
    );
    assert.deepEqual(liar, ['delivers whole, sound frames']);
  });
});

describe('memorySource', () => {
  it('overwrites a frame once the sink has returned', async () => {
    const source = memorySource();
    const kept: Buffer[] = [];
    const sink = {
      frame: (bytes: Buffer, start: number, captured: number) =>
        void kept.push(bytes.subarray(start, start + captured)),
      end: () => undefined,
      warning: () => undefined,
      dropped: () => undefined,
      error: () => undefined,
    };
    await source.open({ sink, clock: { now: () => 7, after: () => () => undefined }, needs: [] });
    source.frame(frame());
    assert.equal(kept.length, 1);
    assert.notDeepEqual(kept[0], frame());
  });

  it('complains when it is used before it was opened', () => {
    assert.throws(() => {
      memorySource().frame(frame());
    }, /open\(\) it first/u);
  });
});
