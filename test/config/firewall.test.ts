// The key `firewall`: what each way to write it means, what it is put together as, and the line for each mistake.

import assert from 'node:assert/strict';
import { assemble } from '../../lib/config/assemble.ts';
import { parsed, problems, VALID } from './support.ts';

const COMMANDS = '{ driver: command, open: [fw, add, "{ip}"], close: [fw, del, "{ip}"] }';

describe('the firewall of a configuration', () => {
  it('is a name, or a map with what its driver needs', async () => {
    const table: readonly [yaml: string, means: unknown][] = [
      ['iptables', { driver: 'iptables' }],
      ['mock', { driver: 'mock' }],
      ['nftables', { driver: 'nftables', chain: null, forwardChain: null }],
      ['{ driver: iptables }', { driver: 'iptables' }],
      ['{ driver: nftables }', { driver: 'nftables', chain: null, forwardChain: null }],
      [
        "{ driver: nftables, chain: 'inet filter input' }",
        { driver: 'nftables', chain: 'inet filter input', forwardChain: null },
      ],
      [
        COMMANDS,
        {
          driver: 'command',
          open: ['fw', 'add', '{ip}'],
          close: ['fw', 'del', '{ip}'],
          setup: null,
          teardown: null,
          timeoutMs: 5000,
        },
      ],
      [
        '{ driver: command, open: [a], close: [b], setup: [c, ""], teardown: [d], timeout: 1m }',
        {
          driver: 'command',
          open: ['a'],
          close: ['b'],
          setup: ['c', ''],
          teardown: ['d'],
          timeoutMs: 60_000,
        },
      ],
    ];
    for (const [yaml, means] of table) {
      assert.deepEqual((await parsed(`${VALID}firewall: ${yaml}\n`)).firewall, means, yaml);
    }
  });

  it('is put together as the driver of that name', async () => {
    const all = ['nftables', "{ driver: nftables, chain: 'ip filter input' }", COMMANDS];
    const names = ['nftables', 'nftables', 'command'];
    for (const [i, yaml] of all.entries()) {
      const { driver } = assemble(await parsed(`${VALID}firewall: ${yaml}\n`));
      assert.deepEqual([driver.name, driver.real], [names[i], true]);
    }
  });

  it('runs its commands with what the configuration says', async () => {
    const setup = "[sh, -c, 'exit 3']";
    const yaml = `{ driver: command, open: [a], close: [b], setup: ${setup}, timeout: 1m }`;
    const { driver } = assemble(await parsed(`${VALID}firewall: ${yaml}\n`));
    await assert.rejects(
      driver.setup([], { warning: () => undefined }),
      /sh .*exit status 3|sh failed|status 3/u,
    );
  });

  const table: readonly [mistake: string, yaml: string, ...lines: string[]][] = [
    [
      'a name that is none',
      'pf',
      '7:11: firewall must be iptables, nftables or mock, not "pf" (or { driver: command, open: [...], close: [...] })',
    ],
    [
      'commands without commands',
      'command',
      '7:11: firewall must be iptables, nftables or mock, not "command" (or { driver: command, open: [...], close: [...] })',
    ],
    [
      'a list',
      '[iptables]',
      '7:11: firewall must be iptables, nftables or mock, not ["iptables"] (or { driver: command, open: [...], close: [...] })',
    ],
    ['a map without a driver', '{ chain: x }', '7:1: firewall: driver is missing (add it)'],
    [
      'a driver that is none',
      '{ driver: pf }',
      '7:21: firewall: driver must be iptables, nftables, command or mock, not "pf" (write one of them)',
    ],
    [
      'a setting of another driver',
      "{ driver: iptables, chain: 'inet filter input' }",
      '7:31: firewall: key is not known: chain (known here: driver)',
    ],
    [
      'a mistyped setting',
      "{ driver: nftables, chains: 'inet filter input' }",
      '7:31: firewall: key is not known: chains (did you mean chain?)',
    ],
    [
      'a chain without its table',
      '{ driver: nftables, chain: input }',
      '7:38: firewall: chain must be family, table and chain, not "input" (as in inet filter input)',
    ],
    [
      'a chain that would be more than one word of nft',
      "{ driver: nftables, chain: 'inet filter input; flush ruleset' }",
      '7:38: firewall: chain must be family, table and chain, not "inet filter input; flush ruleset" (as in inet filter input)',
    ],
    [
      'a command without its undoing',
      '{ driver: command, open: [a] }',
      '7:1: firewall: close is missing (add it)',
    ],
    [
      'a command that is a line for a shell',
      '{ driver: command, open: "fw add {ip}", close: [fw] }',
      '7:36: firewall: open must be a list with at least one entry (a program, then its arguments: no shell reads them)',
    ],
    [
      'an argument that is a number',
      '{ driver: command, open: [fw, 22], close: [fw] }',
      '7:41: firewall: open entry must be text, not 22 (quote it)',
    ],
    [
      'a place that there is not',
      '{ driver: command, open: [fw, "{host}"], close: [fw] }',
      "7:36: firewall: open has an unknown placeholder, got '{host}' ({ip} {port} {protocol} {seconds} {client})",
    ],
    [
      'a place where there is no grant',
      '{ driver: command, open: [fw], close: [fw], setup: [fw, "{ip}"] }',
      "7:62: firewall: setup is about no grant, got '{ip}' (take it out)",
    ],
    [
      'a time limit that is none',
      '{ driver: command, open: [fw], close: [fw], timeout: 2h }',
      '7:64: firewall: timeout must be a length of time, 0.1 s or more and at most 60 s, not "2h" (write it as 30s, 2m or 1h)',
    ],
    [
      "nftables with iptables' back-end",
      'nftables\nfirewall_backend: nft',
      '8:19: firewall_backend is of the iptables driver, not of nftables (take it out)',
    ],
    [
      'commands with a protection that nobody gives',
      `${COMMANDS}\nprotect: drop`,
      '8:10: protect is not of the command driver: its setup closes the ports (take it out)',
    ],
  ];
  for (const [mistake, yaml, ...lines] of table) {
    it(`is refused for ${mistake}`, async () => {
      assert.deepEqual(await problems(`${VALID}firewall: ${yaml}\n`), lines);
    });
  }
});
