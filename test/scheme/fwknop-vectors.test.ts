// Packets that the real fwknop 2.6.10 made (protocols/fwknop.md 1.9): read, and made again to the character.

import assert from 'node:assert/strict';
import { parseBareBase64 } from '../../lib/base64.ts';
import { MOST_CHARACTERS, ownBytes, PREFIX, unwrap } from '../../lib/scheme/fwknop-cipher.ts';
import { decodeFields, encodeFields } from '../../lib/scheme/fwknop-format.ts';
import { sealFields } from '../../lib/scheme/fwknop-seal.ts';
import { arrive, clientOf, gatewayOf, said, VECTORS } from '../support/fwknop-knocks.ts';

/** What the gateway makes of each: it has a service for what V2 forwards, V3 asks for udp/53, V4 for a command. */
const VERDICTS: Readonly<Record<string, string>> = {
  V1: 'request ssh',
  V2: 'request ssh',
  V3: 'request dns',
  V4: 'command-refused phone',
};

describe("fwknop's own packets", () => {
  for (const vector of VECTORS) {
    const { name, packet, key, hmacKey, hmacDigest, mode, digest, plain, fields, salt } = vector;
    const macCharacters = hmacKey === null ? 0 : hmacDigest === 'sha512' ? 86 : 43;

    it(`${name} is decrypted to what it was made of`, () => {
      const envelope = parseBareBase64(PREFIX + packet.slice(0, packet.length - macCharacters));
      assert.ok(envelope !== null && packet.length <= MOST_CHARACTERS);
      assert.equal(ownBytes(envelope).toString('hex', 0, 8), salt);
      const opened = unwrap(envelope, { mode, key: Buffer.from(key) });
      assert.equal(opened?.toString(), plain);
      assert.deepEqual(decodeFields(opened), fields);
    });

    it(`${name} is made again to the character`, () => {
      assert.equal(encodeFields(fields, digest).toString(), plain);
      const hmac = hmacKey === null ? null : { key: Buffer.from(hmacKey), digest: hmacDigest };
      const sealed = sealFields(
        fields,
        { key: Buffer.from(key), mode, hmac, digest },
        Buffer.from(salt, 'hex'),
      );
      assert.equal(sealed.toString(), packet);
    });

    it(`${name} means ${VERDICTS[name] ?? 'nothing'}`, () => {
      const gateway = gatewayOf({
        services: { ssh: { port: 22, to: '10.0.0.5:22' }, dns: { protocol: 'udp', port: 53 } },
        clients: { phone: clientOf(vector) },
      });
      const at = fields.timeSeconds * 1000;
      const match = arrive(gateway, packet, { at, src: '1.2.3.4' });
      assert.equal(said(match), VERDICTS[name]);
      if (match?.kind !== 'request') return;
      assert.equal(match.once?.untilMs, at + 240_000);
      assert.match(match.once.id, /^[0-9a-f]{64}$/u);
      assert.equal(match.until, fields.timeoutSeconds === null ? undefined : at + 60_000);
    });
  }
});
