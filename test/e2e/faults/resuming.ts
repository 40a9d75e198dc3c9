// What the fault suites ask of a gateway: that it tells of its trouble, resumes by itself, and has opened nothing that
// it should not have.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Datagram } from '../../support/agent.ts';
import type { Gateway } from '../../support/gateway.ts';
import { pause, until } from '../support.ts';
import type { Field } from '../attacks/field.ts';

export const FAMILIES = [4, 6] as const;
/** Longer than a capture waits until it starts once more. */
const HEARD_MS = 40_000;

/** A process that the gateway has started, by a word of its command line. */
export function childOf({ pid }: Gateway, word: RegExp): number | undefined {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
    .split(' ')
    .filter((child) => child !== '')
    .map(Number)
    .find((child) => word.test(commandLine(child)));
}

export const CAPTURE = /capture.child/u;

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

/** Word of what happens from now on. */
export function listen({ gateway }: Field): { warned: (word: RegExp) => Promise<void>; all: () => string[] } {
  const before = gateway.of('warning').length;
  const all = (): string[] =>
    gateway
      .of('warning')
      .slice(before)
      .map(({ message }) => String(message));
  return {
    all,
    warned: async (word) => {
      await until(`a warning says ${word.source}; got ${JSON.stringify(all())}`, () =>
        all().some((text) => word.test(text)),
      );
    },
  };
}

/** That a fresh knock works again by itself, once, and for who knocked alone. */
export async function resumes(field: Field, family: 4 | 6): Promise<void> {
  const before = field.gateway.of('grant').length;
  const spa = field.spa('alice', { family });
  const sent: Datagram[] = [];
  await until(
    `a knock over IPv${family} is heard`,
    async () => {
      sent.push(await spa.knock());
      for (const wait = Date.now() + 1000; Date.now() < wait; await pause(20))
        if (field.gateway.of('grant').length > before) return true;
      return false;
    },
    HEARD_MS,
  );
  // Others of them may be on their way; what comes behind them takes their place.
  if (sent.length > 1)
    await field.admitted(
      () => field.spa('bob', { family }).knock(),
      ({ client }) => client === 'bob',
    );
  assert.equal(await field.connect({ family, source: field.world.stranger[family] }), 'refused');
  await field.used({ family });
  await refusesAll(field, family, sent);
}

/** That none of these knocks, each of which was acted upon or lost to a fault, opens for anyone who has recorded them. */
export async function refusesAll(field: Field, family: 4 | 6, knocks: readonly Datagram[]): Promise<void> {
  // The last one was granted, and a client's later knock makes its earlier ones worthless.
  const before = field.gateway.of('grant').length;
  for (const source of [field.world.client[family], field.world.stranger[family]])
    await field.outside.datagrams({ packets: knocks, source });
  // A fresh one comes after them, so the gateway has seen them all.
  await field.granted(() => field.spa('bob', { family }).knock());
  await field.used({ family });
  const clients = field.gateway
    .of('grant')
    .slice(before)
    .map(({ client }) => client);
  assert.deepEqual([...new Set(clients)], ['bob'], 'a replay was granted');
  await closed(field);
}

/** That nothing at all is open, for anyone. */
export async function closed(field: Field): Promise<void> {
  for (const family of FAMILIES)
    for (const source of [field.world.client[family], field.world.stranger[family]])
      for (const port of [22, 443])
        assert.equal(await field.connect({ family, source, port }), 'refused', `${source} to port ${port}`);
}
