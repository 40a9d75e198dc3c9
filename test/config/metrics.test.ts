// The key `metrics`: what each way to write it means, and the line for each mistake.

import assert from 'node:assert/strict';
import { parsed, problems, VALID } from './support.ts';

describe('the metrics of a configuration', () => {
  it('are nowhere unless said, and else on loopback or a unix socket', async () => {
    const tcp = (host: string, port: number) => ({ kind: 'tcp', host, port });
    const table: readonly [yaml: string, means: unknown][] = [
      ['', null],
      ['metrics: { listen: 127.0.0.1:9469 }', tcp('127.0.0.1', 9469)],
      ['metrics: { listen: 127.1.2.3:1, allow_remote: false }', tcp('127.1.2.3', 1)],
      ['metrics: { listen: "[::1]:65535" }', tcp('::1', 65_535)],
      [
        'metrics: { listen: unix:/run/portknock/metrics.sock }',
        { kind: 'unix', path: '/run/portknock/metrics.sock' },
      ],
      ['metrics: { listen: 192.0.2.1:9469, allow_remote: true }', tcp('192.0.2.1', 9469)],
      ['metrics: { listen: "[2001:db8:0::1]:9469", allow_remote: true }', tcp('2001:db8::1', 9469)],
    ];
    for (const [yaml, means] of table)
      assert.deepEqual((await parsed(`${VALID}${yaml}\n`)).metrics, means, yaml);
  });

  const LISTEN = 'metrics: listen must be an address with a port, or unix: and an absolute path';
  const WRITE = '(write 127.0.0.1:9469, "[::1]:9469" or unix:/run/portknock/metrics.sock)';
  const remote = (host: string): string =>
    `metrics: listen ${host} is not a loopback address: everybody there would see that a gateway runs here (write 127.0.0.1:9469, or add allow_remote: true)`;
  const mistakes: readonly [value: string, column: number, message: string][] = [
    ['9469', 10, 'metrics must be a map (write metrics: { listen: 127.0.0.1:9469 })'],
    ['{}', 1, 'metrics: listen is missing (add it)'],
    ['{ listen: 9469 }', 20, `${LISTEN}, not 9469 ${WRITE}`],
    ['{ listen: localhost:9469 }', 20, `${LISTEN}, not "localhost:9469" ${WRITE}`],
    ['{ listen: 127.0.0.1:0 }', 20, `${LISTEN}, not "127.0.0.1:0" ${WRITE}`],
    ['{ listen: 127.0.0.1:65536 }', 20, `${LISTEN}, not "127.0.0.1:65536" ${WRITE}`],
    ['{ listen: "::1:9469" }', 20, `${LISTEN}, not "::1:9469" ${WRITE}`],
    ['{ listen: "[127.0.0.1]:9469" }', 20, `${LISTEN}, not "[127.0.0.1]:9469" ${WRITE}`],
    ['{ listen: unix:metrics.sock }', 20, `${LISTEN}, not "unix:metrics.sock" ${WRITE}`],
    ['{ listen: "unix:/a\\nb" }', 20, `${LISTEN}, not "unix:/a\\\\nb" ${WRITE}`],
    ['{ listen: 0.0.0.0:9469 }', 20, remote('0.0.0.0')],
    ['{ listen: "[::]:9469" }', 20, remote('::')],
    ['{ listen: 192.0.2.1:9469 }', 20, remote('192.0.2.1')],
    [
      '{ listen: 127.0.0.1:1, allow_remote: maybe }',
      47,
      'metrics: allow_remote must be true or false, not "maybe" (write one of them)',
    ],
    [
      '{ listen: 127.0.0.1:1, port: 2 }',
      33,
      'metrics: key is not known: port (known here: listen, allow_remote)',
    ],
  ];
  for (const [value, column, message] of mistakes) {
    it(`are refused by place and reason: ${value}`, async () => {
      const line = VALID.split('\n').length;
      assert.deepEqual(await problems(`${VALID}metrics: ${value}\n`), [`${line}:${column}: ${message}`]);
    });
  }

  it('are refused on a socket whose name would be cut off', async () => {
    const path = (length: number): string => `metrics: { listen: "unix:/${'x'.repeat(length - 1)}" }\n`;
    assert.equal((await problems(`${VALID}${path(107)}`)).length, 0);
    assert.equal((await problems(`${VALID}${path(108)}`)).length, 1);
  });
});
