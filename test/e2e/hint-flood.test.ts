// Forged datagrams of the right length and port die in the kernel (protocols/spa.md "Hint"): a flood of them costs the
// capture process next to nothing, and does not wake the gateway.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { frame } from '../support/frames.ts';
import { createWorld, type World } from '../support/netns.ts';
import { random } from '../support/random.ts';
import { pcap } from '../support/savefile.ts';
import { cpuMs, DATAGRAM, HINTED_PORT, Watcher } from './numbered.ts';
import { describeInNamespaces, pause } from './support.ts';

const FORGED = process.env.PORTKNOCK_SLOW === '1' ? 1_000_000 : 200_000;
/** For a million; what a process does anyhow in a few seconds must not decide the short form. */
const LIMIT_MS = 50;
const DIFFERENT = 5000;
const HOUR_MS = 3_600_000;

interface Cost {
  readonly captureMs: number;
  readonly gatewayMs: number;
  readonly seconds: number;
  readonly frames: number;
}

describeInNamespaces(
  `${FORGED.toLocaleString('en')} forged datagrams of the right length and port`,
  function () {
    this.timeout(180_000);
    const folder = mkdtempSync(join(tmpdir(), 'portknock-hint-'));
    const file = join(folder, 'forged.pcap');
    let world: World;

    before(async () => {
      world = await createWorld();
      writeFileSync(file, pcap(forged(world)));
    });

    after(async () => {
      await world.destroy();
      rmSync(folder, { recursive: true });
    });

    async function received(): Promise<number> {
      const table = await world.gateway.must('cat', ['/proc/net/dev']);
      return Number(new RegExp(`${world.device}: *\\d+ +(\\d+)`, 'u').exec(table)?.[1]);
    }

    async function flood(...options: readonly string[]): Promise<Cost> {
      const watcher = await Watcher.start(world.gateway, world.device, String(HOUR_MS), ...options);
      try {
        // What is done once after the start is over then.
        await pause(1500);
        const [capture = 0] = watcher.children();
        const before = { packets: await received(), capture: cpuMs(capture), gateway: cpuMs(watcher.pid) };
        const began = performance.now();
        const loops = `--loop=${FORGED / DIFFERENT}`;
        await world.outside.must('tcpreplay', ['-q', '-K', '--topspeed', loops, '-i', 'out0', file]);
        const seconds = (performance.now() - began) / 1000;
        await pause(300);
        const captureMs = cpuMs(capture) - before.capture;
        const gatewayMs = cpuMs(watcher.pid) - before.gateway;
        assert.ok((await received()) - before.packets >= FORGED, 'the flood has to arrive');
        const { frames } = await watcher.end();
        return { captureMs, gatewayMs, seconds, frames };
      } finally {
        watcher.kill();
      }
    }

    it('cost the capture process next to nothing with the hint in the filter, and do not reach the gateway', async () => {
      const without = await flood('plain');
      const hinted = await flood();
      for (const [name, cost] of Object.entries({ 'without the hint': without, 'with it': hinted })) {
        console.log(
          `      ${name}: capture ${cost.captureMs.toFixed(1)} ms, gateway ${cost.gatewayMs.toFixed(1)} ms of ` +
            `processor in ${cost.seconds.toFixed(1)} s; ${cost.frames} frames delivered`,
        );
      }
      assert.ok(without.frames > FORGED / 10, 'without the hint they are delivered');
      assert.equal(hinted.frames, 0);
      assert.ok(hinted.captureMs < LIMIT_MS, `capture took ${hinted.captureMs} ms, the limit is ${LIMIT_MS}`);
      assert.ok(hinted.gatewayMs < LIMIT_MS, `gateway took ${hinted.gatewayMs} ms, the limit is ${LIMIT_MS}`);
      assert.ok(hinted.captureMs * 5 < without.captureMs, 'they cost a fraction of what they did');
    });
  },
);

/** Datagrams with random content, to either address; that one has a right hint by chance is out of the question. */
function forged(world: World): Buffer[] {
  const below = random(7);
  return Array.from({ length: DIFFERENT }, (_, i) => {
    const payload = Buffer.from(Array.from({ length: DATAGRAM.bytes }, () => below(256)));
    const family = i % 4 === 3 ? 6 : 4;
    const src = family === 4 ? `10.78.${i >> 8}.${i & 255}` : `fd78::${i.toString(16)}`;
    return frame({ src, dst: world.address[family], dstPort: HINTED_PORT, srcPort: 1024 + i, payload });
  });
}
