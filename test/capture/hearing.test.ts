// Whether a packet socket still hears: by the kernel's list of such sockets, and by packets that wait and are not read.

import assert from 'node:assert/strict';
import { Hearing, isHooked, ownPacketSocket } from '../../lib/capture/hearing.ts';

describe('isHooked()', () => {
  const table = [
    'sk               RefCnt Type Proto  Iface R Rmem   User   Inode',
    '00000000e212fd88 3      3    0003   3     1 0      0      4361761',
    '00000000e212fd89 3      3    0003   -1    0 0      0      4361762',
    '00000000e212fd8a 3      3    0003   3     0 1      1      436176',
    '',
  ].join('\n');

  for (const [what, inode, expected] of [
    ['true of a socket that runs', '4361761', true],
    ['false of one whose interface was deleted', '4361762', false],
    ['false of one whose interface is down, though another has 1 elsewhere in its row', '436176', false],
    ['false of one that is not listed', '61761', false],
    ['false of the heading', 'Inode', false],
    ['false of nothing', '', false],
  ] as const) {
    it(`is ${what}`, () => {
      assert.equal(isHooked(inode, table), expected);
    });
  }
});

describe('ownPacketSocket()', () => {
  it('finds none where this process has none', () => {
    assert.equal(ownPacketSocket(), null);
  });
});

describe('Hearing', () => {
  // Each second: packets that the kernel has counted, packets that were read, whether it goes on.
  for (const [title, seconds] of [
    [
      'goes on while nothing comes',
      [
        [0, 0, true],
        [0, 0, true],
        [0, 0, true],
      ],
    ],
    [
      'goes on while what comes is read',
      [
        [2, 2, true],
        [9, 9, true],
        [9, 9, true],
      ],
    ],
    [
      'goes on when a packet comes just before each look',
      [
        [1, 0, true],
        [2, 1, true],
        [3, 2, true],
      ],
    ],
    [
      'goes on when the kernel counted what the filter dropped since',
      [
        [5, 1, true],
        [6, 2, true],
        [7, 3, true],
      ],
    ],
    [
      'ends when a packet was not read for a second',
      [
        [1, 0, true],
        [1, 0, false],
      ],
    ],
    [
      'ends when ever more come and none is read',
      [
        [1, 0, true],
        [5, 0, false],
      ],
    ],
    [
      'ends when reading stops later',
      [
        [4, 4, true],
        [6, 4, true],
        [6, 4, false],
      ],
    ],
    [
      'goes on when the packet was read in the second after',
      [
        [1, 0, true],
        [1, 1, true],
        [1, 1, true],
      ],
    ],
    [
      'knows a count that has passed 2^32',
      [
        [-1, 0, true],
        [-1, 0, false],
      ],
    ],
  ] as const) {
    it(title, () => {
      const hearing = new Hearing(0);
      for (const [i, [received, read, expected]] of seconds.entries())
        assert.equal(hearing.goesOn(received, read), expected, `second ${i + 1}`);
    });
  }

  it('does not take for unread what the kernel counted before it began', () => {
    const hearing = new Hearing(7);
    for (let second = 0; second < 3; second += 1) assert.equal(hearing.goesOn(7, 0), true);
  });
});
