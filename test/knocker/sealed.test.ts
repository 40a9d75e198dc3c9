// Profiles under a password, sealed and opened beside node:crypto, which shares no code with node-forge's cipher.

import assert from 'node:assert/strict';
import { createCipheriv, createDecipheriv, pbkdf2Sync, randomBytes } from 'node:crypto';
import { isKnockError } from '../../lib/errors.ts';
import { isSealed, openSealed, sealProfile } from '../../lib/knocker/sealed.ts';

const PROFILE = '{ "portknock": 1, "host": "gw.example", "secret": "c2VjcmV0" }\n';
const PASSWORD = 'correct horse';
const ITERATIONS = 100_000;

interface Sealed {
  readonly portknock: unknown;
  readonly sealed: unknown;
  readonly iterations: number;
  readonly salt: string;
  readonly iv: string;
  readonly data: string;
}

const base64 = (text: string): Buffer => Buffer.from(text, 'base64');
const boundOf = ({ data: _data, ...header }: Sealed): Buffer => Buffer.from(JSON.stringify(header));

function keyFor(password: string, { salt, iterations }: Sealed): Buffer {
  return pbkdf2Sync(Buffer.from(password), base64(salt), iterations, 32, 'sha256');
}

/** The other opener. */
function opened(text: string, password: string): string {
  const sealed = JSON.parse(text) as Sealed;
  const data = base64(sealed.data);
  const decipher = createDecipheriv('aes-256-gcm', keyFor(password, sealed), base64(sealed.iv));
  decipher.setAAD(boundOf(sealed)).setAuthTag(data.subarray(-16));
  return Buffer.concat([decipher.update(data.subarray(0, -16)), decipher.final()]).toString();
}

/** The other sealer. */
function sealedBy(text: string | Uint8Array, password: string, iterations = ITERATIONS): Sealed {
  const header = {
    portknock: 1,
    sealed: 'pbkdf2-sha256 aes-256-gcm',
    iterations,
    salt: randomBytes(16).toString('base64'),
    iv: randomBytes(12).toString('base64'),
    data: '',
  };
  const cipher = createCipheriv('aes-256-gcm', keyFor(password, header), base64(header.iv));
  cipher.setAAD(boundOf(header));
  const data = Buffer.concat([cipher.update(text), cipher.final(), cipher.getAuthTag()]);
  return { ...header, data: data.toString('base64') };
}

async function refusal(text: string, password = PASSWORD): Promise<string> {
  try {
    await openSealed(text, password);
  } catch (error) {
    assert.ok(isKnockError(error), String(error));
    assert.match(error.message, /^[\x20-\x7e]+ \([^()]+\)$/u);
    for (const secret of [PASSWORD, password, 'gw.example', 'c2VjcmV0', 'Host']) {
      assert.ok(!error.message.includes(secret), error.message);
    }
    return error.code;
  }
  return assert.fail('it was opened');
}

describe('a sealed profile', () => {
  it('has the documented form, and shows nothing of what is in it', async () => {
    const text = await sealProfile(PROFILE, PASSWORD);
    const fields = JSON.parse(text) as Sealed;
    assert.deepEqual(Object.keys(fields), ['portknock', 'sealed', 'iterations', 'salt', 'iv', 'data']);
    assert.deepEqual(
      [fields.portknock, fields.sealed, fields.iterations],
      [1, 'pbkdf2-sha256 aes-256-gcm', 600_000],
    );
    assert.equal(base64(fields.salt).length, 16);
    assert.equal(base64(fields.iv).length, 12);
    assert.equal(base64(fields.data).length, Buffer.byteLength(PROFILE) + 16);
    assert.ok(text.endsWith('}\n') && !text.includes('gw.example'));
  });

  it('is opened by us and by others, and differs each time', async () => {
    const texts = [await sealProfile(PROFILE, PASSWORD), await sealProfile(PROFILE, PASSWORD)];
    for (const text of texts) {
      assert.equal(opened(text, PASSWORD), PROFILE);
      assert.equal(await openSealed(text, PASSWORD), PROFILE);
    }
    const [one, other] = texts.map((text) => JSON.parse(text) as Sealed);
    for (const name of ['salt', 'iv', 'data'] as const) assert.notEqual(one?.[name], other?.[name]);
  });

  it('that others sealed is opened, whatever the text and the layout', async () => {
    for (const text of [PROFILE, '', 'ü\u{1f600}\0', 'x'.repeat(65536)]) {
      assert.equal(await openSealed(JSON.stringify(sealedBy(text, PASSWORD)), PASSWORD), text);
    }
    const { data, portknock, ...rest } = sealedBy(PROFILE, PASSWORD, 123_456);
    assert.equal(await openSealed(JSON.stringify({ data, ...rest, portknock }, null, 7), PASSWORD), PROFILE);
  });

  it('takes a password of any letters, in whichever way a system composes them', async () => {
    const composed = 'p\u00e4ss w\u00f6rt\u{1f600}';
    const sealed = JSON.stringify(sealedBy(PROFILE, composed));
    assert.equal(await openSealed(sealed, composed), PROFILE);
    assert.equal(await openSealed(sealed, composed.normalize('NFD')), PROFILE);
    assert.equal(opened(await sealProfile(PROFILE, composed.normalize('NFD')), composed), PROFILE);
  });

  it('is not opened by another password', async () => {
    const sealed = JSON.stringify(sealedBy(PROFILE, PASSWORD));
    for (const wrong of ['', 'x', 'Correct horse', `${PASSWORD} `]) {
      await assert.rejects(openSealed(sealed, wrong), {
        code: 'ERR_PASSWORD',
        message: 'password of the profile is wrong (type it again)',
      });
    }
  });

  it('is not opened when any of it was changed', async () => {
    const sealed = sealedBy(PROFILE, PASSWORD);
    for (const name of ['salt', 'iv', 'data'] as const) {
      const bytes = base64(sealed[name]);
      for (let index = 0; index < bytes.length; index += 5) {
        const changed = Buffer.from(bytes);
        changed[index] = changed[index]! ^ 0x10;
        const text = JSON.stringify({ ...sealed, [name]: changed.toString('base64') });
        assert.equal(await refusal(text), 'ERR_PASSWORD', `${name} ${index}`);
      }
    }
    const more = JSON.stringify({ ...sealed, iterations: ITERATIONS + 1 });
    assert.equal(await refusal(more), 'ERR_PASSWORD');
  });

  it('is not opened when its header is not bound to it', async () => {
    const sealed = sealedBy(PROFILE, PASSWORD);
    const cipher = createCipheriv('aes-256-gcm', keyFor(PASSWORD, sealed), base64(sealed.iv));
    const data = Buffer.concat([cipher.update(PROFILE), cipher.final(), cipher.getAuthTag()]);
    const loose = JSON.stringify({ ...sealed, data: data.toString('base64') });
    assert.equal(await refusal(loose), 'ERR_PASSWORD');
  });

  const sealed = sealedBy(PROFILE, PASSWORD);
  const { data: _data, ...dataless } = sealed;
  const long = Buffer.alloc(65536 + 17).toString('base64');
  const rows: readonly [what: string, value: unknown][] = [
    ['a list', []],
    ['null', null],
    ['text', 'sealed'],
    ['an open profile', JSON.parse(PROFILE)],
    ['another version', { ...sealed, portknock: 2 }],
    ['another method', { ...sealed, sealed: 'scrypt' }],
    ['no method', { ...sealed, sealed: true }],
    ['one key more', { ...sealed, hint: 'Host' }],
    ['one key less', dataless],
    ['too few iterations', { ...sealed, iterations: 99_999 }],
    ['too many iterations', { ...sealed, iterations: 10_000_001 }],
    ['iterations for ever', { ...sealed, iterations: 1e300 }],
    ['half an iteration', { ...sealed, iterations: 100_000.5 }],
    ['iterations as text', { ...sealed, iterations: '600000' }],
    ['a short salt', { ...sealed, salt: Buffer.alloc(15).toString('base64') }],
    ['a salt that is not base64', { ...sealed, salt: `${sealed.salt}=` }],
    ['a salt that is a number', { ...sealed, salt: 16 }],
    ['a long iv', { ...sealed, iv: Buffer.alloc(16).toString('base64') }],
    ['an empty iv', { ...sealed, iv: '' }],
    ['data without room for a tag', { ...sealed, data: Buffer.alloc(15).toString('base64') }],
    ['data beyond measure', { ...sealed, data: long }],
    ['data of another kind', { ...sealed, data: [1, 2] }],
  ];
  for (const [what, value] of rows) {
    it(`is not ${what}`, async () => {
      assert.equal(await refusal(JSON.stringify(value)), 'ERR_PROFILE');
    });
  }

  it('is not a text that was cut off anywhere', async () => {
    const text = JSON.stringify(sealed);
    for (let length = 0; length < text.length; length += 1) {
      assert.equal(await refusal(text.slice(0, length)), 'ERR_PROFILE');
    }
  });
});

describe('sealProfile', () => {
  it('wants a password and a text of bounded length', async () => {
    await assert.rejects(sealProfile(PROFILE, ''), {
      code: 'ERR_PASSWORD',
      message: /^password is empty \(/u,
    });
    await assert.rejects(sealProfile('é'.repeat(32769), PASSWORD), {
      name: 'RangeError',
      message: 'profileText must be at most 65536 bytes (got 65538)',
    });
  });
});

describe('isSealed', () => {
  it('tells a sealed profile, damaged or not, from everything else', async () => {
    const sealed = await sealProfile('', PASSWORD);
    for (const text of [sealed, ` ${sealed}`, '{"sealed":null}']) assert.equal(isSealed(text), true, text);
    for (const text of [PROFILE, '', '[]', 'null', '7', '"sealed"', '["sealed"]', sealed.slice(0, -3), '{']) {
      assert.equal(isSealed(text), false, text);
    }
  });
});
