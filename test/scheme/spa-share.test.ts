// Fair shares of the signature checks: somebody who has the access key and forges sources uses up the budget for
// strangers, not that of clients who knock from where they proved themselves before.

import assert from 'node:assert/strict';
import { flipped, gatewayOf, insider, knock, arrive, said } from '../support/spa-knocks.ts';
import { NOW } from '../support/packets.ts';

async function forgedKnock(): Promise<Buffer> {
  return insider(await knock({ suite: 2 }), (plain) => plain.set(flipped(plain, 100)));
}

describe('an SPA gateway under forged knocks of suite 2 from many sources', () => {
  it('lets in who knocks from where their last good knock came from, though strangers have to wait', async () => {
    const scheme = gatewayOf();
    const home = '192.0.2.7';
    assert.equal(said(arrive(scheme, await knock({ suite: 2, seq: 1 }), { src: home })), 'request');
    const forged = await forgedKnock();
    for (let i = 0; i < 3000; i += 1) arrive(scheme, forged, { src: `10.${i >> 8}.${i & 255}.9` });
    const next = await knock({ suite: 2, seq: 2 });
    assert.equal(said(arrive(scheme, next, { src: '203.0.113.9' })), 'too-many-checks');
    assert.equal(said(arrive(scheme, next, { src: home })), 'request');
  });

  it('gives forgers who have found out that place no more checks than to any other', async () => {
    const scheme = gatewayOf();
    const home = '192.0.2.7';
    arrive(scheme, await knock({ suite: 2, seq: 1 }), { src: home });
    const forged = insider(await knock({ suite: 2, seq: 9 }), (plain) => plain.set(flipped(plain, 100)));
    const words = Array.from({ length: 1000 }, () => said(arrive(scheme, forged, { src: home })));
    assert.equal(words.filter((word) => word === 'bad-signature').length, 9);
  });

  it('takes all addresses of an IPv6 network for one source, and another network for another', async () => {
    const scheme = gatewayOf();
    const forged = await forgedKnock();
    const words = Array.from({ length: 1000 }, (_, i) =>
      said(arrive(scheme, forged, { src: `2001:db8:0:1::${i.toString(16)}` })),
    );
    assert.equal(words.filter((word) => word === 'bad-signature').length, 10);
    const good = await knock({ suite: 2, ms: NOW + 1 });
    assert.equal(said(arrive(scheme, good, { src: '2001:db8:0:1:ffff::1' })), 'too-many-checks');
    assert.equal(said(arrive(scheme, good, { src: '2001:db8:0:2::1' })), 'request');
  });
});
