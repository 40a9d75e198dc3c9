// Completion in real shells: what is offered behind a command line.

import assert from 'node:assert/strict';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { PORTKNOCK } from '../../cli/manual/portknock.ts';
import { PORTKNOCKD } from '../../cli/manual/portknockd.ts';
import { EVERYWHERE, type Manual } from '../../cli/manual/manual.ts';
import { bashCompletion } from '../../cli/pages/bash.ts';
import { zshCompletion } from '../../cli/pages/zsh.ts';
import { Shell } from './shell.ts';
import { Place } from './support.ts';

const COMMANDS = PORTKNOCK.commands.flatMap(({ commands }): readonly Manual[] => commands);
const NAMES = COMMANDS.map(({ program }) => program.slice('portknock '.length));
const FILES = ['alice.knock', 'my file.knock', 'kept/', 'home/'];

// What is offered in the place of the last word, in any order; null: nothing, and the line stays as it is.
const ROWS: readonly [line: string, offered: readonly string[] | null][] = [
  ['portknock se', ['seal', 'send']],
  ['portknock send --w', ['--wait']],
  ['portknock send --id', ['--identity']],
  ['portknock send -p x ssh --js', ['--json']],
  ['portknock send -p al', ['alice.knock']],
  ['portknock send -p my', ['my\\ file.knock']],
  ['portknock send -p ', FILES.map(asTyped)],
  ['portknock send --profile=al', ['alice.knock']],
  ['portknock send -t ', null],
  ['portknock connect --source=198.51.100.1 -p x loca', ['localhost']],
  ['portknock seal --password-fd 3 al', ['alice.knock']],
  ['portknock explain --host 192.0.2.1 --host=192.0.2.2 --json al', ['alice.knock']],
  ['portknock init --dir ', ['kept', 'home']],
  ['portknock init -i l', ['lo']],
  ['portknock add-client alice --bind ', ['exact', 'observed', 'prefix']],
  ['portknock add-client --bind=p', ['prefix']],
  ['portknock add-client --digest=', ['md5', 'sha256']],
  ['portknock completion ', ['bash', 'zsh']],
  ['portknock completion -h', null],
  ['portknock knock ', null],
  ['portknockd --log ', ['json', 'text']],
  ['portknockd --log=j', ['json']],
  ['portknockd --knockd al', ['alice.knock']],
];

for (const [shellName, print] of [
  ['bash', bashCompletion],
  ['zsh', zshCompletion],
] as const) {
  describe(`completion in ${shellName}`, function () {
    this.timeout(60_000);
    let place: Place;
    let shell: Shell;
    let evaluated: string;
    const others: (Shell | Place)[] = [];

    before(async () => {
      place = await Place.make();
      for (const folder of ['home', 'kept']) await mkdir(place.path(folder));
      for (const file of ['alice.knock', 'my file.knock']) await writeFile(place.path(file), '');
      const [node, args] = place.command('portknock', ['completion', shellName]);
      const words = [node, ...args].map((word) => `'${word}'`);
      evaluated = `eval "$(${words.join(' ')})"`;
      shell = await Shell.start(shellName, place, { then: evaluated });
    });

    after(async () => {
      await shell.end();
      await place.remove();
      for (const each of others) await (each instanceof Shell ? each.end() : each.remove());
    });

    for (const [line, offered] of ROWS) {
      it(`offers ${offered === null ? 'nothing' : offered.join(' ')} for: ${line}`, async () => {
        const after = await shell.complete(line);
        assert.deepEqual(wordsOffered(line, after), [...(offered ?? [])].sort(), after);
      });
    }

    it('offers every command, and nothing else in its place', async () => {
      const words = wordsOffered('portknock ', await shell.complete('portknock '));
      assert.deepEqual(
        words.filter((word) => !word.startsWith('-')),
        [...NAMES].sort(),
      );
    });

    it('offers exactly the options that a command takes', async () => {
      for (const { program, options } of [...COMMANDS, PORTKNOCKD]) {
        const words = wordsOffered(`${program} -`, await shell.complete(`${program} -`));
        const taken = Object.keys({ ...options, ...EVERYWHERE }).map((name) => `--${name}`);
        assert.deepEqual(
          words.filter((word) => word.startsWith('--')),
          taken.sort(),
          program,
        );
      }
    });

    if (shellName === 'bash')
      it('runs nothing that an interface is called', async () => {
        const set = `ls() { printf '%s\\n' eth9 '$(touch\${IFS}ran)' 'a*'; }`;
        const fresh = await Shell.start(shellName, place, { first: set, then: evaluated });
        others.unshift(fresh);
        assert.equal((await fresh.complete('portknock init -i ')).trim(), 'portknock init -i eth9');
        await assert.rejects(stat(place.path('ran')));
      });

    it('is the same from a file in the usual place', async () => {
      const other = await Place.make();
      others.push(other);
      await mkdir(other.path('home'));
      await writeFile(other.path('_portknock'), print([PORTKNOCK, PORTKNOCKD]));
      const setUp = { bash: 'source ./_portknock', zsh: 'fpath=($PWD $fpath)' }[shellName];
      const fresh = await Shell.start(shellName, other, { first: setUp });
      others.unshift(fresh);
      assert.equal((await fresh.complete('portknock send --w')).trim(), 'portknock send --wait');
      assert.equal((await fresh.complete('portknockd --te')).trim(), 'portknockd --teardown');
    });
  });
}

function asTyped(file: string): string {
  return file.replaceAll(' ', '\\ ').replace(/\/$/u, '');
}

/** What stands where the last word was; an option's `=`, a folder's `/` and the repeated `--option=` left out. */
function wordsOffered(line: string, completed: string): readonly string[] {
  if (completed.trim() === line.trim()) return [];
  const kept = line.slice(0, Math.max(line.lastIndexOf(' '), line.lastIndexOf('=')) + 1);
  assert.ok(completed.startsWith(kept), completed);
  const option = /(--[a-z-]+=)$/u.exec(kept)?.[1] ?? '';
  const words = completed.slice(kept.length).split(/(?<!\\) +/u);
  return words
    .map((word) => (option !== '' && word.startsWith(option) ? word.slice(option.length) : word))
    .map((word) => word.replace(/[=/]$/u, ''))
    .filter((word) => word !== '' && !/^-.$/u.test(word))
    .sort();
}
