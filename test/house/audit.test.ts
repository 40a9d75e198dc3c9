// .ci/audit.mjs tells a finding, a clean answer and no answer apart; a registry of our own answers.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

const ADVISORY = {
  id: 1,
  url: 'https://advisories.example/1',
  title: 'a made-up hole',
  severity: 'low',
  vulnerable_versions: '<99',
  cwe: [],
  cvss: { score: 0, vectorString: null },
};

describe('the audit of the dependencies', function () {
  this.timeout(120_000);
  let server: Server;
  let answer: { readonly status: number; readonly body: unknown };
  let asked = 0;

  before(async () => {
    server = createServer((request, response) => {
      request.resume();
      const isQuestion = request.url?.endsWith('/security/advisories/bulk') === true;
      if (isQuestion) asked += 1;
      const { status, body } = isQuestion ? answer : { status: 404, body: {} };
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });

  after(() => {
    server.close();
  });

  for (const [what, given, args, code, said] of [
    ['is green when nothing is known', { status: 200, body: {} }, [], 0, /no known vulnerability/u],
    [
      'is red for the least known vulnerability, and names it',
      { status: 200, body: { 'node-forge': [ADVISORY] } },
      [],
      1,
      /1 vulnerable:\n {2}node-forge .*\(low\): a made-up hole/u,
    ],
    [
      'says so when the registry does not answer',
      { status: 405, body: {} },
      [],
      0,
      /405.*\naudit: NOT CHECKED/u,
    ],
    [
      'is red without an answer when it must have one',
      { status: 405, body: {} },
      ['--strict'],
      1,
      /NOT CHECKED/u,
    ],
  ] as const) {
    it(what, async () => {
      answer = given;
      asked = 0;
      const { port } = server.address() as AddressInfo;
      const ran = await audit([...args, '--registry', `http://127.0.0.1:${port}`]);
      assert.match(ran.said, said);
      assert.equal(ran.code, code);
      assert.ok(asked > 0);
    });
  }
});

function audit(args: readonly string[]): Promise<{ code: number; said: string }> {
  return new Promise((done) => {
    const env = { ...process.env, NODE_OPTIONS: '', NODE_V8_COVERAGE: '' };
    execFile(process.execPath, ['.ci/audit.mjs', ...args], { env }, (error, stdout, stderr) =>
      done({ code: typeof error?.code === 'number' ? error.code : 0, said: stdout + stderr }),
    );
  });
}
