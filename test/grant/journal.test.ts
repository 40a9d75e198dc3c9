// The grant journal on a disk that fails, fills and loses power: what was recorded is found again, what was not is never
// made up, and nothing is opened that is not recorded.

import assert from 'node:assert/strict';
import type { Grant } from '../../lib/firewall/driver.ts';
import { FileJournal } from '../../lib/grant/journal.ts';
import { isKnockError } from '../../lib/errors.ts';
import { FakeDisk } from '../replay/fake-disk.ts';

const PATH = '/state/grants';

function grant(id: string, more: Partial<Grant> = {}): Grant {
  const where = {
    source: `192.0.2.${parseInt(id, 36) % 250}`,
    service: 'ssh',
    protocol: 'tcp',
    port: 22,
  } as const;
  return { id, client: 'alice', ...where, openUntil: 1_700_000_030_000, connections: 1, ...more };
}

async function opened(disk: FakeDisk, outlivesHost = true) {
  const journal = new FileJournal(PATH, { outlivesHost, files: disk.files });
  const warnings: string[] = [];
  const found = await journal.open({ warning: (message) => warnings.push(message) });
  return { journal, found, warnings, ids: found.map(({ id }) => id) };
}

async function withTwo(): Promise<FakeDisk> {
  const disk = new FakeDisk();
  const { journal } = await opened(disk);
  await journal.add([grant('1'), grant('2', { source: '2001:db8::/56', connections: 'unlimited' })]);
  await journal.add([grant('3')]);
  await journal.remove([grant('1')]);
  return disk;
}

describe('the grant journal', () => {
  it('finds after a crash what is open, oldest first, whole', async () => {
    const { found, warnings } = await opened((await withTwo()).after('kill'));
    assert.deepEqual(found, [grant('2', { source: '2001:db8::/56', connections: 'unlimited' }), grant('3')]);
    assert.deepEqual(warnings, []);
  });

  it('finds nothing where there was none, and makes one', async () => {
    const disk = new FakeDisk();
    assert.deepEqual((await opened(disk)).ids, []);
    assert.equal(disk.read(PATH).toString(), 'portknock grants 1\n');
  });

  it('finds after a loss of power what was recorded, where openings outlive the host', async () => {
    assert.deepEqual((await opened((await withTwo()).after('power'))).ids, ['2', '3']);
  });

  it('does not wait for the platters where openings die with the kernel', async () => {
    const disk = new FakeDisk();
    const { journal } = await opened(disk, false);
    disk.plan = (_, operation) => (operation === 'sync' ? 'EIO' : null);
    await journal.add([grant('1')]);
    assert.deepEqual((await opened(disk.after('kill'))).ids, ['1']);
  });

  it('cut off at any byte, names the grants of its whole lines and no other', async () => {
    const bytes = (await withTwo()).read(PATH);
    const text = bytes.toString();
    const expected = (size: number): string[] => {
      const lines = text.slice(0, size).split('\n').length - 2;
      return [[], ['1'], ['1', '2'], ['1', '2', '3'], ['2', '3']][Math.max(0, lines)] ?? [];
    };
    for (let size = 0; size <= bytes.length; size += 1) {
      const disk = new FakeDisk();
      disk.write(PATH, bytes.subarray(0, size));
      const { ids, warnings } = await opened(disk);
      assert.deepEqual(ids, expected(size), `${size} bytes`);
      assert.deepEqual(warnings, []);
    }
  });

  it('with any byte changed, names no grant that was not recorded, and says so or refuses', async () => {
    const bytes = (await withTwo()).read(PATH);
    const real = new Set(['1', '2', '3'].map((id) => JSON.stringify(grant(id))));
    real.add(JSON.stringify(grant('2', { source: '2001:db8::/56', connections: 'unlimited' })));
    for (let at = 0; at < bytes.length; at += 1) {
      const disk = new FakeDisk();
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ 0x04;
      disk.write(PATH, damaged);
      const { found, warnings } = await opened(disk).catch((error: unknown) => {
        assert.ok(isKnockError(error) && at < 'portknock grants 1\n'.length, `byte ${at}`);
        return { found: [], warnings: ['refused'] };
      });
      for (const one of found) assert.ok(real.has(JSON.stringify(one)), `byte ${at}`);
      // Only the end of the last line can go without a word: a line that was not finished.
      assert.ok(warnings.length === 1 || at === bytes.length - 1, `byte ${at}`);
    }
  });

  it('refuses a file that is something else, and leaves it as it is', async () => {
    const disk = new FakeDisk();
    disk.write(PATH, Buffer.from('root:x:0:0\n'));
    await assert.rejects(opened(disk), {
      code: 'ERR_GRANT_JOURNAL',
      message: /^grant journal \/state\/grants cannot be kept: it is no journal of this version \(/u,
    });
    assert.equal(disk.read(PATH).toString(), 'root:x:0:0\n');
  });

  it('fails what cannot be written, and goes on when it can', async () => {
    const disk = new FakeDisk();
    const { journal } = await opened(disk);
    await journal.add([grant('1')]);
    disk.plan = () => 'ENOSPC';
    await assert.rejects(journal.add([grant('2')]), { code: 'ERR_GRANT_JOURNAL' });
    await assert.rejects(journal.add([grant('3')]), { code: 'ERR_GRANT_JOURNAL', message: /ENOSPC/u });
    disk.plan = () => null;
    await journal.add([grant('4')]);
    assert.deepEqual((await opened(disk.after('power'))).ids, ['1', '4']);
  });

  it('whatever operation fails or crashes, has every grant that it said was recorded', async () => {
    const script = async (disk: FakeDisk, recorded: Set<string>): Promise<void> => {
      const { journal } = await opened(disk);
      for (const id of ['1', '2', '3', '4']) {
        const done = await journal.add([grant(id)]).then(
          () => true,
          () => false,
        );
        if (done) recorded.add(id);
        if (id === '3') await journal.remove([grant('1')]).catch(() => undefined);
      }
    };
    const steps = new FakeDisk();
    await script(steps, new Set());
    assert.ok(steps.steps > 15);
    for (let failing = 0; failing < steps.steps; failing += 1) {
      for (const crash of ['kill', 'power', 'mixed'] as const) {
        const disk = new FakeDisk();
        disk.plan = (step) => (step === failing ? 'EIO' : null);
        const recorded = new Set<string>();
        await script(disk, recorded).catch(() => undefined);
        const next = disk.after(crash);
        const { ids } = await opened(next);
        recorded.delete('1');
        for (const id of recorded) assert.ok(ids.includes(id), `${crash} after step ${failing}: ${id}`);
      }
    }
  });

  it('is written anew when most of it is about grants that have ended', async () => {
    const disk = new FakeDisk();
    const { journal } = await opened(disk, false);
    await journal.add([grant('keep')]);
    for (let i = 0; i < 2000; i += 1) {
      await journal.add([grant(`n${i}`)]);
      await journal.remove([grant(`n${i}`)]);
    }
    assert.ok(disk.read(PATH).length < 250_000, String(disk.read(PATH).length));
    assert.deepEqual((await opened(disk.after('kill'))).ids, ['keep']);
  });

  it('shares a write among grants that come together', async () => {
    const disk = new FakeDisk();
    const { journal } = await opened(disk);
    const before = disk.steps;
    await Promise.all(Array.from({ length: 100 }, (_, i) => journal.add([grant(`n${i}`)])));
    assert.ok(disk.steps - before <= 4, `${disk.steps - before} operations`);
  });
});
