// What the commands say of themselves, as --help and as man pages: all of it is there, fits a terminal and is clean.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { EVERYWHERE, type Manual, type Option } from '../../cli/manual/manual.ts';
import { PORTKNOCK } from '../../cli/manual/portknock.ts';
import { PORTKNOCKD } from '../../cli/manual/portknockd.ts';
import { helpText, isVerbatim, plain, saysOf } from '../../cli/pages/help.ts';
import { manPage } from '../../cli/pages/man.ts';
import { prose, roff, verbatim } from '../../cli/pages/roff.ts';
import { manPages, releaseDate } from '../../cli/pages/write.ts';

const COMMANDS = PORTKNOCK.commands.flatMap(({ commands }): readonly Manual[] => commands);
const ALL: readonly Manual[] = [PORTKNOCK, ...COMMANDS, PORTKNOCKD];

/** A command with whatever could go wrong in a page. */
const ODD: Manual = {
  program: 'portknock odd',
  summary: "say 'what' a \\ is",
  usage: ['FILE.x [options]', '--long-option-name VALUE'],
  about: [
    '.dot first, \'quote\' first, a \\fBbackslash\\fR, a "string", `a ^ and ~`, - alone, and --option=x of portknock.',
    '  .br\n  \'in\n    \\e "quoted" `--flag`',
  ],
  operands: [{ name: 'FILE' }],
  options: {
    'long-option-name': { type: 'string', value: 'VALUE', says: 'a long one', usual: 'three words here' },
    x: { type: 'boolean', short: 'x', group: 'With FILE', says: "'.' what" },
    list: { type: 'string', value: 'N', default: '-1', says: '.5 at least' },
  },
  environment: { ODD_VALUE: '.the value' },
  exits: ['done', null, 'usage'],
};

describe('--help', () => {
  for (const manual of ALL) {
    const text = helpText(manual);
    it(`fits 80 columns, begins with usage lines and ends with exit codes: ${manual.program}`, () => {
      const lines = text.split('\n');
      assert.deepEqual(
        lines.filter((line) => line.length > 80 || line !== line.trimEnd()),
        [],
      );
      for (const [i] of manual.usage.entries()) {
        assert.match(
          lines[i] ?? '',
          new RegExp(`^${i === 0 ? 'usage:' : '      '} ${manual.program} \\S`, 'u'),
        );
      }
      assert.match(text, /\n\nExit: 0 [^;]+;(\s1 [^;]+;)?\s2 [^;]+\.\n$/u);
      assert.match(text, /^[\x20-\x7e\n]+$/u);
    });

    it(`says all that there is to say: ${manual.program}`, () => {
      const words = collapsed(text);
      for (const each of statementsOf(manual)) assert.ok(words.includes(collapsed(each)), each);
      for (const [name, { short }] of optionsOf(manual))
        assert.match(text, new RegExp(`^ +${short === undefined ? '' : `-${short}, `}--${name}( |$)`, 'mu'));
    });
  }

  it('has one column for what options do, and a line for a name that is too long for it', () => {
    const options = {
      short: { type: 'boolean', short: 's', says: 'word '.repeat(20).trim() },
      'a-very-long-name': { type: 'string', value: 'AND-VALUE', says: 'behind' },
    } as const satisfies Manual['options'];
    assert.deepEqual(
      helpText({ ...ODD, about: [], environment: {}, options })
        .split('\n')
        .slice(2),
      [
        '',
        '  -s, --short    word word word word word word word word word word word word',
        '                 word word word word word word word word',
        '      --a-very-long-name AND-VALUE',
        '                 behind',
        '  -h, --help     print this help',
        '  -V, --version  print the version',
        '',
        'Exit: 0 done; 2 usage.',
        '',
      ],
    );
  });

  it('tells defaults, and keeps what stands under a heading behind the rest', () => {
    assert.deepEqual(
      helpText({ ...ODD, about: [] })
        .split('\n')
        .slice(3, 13),
      [
        '      --long-option-name VALUE',
        '                 a long one (default: three words here)',
        '      --list N   .5 at least (default: -1)',
        '  -h, --help     print this help',
        '  -V, --version  print the version',
        '',
        'With FILE',
        "  -x, --x        '.' what",
        '',
        'Environment',
      ],
    );
  });
});

describe('the list of commands', () => {
  it('names each command that there is', async () => {
    const names = COMMANDS.map(({ program }) => `${program.slice('portknock '.length)}.ts`);
    assert.deepEqual(names.sort(), (await readdir('cli/commands')).sort());
    // And each is found by its name.
    const main = await readFile('cli/portknock.ts', 'utf8');
    for (const name of names) assert.ok(main.includes(`import('./commands/${name}')`), name);
  });
});

describe('the man pages', () => {
  const edition = { section: 1, date: '2026-01-31', version: '1.2.3-rc.4', see: ['portknockd(8)'] } as const;
  const odd = manPage({ ...PORTKNOCK, commands: [{ title: 'On \\ both', commands: [ODD] }] }, edition);

  for (const [name, page] of [
    ['portknock', () => manPages('.')],
    ['odd', async () => ({ odd })],
  ] as const) {
    it(`pass mandoc and groff without a warning, and fit 80 columns: ${name}`, async () => {
      for (const [file, text] of Object.entries(await page())) {
        assert.match(text, /^[\x20-\x7e\n]+$/u, file);
        assert.equal(output('mandoc', ['-T', 'lint', '-W', 'warning'], text), '', file);
        assert.deepEqual(
          rendered(text)
            .split('\n')
            .filter((line) => line.length > 80),
          [],
          file,
        );
      }
    });
  }

  it('say all that --help says', async () => {
    const pages = await manPages('.');
    for (const [file, manuals] of [
      ['portknock.1', [PORTKNOCK, ...COMMANDS]],
      ['portknockd.8', [PORTKNOCKD]],
    ] as const) {
      const text = rendered(pages[file] ?? '');
      const words = collapsed(text);
      for (const manual of manuals) {
        for (const each of statementsOf(manual)) assert.ok(words.includes(collapsed(each)), each);
        assert.ok(words.includes(manual.summary), manual.summary);
        for (const usage of manual.usage) assert.ok(words.includes(`${manual.program} ${usage}`), usage);
        for (const [option, { short }] of optionsOf(manual))
          assert.match(
            text,
            new RegExp(`^ +${short === undefined ? '' : `-${short}, `}--${option}( |$)`, 'mu'),
          );
      }
    }
  });

  it('show every character as it was written', () => {
    const words = collapsed(rendered(odd));
    for (const each of statementsOf(ODD)) assert.ok(words.includes(collapsed(each)), each);
  });

  const SETTINGS: readonly [text: string, roff: string][] = [
    ['use -p FILE or --wait', 'use \\fB\\-p\\fR \\fIFILE\\fR or \\fB\\-\\-wait\\fR'],
    ['FILE and FILE.pub, not PROFILE', '\\fIFILE\\fR and \\fIFILE\\fR.pub, not PROFILE'],
    [
      'portknock and portknockd, not portknockd.yaml',
      '\\fBportknock\\fR and \\fBportknockd\\fR, not portknockd.yaml',
    ],
    ['`ssh-keygen -p` sets HOME_DIR', '\\fBssh\\-keygen \\-p\\fR sets \\fBHOME_DIR\\fR'],
    ['a one-time knock, - alone', 'a one\\-time knock, \\- alone'],
    ['.x and a.b.', '\\&.x and a.b.'],
    ["'x'", '\\(aqx\\(aq'],
  ];
  for (const [text, expected] of SETTINGS) {
    it(`set: ${text}`, () => {
      assert.equal(prose(text, new Set(['FILE'])), expected);
    });
  }

  it('keep blocks of lines as they are', () => {
    assert.deepEqual(verbatim('  .a\n    -b'), ['.PP', '.RS 2', '.nf', '\\&.a', '  \\-b', '.fi', '.RE']);
    assert.equal(roff('\\'), '\\(rs');
  });

  it('bear the date of the release', async () => {
    const log = '## [Unreleased]\n\n## [1.2.0] - 2026-05-04\n\n## [1.1.0] - 2026-01-02\n';
    assert.deepEqual(
      ['1.2.0', '1.1.0', '1.0.0', '1.2'].map((version) => releaseDate(log, version)),
      ['2026-05-04', '2026-01-02', null, null],
    );
    const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
    for (const text of Object.values(await manPages('.')))
      assert.match(
        text,
        new RegExp(`^\\.TH [\\w.]+ [158] "\\d{4}-\\d\\d-\\d\\d" "portknock ${version}" `, 'mu'),
      );
  });
});

function optionsOf({ options }: Manual): readonly [string, Option][] {
  return Object.entries({ ...options, ...EVERYWHERE });
}

/** Everything in words, of which nothing may be lost. */
function statementsOf(manual: Manual): readonly string[] {
  const { about, options, notes = [], environment = {}, examples = [], exits, commands = [] } = manual;
  const below = commands.flatMap(({ title, commands: those }) => [
    title,
    ...those.map((each) => each.summary),
  ]);
  return [
    ...(commands.length === 0 ? [] : below),
    ...[...about, ...notes, ...examples].flatMap((text) =>
      isVerbatim(text) ? text.split('\n') : [plain(text)],
    ),
    ...Object.values<Option>(options).flatMap((option) => [plain(saysOf(option)), option.group ?? '']),
    ...Object.entries(environment).map(([name, says]) => `${name} ${says}`),
    ...exits.flatMap((says) => says ?? []),
  ];
}

function collapsed(text: string): string {
  return text.replaceAll(/\s+/gu, ' ').trim();
}

function rendered(page: string): string {
  return output('groff', ['-man', '-ww', '-Tascii', '-P-cbou', '-rLL=80n'], page);
}

/** What a program prints; anything that it complains of fails the test. */
function output(program: string, args: readonly string[], input: string): string {
  const { stdout, stderr, error } = spawnSync(program, args, { input, encoding: 'utf8' });
  assert.equal(error, undefined);
  assert.equal(stderr, '');
  return stdout;
}
