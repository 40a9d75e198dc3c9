// Attack 22: what a grant says reaches a command as arguments and no shell ever reads it; a command that hangs is
// killed with what it started. Through portknockd here; each rule by itself: test/firewall/command.test.ts.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Gateway, Site } from '../../support/gateway.ts';
import { until } from '../support.ts';
import { attack, onBoth } from './attack.ts';
import { ACCESS_KEY, secretOf } from './clients.ts';
import { type Field } from './field.ts';

const HOSTILE = [
  `'{ip}'`,
  '"{port}"',
  '`id`',
  '$(touch pwned)',
  ';touch pwned',
  '| cat',
  '> pwned',
  '*',
  '\\',
  '',
];

/** Its own rules are the commands', so one world is enough for each test. */
const WHERE = { drivers: ['iptables'] } as const;

attack('22. a command for each opening', () => {
  const title =
    'gets its arguments as they stand, whatever they look like, and no file of ours (IPv4 and IPv6)';
  const said = async (field: Field): Promise<void> => {
    const script =
      'printf "%s\\0" "$@" > FOLDER/said; for f in /proc/$$/fd/*; do readlink $f; done > FOLDER/files; env > FOLDER/env';
    await commanded(field, { script, timeout: '10s' }, async ({ site, gateway }) => {
      for (const family of [4, 6] as const) {
        await field.spa('alice', { family }).knock();
        await gateway.wait('grant', { count: family === 4 ? 1 : 2 });
        const [way, ip, port, protocol, seconds, client, ...rest] = readFileSync(
          join(site.folder, 'said'),
          'utf8',
        )
          .split('\0')
          .slice(0, -1);
        assert.deepEqual(
          [way, ip, port, protocol, client],
          ['open', field.world.client[family], '22', 'tcp', 'a.b-c@d'],
        );
        assert.ok(Number(seconds) > 5 && Number(seconds) <= 20, seconds);
        const filled = HOSTILE.map((text) => text.replace('{ip}', ip ?? '').replace('{port}', '22'));
        assert.deepEqual(rest, filled);
        assert.equal(existsSync(join(site.folder, 'pwned')), false);
        // Three sockets are its standard streams.
        const files = readFileSync(join(site.folder, 'files'), 'utf8');
        assert.doesNotMatch(files, /(?:socket:.*){4}|anon_inode|xt_recent|replay|portknockd/su);
        // Node itself hands its coverage variable on.
        const env = readFileSync(join(site.folder, 'env'), 'utf8');
        assert.doesNotMatch(env, /^(?!NODE_V8_COVERAGE=)(?:NODE|PORTKNOCK|npm)/mu);
      }
    });
  };
  onBoth(title, said, WHERE);

  const hangs = async (field: Field): Promise<void> => {
    const script = 'echo $$ > FOLDER/pid; [ "$1" = close ] || { sleep 60 & echo $! > FOLDER/child; wait; }';
    await commanded(field, { script, timeout: '4s' }, async ({ site, gateway }) => {
      await field.spa('alice').knock();
      assert.equal((await gateway.wait('reject')).reason, 'grant-failed');
      const pid = Number(readFileSync(join(site.folder, 'child'), 'utf8'));
      // Gone, or waiting for its parent to notice.
      const over = (): boolean => !existsSync(`/proc/${pid}/stat`) || stateOf(pid) === 'Z';
      await until('what it started has ended', over);
      assert.deepEqual(gateway.of('grant'), []);
    });
  };
  onBoth('is killed when it hangs, with what it started, and the knock is refused', hangs, WHERE);
});

/** Runs a gateway whose openings are a script; `FOLDER` in it is the folder of its configuration. */
async function commanded(
  field: Field,
  { script, timeout }: { readonly script: string; readonly timeout: string },
  body: (parts: { site: Site; gateway: Gateway }) => Promise<void>,
): Promise<void> {
  await field.gateway.end();
  const site = await Site.create(field.world, '');
  const program = join(site.folder, 'change');
  await writeFile(program, `#!/bin/sh\n${script.replaceAll('FOLDER', site.folder)}\n`, { mode: 0o755 });
  const argv = (way: string): string =>
    JSON.stringify([program, way, '{ip}', '{port}', '{protocol}', '{seconds}', '{client}', ...HOSTILE]);
  await site.write(
    [
      await readFile(site.config, 'utf8'),
      `firewall: { driver: command, open: ${argv('open')}, close: ${argv('close')}, timeout: ${timeout} }`,
      `access_key: "${ACCESS_KEY.toString('base64')}"`,
      'services: { ssh: { port: 22, open_for: 20s, connections: unlimited } }',
      `clients: { "a.b-c@d": { scheme: spa, secret: "${secretOf('alice')}", services: [ssh] } }`,
      '',
    ].join('\n'),
  );
  const gateway = await Gateway.start(field.world, site);
  try {
    await body({ site, gateway });
  } finally {
    await gateway.end();
    await site.remove();
  }
}

function stateOf(pid: number): string | undefined {
  return readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')[2];
}
