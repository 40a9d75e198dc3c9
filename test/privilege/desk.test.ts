// What arrives at the half with root on the pipe: messages by shape, lines by length, and no more at a time than one
// portknockd asks for.

import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { LineChannel } from '../../lib/privilege/channel.ts';
import { Desk } from '../../lib/privilege/desk.ts';
import { MOST_WAITING, questionIn, type Order } from '../../lib/privilege/messages.ts';
import { grantAt, guardBench } from './support.ts';

const grant = grantAt(0);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const MESSAGES: readonly object[] = [
  { kind: 'hello' },
  { kind: 'ready' },
  { kind: 'alive', working: true },
  { kind: 'received', capture: 1 },
  { kind: 'retire', capture: 1 },
  { kind: 'kill', capture: 1 },
  { id: 1, kind: 'list' },
  { id: 1, kind: 'setup' },
  { id: 1, kind: 'reload' },
  { id: 1, kind: 'open', grant },
  { id: 1, kind: 'open', grant: { ...grant, to: { host: '10.0.0.5', port: 22 } } },
  { id: 1, kind: 'close', grant },
  { id: 1, kind: 'hold', grants: [grant] },
  { id: 1, kind: 'capture', filter: 'less 1' },
  { id: 1, kind: 'mark', account: 'sequence-list a 1/tcp' },
];

const NONSENSE: readonly [title: string, value: unknown][] = [
  ['nothing', null],
  ['a list', []],
  ['a word', 'open'],
  ['no kind', { id: 1 }],
  ['a teardown', { id: 1, kind: 'teardown' }],
  ['a set-up with services', { id: 1, kind: 'setup', services: [] }],
  ['no number', { kind: 'list' }],
  ['a number that is none', { id: 'x', kind: 'list' }],
  ['a negative number', { id: -1, kind: 'list' }],
  ['a key too many', { id: 1, kind: 'open', grant, force: true }],
  ['a key of the prototype', JSON.parse('{"id":1,"kind":"list","__proto__":{}}') as unknown],
  ['a grant with a key too many', { id: 1, kind: 'open', grant: { ...grant, interface: 'eth0' } }],
  ['a grant with a key too few', { id: 1, kind: 'open', grant: { ...grant, client: undefined } }],
  [
    'a grant with a forward of more keys',
    { id: 1, kind: 'open', grant: { ...grant, to: { host: '10.0.0.5', port: 22, x: 1 } } },
  ],
  ['a grant whose id is a path', { id: 1, kind: 'open', grant: { ...grant, id: '../x' } }],
  ['a client with a blank', { id: 1, kind: 'open', grant: { ...grant, client: 'a b' } }],
  ['a client that is an option', { id: 1, kind: 'open', grant: { ...grant, client: '-A' } }],
  ['a source that is not canonical', { id: 1, kind: 'open', grant: { ...grant, source: '192.0.2.7/24' } }],
  ['a source with a blank', { id: 1, kind: 'open', grant: { ...grant, source: '192.0.2.7 -j ACCEPT' } }],
  ['a port that is text', { id: 1, kind: 'open', grant: { ...grant, port: '22' } }],
  ['a port beyond all', { id: 1, kind: 'open', grant: { ...grant, port: 65_536 } }],
  ['a protocol that is none', { id: 1, kind: 'open', grant: { ...grant, protocol: 'icmp' } }],
  ['an end that is text', { id: 1, kind: 'open', grant: { ...grant, openUntil: 'never' } }],
  ['connections below one', { id: 1, kind: 'open', grant: { ...grant, connections: 0 } }],
  [
    'more held grants than go at once',
    { id: 1, kind: 'hold', grants: Array.from({ length: 101 }, () => grant) },
  ],
  ['a held grant that is none', { id: 1, kind: 'hold', grants: [grant, {}] }],
  ['a capture with a device', { id: 1, kind: 'capture', filter: 'less 1', device: 'lo' }],
  ['a capture with a user', { id: 1, kind: 'capture', filter: 'less 1', uid: 0 }],
  ['a filter that is none', { id: 1, kind: 'capture', filter: ['less 1'] }],
  ['a mark in a file', { id: 1, kind: 'mark', account: 'a', file: '/etc/shadow' }],
];

describe('the messages of the half that reads packets', () => {
  for (const message of MESSAGES) {
    it(`have this shape: ${JSON.stringify(message).slice(0, 60)}`, () => {
      assert.deepEqual(questionIn(JSON.parse(JSON.stringify(message))), message);
    });
  }

  for (const [title, value] of NONSENSE) {
    it(`are not: ${title}`, () => {
      assert.equal(questionIn(value === null ? null : JSON.parse(JSON.stringify(value))), null);
    });
  }
});

function bench(): { desk: Desk; sent: Order[]; faults: string[]; release: () => void } {
  const { guard } = guardBench();
  const sent: Order[] = [];
  const faults: string[] = [];
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const desk = new Desk({
    guard: {
      open: (grant) => guard.open(grant),
      close: (grant) => guard.close(grant),
      list: () => held.then(() => []),
      hold: () => undefined,
      setup: () => guard.setup(),
      reload: () => guard.reload(),
      requireFilter: (filter) => {
        guard.requireFilter(filter);
      },
      mark: () => Promise.resolve(),
    },
    captures: {
      start: () => Promise.resolve(1),
      received: () => undefined,
      retire: () => undefined,
      kill: () => undefined,
    },
    send: (order) => sent.push(order),
    noted: () => undefined,
    fault: (fault) => faults.push(fault),
  });
  return { desk, sent, faults, release };
}

describe('the desk of the half with root', () => {
  it('answers each request with its number, or says why it refuses', async () => {
    const { desk, sent, release } = bench();
    release();
    desk.take({ id: 7, kind: 'list' });
    await turn();
    desk.take({ id: 8, kind: 'capture', filter: 'tcp' });
    await turn();
    assert.deepEqual(sent[0], { kind: 'answer', id: 7, value: [] });
    assert.deepEqual(sent[1], {
      ...{ kind: 'refusal', id: 8, code: 'ERR_WARDEN' },
      message: 'the half with root refused to capture what no knock is',
    });
  });

  it('takes what is no message for a fault', () => {
    const { desk, faults } = bench();
    desk.take({ id: 1, kind: 'teardown' });
    assert.equal(faults.length, 1);
  });

  it('has a limit to requests that wait for their answers', async () => {
    const { desk, sent, faults, release } = bench();
    for (let id = 0; id < MOST_WAITING; id += 1) desk.take({ id, kind: 'list' });
    assert.deepEqual(faults, []);
    desk.take({ id: MOST_WAITING, kind: 'list' });
    assert.equal(faults.length, 1);
    release();
    await turn();
    assert.equal(sent.length, MOST_WAITING);
    desk.take({ id: 1, kind: 'list' });
    assert.equal(faults.length, 1);
  });
});

describe('a pipe of lines', () => {
  const pipe = (): {
    stream: PassThrough;
    taken: unknown[];
    ends: (string | null)[];
    channel: LineChannel;
  } => {
    const stream = new PassThrough();
    const taken: unknown[] = [];
    const ends: (string | null)[] = [];
    const channel = new LineChannel(stream, {
      mostBytes: 20,
      take: (value) => taken.push(value),
      ended: (fault) => ends.push(fault),
    });
    return { stream, taken, ends, channel };
  };

  it('gives values however the bytes come', async () => {
    const { stream, taken, ends } = pipe();
    for (const part of ['{"a"', ':1}\n{"b":2}\n', '"\u00e4', '"', '\n']) {
      stream.write(part);
      await turn();
    }
    assert.deepEqual(taken, [{ a: 1 }, { b: 2 }, '\u00e4']);
    assert.deepEqual(ends, []);
  });

  const bad: readonly [title: string, bytes: string, fault: RegExp][] = [
    ['a line that is too long', `"${'x'.repeat(20)}"\n`, /more than 20 bytes/u],
    ['a line that never ends', 'x'.repeat(21), /more than 20 bytes/u],
    ['a line that is no JSON', 'open sesame\n', /no JSON/u],
    ['an empty line', '\n', /no JSON/u],
  ];
  for (const [title, bytes, fault] of bad) {
    it(`ends with ${title}, and takes nothing that follows`, async () => {
      const { stream, taken, ends } = pipe();
      stream.write(`${bytes}{"a":1}\n`);
      await turn();
      assert.deepEqual(taken, []);
      assert.equal(ends.length, 1);
      assert.match(ends[0] ?? '', fault);
      assert.ok(stream.destroyed);
    });
  }

  it('says once that the other side is gone', async () => {
    const { stream, ends } = pipe();
    stream.end();
    await turn();
    stream.destroy();
    await turn();
    assert.deepEqual(ends, [null]);
  });
});
