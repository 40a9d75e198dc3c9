// What `portknock completion` is given and says of itself.

import type { Manual } from './manual.ts';

export const COMPLETION = {
  program: 'portknock completion',
  summary: 'print what makes a shell complete these commands',
  usage: ['bash | zsh'],
  about: [
    'Prints a script for bash or zsh, after which the shell completes commands, options and their values, of portknock and of portknockd.',
  ],
  operands: [{ name: 'SHELL', completes: ['bash', 'zsh'] }],
  options: {},
  examples: [
    'For yourself, in ~/.bashrc, or in ~/.zshrc after compinit:',
    '  eval "$(portknock completion bash)"\n  eval "$(portknock completion zsh)"',
    'For everybody, as root:',
    '  cd /usr/share/bash-completion/completions\n  portknock completion bash >portknock && ln -s portknock portknockd\n  cd /usr/local/share/zsh/site-functions\n  portknock completion zsh >_portknock',
  ],
  exits: ['printed', null, 'usage'],
  see: ['bash(1)', 'zshcompsys(1)'],
} as const satisfies Manual;
