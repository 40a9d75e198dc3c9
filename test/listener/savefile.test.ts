import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { captureFile } from '../../lib/capture/file.ts';
import { mock } from '../../lib/firewall/mock.ts';
import { KnockListener } from '../../lib/listener/listener.ts';
import { sequence } from '../../lib/scheme/sequence.ts';
import { frame } from '../support/frames.ts';
import { pcap } from '../support/savefile.ts';

describe('a listener on a savefile', () => {
  it('misses nothing of it while its driver is slow to set up', async () => {
    const driver = mock();
    const slow = Object.assign(Object.create(driver) as typeof driver, {
      async setup(...args: Parameters<typeof driver.setup>) {
        for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
        await driver.setup(...args);
      },
    });
    const knocks = [7000, 9000, 8000].map((dstPort) => frame({ dstPort, payload: 'x' }));
    const listener = new KnockListener({
      source: captureFile(Readable.from([pcap(knocks)])),
      schemes: [sequence({ clients: { old: { sequence: ['7000/udp', '9000/udp', '8000/udp'] } } })],
      driver: slow,
      services: { ssh: { port: 22 } },
      clients: [{ name: 'old', services: ['ssh'] }],
    });
    const end = once(listener, 'end');
    await listener.start();
    await end;
    assert.deepEqual(
      listener.grants.map(({ client, source }) => [client, source]),
      [['old', '192.0.2.7']],
    );
    await listener.stop();
  });
});
