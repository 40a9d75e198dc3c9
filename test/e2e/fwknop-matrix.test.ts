// The real fwknop client against our gateway, by the packets that it writes without sending: everything that it can be
// told to make opens, once, and nothing that is like it does.

import assert from 'node:assert/strict';
import { HASH_NAMES } from '../../lib/crypto/hashes.ts';
import { ENCRYPTION_MODES } from '../../lib/scheme/fwknop-cipher.ts';
import type { FwknopClient } from '../../lib/scheme/fwknop-clients.ts';
import type { Scheme } from '../../lib/scheme/scheme.ts';
import { arrive, gatewayOf, said } from '../support/fwknop-knocks.ts';
import { fwknopFault, RealFwknop, type FwknopOptions } from '../support/real-fwknop.ts';

const KEY = 'a passphrase of 28 characters';
const HMAC_KEY = 'and another one of more than that';
const HMAC: FwknopOptions = { 'use-hmac': true, 'key-hmac': HMAC_KEY };
const SRC = '1.2.3.4';
const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** A gateway whose replay store is a set, and what it says of packets. */
class Visited {
  readonly #gateway: Scheme;
  readonly #claimed = new Set<string>();

  constructor(gateway: Scheme) {
    this.#gateway = gateway;
  }

  takes(packet: string, src = SRC): string {
    const match = arrive(this.#gateway, packet, { at: Date.now(), src });
    if (match?.kind !== 'request') return said(match);
    const id = match.once?.id ?? assert.fail('nothing to claim');
    if (this.#claimed.has(id)) return 'replayed';
    this.#claimed.add(id);
    return said(match);
  }
}

/** The packet as nobody sent it: characters changed, left out, added, spelled in another way. */
function likenesses(packet: string): string[] {
  const letter = (at: number): string => packet.charAt(at);
  const next = (at: number): string => LETTERS.charAt((LETTERS.indexOf(letter(at)) + 1) % 64);
  const places = Array.from({ length: 12 }, (_, i) => Math.floor((i * (packet.length - 1)) / 11));
  return [
    ...places.map((at) => packet.slice(0, at) + next(at) + packet.slice(at + 1)),
    ...['A', '=', '==', '\n', ' ', '\0'].map((end) => packet + end),
    ...[packet.slice(1), packet.slice(0, -1), `U2FsdGVkX1${packet}`, packet + packet],
    `GET /${packet.replaceAll('+', '-').replaceAll('/', '_')} HTTP/1.0\r\nUser-Agent: Fwknop/2.6.10\r\n\r\n`,
  ].concat(
    // Only where it has what is spelled otherwise there.
    [packet.replaceAll('+', '-').replaceAll('/', '_')].filter((other) => other !== packet),
  );
}

describe('the real fwknop client', function () {
  this.timeout(120_000);
  const fault = fwknopFault();
  if (fault !== null && process.env.CI !== 'true') {
    it(`opens our gateway (skipped: ${fault})`);
    return;
  }
  const real = new RealFwknop();
  let taken = 0;
  let refused = 0;

  after(() => {
    real.remove();
    process.stdout.write(
      `    fwknop: ${taken} packets of the real client taken, ${refused} likenesses refused\n`,
    );
  });

  function opens(client: FwknopClient, options: FwknopOptions, verdict = 'request ssh'): void {
    const gateway = new Visited(gatewayOf({ clients: { phone: client } }));
    const packet = real.packet(options);
    for (const other of likenesses(packet)) {
      assert.doesNotMatch(gateway.takes(other), /^request/u, other);
      refused += 1;
    }
    assert.equal(gateway.takes(packet), verdict, JSON.stringify(options));
    assert.equal(gateway.takes(packet), 'replayed');
    assert.equal(gateway.takes(packet), 'replayed');
    taken += 1;
    refused += 2;
  }

  for (const mode of ENCRYPTION_MODES) {
    // The client refuses the legacy mode together with an HMAC.
    for (const hmac of mode === 'legacy' ? [null] : [...HASH_NAMES, null]) {
      it(`opens in ${mode}, HMAC ${hmac ?? 'none'}, with every digest`, () => {
        const client = { key: KEY, encryptionMode: mode };
        for (const m of HASH_NAMES) {
          const options: FwknopOptions = { m, M: mode, 'key-rijndael': KEY };
          if (hmac === null) opens({ ...client, hmacKey: null }, options);
          else {
            const theirs: FwknopOptions = { ...options, ...HMAC, 'hmac-digest-type': hmac };
            opens({ ...client, hmacKey: HMAC_KEY, hmacDigest: hmac }, theirs);
          }
        }
      });
    }
  }

  it('opens with keys of every length and form', () => {
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    for (const length of [1, 15, 16, 17, 31, 32]) {
      const key = KEY.repeat(3).slice(0, length);
      for (const keyOf of [{ 'key-rijndael': key }, { 'key-base64-rijndael': base64(key) }]) {
        opens({ key, hmacKey: HMAC_KEY }, { ...HMAC, ...keyOf });
        const legacy = { encryptionMode: 'legacy', hmacKey: null } as const;
        opens({ keyBase64: base64(key), ...legacy }, { ...keyOf, M: 'legacy' });
      }
    }
    for (const length of [1, 63, 64, 65, 127, 128]) {
      const hmacKey = HMAC_KEY.repeat(5).slice(0, length);
      const options = { 'key-rijndael': KEY, 'use-hmac': true } as const;
      opens({ key: KEY, hmacKey }, { ...options, 'key-hmac': hmacKey });
      const theirs = { ...options, 'key-base64-hmac': base64(hmacKey) };
      opens({ key: KEY, hmacKeyBase64: base64(hmacKey) }, theirs);
    }
  });

  const client: FwknopClient = { key: KEY, hmacKey: HMAC_KEY };
  const usual: FwknopOptions = { ...HMAC, 'key-rijndael': KEY };
  const good: readonly [what: string, options: FwknopOptions, verdict: string, client?: FwknopClient][] = [
    ['several ports', { A: 'udp/53,tcp/22' }, 'request dns ssh'],
    ['a time-out', { f: '60' }, 'request ssh'],
    ['a time-out of 0', { f: '0' }, 'request ssh'],
    ['a forwarding', { N: '10.0.0.5:22', A: 'tcp/2222' }, 'request nas', { ...client, nat: true }],
    [
      'a forwarding with a time-out',
      { N: '10.0.0.5:22', A: 'tcp/2222', f: '9' },
      'request nas',
      { ...client, nat: true },
    ],
    ['a clock a little ahead', { 'time-offset-plus': '25s' }, 'request ssh'],
    ['a clock a little behind', { 'time-offset-minus': '110s' }, 'request ssh'],
    ['a name of 40 characters', { U: 'u'.repeat(40) }, 'request ssh'],
  ];
  for (const [what, options, verdict, theirs = client] of good) {
    it(`opens with ${what}`, () => {
      opens(theirs, { ...usual, ...options }, verdict);
    });
  }

  it('opens for wherever it comes from', () => {
    const { a: _, ...rest } = { a: '', ...usual };
    const gateway = new Visited(gatewayOf({ clients: { phone: client } }));
    assert.equal(gateway.takes(real.packet({ ...rest, a: '0.0.0.0' }), '203.0.113.9'), 'request ssh');
  });

  const bad: readonly [what: string, options: FwknopOptions, verdict: string][] = [
    ['another key', { 'key-rijndael': 'x' }, 'decrypt-failed phone'],
    ['another HMAC key', { 'key-hmac': 'x' }, 'hmac-mismatch'],
    ['another HMAC digest', { 'hmac-digest-type': 'sha3_256' }, 'hmac-mismatch'],
    ['an HMAC of another length', { 'hmac-digest-type': 'sha512' }, 'hmac-mismatch'],
    ['another mode', { M: 'ctr' }, 'decrypt-failed phone'],
    ['another port', { A: 'tcp/23' }, 'port-refused phone tcp/23'],
    ['another port among others', { A: 'tcp/22,udp/54' }, 'port-refused phone udp/54'],
    ['another address', { a: '1.2.3.5' }, 'source-mismatch phone 1.2.3.5'],
    ['a command', { C: '/bin/touch /tmp/x' }, 'command-refused phone'],
    ['a forwarding', { N: '10.0.0.5:22' }, 'nat-refused phone 10.0.0.5:22'],
    ['a local forwarding', { 'nat-local': true, 'nat-port': '4422' }, 'nat-refused phone 127.0.0.1:22'],
    ['a clock 143 s behind', { 'time-offset-minus': '143s' }, 'stale phone'],
    ['a clock 118 s ahead', { 'time-offset-plus': '118s' }, 'future phone'],
    ['20 ports', { A: Array.from({ length: 20 }, (_, i) => `tcp/${1000 + i}`).join() }, 'gpg-packet'],
  ];
  for (const [what, options, verdict] of bad) {
    it(`is refused for ${what}: ${verdict}`, () => {
      const gateway = new Visited(gatewayOf({ clients: { phone: client } }));
      assert.equal(gateway.takes(real.packet({ ...usual, ...options })), verdict);
    });
  }
});
