// Bound UDP sockets as a source, on loopback.

import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { udpSocket } from '../../lib/capture/socket.ts';
import { isKnockError } from '../../lib/errors.ts';
import { decode } from '../../lib/packet/decode.ts';
import { PacketView, sourceOf } from '../../lib/packet/view.ts';
import { formatAddress } from '../../lib/address.ts';
import { recorder } from '../../lib/testing/recorder.ts';
import { freePort, freePorts } from '../support/ports.ts';

interface Seen {
  readonly family: number;
  readonly source: string;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly payload: string;
}

/** A sink that decodes what it gets. */
function decoding(): { sink: ReturnType<typeof recorder>; seen: Seen[] } {
  const sink = recorder();
  const seen: Seen[] = [];
  const view = new PacketView();
  sink.onFrame = (bytes, start, captured, wire, link, timeMs) => {
    assert.equal(decode(view, bytes, start, captured, wire, link, timeMs), null);
    const { family, srcPort, dstPort, payloadStart, payloadLength } = view;
    const payload = view.bytes.toString('latin1', payloadStart, payloadStart + payloadLength);
    seen.push({ family, source: formatAddress(sourceOf(view)), srcPort, dstPort, payload });
  };
  return { sink, seen };
}

async function sender(address: string): Promise<Socket> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.bind(0, address);
  await once(socket, 'listening');
  return socket;
}

const refusal = (error: unknown): string =>
  isKnockError(error) ? `${error.code} ${error.message}` : String(error);

describe('udpSocket', () => {
  for (const [name, bound, from, family] of [
    ['IPv4', '127.0.0.1', '127.0.0.1', 4],
    ['IPv6', '::1', '::1', 6],
    ['IPv4 at a socket for all addresses', undefined, '127.0.0.1', 4],
    ['IPv6 at a socket for all addresses', undefined, '::1', 6],
  ] as const) {
    it(`delivers ${name} datagrams as packets`, async () => {
      const port = await freePort();
      const source = udpSocket(bound === undefined ? { port } : { port, address: bound });
      const { sink, seen } = decoding();
      const client = await sender(from);
      await source.open(sink.context);
      client.send('knock', port, from);
      await sink.frames(1);
      client.send('', port, from);
      await sink.frames(2);
      const common = { family, source: from, srcPort: client.address().port, dstPort: port };
      assert.deepEqual(seen, [
        { ...common, payload: 'knock' },
        { ...common, payload: '' },
      ]);
      await source.close();
      client.close();
    });
  }

  it('serves a range of ports', async () => {
    const [low, high] = await freePorts(4);
    const source = udpSocket({ port: [low, high], address: '127.0.0.1' });
    const { sink, seen } = decoding();
    const client = await sender('127.0.0.1');
    await source.open(sink.context);
    for (let port = low; port <= high; port += 1) {
      client.send('x', port, '127.0.0.1');
      await sink.frames(port - low + 1);
    }
    assert.deepEqual(
      seen.map(({ dstPort }) => dstPort),
      [low, low + 1, low + 2, high],
    );
    await source.close();
    client.close();
  });

  it('passes over datagrams of more than 2048 bytes', async () => {
    const port = await freePort();
    const source = udpSocket({ port, address: '127.0.0.1' });
    const { sink, seen } = decoding();
    const client = await sender('127.0.0.1');
    await source.open(sink.context);
    for (const size of [2049, 9000, 2048]) client.send(Buffer.alloc(size, 'x'), port, '127.0.0.1');
    await sink.frames(1);
    assert.deepEqual(
      seen.map(({ payload }) => payload.length),
      [2048],
    );
    await source.close();
    client.close();
  });

  it('answers nothing', async () => {
    const port = await freePort();
    const source = udpSocket({ port, address: '127.0.0.1' });
    const { sink } = decoding();
    const client = await sender('127.0.0.1');
    let answers = 0;
    client.on('message', () => (answers += 1));
    client.on('error', () => (answers += 1));
    client.connect(port, '127.0.0.1');
    await once(client, 'connect');
    await source.open(sink.context);
    client.send('one');
    client.send('two');
    await sink.frames(2);
    assert.equal(answers, 0);
    await source.close();
    client.close();
  });

  it('says which port is taken, and leaves none of its own bound', async () => {
    const [low, high] = await freePorts(3);
    const taken = createSocket('udp4');
    taken.bind(high, '127.0.0.1');
    await once(taken, 'listening');
    const source = udpSocket({ port: [low, high], address: '127.0.0.1' });
    const error: unknown = await source.open(recorder().context).catch((reason: unknown) => reason);
    assert.match(
      refusal(error),
      new RegExp(`^ERR_CAPTURE udp port ${String(high)} on 127.0.0.1: in use`, 'u'),
    );
    taken.close();
    await once(taken, 'close');
    const again = udpSocket({ port: [low, high], address: '127.0.0.1' });
    await again.open(recorder().context);
    await again.close();
  });

  it('says so when the address is none of this host', async () => {
    const source = udpSocket({ port: await freePort(), address: '192.0.2.1' });
    const error: unknown = await source.open(recorder().context).catch((reason: unknown) => reason);
    assert.match(refusal(error), /^ERR_CAPTURE udp port \d+ on 192\.0\.2\.1: not an address of this host/u);
  });

  it('expects loopback sources only where it is bound to a loopback address', () => {
    assert.equal(udpSocket({ port: 1, address: '127.0.0.9' }).loopback, true);
    assert.equal(udpSocket({ port: 1, address: '::1' }).loopback, true);
    assert.equal(udpSocket({ port: 1, address: '192.0.2.1' }).loopback, false);
    assert.equal(udpSocket({ port: 1 }).loopback, false);
  });

  it('checks its arguments at once', () => {
    for (const port of [0, -1, 65_536, 1.5, NaN]) assert.throws(() => udpSocket({ port }), RangeError);
    assert.throws(() => udpSocket({ port: [9, 8] }), RangeError);
    assert.throws(() => udpSocket({ port: [1000, 1256] }), /at most 256 ports, got 1000-1256/u);
    assert.throws(() => udpSocket({ port: 9, address: 'localhost' }), TypeError);
    assert.doesNotThrow(() => udpSocket({ port: [1000, 1255] }));
  });

  it('can be closed while it is being opened', async () => {
    const [low, high] = await freePorts(3);
    const source = udpSocket({ port: [low, high], address: '127.0.0.1' });
    const opening = source.open(recorder().context);
    await source.close();
    await assert.rejects(opening, isKnockError);
    const again = udpSocket({ port: [low, high], address: '127.0.0.1' });
    await again.open(recorder().context);
    await again.close();
  });
});
