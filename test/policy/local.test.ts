// The gateway's own addresses: read again when one is missing, but not more than once a second.

import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { parseAddress } from '../../lib/address.ts';
import { PacketView } from '../../lib/packet/view.ts';
import { LocalAddresses } from '../../lib/policy/local.ts';
import { virtualClock } from '../../lib/testing/clock.ts';

function packetTo(text: string): PacketView {
  const { family, words } = parseAddress(text) ?? assert.fail(text);
  const view = new PacketView();
  view.family = family;
  [view.dst0, view.dst1, view.dst2, view.dst3] = words;
  return view;
}

function setUp(...first: string[]) {
  const clock = virtualClock();
  const host = { addresses: first, reads: 0 };
  const local = new LocalAddresses(clock, () => {
    host.reads += 1;
    return host.addresses;
  });
  return { clock, host, local };
}

describe('LocalAddresses', () => {
  it('knows the addresses of the host, of either family, and no other', () => {
    const { local } = setUp('192.0.2.1', '2001:db8::1');
    for (const text of ['192.0.2.1', '2001:db8::1']) {
      assert.equal(local.isDestination(packetTo(text)), true);
      assert.equal(local.has(parseAddress(text) ?? assert.fail()), true);
    }
    for (const text of ['192.0.2.2', '192.0.2.255', '2001:db8::2', '2001:db9::1', '::', '0.0.0.0']) {
      assert.equal(local.isDestination(packetTo(text)), false, text);
      assert.equal(local.has(parseAddress(text) ?? assert.fail()), false, text);
    }
  });

  it('does not take an IPv4 address in an IPv6 packet for its own', () => {
    const { local } = setUp('192.0.2.1');
    assert.equal(local.isDestination(Object.assign(packetTo('192.0.2.1'), { family: 6 })), false);
  });

  it('reads once for all packets to addresses that it knows', async () => {
    const { clock, host, local } = setUp('192.0.2.1');
    for (let i = 0; i < 5; i += 1) {
      assert.equal(local.isDestination(packetTo('192.0.2.1')), true);
      await clock.advance(10_000);
    }
    assert.equal(host.reads, 1);
  });

  it('finds an address that the host got later, within a second of the last look', async () => {
    const { clock, host, local } = setUp('192.0.2.1');
    assert.equal(local.isDestination(packetTo('192.0.2.9')), false);
    host.addresses = ['192.0.2.1', '192.0.2.9'];
    await clock.advance(999);
    assert.equal(local.isDestination(packetTo('192.0.2.9')), false);
    await clock.advance(1);
    assert.equal(local.isDestination(packetTo('192.0.2.9')), true);
    assert.equal(host.reads, 2);
  });

  it('looks once a second at most, however many packets are not for it', () => {
    const { host, local } = setUp('192.0.2.1');
    for (let i = 0; i < 100_000; i += 1) local.isDestination(packetTo('192.0.2.2'));
    assert.equal(host.reads, 1);
  });

  it('looks again after the clock was set back', () => {
    const { clock, host, local } = setUp('192.0.2.1');
    local.isDestination(packetTo('192.0.2.9'));
    host.addresses = ['192.0.2.9'];
    clock.set(clock.now() - 3_600_000);
    assert.equal(local.isDestination(packetTo('192.0.2.9')), true);
  });

  it('forgets an address that the host has lost, at its next look', async () => {
    const { clock, host, local } = setUp('192.0.2.1', '192.0.2.9');
    assert.equal(local.isDestination(packetTo('192.0.2.9')), true);
    host.addresses = ['192.0.2.1'];
    await clock.advance(1000);
    assert.equal(local.isDestination(packetTo('192.0.2.3')), false);
    assert.equal(local.isDestination(packetTo('192.0.2.9')), false);
  });

  it('looks for a source once a minute at most: every good knock asks', async () => {
    const { clock, host, local } = setUp('192.0.2.1');
    const source = parseAddress('192.0.2.9') ?? assert.fail();
    assert.equal(local.has(source), false);
    host.addresses = ['192.0.2.9'];
    await clock.advance(59_999);
    assert.equal(local.has(source), false);
    assert.equal(host.reads, 1);
    await clock.advance(1);
    assert.equal(local.has(source), true);
  });

  it('leaves out what is no address to it', () => {
    const { local } = setUp('fe80::1%eth0', 'nonsense', '192.0.2.1');
    assert.equal(local.isDestination(packetTo('192.0.2.1')), true);
  });

  it('reads those of this host unless told otherwise', () => {
    const ofHost = (): string[] =>
      Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
    const local = new LocalAddresses(virtualClock());
    const before = ofHost();
    local.isDestination(packetTo('192.0.2.1'));
    // The host may lose an address in between: other tests run meanwhile.
    const after = new Set(ofHost());
    const own = before.filter((address) => after.has(address));
    assert.ok(own.length > 0);
    for (const address of own) assert.equal(local.isDestination(packetTo(address)), true, address);
  });
});
