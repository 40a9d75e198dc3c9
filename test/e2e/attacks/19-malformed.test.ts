// Attack 19: packets that lie about themselves, in the midst of a valid knock of each scheme: none is taken for a knock,
// and none stops the gateway. Real knockd takes datagrams that end before their header does for knocks.

import assert from 'node:assert/strict';
import type { FrameOptions } from '../../support/frames.ts';
import { attack, onBoth, onKnockd } from './attack.ts';
import { type Field } from './field.ts';

const UDP3 = ['2200:udp', '1100:udp', '3300:udp'];
type Lie = (options: FrameOptions & { family: 4 | 6 }) => FrameOptions;

/** What is done to each packet of the knock. */
const LIES: Readonly<Record<string, Partial<Record<4 | 6, Lie>>>> = {
  'ends before its header does': {
    4: (o) => ({ ...o, protocol: 17, payload: Buffer.from([1, 1, ...u16(o.dstPort)]) }),
    6: (o) => ({ ...o, protocol: 17, payload: Buffer.from([1, 1, ...u16(o.dstPort)]) }),
  },
  'has a header length of 16': { 4: (o) => ({ ...o, patch: (ip) => void (ip[0] = 0x44) }) },
  'has options that it has not': { 4: (o) => ({ ...o, patch: (ip) => void (ip[0] = 0x4f) }) },
  'is longer than what was sent': {
    4: (o) => ({ ...o, patch: (ip) => void ip.writeUInt16BE(ip.length + 200, 2) }),
    6: (o) => ({ ...o, patch: (ip) => void ip.writeUInt16BE(ip.length + 200, 4) }),
  },
  'is a first fragment': {
    4: (o) => ({ ...o, fragment: 0x2000 }),
    6: (o) => ({ ...o, extensions: [{ kind: 44, body: Buffer.from([0, 1, 0, 0, 0, 7]) }] }),
  },
  'is a later fragment': {
    4: (o) => ({ ...o, fragment: 0x0010 }),
    6: (o) => ({ ...o, extensions: [{ kind: 44, body: Buffer.from([0, 16, 0, 0, 0, 7]) }] }),
  },
  'is of another version': {
    4: (o) => ({ ...o, patch: (ip) => void (ip[0] = 0x65) }),
    6: (o) => ({ ...o, patch: (ip) => void (ip[0] = 0x45) }),
  },
  'has a UDP length of 4': {
    4: (o) => ({ ...o, patch: (ip) => void ip.writeUInt16BE(4, 24) }),
    6: (o) => ({ ...o, patch: (ip) => void ip.writeUInt16BE(4, 44) }),
  },
  'has an endless chain of headers': {
    6: (o) => ({ ...o, extensions: Array.from({ length: 40 }, () => ({ kind: 60 })) }),
  },
  'has a source route': { 6: (o) => ({ ...o, extensions: [{ kind: 43, body: Buffer.from([0, 1]) }] }) },
  'is a SYN to the port and no datagram': {
    4: (o) => ({ ...o, protocol: 'tcp' }),
    6: (o) => ({ ...o, protocol: 'tcp' }),
  },
};

attack('19. a knock each packet of which', () => {
  for (const family of [4, 6] as const) {
    for (const [what, { [family]: lie }] of Object.entries(LIES)) {
      if (lie === undefined) continue;
      onBoth(`${what} opens nothing (IPv${family})`, async (field) => {
        const grants = field.gateway.of('grant').length;
        const spa = await field.sealed('bob', { family });
        const tagged = await field.oneTime(family).fresh();
        const plain = UDP3.map((knock) => ({ port: Number.parseInt(knock, 10), payload: '' }));
        const lies = [spa, ...tagged, ...plain].map(({ port, payload }) =>
          field.packet({
            family,
            ...lie({ family, srcPort: 43_000, dstPort: port, payload: Buffer.from(payload, 'base64') }),
          }),
        );
        await field.inject(lies);
        await stillWorks(field, family);
        assert.equal(field.gateway.of('grant').length, grants + 1);
      });
    }
  }

  onBoth('is one of 20,000 random pieces of itself opens nothing', async (field) => {
    const grants = field.gateway.of('grant').length;
    const whole = [
      field.datagram(await field.sealed('bob')),
      field.datagram(await field.sealed('bob', { family: 6 }), { family: 6 }),
    ];
    const pieces = Array.from({ length: 20_000 }, (_, i) => {
      const [frame] = [whole[i % 2] as Buffer];
      const bytes = Buffer.from(frame.subarray(0, 15 + Math.floor(Math.random() * (frame.length - 15))));
      const at = 14 + Math.floor(Math.random() * (bytes.length - 14));
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (i % 8));
      return bytes;
    });
    await field.inject(pieces);
    await stillWorks(field, 4);
    assert.equal(field.gateway.of('grant').length, grants + 1);
  });

  onKnockd('ends before its header does opens real knockd', async (field) => {
    await field.knockd.start({ sequence: 'sequence = 7100:udp,8100:udp,9100:udp' });
    await field.inject(
      [7100, 8100, 9100].map((port) =>
        field.packet({ protocol: 17, payload: Buffer.from([1, 1, ...u16(port)]) }),
      ),
    );
    assert.ok(await field.knockd.opens());
  });
});

async function stillWorks(field: Field, family: 4 | 6): Promise<void> {
  const { client } = await field.granted(() => field.spa('alice', { family }).knock());
  assert.equal(client, 'alice');
  await field.used({ family });
}

function u16(value = 0): [number, number] {
  return [value >> 8, value & 255];
}
