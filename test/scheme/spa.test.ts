// The SPA scheme as its owner sees it: what it is made of, what it must see, the rotation of its access key, what a knock
// says, and what strangers cost. Its format is in spa-vectors and spa-flips, its order of checks in spa-order.

import assert from 'node:assert/strict';
import { getHeapStatistics } from 'node:v8';
import { formatPrefix } from '../../lib/address.ts';
import { spa, type SpaOptions } from '../../lib/scheme/spa.ts';
import type { SpaClient } from '../../lib/scheme/spa-clients.ts';
import {
  accessKeyOf,
  EPOCH_MS,
  hintOf,
  serviceIdOf,
  sharedKeyOf,
  signerIdOf,
} from '../../lib/scheme/spa-keys.ts';
import { sealSpa } from '../../lib/scheme/spa-seal.ts';
import { heapUsed } from '../support/heap.ts';
import { NO_HISTORY } from '../support/history.ts';
import { datagram, NOW } from '../support/packets.ts';
import { random } from '../support/random.ts';
import {
  ACCESS,
  arrive,
  CLIENTS,
  flipped,
  gatewayOf,
  GATEWAY,
  insider,
  knock,
  PSK,
  said,
  SEED,
  SPA_PORT,
} from '../support/spa-knocks.ts';
import { oraclePublicLine, oracleSeal } from '../support/spa-oracle.ts';

const OPTIONS: SpaOptions = {
  gateway: GATEWAY,
  accessKeys: [ACCESS],
  services: ['ssh', 'admin'],
  clients: CLIENTS,
};
const LINE = oraclePublicLine(SEED);

describe('spa', () => {
  const refused: readonly [what: string, change: object, name: string, message: RegExp][] = [
    ['no access key', { accessKeys: [] }, 'RangeError', /^accessKeys must be one or two, got 0$/u],
    [
      'three access keys',
      { accessKeys: [1, 2, 3].map((n) => Buffer.alloc(32, n)) },
      'RangeError',
      /, got 3$/u,
    ],
    [
      'an access key of 31 bytes',
      { accessKeys: [Buffer.alloc(31)] },
      'RangeError',
      /^access key must have 32 bytes, got 31$/u,
    ],
    ['an access key of 33 bytes', { accessKeys: [Buffer.alloc(33)] }, 'RangeError', /, got 33$/u],
    [
      'an access key that is text',
      { accessKeys: ['x'.repeat(32)] },
      'TypeError',
      /^access key must be a Uint8Array$/u,
    ],
    ['port 0', { port: 0 }, 'RangeError', /^port must be a whole number from 1 to 65535, got 0$/u],
    ['port 65536', { port: 65_536 }, 'RangeError', /, got 65536$/u],
    ['half a port', { port: 1.5 }, 'RangeError', /, got 1\.5$/u],
    [
      'a short secret',
      { clients: { a: { secret: Buffer.alloc(16) } } },
      'RangeError',
      /^secret must have 32 bytes, got 16$/u,
    ],
    [
      'a secret that is text',
      { clients: { a: { secret: 'x'.repeat(32) } } },
      'TypeError',
      /^secret must be a Uint8Array$/u,
    ],
    [
      'a public key that is none',
      { clients: { 'a\n': { publicKey: 'ssh-ed25519' } } },
      'TypeError',
      /^publicKey of a\\u\{a\} must be a line ssh-ed25519/u,
    ],
    [
      'a key of another type',
      { clients: { a: { publicKey: LINE.replace('ssh-ed25519 ', 'ssh-rsa ') } } },
      'TypeError',
      /must be a line ssh-ed25519/u,
    ],
    [
      'options before the key',
      { clients: { a: { publicKey: `no-pty ${LINE}` } } },
      'TypeError',
      /must be a line ssh-ed25519/u,
    ],
    [
      'two clients with one secret',
      { clients: { a: { secret: PSK }, 'b\n': { secret: Buffer.from(PSK) } } },
      'TypeError',
      /^key of b\\u\{a\} must not be that of a$/u,
    ],
    [
      'two clients with one public key',
      { clients: { a: { publicKey: LINE }, b: { publicKey: `${LINE}-too` } } },
      'TypeError',
      /^key of b must not be that of a$/u,
    ],
  ];
  for (const [what, change, name, message] of refused) {
    it(`refuses ${what}, and tells nothing of it`, () => {
      assert.throws(
        () => spa({ ...OPTIONS, ...change }),
        (error: Error) => {
          assert.equal(error.name, name);
          assert.match(error.message, message);
          for (const secret of [PSK, ACCESS])
            assert.equal(error.message.includes(secret.toString('latin1', 0, 6)), false);
          return true;
        },
      );
    });
  }

  it('refuses services whose names have the same id, and takes one that is named twice', () => {
    // Found by trying 300,000 names.
    const names = ['s74s', 's16sk'] as const;
    assert.equal(serviceIdOf(names[0]), serviceIdOf(names[1]));
    assert.throws(() => gatewayOf({ services: ['ssh', ...names] }), {
      name: 'TypeError',
      message: "services must have different ids, got 's74s' and 's16sk'",
    });
    assert.equal(gatewayOf({ services: ['ssh', 'ssh'] }).name, 'spa');
  });

  it('says what it must see: the datagrams of its port, of the length and with one of the hints', () => {
    const scheme = gatewayOf();
    assert.equal(scheme.needs.length, 1);
    const { hints, ...need } = scheme.needs[0] ?? assert.fail();
    assert.deepEqual(need, { protocol: 'udp', ports: [SPA_PORT, SPA_PORT], payloadLength: [192, 480] });
    assert.deepEqual(gatewayOf({ port: 53 }).needs[0]?.ports, [53, 53]);
    const epoch = NOW / EPOCH_MS;
    const key = accessKeyOf(ACCESS);
    assert.deepEqual(
      hints?.(NOW),
      [-1, 0, 1].map((step) => hintOf(key, epoch + step)),
    );
    assert.deepEqual(hints?.(NOW + EPOCH_MS - 1), hints?.(NOW));
    assert.deepEqual(
      hints?.(NOW - 1),
      [-2, -1, 0].map((step) => hintOf(key, epoch + step)),
    );
    const two = gatewayOf({ accessKeys: [ACCESS, Buffer.alloc(32, 2)] }).needs[0]?.hints?.(NOW) ?? [];
    assert.deepEqual([two.length, new Set(two).size, two.slice(0, 3)], [6, 6, hints?.(NOW)]);
    for (const hint of two) assert.equal(hint, hint | 0);
  });

  it('has hints at the beginning of time', () => {
    const key = accessKeyOf(ACCESS);
    assert.deepEqual(new Set(gatewayOf().needs[0]?.hints?.(0)), new Set([hintOf(key, 0), hintOf(key, 1)]));
  });

  it('names its clients, and has replay protection', () => {
    const { name, clients, replayable } = gatewayOf();
    assert.deepEqual([name, clients, replayable], ['spa', ['suite1', 'suite2'], false]);
  });

  it('says for how long a recorded knock could be valid: as far back and as far ahead as a knock may be', async () => {
    const { validityMs } = gatewayOf();
    assert.equal(validityMs, 150_000);
    // The worst case: recorded when it begins to be taken.
    const bytes = await knock({ ms: NOW });
    const taken = (at: number): boolean => said(arrive(gatewayOf(), bytes, { at })) === 'request';
    const first = NOW - 30_000;
    assert.deepEqual([first - 1, first, first + validityMs, first + validityMs + 1].map(taken), [
      false,
      true,
      true,
      false,
    ]);
  });

  it('asks nobody for the hint of the hour when there is a client that cannot know it', async () => {
    const clients = { ...CLIENTS, phone: { secret: Buffer.alloc(32, 4), clock: false } };
    const [need = assert.fail()] = gatewayOf({ clients }).needs;
    assert.equal(need.hints, undefined);
    assert.deepEqual(need.payloadLength, [192, 480]);
    const phone = await knock({ key: clients.phone.secret, ms: 60_000 });
    assert.equal(said(arrive(gatewayOf({ clients }), phone)), 'request');
    assert.equal(said(arrive(gatewayOf({ clients }), flipped(phone, 5))), 'bad-tag');
    assert.equal(
      said(arrive(gatewayOf({ clients: { phone: { secret: clients.phone.secret } } }), phone)),
      'silence',
    );
    // The others keep their window.
    assert.equal(said(arrive(gatewayOf({ clients }), await knock({ ms: 60_000 }))), 'stale');
  });
});

describe('what an SPA knock says', () => {
  const rows: readonly [number: number, what: string, knock: Parameters<typeof knock>[0], says: string][] = [
    [1, 'one service', {}, 'ssh | any'],
    [2, 'two, in its own order', { services: ['admin', 'ssh'] }, 'admin ssh | any'],
    [3, 'one of them twice', { services: ['ssh', 'admin', 'ssh'] }, 'ssh admin | any'],
    [4, 'an address', { claim: '198.51.100.7' }, 'ssh | 198.51.100.7'],
    [5, 'an IPv6 address', { claim: '2001:db8::7' }, 'ssh | 2001:db8::7'],
    [6, 'a prefix', { claim: '198.51.100.99/24' }, 'ssh | 198.51.100.0/24'],
    [7, 'an IPv6 prefix', { claim: '2001:db8:1:2::/64' }, 'ssh | 2001:db8:1:2::/64'],
    [8, 'a prefix of one address', { claim: '198.51.100.7/32' }, 'ssh | 198.51.100.7'],
    [9, 'everybody, which is for the policy to refuse', { claim: '0.0.0.0/0' }, 'ssh | 0.0.0.0/0'],
    [10, 'a close', { close: true }, 'close ssh | any'],
    [11, 'a close for a prefix', { close: true, claim: '198.51.100.0/24' }, 'close ssh | 198.51.100.0/24'],
    [12, 'eight services', { services: Array<string>(8).fill('admin') }, 'admin | any'],
    [13, 'none', { services: [] }, 'malformed'],
    [14, 'nine services', { services: Array<string>(9).fill('ssh') }, 'malformed'],
    [15, 'a service of another gateway', { services: ['ssh', 'web'] }, 'service-refused'],
    [16, 'an address where none is named', { bind: 'observed', claim: '198.51.100.7' }, 'malformed'],
    [17, 'no address where one is named', { bind: 'exact' }, 'malformed'],
  ];
  for (const suite of [1, 2] as const) {
    for (const [number, what, options, says] of rows) {
      it(`${number}. suite ${suite}, ${what}: ${says}`, async () => {
        const match = arrive(gatewayOf(), await knock({ suite, ...options }));
        if (match?.kind !== 'request') return assert.equal(said(match), says);
        const { client, counter, services, claim, close } = match;
        assert.deepEqual([client, counter], [`suite${suite}`, BigInt(NOW) << 16n]);
        const whom = claim === undefined ? 'any' : formatPrefix(claim);
        assert.equal(`${close === true ? 'close ' : ''}${services?.join(' ') ?? ''} | ${whom}`, says);
      });
    }
  }
});

describe('an SPA gateway whose access key is being changed', () => {
  const [old, fresh] = [ACCESS, Buffer.alloc(32, 'fresh')];
  const rows: readonly [number: number, live: readonly Buffer[], oldSays: string, freshSays: string][] = [
    [1, [old], 'request', 'silence'],
    [2, [old, fresh], 'request', 'request'],
    [3, [fresh, old], 'request', 'request'],
    [4, [fresh], 'silence', 'request'],
  ];
  for (const [number, accessKeys, ...wanted] of rows) {
    it(`${number}. takes knocks under the keys that are live, and no others`, async () => {
      for (const suite of [1, 2] as const) {
        const heard = [];
        for (const access of [old, fresh]) {
          heard.push(said(arrive(gatewayOf({ accessKeys }), await knock({ suite, access }))));
        }
        assert.deepEqual(heard, wanted);
      }
    });
  }
});

describe('the hint of an SPA knock', () => {
  const rows: readonly [number: number, epochs: number, says: string][] = [
    [1, -3, 'silence'],
    [2, -2, 'silence'],
    [3, -1, 'request'],
    [4, 0, 'request'],
    [5, 1, 'request'],
    [6, 2, 'silence'],
    [7, 1000, 'silence'],
  ];
  for (const [number, epochs, says] of rows) {
    it(`${number}. of ${epochs} epochs from now: ${says}`, () => {
      for (const ms of [NOW, NOW + EPOCH_MS - 1]) {
        const common = {
          accessKey: ACCESS,
          suite: 1,
          key: PSK,
          gateway: GATEWAY,
          seq: 0,
          close: false,
        } as const;
        const lots = {
          length: 200,
          r4: Buffer.alloc(4, 1),
          r8: Buffer.alloc(8, 2),
          pad: Buffer.alloc(480, 3),
        };
        const asked = { bind: 'observed', addr: null, prefixLength: 0, services: ['ssh'], ttl: 0 } as const;
        const bytes = oracleSeal({ ...common, ...lots, ...asked, ms, epoch: NOW / EPOCH_MS + epochs });
        assert.equal(said(arrive(gatewayOf(), bytes, { at: ms })), says);
      }
    });
  }

  it('is followed by a gateway through the turns of the epochs, forth and back', async () => {
    const scheme = gatewayOf();
    const times = [0, 1, 2, 5, 4, 3, 0, 100, -1].map((epochs) => NOW + epochs * EPOCH_MS);
    for (const at of times.flatMap((time) => [time - 1, time, time + 1])) {
      for (const ms of [at, at - 120_000, at + 30_000]) {
        assert.equal(said(arrive(scheme, await knock({ ms }), { at })), 'request', `${at} ${ms}`);
      }
    }
  });
});

describe('an SPA gateway under a flood', () => {
  const next = random(7);
  const noise = (length: number): Buffer => Buffer.from(Array.from({ length }, () => next(256)));
  const junk = Array.from({ length: 256 }, (_, i) =>
    datagram({ port: SPA_PORT, payload: noise(192 + ((i * 9) % 289)), src: `203.0.113.${i}` }),
  );
  const others = Array.from({ length: 256 }, (_, i) =>
    datagram({ port: i % 2 === 0 ? SPA_PORT : 53, payload: noise(i % 2 === 0 ? i % 192 : 300) }),
  );

  for (const [what, packets] of [
    ['wrong hints', junk],
    ['other lengths and ports', others],
  ] as const) {
    it(`of ${what} allocates nothing`, () => {
      const scheme = gatewayOf();
      const run = (count: number): void => {
        for (let i = 0; i < count; i += 1) {
          const packet = packets[i & 255] ?? assert.fail();
          if (scheme.match(packet, NO_HISTORY) !== null) assert.fail('junk was taken for something');
        }
      };
      const PACKETS = 20_000;
      run(300_000);
      // The least that can be allocated per packet is 16 bytes, which is too little to be collected within a round. Only
      // the best round counts: until the compiler, which waits for a processor as we do, is done, numbers are on the heap.
      let bytes = Infinity;
      for (let round = 0; round < 20 && bytes >= 4; round += 1) {
        heapUsed();
        const before = getHeapStatistics().used_heap_size;
        run(PACKETS);
        bytes = (getHeapStatistics().used_heap_size - before) / PACKETS;
      }
      assert.ok(bytes < 4, `${bytes} bytes per packet`);
    });
  }

  it('of right hints and wrong tags, from 200,000 sources, leaves nothing behind', async () => {
    const scheme = gatewayOf();
    const good = await knock({ suite: 2 });
    const packet = datagram({ port: SPA_PORT, payload: good });
    const start = packet.payloadStart;
    const flood = (count: number): void => {
      for (let i = 0; i < count; i += 1) {
        packet.src3 = (packet.src3 + 0x01000193) | 0;
        packet.bytes.writeInt32BE(packet.src3, start + 100);
        assert.equal(said(scheme.match(packet, NO_HISTORY)), 'bad-tag');
      }
    };
    flood(20_000);
    const before = heapUsed();
    flood(200_000);
    const growth = heapUsed() - before;
    assert.ok(growth < 500_000, `${growth} bytes`);
    assert.equal(said(arrive(scheme, good)), 'request');
  }).timeout(60_000);

  it('of knocks of real clients, recorded and sent from ever new sources, leaves nothing behind', async () => {
    const scheme = gatewayOf();
    const [good, old] = [await knock(), await knock({ ms: NOW - 500_000 })];
    const history = { floor: () => BigInt(NOW) << 16n };
    const flood = (count: number): void => {
      for (const payload of [good, old]) {
        const packet = datagram({ port: SPA_PORT, payload });
        for (let i = 0; i < count; i += 1) {
          packet.src3 = (packet.src3 + 0x01000193) | 0;
          scheme.match(packet, history);
        }
      }
    };
    flood(10_000);
    const before = heapUsed();
    flood(50_000);
    const growth = heapUsed() - before;
    assert.ok(growth < 500_000, `${growth} bytes`);
  }).timeout(60_000);
});

describe('an SPA gateway with ten thousand clients', () => {
  it('tells each from the others, and costs them little memory', async () => {
    const secret = (i: number): Buffer => Buffer.from(`client ${i}`.padEnd(32, '.'));
    const client = (i: number): SpaClient =>
      i % 2 === 0 ? { secret: secret(i) } : { publicKey: publicLine(secret(i)) };
    const before = heapUsed();
    const clients = Object.fromEntries(
      Array.from({ length: 10_000 }, (_, i) => [`c${i}`, client(i)] as const),
    );
    const scheme = gatewayOf({ clients });
    const each = (heapUsed() - before) / 10_000;
    assert.ok(each < 4096, `${each} bytes per client`);
    for (const i of [0, 2, 4998, 9998]) {
      const match = arrive(scheme, await knock({ key: secret(i), seq: i }));
      assert.equal(match?.kind === 'request' ? match.client : said(match), `c${i}`);
    }
  }).timeout(60_000);

  it('does not mind public keys that are no points of the curve: their knocks never verify', async () => {
    const points = [0x00, 0x01, 0x02, 0xff].map((fill) => Buffer.alloc(32, fill));
    for (const point of points) {
      const scheme = gatewayOf({ clients: { odd: { publicKey: publicLine(point) } } });
      const bytes = await sealSpa({
        accessKey: accessKeyOf(ACCESS),
        gateway: GATEWAY,
        sender: { suite: 2, id: signerIdOf(blobOf(point)), sign: () => Promise.resolve(Buffer.alloc(64, 7)) },
        counter: BigInt(NOW) << 16n,
        services: ['ssh'],
        bind: 'observed',
        claim: null,
        ttlSeconds: 0,
        close: false,
      });
      assert.equal(said(arrive(scheme, bytes)), 'bad-signature');
    }
  });
});

describe('sealSpa', () => {
  it('draws every length from 192 to 480 and never the same random bytes', async () => {
    const lengths = new Map<number, number>();
    const nonces = new Set<string>();
    for (let i = 0; i < 7000; i += 1) {
      const bytes = await knock();
      lengths.set(bytes.length, (lengths.get(bytes.length) ?? 0) + 1);
      nonces.add(bytes.toString('latin1', 0, 16));
    }
    assert.equal(nonces.size, 7000);
    assert.deepEqual(
      [Math.min(...lengths.keys()), Math.max(...lengths.keys()), lengths.size],
      [192, 480, 289],
    );
    // About 24 of each; a uniform draw misses one length or strays so far once in a hundred million runs.
    assert.ok(Math.max(...lengths.values()) < 70, `${Math.max(...lengths.values())} of one length`);
  });

  it('fills the pad with random bytes, and looks random in every byte', async () => {
    const pads = [1, 2].map(() => Buffer.alloc(480));
    for (const pad of pads) {
      // All of it, behind the proof of suite 1.
      for (let length = 0; length < 320;) {
        const bytes = await knock();
        length = Math.max(length, bytes.length);
        insider(bytes, (plain) => void plain.copy(pad, 0, 128));
      }
    }
    assert.equal(new Set(pads[0]?.subarray(0, 160)).size > 50, true);
    assert.notDeepEqual(pads[0]?.subarray(0, 160), pads[1]?.subarray(0, 160));
    const ones: number[] = Array<number>(192 * 8).fill(0);
    const RUNS = 400;
    for (let run = 0; run < RUNS; run += 1) {
      const bytes = await knock();
      for (let bit = 0; bit < ones.length; bit += 1)
        ones[bit] = (ones[bit] ?? 0) + (((bytes[bit >> 3] ?? 0) >> (bit & 7)) & 1);
    }
    // 400 throws of a coin for each of 1,536 bits: one strays by 70, 7 standard deviations, once in a hundred million runs.
    for (const [bit, count] of ones.entries())
      assert.ok(Math.abs(count - RUNS / 2) < 70, `bit ${bit}: ${count}`);
  });

  it('passes on what the signer throws', async () => {
    const sender = {
      suite: 2,
      id: Buffer.alloc(8),
      sign: () => Promise.reject(new Error('no agent')),
    } as const;
    const options = {
      gateway: GATEWAY,
      counter: 1n,
      services: ['ssh'],
      bind: 'observed',
      claim: null,
    } as const;
    const accessKey = accessKeyOf(ACCESS);
    await assert.rejects(
      sealSpa({ ...options, accessKey, sender, ttlSeconds: 0, close: false }),
      /no agent/u,
    );
  });

  it('seals several at the same time without mixing them up', async () => {
    const accessKey = accessKeyOf(ACCESS);
    const sender = { suite: 1, key: sharedKeyOf(PSK) } as const;
    const options = { gateway: GATEWAY, services: ['ssh'], bind: 'observed', claim: null } as const;
    const counters = Array.from({ length: 50 }, (_, i) => (BigInt(NOW) << 16n) + BigInt(i));
    const sealed = await Promise.all(
      counters.map((counter) =>
        sealSpa({ ...options, accessKey, sender, counter, ttlSeconds: 0, close: false }),
      ),
    );
    const heard = sealed.map((bytes) => {
      const match = arrive(gatewayOf(), bytes);
      return match?.kind === 'request' ? match.counter : null;
    });
    assert.deepEqual(heard, counters);
  });
});

/** Any 32 bytes as the public key of somebody. */
function publicLine(point: Uint8Array): string {
  return `ssh-ed25519 ${blobOf(point).toString('base64')}`;
}

function blobOf(point: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from('0000000b7373682d6564323535313900000020', 'hex'), point]);
}
