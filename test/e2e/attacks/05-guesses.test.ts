// Attack 5: guessed tags at line rate, and looking for a difference between the ports of knocks and the others.
// (That tags are compared in constant time: test/crypto/mac.test.ts.) That the second test can fail is shown by a
// listening socket on the port of the knocks, which is all that it takes to tell it from the others.

import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { TAG, TAG_BYTES } from '../../../lib/scheme/spa-format.ts';
import type { Datagram } from '../../support/agent.ts';
import { finished } from '../../support/netns.ts';
import { until } from '../support.ts';
import { attack, onBoth } from './attack.ts';
import { type Field } from './field.ts';

const GUESSES = process.env.PORTKNOCK_SLOW === '1' ? 1_000_000 : 40_000;
const KNOCK_PORT = 62_201;
const OTHER_PORT = 62_301;
const LAST_PORT = 62_302;
const ICMP_WITHOUT_LIMITS = [
  'net.ipv4.icmp_ratelimit=0',
  'net.ipv6.icmp.ratelimit=0',
  'net.ipv4.icmp_msgs_per_sec=1000000',
  'net.ipv4.icmp_msgs_burst=1000000',
];

attack('5. guessed tags', () => {
  onBoth(
    `open nothing, ${GUESSES.toLocaleString('en')} of them, and keep nobody out`,
    async (field) => {
      const knocks = await field.oneTime().fresh();
      const knock = await field.spa('bob').fresh();
      const grants = field.gateway.of('grant').length;
      const frames = Array.from({ length: 20_000 }, (_, i) => {
        const port = i % 2 === 0 ? KNOCK_PORT : (knocks[i % knocks.length]?.port ?? 0);
        const payload = randomFillSync(Buffer.alloc(i % 2 === 0 ? 192 + (i % 289) : 16));
        // Every fourth is the whole of a true knock that never came, but for the tag.
        if (i % 4 === 0) return retagged(field, knock, i % 3 === 0 ? 6 : 4);
        return field.packet({ family: i % 3 === 0 ? 6 : 4, dstPort: port, srcPort: 1024 + i, payload });
      });
      for (let sent = 0; sent < GUESSES; sent += frames.length) await field.inject(frames);
      for (const family of [4, 6] as const) {
        const source = field.world.client[family];
        await field.admitted(
          () => field.spa('alice', { family }).knock(),
          (grant) => grant.source === source,
        );
        await field.used({ family });
      }
      const clients = field.gateway
        .of('grant')
        .slice(grants)
        .map(({ client }) => client);
      assert.deepEqual([...new Set(clients)], ['alice']);
    },
    { timeoutMs: Math.max(60_000, GUESSES / 5), alone: true },
  );

  for (const family of [4, 6] as const) {
    onBoth(`are answered like junk to a closed port, and so are right ones (IPv${family})`, async (field) => {
      await field.world.gateway.must('sysctl', ['-qw', ...ICMP_WITHOUT_LIMITS]);
      const [knock, other] = await answers(field, family);
      assert.equal(knock, other);
      assert.ok(other > 0);
      const listening = field.world.gateway.spawn('nc', [`-${family}ulkp`, String(KNOCK_PORT)], {
        stdio: 'ignore',
      });
      const sockets = ['-lunH', `sport = :${KNOCK_PORT}`];
      await until('it listens', async () => (await field.world.gateway.must('ss', sockets)) !== '');
      const [heard, unheard] = await answers(field, family);
      listening.kill('SIGKILL');
      assert.notEqual(heard, unheard, 'a port that somebody listens on is told from the others');
      await field.used({ family });
    });
  }
});

/** The knock with a guess in the place of its tag. */
function retagged(field: Field, knock: Datagram, family: 4 | 6): Buffer {
  const payload = Buffer.from(knock.payload, 'base64');
  randomFillSync(payload, TAG, TAG_BYTES);
  return field.datagram({ ...knock, payload: payload.toString('base64') }, { family });
}

/** How many answers knocks and junk get from the port of knocks, and the same packets from another. */
async function answers(field: Field, family: 4 | 6): Promise<[number, number]> {
  const dump = field.world.gateway.spawn(
    'tcpdump',
    ['-lnUQ', 'out', '-i', field.world.device, 'icmp or (icmp6 and ip6[40] = 1) or (udp and src port 62201)'],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const done = finished(dump);
  let seen = '';
  dump.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString()));
  // It says so once it captures.
  await new Promise((resolve) => dump.stderr?.once('data', resolve));
  await field.granted(async () => {
    const knock = await field.sealed('alice', { family });
    await field.inject(
      [knock, ...Array.from({ length: 10 }, () => ({ ...knock, payload: junk() }))].flatMap((datagram) => [
        field.datagram({ ...datagram, port: OTHER_PORT }, { family }),
        field.datagram(datagram, { family }),
      ]),
    );
  });
  const count = (port: number): number =>
    seen
      .split('\n')
      .filter((line) => line.includes('unreachable') && new RegExp(`udp port ${port}\\b`, 'u').test(line))
      .length;
  // What is answered last has been seen last.
  await field.inject([field.packet({ family, dstPort: LAST_PORT, payload: 'x' })]);
  await until('the last answer is seen', () => count(LAST_PORT) > 0);
  dump.kill('SIGTERM');
  await done;
  return [count(KNOCK_PORT), count(OTHER_PORT)];
}

function junk(): string {
  return randomFillSync(Buffer.alloc(300)).toString('base64');
}
