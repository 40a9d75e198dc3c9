// The vectors of protocols/spa.md, given and our own: opened to what they say, and sealed again to the same bytes by the
// library (node:crypto) and by an oracle of node-forge and plain arithmetic.

import assert from 'node:assert/strict';
import { createPrivateKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parsePrefix, type Prefix } from '../../lib/address.ts';
import { hkdf } from '../../lib/crypto/mac.ts';
import { parseSshPublicKey } from '../../lib/crypto/ssh-key.ts';
import {
  accessKeyOf,
  audienceOf,
  hintOf,
  serviceIdOf,
  sharedKeyOf,
  signerIdOf,
} from '../../lib/scheme/spa-keys.ts';
import { sealSpa, type Sender } from '../../lib/scheme/spa-seal.ts';
import { FAULTS } from '../support/spa-faults.ts';
import { moreText } from '../support/spa-more.ts';
import { oraclePublicLine, oracleSeal, oracleUnwrap } from '../support/spa-oracle.ts';
import {
  expected,
  gatewayFor,
  hex,
  oracleKnockOf,
  plainRequest,
  readSpaVectors,
  requestOf,
  tryDatagram,
  type SpaKeys,
  type SpaVector,
} from '../support/spa-vectors.ts';

const FILES = ['spa', 'spa-more'] as const;

for (const name of FILES) {
  const file = readSpaVectors(name);
  const { keys, vectors } = file;

  describe(`the key schedule of ${name}.json`, () => {
    it('is ours: access key, hint, shared key', () => {
      const access = accessKeyOf(hex(keys.gatewayAccessKey));
      assert.deepEqual(access.encryption, hex(keys['outerEnc']));
      assert.deepEqual(access.hint, hex(keys['outerHint']));
      const shared = sharedKeyOf(hex(keys.clientPsk));
      assert.deepEqual(shared.id, hex(keys['pskId']));
      assert.deepEqual(shared.encryption, hex(keys['pskEnc']));
      const hint = Buffer.alloc(4);
      hint.writeInt32BE(hintOf(access, keys['hintEpoch'] as number));
      assert.deepEqual(hint, hex(keys['hint']));
      // The keys of the two MACs stay inside them; their tags are what the vectors check.
      assert.deepEqual(hkdf(hex(keys.gatewayAccessKey), 'portknock/1 outer mac', 32), hex(keys['outerMac']));
      assert.deepEqual(hkdf(hex(keys.clientPsk), 'portknock/1 client mac', 32), hex(keys['pskMac']));
    });

    it('is ours: public key, audience and services', () => {
      const parsed = parseSshPublicKey(oraclePublicLine(hex(keys.ed25519Seed)));
      assert.deepEqual(parsed?.blob, hex(keys['ed25519KeyBlob']));
      assert.deepEqual(parsed.key, hex(keys['ed25519Public']));
      assert.deepEqual(signerIdOf(parsed.blob), hex(keys['ed25519Id']));
      assert.deepEqual(audienceOf(keys.audience.name), hex(keys.audience.id));
      const ids = Object.keys(keys.services).map((service) => serviceIdOf(service).toString(16));
      assert.deepEqual(
        ids.map((id) => id.padStart(8, '0')),
        Object.values(keys.services),
      );
    });
  });

  describe(`a vector of ${name}.json`, () => {
    for (const vector of vectors) {
      it(`${vector.name} is what it says: ${vector.expect}`, () => {
        const outcome = tryDatagram(gatewayFor(file, vector), hex(vector.datagram), vector);
        assert.equal(outcome.said, expected(vector));
        if (outcome.said !== 'accept') return;
        const { request, claim } = plainRequest(outcome.request ?? assert.fail());
        assert.deepEqual(request, requestOf(vector));
        assert.deepEqual([claim, outcome.opensFor], opensFor(vector));
      });
    }

    for (const vector of vectors.filter(({ expect }) => expect === 'accept')) {
      it(`${vector.name} is sealed to the same bytes, by node:crypto and by node-forge`, async () => {
        const accessKey = hex(keys[vector.sealedWith ?? 'gatewayAccessKey']);
        const { nonce, plain } = oracleUnwrap(accessKey, hex(vector.datagram));
        const pad = plain.subarray(plain.length - vector.fields.pad);
        const oracle = oracleSeal(oracleKnockOf(file, vector, { nonce, pad }));
        assert.equal(oracle.toString('hex'), vector.datagram);
        // The library takes the hint from the counter: an epoch of its own is for the oracle alone.
        if (vector.epoch !== undefined) return;
        const ours = await sealed(vector, keys, {
          accessKey,
          random: Buffer.concat([nonce.subarray(0, 4), nonce.subarray(8)]),
          pad,
        });
        assert.equal(ours.toString('hex'), vector.datagram);
      });
    }
  });
}

describe('the vectors of our own', () => {
  const { vectors } = readSpaVectors('spa-more');
  const good = vectors.filter(({ expect }) => expect === 'accept');

  it('are what the oracle makes', () => {
    const text = readFileSync(new URL('../vectors/spa-more.json', import.meta.url), 'utf8');
    // Not deepEqual: the difference would fill the screen.
    assert.ok(
      text === moreText(),
      'run: node --import tsx test/support/spa-more.ts > test/vectors/spa-more.json',
    );
  });

  it('have at least four bad ones for each good one, and every fault with both suites', () => {
    assert.ok(good.length >= 60 && vectors.length >= 5 * good.length, `${good.length} of ${vectors.length}`);
    const names = new Set(vectors.map((vector) => vector.name.replace(/^bad-\d+-/u, '')));
    const missing = FAULTS.flatMap(({ name }) =>
      [1, 2].map((suite) => `suite-${suite}-${name.replaceAll(' ', '-')}`),
    ).filter((name) => !names.has(name));
    // A shared key has nothing of suite 2.
    assert.deepEqual(missing, ['suite-2-suite-2-byte-on-a-shared-key-with-fitting-pad']);
  });

  it('are of every kind: suite, bind, family, close, number of services, least and greatest length', () => {
    const kinds = good.map(({ fields: { suite, bind, close }, observedSource }) =>
      [suite, bind, close, observedSource.includes(':')].join(' '),
    );
    assert.equal(new Set(kinds).size, 24);
    const counts = good.map(({ fields }) => `${fields.suite} ${fields.services.length}`);
    assert.equal(new Set(counts).size, 16);
    const lengths = good.map(({ datagram, fields }) => `${fields.suite} ${datagram.length / 2}`);
    for (const suite of [1, 2])
      for (const length of [192, 193, 479, 480]) assert.ok(lengths.includes(`${suite} ${length}`));
  });
});

/** The claim as text, and whom the gateway opens to. */
function opensFor({ fields: { bind, addr, prefixLength }, observedSource }: SpaVector): (string | null)[] {
  const isV4 = addr?.includes('.') === true;
  if (addr === null) return [null, observedSource];
  // The claims of our vectors, their bits beyond the prefix cleared by hand.
  const cleared: Record<string, string> = {
    '203.0.113.99/25': '203.0.113.0/25',
    '2001:db8:1:2::76/127': '2001:db8:1:2::76/127',
  };
  const written = `${addr}/${prefixLength - (isV4 ? 96 : 0)}`;
  const text = bind === 'exact' || written === '203.0.113.7/32' ? addr : (cleared[written] ?? written);
  return [text, text];
}

function sealed(
  { fields, datagram }: SpaVector,
  keys: SpaKeys,
  { accessKey, random, pad }: { readonly accessKey: Buffer; readonly random: Buffer; readonly pad: Buffer },
): Promise<Buffer> {
  const { bind, ttl, close, services, ms, seq } = fields;
  return sealSpa(
    {
      accessKey: accessKeyOf(accessKey),
      gateway: keys.audience.name,
      sender: senderOf(fields.suite, keys),
      counter: (BigInt(ms) << 16n) | BigInt(seq),
      services,
      bind,
      claim: claimOf(fields),
      ttlSeconds: ttl,
      close,
    },
    { length: datagram.length / 2, random, pad },
  );
}

function claimOf({ addr, prefixLength }: SpaVector['fields']): Prefix | null {
  if (addr === null) return null;
  return parsePrefix(`${addr}/${prefixLength - (addr.includes('.') ? 96 : 0)}`) ?? assert.fail(addr);
}

function senderOf(suite: 1 | 2, keys: SpaKeys): Sender {
  if (suite === 1) return { suite, key: sharedKeyOf(hex(keys.clientPsk)) };
  const head = Buffer.from('302e020100300506032b657004220420', 'hex');
  const der = Buffer.concat([head, hex(keys.ed25519Seed)]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  return { suite, id: hex(keys['ed25519Id']), sign: (blob) => Promise.resolve(sign(null, blob, key)) };
}
