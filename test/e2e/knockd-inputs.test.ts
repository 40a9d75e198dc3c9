// The inputs of protocols/knockd.md's table, to real knockd and to ours at the same time: both hear the very same packets,
// from a source of its own for each row. Where ours does something else, the row says which of the two is on purpose.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Gateway } from '../support/gateway.ts';
import { frame } from '../support/frames.ts';
import { createWorld, type World } from '../support/netns.ts';
import { describeInNamespaces, inject, until } from './support.ts';

/** Doors of both programs; the third one tells that everything before it was heard. */
const DOORS = { open: '7000,8000,9000', back: '9000,8000,7000', control: '9900,9700,9800' } as const;

interface Row {
  readonly what: string;
  /** Ports in order; `A:7000` from the row's source A, `~7000` the last SYN to that port once more. */
  readonly packets: string;
  /** The doors that open. */
  readonly knockd: string;
  readonly ours: string;
  /** Where they differ: `stricter`, or `better`: a client gets in that knockd keeps out. */
  readonly because?: 'stricter' | 'better';
}

/** From the first knock to the last: longer than a row takes on a machine that stands still for a while. */
const SECONDS = 25;

const SWEEP = Array.from({ length: 65_535 }, (_, i) => i + 1);
const NOISE = Array.from({ length: 300 }, (_, i) => 20_000 + i * 7);
/** A scan of many ports in which those of the doors come in this order. */
const scan = (order: string): string =>
  order
    .split(' ')
    .flatMap((port) => [...NOISE.slice(0, 100), port])
    .join(' ');

const ROWS: readonly Row[] = [
  { what: 'the sequence', packets: '7000 8000 9000', knockd: 'open', ours: 'open' },
  { what: 'the other one', packets: '9000 8000 7000', knockd: 'back', ours: 'back' },
  {
    ...{ what: 'a port outside all doors in between', packets: '7000 8000 1234 9000' },
    ...{ knockd: 'open', ours: '', because: 'stricter' },
  },
  {
    ...{ what: 'the first SYN sent again', packets: '7000 ~7000 8000 9000' },
    ...{ knockd: '', ours: 'open', because: 'better' },
  },
  {
    ...{ what: 'the second SYN sent again', packets: '7000 8000 ~8000 9000' },
    ...{ knockd: '', ours: 'open', because: 'better' },
  },
  {
    what: 'a wrong port of a door, then the sequence',
    packets: '7000 9000 7000 8000 9000',
    knockd: 'open',
    ours: 'open',
  },
  { what: 'the last two the other way round', packets: '7000 9000 8000', knockd: '', ours: '' },
  { what: 'a forged SYN to a port of a door', packets: '7000 8000 8000 9000', knockd: '', ours: '' },
  { what: 'a sweep of all ports', packets: SWEEP.join(' '), knockd: 'open', ours: '', because: 'stricter' },
  ...(
    [
      ['7000 8000 9000', 'open'],
      ['7000 9000 8000', ''],
      ['8000 7000 9000', ''],
      ['8000 9000 7000', ''],
      ['9000 7000 8000', ''],
      ['9000 8000 7000', 'back'],
    ] as const
  ).map(([order, knockd]): Row => ({
    ...{ what: `a scan with ${order} in that order`, packets: scan(order), knockd, ours: '' },
    ...(knockd === '' ? {} : { because: 'stricter' }),
  })),
  {
    ...{ what: 'another source half-way while the first of the list finishes' },
    ...{
      packets: 'A:7000 B:7000 A:8000 B:8000 A:9000 B:9000',
      knockd: 'open',
      ours: 'open open',
      because: 'better',
    },
  },
];

describeInNamespaces("the inputs of knockd.md's table", function () {
  this.timeout(60_000);
  let world: World;
  let folder: string;
  let theirs: string;
  let gateway: Gateway;
  let sources = 10;

  before(async () => {
    world = await createWorld();
    folder = await mkdtemp(join(tmpdir(), 'portknock-inputs-'));
    const config = (command: string): string =>
      Object.entries(DOORS)
        .flatMap(([name, sequence]) => [
          `[${name}]`,
          `sequence = ${sequence}`,
          `seq_timeout = ${SECONDS}`,
          'tcpflags = syn',
          `command = ${command}`,
        ])
        .join('\n');
    theirs = join(folder, 'theirs.conf');
    const ours = join(folder, 'ours.conf');
    await writeFile(theirs, `[options]\nLogFile = ${join(folder, 'log')}\n${config('true')}\n`);
    await writeFile(
      ours,
      `[options]\nInterface = ${world.device}\n${config('ufw allow from %IP% to any port 22 proto tcp')}\n`,
    );
    gateway = await Gateway.start(world, { knockd: ours }, ['--state', join(folder, 'state')]);
  });

  after(async () => {
    await gateway.end();
    await rm(folder, { recursive: true });
    await world.destroy();
  });

  const log = (): Promise<string> => readFile(join(folder, 'log'), 'utf8').catch(() => '');
  const sesames = async (): Promise<string[]> =>
    [...(await log()).matchAll(/: (\w+): OPEN SESAME/gu)].map(([, door = '']) => door);
  /**
   * A knockd that has heard nothing yet. What one row leaves half-way would be in the way of the next: when the first of its
   * list runs out, knockd forgets the others with it.
   */
  const startKnockd = async (): Promise<ChildProcess> => {
    await rm(join(folder, 'log'), { force: true });
    const knockd = world.gateway.spawn('knockd', ['-i', world.device, '-c', theirs], { stdio: 'ignore' });
    await until('knockd listens', async () => (await log()).includes('listening on'));
    return knockd;
  };
  const grants = (): string[] => gateway.of('grant').map(({ client }) => String(client));

  /** New addresses for the row's sources, and the row as frames. */
  const framesOf = (packets: string): Buffer[] => {
    const addresses = new Map<string, string>();
    const sent = new Map<string, Buffer>();
    return packets.split(' ').map((word, i) => {
      const [, source = 'A', again, port = ''] = /^(?:(\w+):)?(~)?(\d+)$/u.exec(word) ?? [];
      const src = addresses.get(source) ?? `10.77.1.${(sources += 1)}`;
      addresses.set(source, src);
      const fresh = frame({
        ...{
          src,
          dst: world.address[4],
          protocol: 'tcp',
          srcPort: 40_000,
          dstPort: Number(port),
          seq: i * 7919,
        },
      });
      const packet = again === undefined ? fresh : (sent.get(port) ?? fresh);
      sent.set(port, packet);
      return packet;
    });
  };

  const opened = async (packets: string): Promise<{ readonly knockd: string; readonly ours: string }> => {
    const before = grants().length;
    await inject(world, framesOf(packets), 40_000);
    await inject(world, framesOf(DOORS.control.replaceAll(',', ' ')));
    await until('knockd heard what was sent', async () => (await sesames()).includes('control'));
    await until('ours heard what was sent', () => grants().slice(before).includes('control'));
    const rest = (doors: readonly string[]): string => doors.filter((door) => door !== 'control').join(' ');
    return { knockd: rest(await sesames()), ours: rest(grants().slice(before)) };
  };

  for (const { what, packets, knockd: doors, ours, because } of ROWS) {
    const difference = because === undefined ? 'as with knockd' : `unlike knockd, ${because}`;
    it(`${what}: ${ours === '' ? 'opens nothing' : `opens ${ours}`}, ${difference}`, async () => {
      assert.equal(because === undefined, doors === ours);
      const knockd = await startKnockd();
      try {
        assert.deepEqual(await opened(packets), { knockd: doors, ours });
      } finally {
        const gone = once(knockd, 'exit');
        knockd.kill('SIGKILL');
        await gone;
      }
    });
  }

  const forged = (count: number): Buffer[] =>
    Array.from({ length: count }, (_, i) =>
      frame({
        ...{
          src: `10.${78 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`,
          dst: world.address[4],
          protocol: 'tcp',
        },
        ...{ srcPort: 1024 + i, dstPort: 7000, seq: i },
      }),
    );

  // What these do to knockd is attack 9's: it is not the same each time.
  it('forged first knocks at once, and the sequence right behind them: opens, unlike knockd, better', async () => {
    const before = grants().length;
    await inject(world, forged(20_000), 50_000);
    await inject(world, framesOf(DOORS.open.replaceAll(',', ' ')));
    await gateway.wait('grant', { count: before + 1 });
    assert.equal(grants().at(-1), 'open');
  });

  it('forged first knocks for seconds: opens for each of four, unlike knockd, better', async () => {
    const before = grants().length;
    const flood = inject(world, forged(8_100), 2700);
    for (let i = 0; i < 4; i += 1) {
      await inject(world, framesOf(DOORS.open.replaceAll(',', ' ')));
      await gateway.wait('grant', { count: before + i + 1 });
    }
    await flood;
    assert.deepEqual(grants().slice(before), ['open', 'open', 'open', 'open']);
  });
});
