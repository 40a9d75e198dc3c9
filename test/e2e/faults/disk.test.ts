// The disk under a gateway's state is full, or read-only: knocks are refused with what is wrong and what to do, nothing is
// opened, and when it can be written again service goes on by itself. A small disk of the gateway's own, in its mounts.
// (The store alone: ../replay-full-disk.test.ts; each operation that can fail: test/replay/crash.test.ts and
// test/grant/journal.test.ts. Weakened: a failed claim answered with `claimed` in lib/replay/file.ts, a failed `add` not
// awaited in lib/grant/openings.ts, the rewriting after a failure left out in lib/grant/journal.ts: went red.)

import assert from 'node:assert/strict';
import { clientKey, encodeLog, encodeRecord, offsetOf, SLOT_BYTES } from '../../../lib/replay/log.ts';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Site, type Event, type Gateway } from '../../support/gateway.ts';
import { describeInNamespaces } from '../support.ts';
import { among, Bench, configOf, startAmong, until } from './bench.ts';

const FULL = 'cat /dev/zero > FOLDER/filler 2>/dev/null || true';
const ROOM = 'rm FOLDER/filler';
/** Over the old one, which cannot be made so while it is written to. */
const READ_ONLY = 'mount --bind -o ro FOLDER FOLDER && mount -o remount,bind,ro FOLDER';
const WRITABLE = 'umount FOLDER';
/** More than fit in one block of the journal. */
const MOST_KNOCKS = 60;

for (const driver of ['iptables', 'nftables'] as const) {
  describeInNamespaces(`a disk that cannot be written (${driver})`, function () {
    this.timeout(60_000);
    let bench: Bench;
    let site: Site;
    let gateway: Gateway;

    before(async () => {
      bench = await Bench.create();
    });

    beforeEach(async () => {
      site = await Site.create(bench.world, configOf(`firewall: ${driver}`));
      await writeFile(join(site.folder, 'replay'), usedUp(), { mode: 0o600 });
    });

    afterEach(async () => {
      await gateway.end();
      await site.remove();
    });

    after(() => bench.destroy());

    const state = (): string => join(site.folder, 'state');
    const onDisk = (script: string): Promise<string> =>
      among(gateway.pid, script.replaceAll('FOLDER', state()));
    /** `then`: what else happens to the disk before the start. */
    const start = async (then = ''): Promise<void> => {
      const mount = `mount -t tmpfs -o size=512k,mode=700 none FOLDER; mv ${site.folder}/replay FOLDER/replay; ${then}`;
      gateway = await startAmong(bench.world, site, mount.replaceAll('FOLDER', state()));
    };
    const opensOnce = async (family: 4 | 6): Promise<void> => {
      assert.equal(await bench.outcome(gateway, { family }), 'granted');
      assert.equal(await bench.connect({ family }), 'talks');
      assert.equal(await bench.connect({ family }), 'refused');
    };
    const said = (kind: Event['event'], pattern: RegExp, from: number): Promise<Event> =>
      until(gateway, ({ event, message }) => event === kind && pattern.test(String(message)), from);

    const rules = async (): Promise<string> => {
      const { gateway: host } = bench.world;
      const texts = await Promise.all([
        host.must('iptables-nft-save', []),
        host.must('nft', ['list', 'ruleset']),
      ]);
      return texts.join('').replace(/^#.*\n|\[\d+:\d+\]|packets \d+ bytes \d+| expires \w+/gmu, '');
    };

    it('refuses knocks that cannot be remembered, full or read-only, and goes on when they can', async () => {
      await start();
      const from = gateway.events.length;
      await onDisk(FULL);
      for (const family of [4, 6] as const) {
        assert.equal(await bench.outcome(gateway, { family }), 'replay-failed');
        assert.equal(await bench.connect({ family }), 'refused');
      }
      await said(
        'warning',
        /^replay file .* cannot be written: ENOSPC.*make room.*knocks are refused until/u,
        from,
      );
      await onDisk(ROOM);
      await onDisk(READ_ONLY);
      assert.equal(await bench.outcome(gateway), 'replay-failed');
      assert.equal(await bench.connect(), 'refused');
      await onDisk(WRITABLE);
      for (const family of [4, 6] as const) await opensOnce(family);
      await said('warning', /^replay file .* can be written again$/u, from);
    });

    it('refuses knocks whose grants cannot be recorded, full or read-only, and goes on when they can', async () => {
      await start();
      await opensOnce(4);
      const from = gateway.events.length;
      await onDisk(FULL);
      let outcome = 'granted';
      for (let i = 0; i < MOST_KNOCKS && outcome === 'granted'; i += 1) {
        outcome = await bench.outcome(gateway, { family: 6 });
        // Or the next would be in the way of this one.
        assert.equal(await bench.connect({ family: 6 }), outcome === 'granted' ? 'talks' : 'refused');
      }
      assert.equal(outcome, 'grant-failed');
      await said(
        'error',
        /^grant journal .* cannot be kept: ENOSPC.*nothing is opened until.*make room/u,
        from,
      );
      assert.equal(await bench.outcome(gateway), 'grant-failed');
      assert.equal(await bench.connect(), 'refused');
      await onDisk(ROOM);
      await onDisk(READ_ONLY);
      assert.equal(await bench.outcome(gateway), 'grant-failed');
      await said('error', /^grant journal .* cannot be kept: EROFS/u, from);
      assert.equal(await bench.connect(), 'refused');
      await onDisk(WRITABLE);
      for (const family of [4, 6] as const) await opensOnce(family);
    });

    it('ends a start with what is wrong, before anything of the firewall is changed', async () => {
      const before = await rules();
      await assert.rejects(
        start(READ_ONLY),
        /ERR_REPLAY_UNREADABLE.*EROFS.*let this user read and write it/u,
      );
      assert.equal(await rules(), before);
      await writeFile(join(site.folder, 'replay'), usedUp(), { mode: 0o600 });
      await start();
      await opensOnce(4);
    });
  });
}

/** A replay file that has to be written anew, and so needs room, when the next knock is to be remembered. */
function usedUp(): Buffer {
  const bytes = encodeLog(new Map(), { origin: 'deliberate', refuseUntil: 0 });
  for (let slot = 0; offsetOf(slot) + SLOT_BYTES <= bytes.length; slot += 1) {
    encodeRecord(bytes, offsetOf(slot), { key: clientKey('spa nobody'), counter: BigInt(slot), slot });
  }
  return bytes;
}
