// Who is connected already, from the kernel's tables as it prints them (proc(5)).

import assert from 'node:assert/strict';
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { endianness } from 'node:os';
import { livePeers, parsePeers } from '../../lib/firewall/live-peers.ts';

const HEADER =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';
const REST = '00000000:00000000 00:00000000 00000000     0        0 12345 1 0000000000000000 20 4 30 10 -1';

function table(...rows: readonly string[]): string {
  return [HEADER, ...rows.map((row, i) => `   ${i}: ${row} ${REST}`), ''].join('\n');
}

describe('parsePeers', () => {
  before(function () {
    // The rows below are those of a little-endian host.
    if (endianness() === 'LE') return;
    assert.notEqual(process.env['CI'], 'true', 'a little-endian host is needed in CI');
    this.skip();
  });

  it('reads IPv4 connections', () => {
    assert.deepEqual(parsePeers(table('0101A8C0:0016 070200C0:C350 01', '0100007F:1F90 0100007F:FFFF 08')), [
      { family: 4, address: '192.0.2.7', port: 50_000, localPort: 22, halfOpen: false },
      { family: 4, address: '127.0.0.1', port: 65_535, localPort: 8080, halfOpen: false },
    ]);
  });

  it('reads IPv6 connections', () => {
    const own = 'B80D0120000000000000000001000000';
    const peer = 'B80D0120070001000000000007000000';
    assert.deepEqual(parsePeers(table(`${own}:01BB ${peer}:0400 01`)), [
      { family: 6, address: '2001:db8:1:7::7', port: 1024, localPort: 443, halfOpen: false },
    ]);
  });

  it('reads IPv4 connections of a socket for both families as IPv4, whose rules they meet', () => {
    const own = '0000000000000000FFFF00000101A8C0';
    const peer = '0000000000000000FFFF0000070200C0';
    assert.deepEqual(parsePeers(table(`${own}:0016 ${peer}:C350 01`)), [
      { family: 4, address: '192.0.2.7', port: 50_000, localPort: 22, halfOpen: false },
    ]);
  });

  it('leaves out what listens, what is closed, and what only waits for its time to be over', () => {
    const states = ['01', '02', '03', '04', '05', '06', '07', '08', '09', '0A', '0B'];
    const rows = states.map(
      (state, i) =>
        `0101A8C0:0016 070200C0:${(1000 + i).toString(16).padStart(4, '0').toUpperCase()} ${state}`,
    );
    assert.deepEqual(
      parsePeers(table(...rows)).map(({ port }) => states[port - 1000]),
      ['01', '02', '03', '04', '05', '08', '09', '0B'],
    );
  });

  it('tells which have not finished their handshake', () => {
    const [open, half] = parsePeers(
      table('0101A8C0:0016 070200C0:C350 01', '0101A8C0:0016 070200C0:C351 03'),
    );
    assert.deepEqual([open?.halfOpen, half?.halfOpen], [false, true]);
  });

  it('takes nothing from lines that are none', () => {
    const odd = [
      '',
      '   0:',
      '   0: 0101A8C0 070200C0 01',
      '   0: 0101A8C0:0016 01',
      '   0: XYZ:0016 070200C0:C350 01',
    ];
    for (const line of odd) assert.deepEqual(parsePeers(line), []);
  });
});

describe('livePeers', () => {
  it('finds a connection of this host by its local port, and not by another', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const client = connect(port, '127.0.0.1');
    const [[accepted]] = (await Promise.all([once(server, 'connection'), once(client, 'connect')])) as [
      [Socket],
      unknown,
    ];
    const found = await livePeers(new Set([port]));
    assert.deepEqual(found, [
      { family: 4, address: '127.0.0.1', port: client.localPort, localPort: port, halfOpen: false },
    ]);
    assert.deepEqual(await livePeers(new Set()), []);
    client.destroy();
    accepted.destroy();
    server.close();
  });
});
