// Attack 23: the firewall refuses in the midst of a grant. The knock is reported as failed, nothing of it is open,
// not even the part that had worked, and the next one works. (Faults of nft alone: nftables-faults.test.ts.)

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { pause, until } from '../support.ts';
import { attack, onBoth } from './attack.ts';
import { DOOR } from './clients.ts';
import { type Field } from './field.ts';

/** What xt_recent holds of one service unless it is told otherwise. */
const FULL = 100;

attack('23. a firewall that fails', () => {
  const fails = async (field: Field): Promise<void> => {
    if (field.driver === 'nftables') await hanging(field);
    else await full(field);
  };
  onBoth('fails a grant as a whole, the part that had worked too, and the next one works', fails);
});

/** The list of one service is full, the other has room. */
async function full(field: Field): Promise<void> {
  await field.renewed();
  const all = Array.from({ length: FULL }, (_, i) => {
    const family = i % 2 === 0 ? 4 : 6;
    const src = family === 4 ? `10.78.0.${i + 1}` : `fd78::${(i + 1).toString(16)}`;
    return field.plain({ family, src, srcPort: 30_000 + i }, DOOR);
  });
  await field.inject(all.flat());
  await field.gateway.wait('grant', { count: FULL });
  for (const family of [4, 6] as const) {
    const before = field.gateway.of('reject').length;
    const both = { family, services: ['ssh', 'web'] };
    await field.outside.datagrams({ packets: [await field.sealed('both', both)] });
    const { reason } = await field.gateway.wait('reject', { count: before + 1 });
    assert.equal(reason, 'grant-failed');
    for (const port of [22, 443])
      assert.equal(await field.connect({ family, port }), 'refused', `port ${port}`);
    assert.match(String(field.gateway.of('error').at(-1)?.message), /holds no more|full/u);
    await field.granted(() => field.spa('alice', { family }).knock());
    await field.used({ family });
  }
  // Its openings would be in the way of who comes next.
  await field.renewed();
}

/** The process that changes the rules stands still, and goes on later. */
async function hanging(field: Field): Promise<void> {
  const { id } = await field.granted(() => field.spa('alice').knock());
  await field.used();
  // Or the question whether it was used would be what hangs.
  await until('its use is reported', () => field.gateway.of('close').some((close) => close.id === id));
  const { pid } = field.gateway;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean);
  const nft = children
    .map(Number)
    .find((child) => readFileSync(`/proc/${child}/comm`, 'latin1').trim() === 'nft');
  assert.ok(nft !== undefined);
  process.kill(nft, 'SIGSTOP');
  const failed = (): number =>
    field.gateway.of('reject').filter(({ reason }) => reason === 'grant-failed').length;
  const before = failed();
  await field.outside.datagrams({ packets: [await field.sealed('both', { services: ['ssh', 'web'] })] });
  await until('the knock has failed', () => failed() > before);
  try {
    process.kill(nft, 'SIGCONT');
  } catch {
    // It was killed, which is as good.
  }
  await pause(200);
  for (const port of [22, 443]) assert.equal(await field.connect({ port }), 'refused', `port ${port}`);
  await field.granted(() => field.spa('alice').knock());
  await field.used();
}
