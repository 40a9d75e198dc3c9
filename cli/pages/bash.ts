// Completion for bash, from 3.2 (of macOS) on and without the package bash-completion: a function that knows what stands
// where on a command line, and for each command its options, which of them take a value, and what completes that.

import { EVERYWHERE, type Completes, type Manual, type Option } from '../manual/manual.ts';
import { wordOf } from './help.ts';

/** The script for these programs. */
export function bashCompletion(programs: readonly Manual[]): string {
  const names = programs.map(({ program }) => program);
  return `# Completion of ${names.join(' and ')} for bash, printed by: portknock completion bash

_portknock_offer() {
  local word
  while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen "$@" -- "$cur")
}

# compgen expands the words that it is given: of names from outside only plain ones.
_portknock_value() {
  case $1 in
    file) compopt -o default 2>/dev/null || _portknock_offer -f ;;
    directory) compopt -o dirnames 2>/dev/null || _portknock_offer -d ;;
    host) _portknock_offer -A hostname ;;
    user) _portknock_offer -A user ;;
    interface) _portknock_offer -W "$(ls /sys/class/net 2>/dev/null | LC_ALL=C grep -x '[A-Za-z0-9@._-]*')" ;;
    *) _portknock_offer -W "$1" ;;
  esac
}

_portknock() {
  local command=\${COMP_WORDS[0]##*/} cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]}
  local commands='' options='' takes='' value='' operands=() first=1 i n=0
  COMPREPLY=()

  # --option=value is three words to bash.
  if [[ $cur == '=' ]]; then
    cur=''
  elif [[ $prev == '=' ]]; then
    prev=\${COMP_WORDS[COMP_CWORD - 2]}
  fi

  case $command in
${programs.flatMap(firstWords).join('\n')}
  esac
  if [[ -n $commands ]]; then
    if ((COMP_CWORD == 1)); then
      _portknock_offer -W "$commands"
      return
    fi
    command+=" \${COMP_WORDS[1]}"
    first=2
  fi

  case $command in
${programs.flatMap(lastOf).flatMap(commandCase).join('\n')}
    *) return ;;
  esac

  if [[ $takes == *" $prev "* ]]; then
    if [[ -n $value ]]; then _portknock_value "$value"; fi
    return
  fi
  if [[ $cur != -* ]]; then
    for ((i = first; i < COMP_CWORD; i++)); do
      case \${COMP_WORDS[i]} in
        -?*)
          if [[ $takes == *" \${COMP_WORDS[i]} "* ]]; then
            if [[ \${COMP_WORDS[i + 1]} == '=' ]]; then ((i++)); fi
            ((i++))
          fi
          ;;
        *) ((n++)) ;;
      esac
    done
    value=\${operands[n]-}
    if [[ -n $value ]]; then
      _portknock_value "$value"
      return
    fi
  fi
  _portknock_offer -W "$options"
}

complete -F _portknock ${names.join(' ')}
`;
}

/** What may stand first behind a program that has commands. */
function firstWords({ program, commands = [], options }: Manual): readonly string[] {
  if (commands.length === 0) return [];
  const words = commands.flatMap(({ commands: those }) => those.map(wordOf));
  return [`    ${program}) commands=${quoted([...words, ...longNames(options)].join(' '))} ;;`];
}

/** What is to be completed on from a first word: the commands of a program, or the program. */
function lastOf(manual: Manual): readonly Manual[] {
  return manual.commands === undefined ? [manual] : manual.commands.flatMap(({ commands: those }) => those);
}

function commandCase({ program, options, operands }: Manual): readonly string[] {
  const valued = Object.entries<Option>(options).flatMap(([name, option]) =>
    option.type === 'string' ? [{ names: namesOf(name, option), completes: option.completes }] : [],
  );
  const takes = valued.flatMap(({ names }) => names);
  const offered = valued.flatMap(({ names, completes }) =>
    completes === undefined ? [] : [`        ${names.join(' | ')}) value=${quoted(kind(completes))} ;;`],
  );
  return [
    `    ${quoted(program)})`,
    `      options=${quoted(longNames(options).join(' '))}`,
    ...(takes.length === 0 ? [] : [`      takes=${quoted(` ${takes.join(' ')} `)}`]),
    ...(operands.length === 0
      ? []
      : [`      operands=(${operands.map(({ completes }) => quoted(kind(completes))).join(' ')})`]),
    ...(offered.length === 0 ? [] : ['      case $prev in', ...offered, '      esac']),
    '      ;;',
  ];
}

function longNames(options: Manual['options']): readonly string[] {
  return Object.keys({ ...options, ...EVERYWHERE }).map((name) => `--${name}`);
}

function namesOf(name: string, { short }: Option): readonly string[] {
  return [...(short === undefined ? [] : [`-${short}`]), `--${name}`];
}

function kind(completes: Completes | undefined): string {
  return typeof completes === 'object' ? completes.join(' ') : (completes ?? '');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
