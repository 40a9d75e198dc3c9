// explain(): the verdict on every packet of a capture that touches a scheme, and what became of each source.

import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { captureFile } from '../../lib/capture/file.ts';
import { isKnockError } from '../../lib/errors.ts';
import { LINK_ETHERNET } from '../../lib/packet/link.ts';
import { explain, type ExplainOptions } from '../../lib/listener/explain.ts';
import type { ExplainedPacket, Explanation } from '../../lib/listener/explanation.ts';
import type { RejectReason } from '../../lib/scheme/scheme.ts';
import { memorySource } from '../../lib/testing/source.ts';
import {
  ACCESS_RULES,
  DUPLICATE,
  fieldScene,
  playScenes,
  portScene,
  REFUSALS,
  SERVICES,
  spaScene,
  START_MS,
  storySchemes,
  type Scene,
} from '../support/capture-story.ts';
import { frame } from '../support/frames.ts';
import { pcap, pcapng, type SavedPacket } from '../support/savefile.ts';
import { rig } from './support.ts';

const HERE = '198.51.100.20';
/** Where frames go unless they say otherwise. */
const GATEWAY_ADDRESS = '198.51.100.1';

interface Told {
  readonly packets: readonly ExplainedPacket[];
  readonly explanation: Explanation;
}

async function tell(
  saved: readonly (SavedPacket | Uint8Array)[],
  options: Partial<ExplainOptions> = {},
): Promise<Told> {
  const packets: ExplainedPacket[] = [];
  const explanation = await explain({
    source: captureFile(Readable.from([pcap(saved)])),
    schemes: storySchemes(),
    services: SERVICES,
    clients: ACCESS_RULES,
    told: (packet) => void packets.push(packet),
    ...options,
  });
  return { packets, explanation };
}

async function tellScenes(...sends: readonly Scene['send'][]): Promise<Told> {
  return tell(await playScenes(sends.map((send) => ({ src: HERE, send }))));
}

/** In a line: verdict and reason, client, which knock, those counted. */
function lineOf({ verdict, reason, client, knock, seen }: ExplainedPacket): string {
  const attempt = seen === undefined ? [] : [knock === null ? '-' : String(knock), seen.join('+')];
  return [verdict, ...(reason === undefined ? [] : [reason]), client ?? '-', ...attempt].join(' ');
}

function unfinishedOf({ sources }: Explanation): readonly unknown[] {
  return sources.flatMap(({ unfinished }) => unfinished);
}

/** Those that a capture can bring about. */
function refusalScenes(): readonly (Scene & { readonly reason: RejectReason })[] {
  return Object.entries(REFUSALS).flatMap(([reason, send], i) => {
    if (typeof send === 'string') return [];
    const src = reason === 'source-refused' ? '127.0.0.9' : `198.51.100.${i + 1}`;
    return [{ reason: reason as RejectReason, src, send }];
  });
}

describe('explain', () => {
  it('gives every reason for a refusal that a capture can bring about', async () => {
    const scenes = refusalScenes();
    const { packets, explanation } = await tell(await playScenes(scenes));
    assert.equal(scenes.length, 24);
    for (const { reason, src } of scenes) {
      const last = packets.findLast(({ source }) => source === src);
      assert.deepEqual([last?.verdict, last?.reason], ['refused', reason], `from ${src}`);
      const listed = explanation.sources.find(({ source }) => source === src);
      assert.equal(listed?.refused[reason], 1);
    }
  });

  it('says of a whole capture what a listener does with it', async () => {
    const scenes = [
      { src: HERE, send: spaScene() },
      ...refusalScenes(),
      { src: HERE, send: fieldScene([1, 2, 3, 4, 5]) },
      { src: HERE, send: spaScene({ services: ['admin', 'ssh'], suite: 2 }) },
      { src: HERE, send: portScene(['7000/tcp', '9000/udp', '8000/tcp', '7100/tcp']) },
      { src: HERE, send: DUPLICATE },
    ];
    const saved = await playScenes(scenes);
    const { packets } = await tell(saved);
    const explained = new Map<string, number>();
    const add = (counts: Map<string, number>, what: string, count = 1): void => {
      counts.set(what, (counts.get(what) ?? 0) + count);
    };
    for (const { verdict, reason, client, grants = [] } of packets) {
      if (verdict === 'refused') add(explained, `reject ${reason ?? ''} ${client ?? '-'}`);
      for (const { service, source } of verdict === 'opened' ? grants : [])
        add(explained, `grant ${service} ${source}`);
    }
    const done = new Map<string, number>();
    const { listener, clock, source } = rig({
      ...{ schemes: storySchemes(), services: SERVICES, clients: ACCESS_RULES },
    });
    clock.set(START_MS);
    listener.on('grant', ({ grant }) => {
      add(done, `grant ${grant.service} ${grant.source}`);
    });
    listener.on('reject', ({ reason, client, count }) => {
      add(done, `reject ${reason} ${client ?? '-'}`, count);
    });
    await listener.start();
    for (const { bytes, timeMs = 0 } of saved) {
      await clock.advance(timeMs - clock.now());
      source.frame(bytes);
      await clock.advance(0);
    }
    await listener.stop();
    assert.deepEqual([...explained].sort(), [...done].sort());
    assert.ok(explained.size > 20);
  });

  const rows: readonly [number: number, sends: readonly Scene['send'][], lines: readonly string[]][] = [
    [1, [spaScene()], ['opened suite1']],
    [2, [DUPLICATE], ['opened suite1', 'duplicate suite1']],
    [3, [spaScene({ late: -7_200_000 })], ['missed other-hour -']],
    [4, [spaScene({ access: Buffer.alloc(32, 1) })], ['missed wrong-hint -']],
    [5, [spaScene({}, (bytes) => [bytes.subarray(0, 100)])], ['missed wrong-length -']],
    [6, [spaScene(), spaScene({ close: true })], ['opened suite1', 'closed suite1']],
    [
      7,
      [fieldScene([3, 1, 3, 2, 5, 4])],
      [
        ...['counted field 3 3', 'counted field 1 1+3', 'repeated field 3 1+3', 'counted field 2 1+2+3'],
        ...['counted field 5 1+2+3+5', 'opened field'],
      ],
    ],
    [8, [fieldScene([1], 12)], ['missed other-step field']],
    [9, [fieldScene([1], 500)], ['missed unknown-tag -']],
    [
      10,
      [fieldScene([1, 2]), fieldScene([3], -2)],
      ['counted field 1 1', 'counted field 2 1+2', 'late field 3 1+2', 'counted field 3 3'],
    ],
    [
      11,
      [portScene(['7000/tcp', '9000/udp', '8000/tcp', '7100/tcp'])],
      ['counted old 1 1', 'counted old 2 1+2', 'counted old 3 1+2+3', 'opened old'],
    ],
    [
      12,
      [portScene(['7000/tcp', '9000/udp', '7100/tcp'])],
      ['counted old 1 1', 'counted old 2 1+2', 'broken old 4 1+2'],
    ],
    [13, [portScene(['7000/tcp', '443/tcp'])], ['counted old 1 1', 'broken old - 1']],
    [14, [portScene(['7000/tcp']), portScene(['9000/udp'])], ['counted old 1 1', 'late old 2 1']],
    [15, [portScene(['443/tcp', '53/udp'])], []],
    [
      17,
      [portScene(['7000/tcp', '9000/udp', '7000/tcp'])],
      ['counted old 1 1', 'counted old 2 1+2', 'broken old - 1+2', 'counted old 1 1'],
    ],
    // The sender repeats a datagram: a copy of a completed sequence begins no other.
    [
      16,
      [fieldScene([1, 2, 3, 4, 5, 5])],
      [
        ...[1, 2, 3, 4].map((n) => `counted field ${n} ${[1, 2, 3, 4].slice(0, n).join('+')}`),
        'opened field',
        'repeated field 5 5',
      ],
    ],
  ];
  for (const [number, sends, lines] of rows) {
    it(`${number}. tells ${lines.at(-1) ?? 'nothing'}`, async () => {
      const { packets } = await tellScenes(...sends);
      assert.deepEqual(packets.map(lineOf), lines);
    });
  }

  it('tells a SYN that was sent again from a second knock', async () => {
    const once = (await portScene(['7000/tcp'])(START_MS, HERE)).flatMap((bytes) => [bytes, bytes]);
    const { packets } = await tell(once.map((bytes, i) => ({ bytes, timeMs: START_MS + i })));
    assert.deepEqual(packets.map(lineOf), ['counted old 1 1', 'repeated old 1 1']);
  });

  it('names the packet, its time and its places', async () => {
    const noise = frame({ src: '203.0.113.9', dstPort: 443, protocol: 'tcp', flags: 16 });
    const saved = [
      { bytes: noise, timeMs: START_MS },
      ...(await playScenes([{ src: HERE, send: spaScene() }])),
    ];
    const { packets, explanation } = await tell(saved);
    const [only] = packets;
    assert.deepEqual(
      [only?.number, only?.timeMs, only?.source, only?.protocol, only?.port, only?.scheme],
      [2, START_MS, HERE, 'udp', 62_201, 'spa'],
    );
    assert.deepEqual([explanation.packets, explanation.timeMs], [2, [START_MS, START_MS]]);
    assert.equal(only?.why, 'opens ssh (tcp/22) to 198.51.100.20 for up to 30 s, 1 connection');
  });

  it('counts time by the capture, to the packet', async () => {
    // All in one chunk: what is decided about the first must not see the clock of the others.
    const scenes = Array.from({ length: 50 }, (_, i) => ({ src: `198.51.100.${i + 1}`, send: spaScene() }));
    const { packets } = await tell(await playScenes(scenes, 1000));
    assert.deepEqual(
      packets.map(({ grants, timeMs }) => (grants?.[0]?.openUntil ?? 0) - timeMs),
      scenes.map(() => 30_000),
    );
  });

  it('lets openings end when their time is over by the capture', async () => {
    const nothing = portScene(['443/tcp']);
    const { packets } = await tellScenes(spaScene(), nothing, spaScene({ close: true }));
    assert.deepEqual(packets.at(-1)?.grants, []);
    assert.equal(packets.at(-1)?.why, 'closes nothing: nothing was open');
    const sooner = await tellScenes(spaScene(), spaScene({ close: true }));
    assert.equal(sooner.packets.at(-1)?.why, 'closes ssh (tcp/22)');
  });

  it('says by how much a clock is off, where the packet says so', async () => {
    const { packets } = await tellScenes(
      spaScene({ late: -143_000 }),
      spaScene({ late: 60_000 }),
      fieldScene([1], -12),
    );
    assert.deepEqual(
      packets.map(({ clockOffsetMs }) => clockOffsetMs),
      [-143_000, 60_000, -120_000],
    );
    assert.match(packets[0]?.why ?? '', /; the client's clock is 143 s behind$/u);
  });

  it('leaves out packets to other hosts, and refuses knocks from its own address, when told its addresses', async () => {
    const saved = await playScenes([{ src: HERE, send: spaScene() }]);
    const elsewhere = await tell(saved, { hosts: ['203.0.113.77'] });
    assert.deepEqual([elsewhere.packets, elsewhere.explanation.unread], [[], { 'not-ours': 1 }]);
    const own = await tell(saved, { hosts: [HERE, GATEWAY_ADDRESS] });
    assert.deepEqual(own.packets.map(lineOf), ['refused source-refused suite1']);
    const others = await tell(saved, { hosts: [GATEWAY_ADDRESS] });
    assert.deepEqual(others.packets.map(lineOf), ['opened suite1']);
  });

  it('takes knocks from loopback addresses for a gateway that listens there', async () => {
    const saved = await playScenes([{ src: '127.0.0.1', send: spaScene() }]);
    for (const [loopback, line] of [
      [false, 'refused source-refused suite1'],
      [true, 'opened suite1'],
    ] as const) {
      assert.deepEqual((await tell(saved, { loopback })).packets.map(lineOf), [line]);
    }
  });

  it('counts what it could not look at', async () => {
    const whole = frame({ payload: 'whole' });
    const { explanation } = await tell([
      { bytes: whole.subarray(0, 40), wire: whole.length },
      frame({ payload: 'x', fragment: 0x2000 }),
      whole.subarray(0, 10),
    ]);
    assert.deepEqual(explanation.unread, { truncated: 2, fragment: 1 });
  });

  it('counts packets of a time that cannot be, and goes on', async () => {
    const blocks = pcapng();
    const option = blocks.option(9, Buffer.from([0]));
    const [knock] = await playScenes([{ src: HERE, send: fieldScene([1]) }]);
    const bytes = Buffer.from(knock?.bytes ?? []);
    const file = Buffer.concat([
      ...[blocks.section(), blocks.interface(LINK_ETHERNET, { options: [option] })],
      // Seconds.
      ...[2n ** 63n, BigInt(START_MS / 1000)].map((stamp) => blocks.packet(bytes, { stamp })),
    ]);
    const { packets, explanation } = await tell([], { source: captureFile(Readable.from([file])) });
    assert.deepEqual(explanation.unread, { 'bad-time': 1 });
    assert.deepEqual([packets.map(lineOf), packets[0]?.number], [['counted field 1 1'], 2]);
  });

  it('says so for a capture without any packet', async () => {
    const { packets, explanation } = await tell([]);
    assert.deepEqual(packets, []);
    assert.deepEqual(explanation, {
      ...{ packets: 0, timeMs: null, unread: {}, untold: 0, sources: [], unlisted: 0 },
    });
  });
});

describe("explain's summary", () => {
  const rows: readonly [number: number, sends: readonly Scene['send'][], unfinished: readonly object[]][] = [
    [1, [fieldScene([1, 2, 4])], [{ attempts: 1, seen: [1, 2, 4], knocks: 5, end: 'open' }]],
    [2, [fieldScene([1, 2, 3, 4, 5])], []],
    [3, [fieldScene([1, 2, 4]), fieldScene([2, 3])], [{ attempts: 2, seen: [2, 3], knocks: 5, end: 'open' }]],
    [
      4,
      [fieldScene([1, 2, 4]), fieldScene([1, 2, 3, 4, 5])],
      [{ attempts: 1, seen: [1, 2, 4], knocks: 5, end: 'open' }],
    ],
    [
      5,
      [fieldScene([1, 2]), REFUSALS['wrong-port'] as Scene['send']],
      [{ attempts: 1, seen: [1, 2], knocks: 5, end: 'open' }],
    ],
  ];
  for (const [number, sends, unfinished] of rows) {
    it(`${number}. knows what never arrived`, async () => {
      const { explanation } = await tellScenes(...sends);
      assert.deepEqual(
        unfinishedOf(explanation),
        unfinished.map((one) => ({ client: 'field', ...one })),
      );
    });
  }

  const ordered: readonly [ports: readonly string[], seen: readonly number[], end: string][] = [
    [['7000/tcp', '9000/udp', '7100/tcp'], [1, 2, 4], 'broken'],
    [['7000/tcp', '9000/udp', '443/tcp'], [1, 2], 'broken'],
    [['7000/tcp', '9000/udp'], [1, 2], 'open'],
  ];
  for (const [ports, seen, end] of ordered) {
    it(`knows how far a sequence came: ${ports.join(' ')}`, async () => {
      const { explanation } = await tellScenes(portScene(ports));
      assert.deepEqual(unfinishedOf(explanation), [{ client: 'old', attempts: 1, seen, knocks: 4, end }]);
    });
  }

  it('counts by source what was opened, closed, repeated, refused and missed', async () => {
    const { explanation } = await tellScenes(
      spaScene(),
      DUPLICATE,
      spaScene({ close: true }),
      spaScene({ late: -200_000 }),
      spaScene({}, (bytes) => [bytes.subarray(0, 100)]),
    );
    assert.deepEqual(explanation.sources, [
      {
        ...{ source: HERE, clients: ['suite1'], opened: 2, closed: 1, duplicates: 1 },
        ...{ refused: { stale: 1 }, missed: { 'wrong-length': 1 }, unfinished: [] },
      },
    ]);
  });

  it('stays bounded in a flood of junk, and still tells of the client in it', async () => {
    const junk = Array.from({ length: 3000 }, (_, i) => ({
      bytes: frame({ src: `10.0.${i >> 8}.${i & 255}`, payload: 'junk' }),
      timeMs: START_MS,
    }));
    const saved = [...junk, ...(await playScenes([{ src: HERE, send: spaScene() }]))];
    const { packets, explanation } = await tell(saved);
    assert.equal(packets.length, 1001);
    assert.equal(explanation.untold, 2000);
    assert.equal(packets.at(-1)?.verdict, 'opened');
  });

  it('lists ten thousand sources, and beyond them those that had something opened', async () => {
    const strangers = Array.from({ length: 10_050 }, (_, i) => ({
      bytes: frame({ src: `10.1.${i >> 8}.${i & 255}`, dstPort: 7000, protocol: 'tcp' as const, seq: i }),
      timeMs: START_MS,
    }));
    const saved = [...strangers, ...(await playScenes([{ src: HERE, send: spaScene() }]))];
    const { explanation } = await tell(saved);
    assert.deepEqual([explanation.sources.length, explanation.unlisted], [10_001, 50]);
    assert.equal(explanation.sources.at(-1)?.source, HERE);
  });
});

describe("explain's options", () => {
  it('refuses what cannot be used, by the name of the argument', async () => {
    await assert.rejects(tell([], { hosts: ['gw.example'] }), {
      name: 'TypeError',
      message: "hosts must be IP addresses, got 'gw.example'",
    });
    await assert.rejects(tell([], { clients: [] }), /must be listed in clients/u);
  });

  it('rejects with what is wrong with the capture', async () => {
    const source = captureFile(Readable.from([Buffer.from('no savefile')]));
    await assert.rejects(
      tell([], { source }),
      (error) => isKnockError(error) && error.code === 'ERR_SAVEFILE',
    );
  });

  it('warns of a torn end, and explains what there is', async () => {
    const file = pcap(await playScenes([{ src: HERE, send: DUPLICATE }]));
    const warnings: string[] = [];
    const { packets } = await tell([], {
      source: captureFile(Readable.from([file.subarray(0, -10)])),
      warning: (message) => warnings.push(message),
    });
    assert.deepEqual([packets.map(lineOf), warnings.length], [['opened suite1'], 1]);
  });

  it('rejects with what its listener threw, and tells it nothing more', async () => {
    let calls = 0;
    const told = (): void => {
      calls += 1;
      throw new Error('full');
    };
    const saved = await playScenes([1, 2, 3].map(() => ({ src: HERE, send: spaScene() })));
    await assert.rejects(tell(saved, { told }), { message: 'full' });
    assert.equal(calls, 1);
  });

  it('ends when it is aborted, with what there was', async () => {
    const controller = new AbortController();
    const source = memorySource();
    const running = tell([], { source, signal: controller.signal });
    while (source.context === null) await new Promise((resolve) => setImmediate(resolve));
    for (const bytes of await spaScene()(source.context.clock.now(), HERE)) source.frame(bytes);
    controller.abort();
    const { explanation } = await running;
    assert.deepEqual([explanation.packets, source.context], [1, null]);
  });
});
