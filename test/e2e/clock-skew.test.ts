// Wrong clocks with everything real: portknockd's events and what `portknock send` tells its user (docs/clock.md). Every
// case is in test/listener/clock-skew.test.ts; here are those that a user meets.

import assert from 'node:assert/strict';
import { formatProfile } from '../../lib/knocker/profile.ts';
import { Gateway, Site } from '../support/gateway.ts';
import { createWorld, type Finished, type World } from '../support/netns.ts';
import { programArgs } from '../support/programs.ts';
import { describeInNamespaces } from './support.ts';

const HOUR = 3600;
const ACCESS_KEY = Buffer.alloc(32, 3);
const SECRET = Buffer.alloc(32, 9);
const PORT = 2222;
/** A process whose clock is wrong, as far as it can see. */
const SHIFT = 'const%20now=Date.now;Date.now=()=>now()+1000*Number(process.env.CLOCK_OFFSET)';

describeInNamespaces('a wrong clock', function () {
  this.timeout(30_000);
  let world: World;
  let site: Site;
  let gateway: Gateway;

  before(async () => {
    world = await createWorld();
    const key = (bytes: Buffer): string => JSON.stringify(bytes.toString('base64'));
    site = await Site.create(
      world,
      [
        'firewall: iptables',
        `access_key: ${key(ACCESS_KEY)}`,
        `services: { ssh: { port: ${PORT} } }`,
        `clients: { alice: { scheme: spa, secret: ${key(SECRET)}, services: [ssh] } }`,
        '',
      ].join('\n'),
    );
    gateway = await Gateway.start(world, site);
  });

  after(async () => {
    await gateway.end();
    await world.destroy();
    await site.remove();
  });

  /** `portknock send` on a computer with its own state, whose clock is off by `seconds`. */
  const send = (seconds: number, state: string, ...args: readonly string[]): Promise<Finished> => {
    const profile = formatProfile({
      ...{ scheme: 'spa', gateway: 'gw.example', client: 'alice', port: 62_201, bind: 'observed' },
      ...{ host: world.address[4], services: { ssh: PORT }, accessKey: ACCESS_KEY, key: SECRET },
    });
    return world.outside.run('env', [
      `PORTKNOCK_PROFILE=${profile}`,
      `XDG_STATE_HOME=${site.folder}/${state}`,
      `CLOCK_OFFSET=${seconds}`,
      ...[process.execPath, '--import', `data:text/javascript,${SHIFT}`],
      ...[...programArgs('portknock'), 'send', ...args],
    ]);
  };
  /** By how many seconds the gateway says that the clock is off: in the first reject for this reason. */
  const offsetOf = async (reason: string): Promise<number> => {
    for (let count = 1; ; count += 1) {
      const reject = await gateway.wait('reject', { count });
      if (reject.reason === reason) return Number(reject.clock_offset_seconds);
    }
  };
  const granted = (count: number): Promise<unknown> => gateway.wait('grant', { count });

  it('of two seconds either way is no matter', async () => {
    for (const [index, seconds] of [-2, 2].entries()) {
      const { status, stderr } = await send(seconds, `two-${index}`);
      assert.equal(status, 0, stderr);
      await granted(index + 1);
    }
    assert.deepEqual(gateway.of('reject'), []);
  });

  for (const [what, seconds, reason] of [
    ['three minutes behind', -180, 'stale'],
    ['three minutes ahead', 180, 'future'],
  ] as const) {
    it(`${what} is refused; the gateway says by how much, the client to check it`, async () => {
      const began = performance.now();
      const { status, stderr } = await send(seconds, what, '--wait', '--timeout', '1s');
      assert.equal(status, 1);
      assert.match(stderr, /check this computer's clock/u);
      const offset = await offsetOf(reason);
      // The sooner it comes, the more exact; on a machine that stands still it comes late.
      const ran = (performance.now() - began) / 1000;
      assert.ok(offset < seconds + 1 && offset > seconds - 1 - ran, `${offset} s, within ${ran} s`);
      assert.equal(gateway.of('grant').length, 2);
    });
  }

  it('set back by an hour after a knock still gets in, and the client says what to do', async () => {
    assert.equal((await send(3, 'laptop')).status, 0);
    await granted(3);
    const { status, stdout, stderr } = await send(-HOUR, 'laptop', '--json');
    assert.equal(status, 0, stderr);
    await granted(4);
    const said =
      /clock is (\d+) s behind its last knock \(set it right; if it was ahead .* remove \/.*\)$/mu.exec(
        stderr,
      );
    const { clock_behind_seconds: behind } = JSON.parse(stdout) as { clock_behind_seconds: number };
    for (const each of [Number(said?.[1]), behind]) {
      assert.ok(each > HOUR - 15 && each < HOUR + 15, stderr + stdout);
    }
  });

  it('an hour ahead does not lock out its client once it is right', async () => {
    assert.equal((await send(HOUR, 'phone')).status, 0);
    assert.equal((await send(5, 'phone')).status, 0);
    await granted(5);
  });
});
