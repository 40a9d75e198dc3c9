// The log that programs read: its fields are those of docs/monitoring.md, a text line can be taken apart again whatever is in
// it, and the example filter for fail2ban finds what it should.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { EVENTS, type EventName } from '../../cli/events.ts';
import { textLines, type Fields } from '../../cli/log-line.ts';

const GUIDE = readFileSync('docs/monitoring.md', 'utf8');
const TIME = '2026-11-29T18:00:00.000Z';

function line(event: EventName, fields: Fields): string {
  return textLines({ time: TIME, event }, fields).join('\n');
}

/** A reader as somebody would write it after the documentation. */
function parsed(text: string): { fields: Record<string, string>; message: string } {
  const fields: Record<string, string> = {};
  let rest = text.replace(/^\S+ \S+ ?/u, '');
  for (;;) {
    const field = /^(\w+)=("(?:[^"\\]|\\.)*"|[^ "]+)(?: |$)/u.exec(rest);
    if (field === null) break;
    const [all, name = '', value = ''] = field;
    fields[name] = value.startsWith('"') ? (JSON.parse(value) as string) : value;
    rest = rest.slice(all.length);
  }
  return { fields, message: rest.startsWith('"') ? (JSON.parse(rest) as string) : rest };
}

describe('the events of the log', () => {
  it('are documented with every field, and nothing else is', () => {
    const rows = [...GUIDE.matchAll(/^\| `(\w+)` +\| ((?:`\w+`(?:, )?)+) +\|/gmu)];
    const documented = Object.fromEntries(
      rows.map(([, event = '', fields = '']) => [
        event,
        [...fields.matchAll(/`(\w+)`/gu)].map(([, name]) => name),
      ]),
    );
    assert.deepEqual(documented, EVENTS);
  });

  it('are lines of words', () => {
    const { id, open_until: until } = { id: '6286e069450bfbca', open_until: TIME };
    assert.equal(
      line('grant', {
        id,
        client: 'a@b',
        port: 22,
        source: '2001:db8::1',
        open_until: until,
        scheme: undefined,
      }),
      `${TIME} grant id=${id} client=a@b port=22 source=2001:db8::1 open_until=${TIME}`,
    );
    assert.equal(
      line('ready', { source: 'udp socket 1', services: ['ssh', 'admin'], driver: '' }),
      `${TIME} ready source="udp socket 1" services=ssh,admin driver=""`,
    );
    assert.equal(
      line('error', { code: 'ERR_X', message: 'a: b\nc=d: e' }),
      `${TIME} error code=ERR_X a: b\n${TIME} error code=ERR_X "c=d: e"`,
    );
  });

  it('can be taken apart again, whatever is in them', () => {
    const word = fc.string({ unit: 'binary', maxLength: 30 });
    fc.assert(
      fc.property(
        word,
        word,
        fc.string({ unit: 'grapheme-ascii', maxLength: 40 }),
        (client, detail, message) => {
          fc.pre(message.trim() === message && !message.includes('\n'));
          const text = line('reject', { reason: 'stale', client, detail, message });
          assert.match(text, /^[\x20-\x7e]*$/u);
          assert.deepEqual(parsed(text), { fields: { reason: 'stale', client, detail }, message });
        },
      ),
    );
  });

  it('have their priority in front where the stream is the journal’s, and not where only a parent’s was', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'portknock-journal-'));
    const path = join(folder, 'log');
    const script = `const { eventLog } = await import(${JSON.stringify(join(process.cwd(), 'cli/report.ts'))});
      eventLog('text')('ready', { clients: 1 }); eventLog('json')('close', { id: 'a' });
      eventLog('text')('warning', { message: 'a' }); eventLog('text')('error', { message: 'b' });`;
    const run = async (journal: (dev: bigint, ino: bigint) => string): Promise<string> => {
      const fd = openSync(path, 'w');
      const { dev, ino } = fstatSync(fd, { bigint: true });
      const env = { ...process.env, JOURNAL_STREAM: journal(dev, ino) };
      const args = ['--import', 'tsx', '--input-type=module', '-e', script];
      const child = spawn(process.execPath, args, { env, stdio: ['ignore', fd, fd] });
      await once(child, 'close');
      closeSync(fd);
      return readFileSync(path, 'utf8').replace(/\d{4}-\S+Z/gu, 'T');
    };
    assert.deepEqual((await run((dev, ino) => `${dev}:${ino}`)).trim().split('\n').toSorted(), [
      '<3>T error b',
      '<4>T warning a',
      '<6>T ready clients=1',
      '<6>{"time":"T","event":"close","id":"a"}',
    ]);
    assert.doesNotMatch(await run((dev, ino) => `${dev}:${ino + 1n}`), /</u);
    rmSync(folder, { recursive: true });
  });
});

describe('the example filter for fail2ban', () => {
  const option = (name: string): string => new RegExp(`^${name} = (.*)$`, 'mu').exec(GUIDE)?.[1] ?? '';
  /** As fail2ban does it: the time is taken out first, and <ADDR> is an address. */
  const found = (text: string): string | null => {
    if (new RegExp(option('ignoreregex'), 'u').test(text)) return null;
    const pattern = option('failregex').replace('<ADDR>', '([0-9a-fA-F:.]+)');
    return new RegExp(pattern, 'u').exec(text.replace(TIME, ''))?.[1] ?? null;
  };

  it('finds the source of a refused knock, and in no other line', () => {
    const refused = (reason: string, more: Fields = {}): string =>
      line('reject', { reason, source: '2001:db8::7', scheme: 'spa', count: 1, ...more });
    assert.equal(found(refused('bad-tag')), '2001:db8::7');
    assert.equal(found(refused('port-refused', { detail: 'tcp/23 source=192.0.2.1' })), '2001:db8::7');
    assert.equal(found(refused('replay-failed')), null);
    assert.equal(found(line('warning', { message: 'reject reason=x source=192.0.2.1 scheme=spa' })), null);
    assert.equal(found(line('grant', { client: 'reject', source: '192.0.2.1', scheme: 'spa' })), null);
  });
});
