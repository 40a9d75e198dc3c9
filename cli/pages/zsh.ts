// Completion for zsh, by its own _arguments, which shows what each option does. Good both as a file in fpath, whose text
// is then the function's body, and for eval.

import { EVERYWHERE, type Completes, type Manual, type Operand, type Option } from '../manual/manual.ts';
import { plain, wordOf } from './help.ts';

/** The script for these programs. */
export function zshCompletion(programs: readonly Manual[]): string {
  const names = programs.map(({ program }) => program).join(' ');
  return `#compdef ${names}
# Completion of ${names.replaceAll(' ', ' and ')} for zsh, printed by: portknock completion zsh

_portknock() {
  local curcontext=$curcontext state line
  local -A opt_args
  local -a commands

  case $service in
${programs.flatMap(programCase).join('\n')}
  esac
}

if [[ $funcstack[1] == _portknock ]]; then
  _portknock "$@"
else
  compdef _portknock ${names}
fi
`;
}

function programCase(manual: Manual): readonly string[] {
  const { program, commands } = manual;
  if (commands === undefined) return [`    ${program})`, ...argumentsCall(manual, '      '), '      ;;'];
  const all = commands.flatMap(({ commands: those }) => those);
  return [
    `    ${program})`,
    '      commands=(',
    ...all.map((each) => `        ${quoted(`${wordOf(each)}:${plain(each.summary)}`)}`),
    '      )',
    `      _arguments -C -s -S ${BACKSLASH}`,
    ...Object.entries<Option>(EVERYWHERE).map((option) => `        ${optionSpec(option)} ${BACKSLASH}`),
    `        '1:command:->command' '*::argument:->argument' && return`,
    '      if [[ $state == command ]]; then',
    '        _describe -t commands command commands',
    '        return',
    '      fi',
    '      case $words[1] in',
    ...all.flatMap((each) => [
      `        ${wordOf(each)})`,
      ...argumentsCall(each, '          '),
      '          ;;',
    ]),
    '      esac',
    '      ;;',
  ];
}

const BACKSLASH = '\\';

function argumentsCall({ options, operands }: Manual, indent: string): readonly string[] {
  const specs = [
    ...Object.entries<Option>({ ...options, ...EVERYWHERE }).map(optionSpec),
    ...operands.map(operandSpec),
  ];
  return [
    `${indent}_arguments -s -S ${BACKSLASH}`,
    ...specs.map((spec, i) => `${indent}  ${spec}${i === specs.length - 1 ? '' : ` ${BACKSLASH}`}`),
  ];
}

// Both spellings of an option, each of which rules the other out unless it may be given again.
function optionSpec([name, option]: readonly [string, Option]): string {
  const { short } = option;
  const isValued = option.type === 'string';
  const spelled = [
    ...(short === undefined ? [] : [`-${short}${isValued ? '+' : ''}`]),
    `--${name}${isValued ? '=' : ''}`,
  ];
  const says = `[${brief(option.says).replaceAll(/[[\]\\]/gu, (each) => `\\${each}`)}]`;
  const value = isValued ? `:${option.value}:${action(option.completes)}` : '';
  const others = Object.hasOwn(EVERYWHERE, name) ? '- *' : short === undefined ? '' : `-${short} --${name}`;
  const excludes = isValued && option.multiple === true ? '*' : others === '' ? '' : `(${others})`;
  const [only = '', more] = spelled;
  if (more === undefined) return quoted(`${excludes}${only}${says}${value}`);
  return `${quoted(excludes)}{${spelled.join(',')}}${quoted(`${says}${value}`)}`;
}

// What _arguments shows by itself for a word that nothing completes keeps options from being completed in its place.
function operandSpec({ name, optional, completes }: Operand, i: number): string {
  return quoted(
    `${i + 1}:${optional === true ? ':' : ''}${name}:${completes === undefined ? ` _message ${name}` : action(completes)}`,
  );
}

function action(completes: Completes | undefined): string {
  switch (completes) {
    case undefined:
      return ' ';
    case 'file':
      return '_files';
    case 'directory':
      return '_files -/';
    case 'host':
      return '_hosts';
    case 'user':
      return '_users';
    case 'interface':
      return '_net_interfaces';
    default:
      return `(${completes.join(' ')})`;
  }
}

/** What an option does, without the conditions and the exceptions: a list of them has a line for each. */
function brief(says: string): string {
  return plain(says.split(/[;:.] | \(/u)[0] ?? says);
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
