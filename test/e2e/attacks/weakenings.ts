// Builds that are weakened on purpose: for each attack that real knockd withstands, or that it cannot be shown on, what has
// to be taken out of ours so that the attack's tests go red. What does it: weakened.ts. The page of it all: docs/attacks.md.

/** A text that stands once in a file, and what stands there instead. */
export interface Edit {
  readonly file: string;
  readonly find: string;
  readonly put: string;
}

export interface Weakening {
  /** Of the attack. */
  readonly number: number;
  /** What the build lacks. */
  readonly lacks: string;
  readonly edits: readonly Edit[];
  /** The file of tests, and what the titles of those that must go red begin with. */
  readonly tests: string;
  readonly red: string;
}

const IPTABLES = 'lib/firewall/iptables-service.ts';
const NFTABLES = 'lib/firewall/nftables-service.ts';
const SETS = 'lib/firewall/nftables-rules.ts';
const CONNECTIONS = '14-connections.test.ts';
const FORGED = '14. forged segments after a knock';
const SECOND = '15. a second connection through one opening';
const EDGES = '20. knocks at the edges of time';
const COMMAND = '22. a command for each opening';

export const WEAKENINGS: readonly Weakening[] = [
  {
    ...{
      number: 5,
      lacks: 'the comparison of tags',
      tests: '05-guesses.test.ts',
      red: '5. guessed tags open nothing',
    },
    edits: [{ file: 'lib/crypto/mac.ts', find: ' && timingSafeEqual(one, other);', put: ';' }],
  },
  {
    ...{
      number: 14,
      lacks: 'iptables: the wait for the handshake',
      tests: CONNECTIONS,
      red: `${FORGED} do not use the opening up: a SYN`,
    },
    edits: [
      {
        file: IPTABLES,
        find: '.map((gate) => held(service, gate))',
        put: '.map((gate) => spent(service, gate))',
      },
      { file: IPTABLES, find: '    ...fresh(PENDING),', put: '    ...fresh(OPEN),' },
    ],
  },
  {
    ...{
      number: 14,
      lacks: 'nftables: the wait for the handshake',
      tests: CONNECTIONS,
      red: `${FORGED} do not use the opening up: a SYN`,
    },
    edits: [
      {
        ...{
          file: NFTABLES,
          find: "${SYN} ct state new ${mayBegin(group)} goto now-pending`),\n      'goto shut-tcp',",
        },
        put: "${SYN} ct state new ${spends(group)[0] ?? ''} goto now-open`),\n      'goto shut-tcp',",
      },
    ],
  },
  {
    ...{
      number: 14,
      lacks: 'iptables: ASSURED, and forgetting what was reset',
      tests: CONNECTIONS,
      red: `${FORGED} do not use the opening up: a blind handshake`,
    },
    edits: [
      { file: IPTABLES, find: '--ctstatus ASSURED ', put: '' },
      { file: IPTABLES, find: '--tcp-flags RST RST -j ${reset}', put: '--tcp-flags RST RST -j ACCEPT' },
    ],
  },
  {
    ...{
      number: 14,
      lacks: 'nftables: assured, and forgetting what was reset',
      tests: CONNECTIONS,
      red: `${FORGED} do not use the opening up: a blind handshake`,
    },
    edits: [
      { file: NFTABLES, find: 'ct status assured ', put: '' },
      {
        file: NFTABLES,
        find: '`tcp flags & rst == rst goto ${reset}`',
        put: "'tcp flags & rst == rst accept'",
      },
    ],
  },
  {
    ...{
      number: 15,
      lacks: 'iptables: taking the source off the list',
      tests: CONNECTIONS,
      red: `${SECOND} does not come about when eight race`,
    },
    edits: [{ file: IPTABLES, find: ' -m recent ${nameOf(list)} --remove', put: '' }],
  },
  {
    ...{
      number: 15,
      lacks: 'nftables: the limit of what is left',
      tests: CONNECTIONS,
      red: `${SECOND} does not come about when eight race`,
    },
    edits: [
      {
        file: SETS,
        find: 'counts(kind) ? `${type} ${limitOf(1)};` : type',
        put: 'counts(kind) ? type : type',
      },
    ],
  },
  {
    ...{
      number: 15,
      lacks: 'iptables: no SYN to an open connection',
      tests: CONNECTIONS,
      red: `${SECOND} does not come about on the ports`,
    },
    edits: [
      { file: IPTABLES, find: '${OPEN_MARK} -p tcp ! --syn -j ACCEPT', put: '${OPEN_MARK} -p tcp -j ACCEPT' },
    ],
  },
  {
    ...{
      number: 15,
      lacks: 'nftables: no SYN to an open connection',
      tests: CONNECTIONS,
      red: `${SECOND} does not come about on the ports`,
    },
    edits: [
      {
        file: NFTABLES,
        find: '`${NO_SYN} ${MARK_BITS} == ${OPEN} accept`',
        put: '`${MARK_BITS} == ${OPEN} accept`',
      },
    ],
  },
  {
    ...{
      number: 16,
      lacks: 'iptables: the repeated SYN',
      tests: CONNECTIONS,
      red: '16. the one connection comes about',
    },
    edits: [{ file: IPTABLES, find: '    `${repeatedSyn(PENDING_MARK)} -j ACCEPT`,\n', put: '' }],
  },
  {
    ...{
      number: 16,
      lacks: 'nftables: the repeated SYN',
      tests: CONNECTIONS,
      red: '16. the one connection comes about',
    },
    edits: [{ file: NFTABLES, find: '    ...repeatedSyns(service, groups),\n', put: '' }],
  },
  {
    ...{
      number: 18,
      lacks: 'the look at the source',
      tests: '18-sources.test.ts',
      red: '18. valid knocks from sources that cannot be open nothing',
    },
    edits: [
      { file: 'lib/policy/access.ts', find: '!this.#canHoldGrant(source)', put: 'this.#isOwn === undefined' },
    ],
  },
  {
    ...{
      number: 18,
      lacks: 'the comparison of claim and source',
      tests: '18-sources.test.ts',
      red: '18. valid knocks from sources that cannot be open nothing: a claim',
    },
    edits: [
      {
        file: 'lib/policy/access.ts',
        find: 'return prefixContains(claim, source) ? null',
        put: 'return claim !== null ? null',
      },
    ],
  },
  {
    ...{
      number: 20,
      lacks: 'ten seconds of the window',
      tests: '20-clocks.test.ts',
      red: `${EDGES} open up to 120 s late`,
    },
    edits: [
      { file: 'lib/scheme/spa-gate.ts', find: 'PAST_MS = 120_000', put: 'PAST_MS = 130_000' },
      { file: 'lib/scheme/spa-gate.ts', find: 'FUTURE_MS = 30_000', put: 'FUTURE_MS = 40_000' },
    ],
  },
  {
    ...{
      number: 20,
      lacks: 'the memory of counters',
      tests: '20-clocks.test.ts',
      red: `${EDGES} are refused when the counter went back`,
    },
    edits: [
      {
        file: 'lib/scheme/spa-gate.ts',
        find: 'floor !== null && head.counter <= floor',
        put: 'floor === -1n',
      },
      { file: 'lib/replay/file.ts', find: 'floor !== undefined && counter <= floor', put: 'floor === -1n' },
      {
        file: 'lib/listener/pipeline.ts',
        find: 'floor !== null && counter !== null && counter <= floor',
        put: 'floor === -1n',
      },
    ],
  },
  {
    ...{
      number: 20,
      lacks: 'the bound of steps',
      tests: '20-clocks.test.ts',
      red: `${EDGES} open in a step of`,
    },
    edits: [{ file: 'lib/scheme/one-time-key.ts', find: 'STEPS_AROUND = 3', put: 'STEPS_AROUND = 6' }],
  },
  {
    ...{
      number: 22,
      lacks: 'argv without a shell',
      tests: '22-commands.test.ts',
      red: `${COMMAND} gets its arguments as they stand`,
    },
    edits: [
      {
        ...{
          file: 'lib/firewall/run.ts',
          find: 'const child = spawn(program, args, {\n      env: environment(),',
        },
        put: "const child = spawn('sh', ['-c', [program, ...args].join(' ')], {\n      env: environment(),",
      },
    ],
  },
  {
    ...{
      number: 22,
      lacks: 'the end of what a command started',
      tests: '22-commands.test.ts',
      red: `${COMMAND} is killed when it hangs`,
    },
    edits: [
      {
        file: 'lib/firewall/run.ts',
        find: 'late = true;\n      killGroup(child);',
        put: "late = true;\n      child.kill('SIGKILL');",
      },
    ],
  },
  {
    ...{
      number: 23,
      lacks: 'closing what had worked',
      tests: '23-failures.test.ts',
      red: '23. a firewall that fails',
    },
    edits: [{ file: 'lib/grant/openings.ts', find: '          await this.close(grant);\n', put: '' }],
  },
  {
    ...{
      number: 23,
      lacks: 'the end of an nft that hangs',
      tests: '23-failures.test.ts',
      red: '23. a firewall that fails',
    },
    edits: [
      {
        file: 'lib/firewall/nftables-dialogue.ts',
        find: 'this.#dialogue.kill();',
        put: '',
      },
    ],
  },
  {
    ...{
      number: 24,
      lacks: 'UDP knocks',
      tests: '24-interop.test.ts',
      red: '24. interoperation with knockd opens for the real knock client',
    },
    edits: [{ file: 'lib/scheme/sequence.ts', find: "parts[2] === 'udp' ? 'udp' : 'tcp'", put: "'tcp'" }],
  },
  {
    ...{
      number: 24,
      lacks: 'the order of knocks',
      tests: '24-interop.test.ts',
      red: '24. interoperation with knockd opens real knockd',
    },
    edits: [
      {
        file: 'lib/knocker/send.ts',
        find: 'of knocks.entries()) {\n    const delay',
        put: 'of knocks.toReversed().entries()) {\n    const delay',
      },
    ],
  },
];
