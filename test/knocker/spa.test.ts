// SPA knocks of a Knocker (protocols/spa.md, "Sender"): what they say, which counter they carry, whom they are sent to,
// and that a gateway takes them.

import assert from 'node:assert/strict';
import { formatPrefix } from '../../lib/address.ts';
import { generateSshKey } from '../../lib/crypto/ssh-key.ts';
import { isKnockError, KnockError } from '../../lib/errors.ts';
import { Knocker } from '../../lib/knocker/knocker.ts';
import { memoryState, type KnockState } from '../../lib/knocker/ledger.ts';
import type { SpaProfile } from '../../lib/knocker/profile.ts';
import type { KnockerOptions } from '../../lib/knocker/sender.ts';
import { spaSender } from '../../lib/knocker/spa-sender.ts';
import { keySigner, type Signer } from '../../lib/knocker/signer.ts';
import type { KnockRequest } from '../../lib/scheme/scheme.ts';
import { virtualClock } from '../../lib/testing/clock.ts';
import { withNames } from '../support/names.ts';
import { freePort } from '../support/ports.ts';
import { ACCESS, arrive, counterOf, gatewayOf, GATEWAY, PSK, said } from '../support/spa-knocks.ts';
import {
  HOST,
  limitAfter,
  listenUdp,
  PROFILE as ONE_TIME,
  Service,
  standingClock,
  turns,
  type Ear,
} from './support.ts';

const NOW = 1_767_225_600_000;
const KEYS = generateSshKey('alice@laptop');
const PROFILE: SpaProfile = {
  scheme: 'spa',
  host: HOST,
  client: 'alice',
  gateway: GATEWAY,
  port: 62_201,
  accessKey: ACCESS,
  key: PSK,
  bind: 'observed',
  services: { ssh: 22, admin: 8443 },
};
const SIGNED = { ...PROFILE, key: KEYS.publicLine };

interface Heard {
  readonly knocker: Knocker;
  readonly ear: Ear;
  readonly port: number;
  /** What the gateway makes of the datagrams so far. */
  requests(count: number, gateway?: { at?: number; clock?: boolean }): Promise<KnockRequest[]>;
}

/** A knocker and the one who hears it. */
async function heard(
  body: (parts: Heard) => Promise<void>,
  {
    profile = PROFILE,
    host = HOST,
    ...options
  }: KnockerOptions & { readonly profile?: SpaProfile; readonly host?: string } = {},
): Promise<void> {
  const port = await freePort();
  const ear = await listenUdp([port], host);
  const key = profile.key instanceof Uint8Array ? { secret: profile.key } : { publicKey: profile.key };
  const services = Object.keys(profile.services);
  const knocker = new Knocker({ ...profile, port, host }, { clock: virtualClock(NOW), ...options });
  const requests = async (count: number, { at = NOW, clock = true } = {}): Promise<KnockRequest[]> => {
    const datagrams = (await ear.count(count)).map(({ payload }) => Buffer.from(payload, 'hex'));
    const scheme = gatewayOf({ services, clients: { alice: { ...key, clock } } });
    return datagrams.map((bytes) => {
      const match = arrive(scheme, bytes, { at });
      return match?.kind === 'request' ? match : assert.fail(said(match));
    });
  };
  try {
    await body({ knocker, ear, port, requests });
  } finally {
    await ear.close();
  }
}

function coded(code: string, message: RegExp = /./u): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isKnockError(error) && error.code === code, String(error));
    assert.match(error.message, message);
    return true;
  };
}

describe('an SPA knock', () => {
  it('is one datagram that the gateway takes: who, what and when', () =>
    heard(async ({ knocker, ear, requests }) => {
      assert.deepEqual(await knocker.knock('ssh'), { sentTo: HOST, packets: 1 });
      const counter = counterOf(NOW);
      assert.deepEqual(await requests(1), [{ kind: 'request', client: 'alice', services: ['ssh'], counter }]);
      assert.equal(ear.heard.length, 1);
    }));

  it('is signed by the key of the profile when it has a public key', async () => {
    const signer = await keySigner(KEYS.privateText);
    await heard(
      async ({ knocker, requests }) => {
        await knocker.knock('admin');
        const [{ services } = assert.fail()] = await requests(1);
        assert.deepEqual(services, ['admin']);
      },
      { profile: SIGNED, signer },
    );
  });

  const many = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`s${i}`, i + 1]));
  const named: readonly [
    number: number,
    services: Record<string, number>,
    service: string | undefined,
    says: string,
  ][] = [
    [1, { ssh: 22, admin: 8443 }, undefined, 'ssh admin'],
    [2, { ssh: 22, admin: 8443 }, 'admin', 'admin'],
    [3, { only: 1 }, undefined, 'only'],
    [4, many, undefined, 's0 s1 s2 s3 s4 s5 s6 s7'],
    [5, many, 's8', 's8'],
  ];
  for (const [number, services, service, says] of named) {
    it(`${number}. names ${says} for ${service ?? 'no service'}`, () =>
      heard(
        async ({ knocker, requests }) => {
          await knocker.knock(service);
          assert.equal((await requests(1))[0]?.services?.join(' '), says);
        },
        { profile: { ...PROFILE, services } },
      ));
  }

  it('asks to close, when it is told to', () =>
    heard(async ({ knocker, requests }) => {
      await knocker.knock('ssh', { close: true });
      await knocker.knock('ssh', { close: false });
      assert.deepEqual(
        (await requests(2)).map(({ close }) => close),
        [true, undefined],
      );
    }));

  it('cannot ask that in another scheme', async () => {
    const knocker = new Knocker(ONE_TIME, { clock: virtualClock(NOW) });
    await assert.rejects(knocker.knock('ssh', { close: true }), {
      name: 'RangeError',
      message: 'close needs a profile of scheme spa, got one-time',
    });
  });

  it('leaves the time to the gateway', () =>
    heard(async ({ knocker, requests }) => {
      await knocker.knock('ssh');
      assert.equal((await requests(1))[0]?.until, undefined);
    }));

  it('is another datagram each time, of another length now and then, with a higher counter', () =>
    heard(async ({ knocker, ear, requests }) => {
      for (let i = 0; i < 12; i += 1) await knocker.knock('ssh');
      const counters = (await requests(12)).map(({ counter }) => counter);
      assert.deepEqual(
        counters,
        Array.from({ length: 12 }, (_, i) => counterOf(NOW, i)),
      );
      const payloads = ear.heard.map(({ payload }) => payload);
      assert.equal(new Set(payloads.map((payload) => payload.slice(0, 32))).size, 12);
      assert.ok(new Set(payloads.map(({ length }) => length)).size > 1);
    }));
});

describe('the counter of an SPA knock', () => {
  const HOUR = 3_600_000;
  // The last one on record; those of the datagrams; by how much the clock is said to be behind.
  const rows: readonly [
    number: number,
    what: string,
    last: bigint | undefined,
    used: readonly [bigint, ...bigint[]],
    behindMs: number | undefined,
  ][] = [
    [1, 'the first', undefined, [counterOf(NOW)], undefined],
    [2, 'after one of long ago', counterOf(NOW - HOUR, 65_535), [counterOf(NOW)], undefined],
    [3, 'after one of the millisecond before', counterOf(NOW - 1, 65_535), [counterOf(NOW)], undefined],
    [4, 'after one of this millisecond', counterOf(NOW), [counterOf(NOW, 1)], undefined],
    [5, 'after 65,536 of this millisecond', counterOf(NOW, 65_535), [counterOf(NOW + 1)], undefined],
    [6, 'a clock half a minute behind', counterOf(NOW + 30_000), [counterOf(NOW + 30_000, 1)], undefined],
    [
      7,
      'a clock a little more behind',
      counterOf(NOW + 30_001),
      [counterOf(NOW + 30_001, 1), counterOf(NOW)],
      30_001,
    ],
    [
      8,
      'a clock set back by an hour',
      counterOf(NOW + HOUR, 9),
      [counterOf(NOW + HOUR, 10), counterOf(NOW)],
      HOUR,
    ],
    [9, 'a last one of 0', 0n, [counterOf(NOW)], undefined],
  ];
  for (const [number, what, last, used, clockBehindMs] of rows) {
    it(`${number}. ${what}: max(last + 1, now), on record before it is sent`, () => {
      const kept: bigint[] = [];
      const state: KnockState = {
        load: () => Promise.resolve(last),
        save(value) {
          kept.push(value);
          return Promise.resolve();
        },
      };
      return heard(
        async ({ knocker, requests }) => {
          const sent = await knocker.knock('ssh');
          assert.deepEqual(kept, [used[0]]);
          assert.deepEqual([sent.packets, sent.clockBehindMs], [used.length, clockBehindMs]);
          const heardOf = await requests(used.length, { clock: false, at: NOW + HOUR });
          assert.deepEqual(
            heardOf.map(({ counter }) => counter),
            used,
          );
        },
        { state },
      );
    });
  }

  it('is never used twice, also by the clock when that contradicts the last knock', () => {
    const state = memoryState();
    return heard(
      async ({ knocker, requests }) => {
        await state.save(counterOf(NOW + HOUR));
        await knocker.knock('ssh');
        await knocker.knock('ssh');
        const counters = (await requests(4, { clock: false, at: NOW + HOUR })).map(({ counter }) => counter);
        const [ahead, behind] = [NOW + HOUR, NOW];
        assert.deepEqual(counters, [
          ...[counterOf(ahead, 1), counterOf(behind, 0)],
          ...[counterOf(ahead, 2), counterOf(behind, 1)],
        ]);
      },
      { state },
    );
  });

  it('lets in whoever’s clock is right now, whichever of the two times was wrong', async () => {
    for (const gatewayMs of [NOW, NOW + HOUR]) {
      const state = memoryState();
      await state.save(counterOf(NOW + HOUR));
      await heard(
        async ({ knocker, ear }) => {
          await knocker.knock('ssh');
          await knocker.knock('ssh');
          const words = (await ear.count(4)).map(({ payload }) =>
            said(
              arrive(gatewayOf({ clients: { alice: { secret: PSK } } }), Buffer.from(payload, 'hex'), {
                at: gatewayMs,
              }),
            ),
          );
          const wanted = gatewayMs === NOW ? ['future', 'request'] : ['request', 'stale'];
          assert.deepEqual(words, [...wanted, ...wanted]);
        },
        { state },
      );
    }
  });

  it('is another one for each of several knocks at once', () =>
    heard(async ({ knocker, requests }) => {
      await Promise.all(Array.from({ length: 10 }, () => knocker.knock('ssh')));
      const counters = (await requests(10)).map(({ counter }) => counter ?? 0n);
      assert.deepEqual(
        counters.toSorted(),
        Array.from({ length: 10 }, (_, i) => counterOf(NOW, i)),
      );
    }));

  it('is the clock’s again when the state was lost', () =>
    heard(
      async ({ knocker, requests }) => {
        await knocker.knock('ssh');
        assert.equal((await requests(1))[0]?.counter, counterOf(NOW));
      },
      { state: memoryState() },
    ));

  it('is not sent when it cannot be kept', () =>
    heard(
      async ({ knocker, ear }) => {
        await assert.rejects(knocker.knock('ssh'), coded('ERR_STATE', /read-only.*nothing was sent/u));
        await turns();
        assert.deepEqual(ear.heard, []);
      },
      { state: { load: () => Promise.resolve(1n), save: () => Promise.reject(new Error('read-only')) } },
    ));

  it('is not used up by a knock that was given up before', async () => {
    const state = { load: () => assert.fail('asked for'), save: () => assert.fail('kept') };
    const knocker = new Knocker(PROFILE, { state, clock: virtualClock(NOW) });
    const reason = new Error('enough');
    await assert.rejects(knocker.knock('ssh', { signal: AbortSignal.abort(reason) }), reason);
  });
});

describe('the source that an SPA knock names', () => {
  const rows: readonly [
    number: number,
    bind: SpaProfile['bind'],
    host: string,
    source: string | undefined,
    claim: string | undefined,
  ][] = [
    [1, 'observed', '127.0.0.1', undefined, undefined],
    [2, 'exact', '127.0.0.1', undefined, '127.0.0.1'],
    [3, 'prefix', '127.0.0.1', undefined, '127.0.0.0/24'],
    [4, 'exact', '::1', undefined, '::1'],
    [5, 'prefix', '::1', undefined, '::/56'],
    [6, 'observed', '127.0.0.1', '198.51.100.7', '198.51.100.7'],
    [7, 'exact', '127.0.0.1', '198.51.100.0/24', '198.51.100.0/24'],
    [8, 'exact', '127.0.0.1', '198.51.100.7/32', '198.51.100.7'],
    [9, 'prefix', '::1', '2001:db8::7', '2001:db8::7'],
  ];
  for (const [number, bind, host, source, claim] of rows) {
    it(`${number}. is ${claim ?? 'none'} for bind ${bind}, to ${host}, told ${source ?? 'nothing'}`, () =>
      heard(
        async ({ knocker, requests }) => {
          await knocker.knock('ssh');
          const [request = assert.fail()] = await requests(1);
          assert.equal(request.claim && formatPrefix(request.claim), claim);
        },
        { profile: { ...PROFILE, bind }, host, ...(source === undefined ? {} : { source }) },
      ));
  }

  it('decides which family is knocked at', () =>
    withNames({ 'gw.test': ['::1', '127.0.0.1'] }, () =>
      heard(
        async ({ port, requests }) => {
          const profile = { ...PROFILE, host: 'gw.test', port };
          await new Knocker(profile, { clock: virtualClock(NOW), source: '198.51.100.7' }).knock('ssh');
          const [{ claim } = assert.fail()] = await requests(1);
          assert.equal(claim && formatPrefix(claim), '198.51.100.7');
        },
        { host: '127.0.0.1' },
      ),
    ));

  const refused: readonly [what: string, profile: object, source: string, message: RegExp][] = [
    [
      'text that is no address',
      PROFILE,
      'my house\n',
      /^source must be an address or a prefix, got 'my house\\u\{a\}'$/u,
    ],
    ['a prefix that is too long', PROFILE, '192.0.2.0/33', /^source must be an address/u],
    ['an address with a zone', PROFILE, 'fe80::1%eth0', /^source must be an address/u],
    [
      'an address in another scheme',
      ONE_TIME,
      '192.0.2.7',
      /^source needs a profile of scheme spa or fwknop, got one-time$/u,
    ],
  ];
  for (const [what, profile, source, message] of refused) {
    it(`cannot be ${what}`, () => {
      assert.throws(() => new Knocker(profile as SpaProfile, { source }), { name: 'TypeError', message });
    });
  }
});

describe('the addresses that an SPA knock is sent to', () => {
  /** Ears at several addresses, on one port. */
  async function ears(
    hosts: readonly string[],
    body: (port: number, all: readonly Ear[]) => Promise<void>,
  ): Promise<void> {
    const port = await freePort();
    const all = await Promise.all(hosts.map((host) => listenUdp([port], host)));
    try {
      await body(port, all);
    } finally {
      for (const ear of all) await ear.close();
    }
  }
  const names = { 'gw.test': ['127.86.4.1', '::1', '127.86.4.2'] };

  it('are all of the first one’s family, each once', () =>
    withNames(names, () =>
      ears(['127.86.4.1', '127.86.4.2', '::1'], async (port, [first, second, other]) => {
        const knocker = new Knocker({ ...PROFILE, host: 'gw.test', port }, { clock: virtualClock(NOW) });
        assert.deepEqual(await knocker.knock('ssh'), { sentTo: '127.86.4.1', packets: 2 });
        const heardThere = [(await first?.count(1))?.[0], (await second?.count(1))?.[0]];
        // One datagram, so that whichever comes first is the knock and the other its duplicate.
        assert.equal(heardThere[0]?.payload, heardThere[1]?.payload);
        await turns();
        assert.deepEqual(other?.heard, []);
      }),
    ));

  it('are those of the other family when there is no way to the first, with a fresh knock', () =>
    withNames({ 'gw.test': ['::1', '127.86.4.1'] }, () =>
      ears(['::1', '127.86.4.1'], async (port, [six, four]) => {
        const own = await keySigner(KEYS.privateText);
        let tries = 0;
        const signer: Signer = {
          publicKey: own.publicKey,
          sign(message) {
            tries += 1;
            // As the kernel says it without a route.
            if (tries === 1) return Promise.reject(new KnockError('ERR_SEND', 'no way'));
            return own.sign(message);
          },
        };
        const clock = virtualClock(NOW);
        const knocker = new Knocker({ ...SIGNED, host: 'gw.test', port }, { clock, signer });
        assert.deepEqual(await knocker.knock('ssh'), { sentTo: '127.86.4.1', packets: 1 });
        const [{ payload } = assert.fail()] = (await four?.count(1)) ?? [];
        assert.deepEqual(six?.heard, []);
        const scheme = gatewayOf({ clients: { alice: { publicKey: KEYS.publicLine } } });
        const match = arrive(scheme, Buffer.from(payload, 'hex'));
        assert.equal(match?.kind === 'request' ? match.counter : said(match), counterOf(NOW, 1));
      }),
    ));

  it('are not tried when the failure is another', () =>
    withNames({ 'gw.test': ['::1', '127.86.4.1'] }, () =>
      ears(['127.86.4.1'], async (port, [four]) => {
        const own = await keySigner(KEYS.privateText);
        const sign = (): Promise<never> => Promise.reject(new KnockError('ERR_AGENT', 'locked'));
        const signer = { publicKey: own.publicKey, sign };
        const knocker = new Knocker(
          { ...SIGNED, host: 'gw.test', port },
          { clock: virtualClock(NOW), signer },
        );
        await assert.rejects(knocker.knock('ssh'), coded('ERR_AGENT'));
        await turns();
        assert.deepEqual(four?.heard, []);
      }),
    ));

  it('end in the failure of the last when none can be sent to', () =>
    withNames({ 'gw.test': ['255.255.255.255'] }, () =>
      assert.rejects(
        new Knocker({ ...PROFILE, host: 'gw.test' }, { clock: virtualClock(NOW) }).knock('ssh'),
        coded('ERR_SEND', /^knock to 255\.255\.255\.255 could not be sent/u),
      ),
    ));
});

describe('the signer of an SPA knock', () => {
  const refused: readonly [what: string, signer: (other: Signer) => KnockerOptions, message: RegExp][] = [
    ['missing', () => ({}), /^signer must be given: the profile has a public key$/u],
    [
      'that of another key',
      (signer) => ({ signer }),
      /^signer must be that of the profile's key, got another key$/u,
    ],
  ];
  for (const [what, options, message] of refused) {
    it(`may not be ${what}`, async () => {
      const other = await keySigner(generateSshKey('bob').privateText);
      assert.throws(() => new Knocker(SIGNED, options(other)), { name: 'TypeError', message });
    });
  }

  it('is not asked for a profile with a shared key', () =>
    heard(
      async ({ knocker, requests }) => {
        await knocker.knock('ssh');
        await requests(1);
      },
      { signer: { publicKey: Buffer.alloc(51), sign: () => assert.fail('asked') } },
    ));

  it('does not hold up who gives up: an agent may wait half a minute for its user', async () => {
    const { publicKey } = await keySigner(KEYS.privateText);
    await heard(
      async ({ knocker, ear }) => {
        const controller = new AbortController();
        const reason = new Error('enough');
        const knocked = knocker.knock('ssh', { signal: controller.signal });
        await turns();
        controller.abort(reason);
        await assert.rejects(knocked, reason);
        assert.deepEqual(ear.heard, []);
      },
      { profile: SIGNED, signer: { publicKey, sign: waitsForItsUser } },
    );
  });
});

/** As an agent does that asks its user: until somebody gives up. */
function waitsForItsUser(
  _message: Uint8Array,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<never> {
  return new Promise((_, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason as Error));
  });
}

describe('the last SPA knock of a wait', () => {
  it('is sent in eight copies, which are one knock: nobody sees it arrive', () =>
    heard(
      async ({ ear, port }) => {
        const clock = standingClock(NOW);
        const options = { state: memoryState(), clock, signer: undefined, claim: null };
        const sender = spaSender({ ...PROFILE, port }, options);
        const target = { addresses: [HOST], services: ['ssh'], close: false, signal: undefined } as const;
        const packets = [];
        for (const unseen of [false, false, false, true, false]) {
          const sent = await sender.knock({ ...target, keep: 0, unseen });
          packets.push('packets' in sent ? sent.packets : 0);
        }
        assert.deepEqual(packets, [1, 1, 1, 8, 1]);
        await ear.count(12);
        const kinds = new Set(ear.heard.map(({ payload }) => payload));
        assert.equal(kinds.size, 5);
        const scheme = gatewayOf({ clients: { alice: { secret: PSK } } });
        const words = ear.heard.map(({ payload }) => said(arrive(scheme, Buffer.from(payload, 'hex'))));
        const copies = Array<string>(7).fill('duplicate');
        assert.deepEqual(words, ['request', 'request', 'request', 'request', ...copies, 'request']);
      },
      { clock: standingClock(NOW) },
    ));

  it('ends with its signal between the copies', () =>
    heard(async ({ ear, port }) => {
      const reason = new Error('enough');
      const controller = new AbortController();
      const clock = virtualClock(NOW);
      const sender = spaSender(
        { ...PROFILE, port },
        { state: memoryState(), clock, signer: undefined, claim: null },
      );
      const target = { addresses: [HOST], services: ['ssh'], close: false } as const;
      const last = sender.knock({ ...target, keep: 0, unseen: true, signal: controller.signal });
      await ear.count(1);
      controller.abort(reason);
      await assert.rejects(last, reason);
    }));
});

describe('connect with SPA', () => {
  it('knocks anew with a fresh datagram until the port opens', async () => {
    const service = await Service.closed(() => undefined);
    try {
      await heard(
        async ({ knocker, ear, requests }) => {
          ear.onHeard = () => {
            if (ear.heard.length === 2) service.open();
          };
          (await knocker.connect('web')).destroy();
          const counters = (await requests(2)).map(({ counter }) => counter);
          assert.deepEqual(counters, [counterOf(NOW), counterOf(NOW, 1)]);
        },
        { profile: { ...PROFILE, services: { web: service.port } }, clock: standingClock(NOW) },
      );
    } finally {
      await service.end();
    }
  });

  it('says that the clock is behind its own last knock when the port stays closed', async () => {
    const service = await Service.closed(() => undefined);
    const state = memoryState();
    await state.save(counterOf(NOW + 3_600_000));
    let heardKnock = (): Promise<unknown> => assert.fail('nobody listens yet');
    await heard(
      async ({ knocker, ear }) => {
        heardKnock = () => ear.count(2);
        await assert.rejects(
          knocker.connect('web', { timeoutMs: 100 }),
          coded('ERR_NOT_OPEN', /clock is 3600 s behind its own last knock: set it right/u),
        );
      },
      {
        profile: { ...PROFILE, services: { web: service.port } },
        clock: limitAfter(() => heardKnock(), 100, NOW),
        state,
      },
    );
    await service.end();
  });
});
