// From a name to the addresses that are tried.

import assert from 'node:assert/strict';
import { isKnockError } from '../../lib/errors.ts';
import { resolveHost } from '../../lib/knocker/resolve.ts';
import { withNames } from '../support/names.ts';

const ANY = { family: undefined, signal: undefined };
const NAMES = {
  both: ['2001:db8::1', '192.0.2.1', '2001:db8::2', '192.0.2.2', '192.0.2.1'],
  four: ['192.0.2.1'],
};

async function resolved(host: string, family?: 4 | 6): Promise<string> {
  const found = await resolveHost(host, { ...ANY, family });
  return [...found].map(([of, addresses]) => `${of}: ${addresses.join(' ')}`).join('; ');
}

describe('resolveHost', () => {
  const rows: readonly [number: number, host: string, family: 4 | 6 | undefined, found: string][] = [
    [1, 'both', undefined, '6: 2001:db8::1 2001:db8::2; 4: 192.0.2.1 192.0.2.2'],
    [2, 'both', 4, '4: 192.0.2.1 192.0.2.2'],
    [3, 'both', 6, '6: 2001:db8::1 2001:db8::2'],
    [4, 'four', undefined, '4: 192.0.2.1'],
    [5, 'four', 4, '4: 192.0.2.1'],
  ];
  for (const [number, host, family, found] of rows) {
    it(`${number}. gives the addresses of ${host}, family ${family ?? 'any'}: in the resolver's order, each once`, () =>
      withNames(NAMES, async (asked) => {
        assert.equal(await resolved(host, family), found);
        assert.deepEqual(asked, [{ host, family: family ?? 0 }]);
      }));
  }

  it('takes an address for what it is', async () => {
    assert.equal(await resolved('192.0.2.7'), '4: 192.0.2.7');
    assert.equal(await resolved('2001:db8::7'), '6: 2001:db8::7');
  });

  const refused: readonly [what: string, host: string, family: 4 | 6 | undefined, message: RegExp][] = [
    ['a name that nobody has', 'nobody', undefined, /^host has no address: 'nobody' \(check the name/u],
    ['a name without addresses of the family', 'four', 6, /^host has no address: 'four'/u],
    ['a name that is odd', 'no\u001b[2Jbody', undefined, /^host has no address: 'no\\u\{1b\}\[2Jbody'/u],
  ];
  for (const [what, host, family, message] of refused) {
    it(`refuses ${what}`, () =>
      withNames(NAMES, () =>
        assert.rejects(resolved(host, family), (error) => {
          assert.ok(isKnockError(error) && error.code === 'ERR_RESOLVE', String(error));
          assert.match(error.message, message);
          return true;
        }),
      ));
  }

  it('refuses an address of the other family', async () => {
    for (const [host, family] of [
      ['127.0.0.1', 6],
      ['::1', 4],
    ] as const) {
      await assert.rejects(
        resolved(host, family),
        (error) => isKnockError(error) && error.code === 'ERR_RESOLVE',
      );
    }
  });

  it('ends with its signal, whatever the resolver does', async () => {
    const reason = new Error('enough');
    await assert.rejects(resolveHost('192.0.2.7', { ...ANY, signal: AbortSignal.abort(reason) }), reason);
    const controller = new AbortController();
    const asked = resolveHost('192.0.2.7', { ...ANY, signal: controller.signal });
    controller.abort(reason);
    await assert.rejects(asked, reason);
  });
});
