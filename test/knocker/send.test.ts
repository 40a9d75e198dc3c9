// Datagrams on their way out: to every address, from one port, and when a failure is one.

import assert from 'node:assert/strict';
import { isKnockError } from '../../lib/errors.ts';
import { localAddress, sendDatagram } from '../../lib/knocker/send.ts';
import { freePort } from '../support/ports.ts';
import { listenUdp } from './support.ts';

const BYTES = Buffer.from('0badcafe', 'hex');
/** A broadcast address, which a socket may not send to unless it has said so. */
const FORBIDDEN = '255.255.255.255';

function isSendError(error: unknown): boolean {
  return isKnockError(error) && error.code === 'ERR_SEND';
}

describe('sendDatagram', () => {
  it('sends the same bytes to each address, from one port', async () => {
    const port = await freePort();
    const hosts = ['127.86.3.1', '127.86.3.2', '127.86.3.3'] as const;
    const ears = await Promise.all(hosts.map((host) => listenUdp([port], host)));
    await sendDatagram(hosts, port, BYTES);
    const heard = (await Promise.all(ears.map((ear) => ear.count(1)))).flat();
    for (const ear of ears) await ear.close();
    assert.deepEqual(
      heard.map(({ payload }) => payload),
      ['0badcafe', '0badcafe', '0badcafe'],
    );
    assert.equal(new Set(heard.map(({ from }) => from)).size, 1);
  });

  it('sends over IPv6', async () => {
    const port = await freePort();
    const ear = await listenUdp([port], '::1');
    await sendDatagram(['::1'], port, BYTES);
    await ear.count(1);
    await ear.close();
  });

  it('is content when one of the addresses could be sent to, wherever it stands', async () => {
    const port = await freePort();
    for (const addresses of [
      [FORBIDDEN, '127.86.3.1'],
      ['127.86.3.1', FORBIDDEN],
    ] as const) {
      const ear = await listenUdp([port], '127.86.3.1');
      await sendDatagram(addresses, port, BYTES);
      await ear.count(1);
      await ear.close();
    }
  });

  it('fails when none could, and names it', async () => {
    await assert.rejects(sendDatagram([FORBIDDEN, FORBIDDEN], 9, BYTES), (error) => {
      assert.ok(isSendError(error));
      assert.match(
        (error as Error).message,
        /^knock to 255\.255\.255\.255 could not be sent: EACCES \(a firewall/u,
      );
      return true;
    });
  });

  it('does not mind a port that nobody listens on, again and again', async () => {
    const port = await freePort();
    for (let i = 0; i < 5; i += 1) await sendDatagram(['127.0.0.1'], port, BYTES);
  });
});

describe('localAddress', () => {
  it('is the address that this host would send from', async () => {
    assert.equal(await localAddress('127.0.0.1'), '127.0.0.1');
    assert.equal(await localAddress('127.86.3.1'), '127.0.0.1');
    assert.equal(await localAddress('::1'), '::1');
  });

  it('is an ERR_SEND without a route', async () => {
    await assert.rejects(localAddress('255.255.255.255'), isSendError);
    await assert.rejects(localAddress('ff02::1:2%nosuch0'), isSendError);
  });
});
