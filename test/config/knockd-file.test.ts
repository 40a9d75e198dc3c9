// knockd.conf as a text: every row of the table of what knockd takes, and what is in the values then.

import assert from 'node:assert/strict';
import { parseKnockdFile } from '../../lib/config/knockd-file.ts';
import { KNOCKD_ROWS } from '../support/knockd-rows.ts';

const FILE = '/etc/knockd.conf';
const read = (text: string, strict = false) => parseKnockdFile(text, { file: FILE, strict });

describe('knockd.conf', () => {
  for (const { what, text, knockd, quirks = [] } of KNOCKD_ROWS) {
    it(`is read as knockd reads it: ${what}`, () => {
      const { doors, errors, warnings } = read(text);
      if ('because' in knockd) {
        const found = errors.find(
          ({ line, message }) => line === knockd.refusedIn && knockd.because.test(message),
        );
        assert.ok(found, JSON.stringify(errors));
        return;
      }
      const sequences = doors.map(({ sequence }) =>
        sequence?.value.map(({ port, protocol }) => `${port}:${protocol}`).join(','),
      );
      assert.deepEqual([errors, sequences], [[], knockd]);
      const lines = (problems: readonly { readonly line: number }[]) => problems.map(({ line }) => line);
      assert.deepEqual(lines(warnings), quirks);
      // What is taken with a guess is refused when strict, and nothing else is.
      assert.deepEqual(lines(read(text, true).errors), quirks);
    });
  }

  it('gives every key of a door with its line, and the last of those given twice', () => {
    const text = [
      ...['[options]', 'Interface = eth1', 'LogFile = /var/log/knockd.log', 'UseSyslog', 'PidFile = x'],
      ...[
        '[ door one ]',
        'one_time_sequences = /etc/seq',
        'timeout = 5',
        'seq_timeout = 6',
        'cmd_timeout = 7',
      ],
      ...[
        'tcpflags = syn',
        'tcpflags = !ACK,urg',
        'target = 192.0.2.1',
        'command = a',
        'start_command = b %IP%',
      ],
      ...['command_6 =', 'stop_command = c', 'stop_command_6 = "d"  e'],
    ];
    const file = read(text.join('\n'));
    assert.deepEqual([file.errors, file.warnings], [[], []]);
    assert.deepEqual(file.interface, { line: 2, value: 'eth1' });
    assert.deepEqual(
      file.housekeeping.map(({ line, value }) => `${line} ${value}`),
      ['3 LOGFILE', '4 USESYSLOG', '5 PIDFILE'],
    );
    assert.deepEqual(file.doors, [
      {
        name: ' door one ',
        line: 6,
        sequence: null,
        oneTimeFile: { line: 7, value: '/etc/seq' },
        seqTimeout: { line: 9, value: 6 },
        cmdTimeout: { line: 10, value: 7 },
        tcpFlags: { line: 12, value: { set: ['syn', 'urg'], clear: ['ack'] } },
        target: { line: 13, value: '192.0.2.1' },
        start: { line: 15, value: 'b %IP%' },
        start6: { line: 16, value: '' },
        stop: { line: 17, value: 'c' },
        stop6: { line: 18, value: '"d"  e' },
      },
    ]);
  });

  it('cuts the name of a door where knockd does, and what follows a NUL', () => {
    const { doors } = read(`[${'n'.repeat(300)}]\nsequence=1,2\0,3\n`);
    assert.deepEqual([doors[0]?.name.length, doors[0]?.sequence?.value.length], [127, 2]);
  });

  it('says everything that is wrong, each with its line, on one line and escaped', () => {
    const { errors } = read('x\u{1b}\ny\n[a]\nfoo=\nsequence=1:\u{7f},70000\n[b]\ntcpflags=syn,q q\n');
    assert.deepEqual(
      errors.map(({ file, line, message }) => [file, line, message.split(' (')[0]]),
      [
        [FILE, 1, "line belongs to no section: 'x\\u{1b}'"],
        [FILE, 2, "line is no 'key = value': 'y'"],
        [FILE, 4, 'key is not known: foo'],
        [FILE, 5, "sequence has no protocol '\\u{7f}'"],
        [FILE, 5, "sequence has no port '70000'"],
        [FILE, 6, "section 'b' has no sequence"],
        [FILE, 7, "tcpflags has no flag 'q q'"],
      ],
    );
  });

  it('takes a sequence and a file of them with a guess', () => {
    const { doors, warnings } = read('[a]\nsequence=1,2\none_time_sequences=/x\n');
    assert.deepEqual([doors[0]?.oneTimeFile?.value, warnings[0]?.line], ['/x', 3]);
    assert.match(warnings[0]?.message ?? '', /the file counts/u);
  });
});
