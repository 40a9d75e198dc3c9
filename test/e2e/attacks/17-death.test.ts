// Attack 17: the gateway is stopped, killed, suspended, or its clock is set, while something is open. The kernel closes on
// time, and the next start leaves no rule too many. Real knockd's sleepers die with it under systemd, and its port stays
// open. The clock is that of the process; a hook between Node and the gateway sets it at SIGUSR2.

import assert from 'node:assert/strict';
import { Gateway } from '../../support/gateway.ts';
import { pause } from '../support.ts';
import { attack, onBoth, onKnockd } from './attack.ts';
import { type Field } from './field.ts';

const OPEN_MS = 2000;
/** What is to be used must not end while a slow machine is on its way to that. */
const LONGER_MS = 5000;
const CLOSE_SECONDS = 5;
/** The first signal puts the clock an hour on, the second an hour back from where it was at first. */
const HOOK = `data:text/javascript,${encodeURIComponent(
  'const real=Date.now.bind(Date);let n=0;Date.now=()=>real()+[0,3600e3,-3600e3][n];process.on("SIGUSR2",()=>{n+=1})',
)}`;

attack('17. an opening whose gateway', () => {
  const config = { openFor: `${OPEN_MS / 1000}s` };

  /** Opens to both families, and gives the time at which both must be closed. */
  const opened = async (field: Field, openMs = OPEN_MS): Promise<number> => {
    await field.granted(() => field.spa('alice', { family: 4 }).knock());
    await field.granted(() => field.spa('alice', { family: 6 }).knock());
    return Date.now() + openMs;
  };
  const closed = async (field: Field, until: number): Promise<void> => {
    await pause(until - Date.now() + 150);
    for (const family of [4, 6] as const) assert.equal(await field.connect({ family }), 'refused');
  };
  const rules = async (field: Field): Promise<string> => {
    const tools =
      field.driver === 'nftables'
        ? [['nft', 'list', 'table', 'inet', 'portknock']]
        : [['iptables-save'], ['ip6tables-save']];
    const texts = await Promise.all(
      tools.map(([tool = '', ...args]) => field.world.gateway.must(tool, args)),
    );
    // But for those that keep the sessions which are there.
    return texts
      .join('\n')
      .replace(/^#.*$|\[\d+:\d+\]|packets \d+ bytes \d+|^-A PK-ADOPT -s .*\n/gmu, '')
      .replace(/(set adopt-v[46] \{[^}]*?)\t\telements = \{[^}]*\}\n/gu, '$1');
  };

  onBoth(
    'is ended by SIGTERM or SIGKILL is honoured until its time, and then closed; no rule is left at the next start',
    async (field) => {
      await field.restarted();
      const before = await rules(field);
      for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
        const until = await opened(field, LONGER_MS);
        await field.gateway.end(signal);
        await field.used({ family: 4 });
        await closed(field, until);
        await field.restarted();
        assert.equal(await rules(field), before, signal);
        await field.granted(() => field.spa('alice').knock());
        await field.used();
      }
    },
    { config: { openFor: `${LONGER_MS / 1000}s` } },
  );

  onBoth(
    'is suspended closes on time, and is reported when it goes on',
    async (field) => {
      const until = await opened(field);
      process.kill(field.gateway.pid, 'SIGSTOP');
      try {
        await closed(field, until);
      } finally {
        process.kill(field.gateway.pid, 'SIGCONT');
      }
      assert.equal((await field.gateway.wait('close', { count: 2 })).reason, 'expired');
      await field.granted(() => field.spa('alice').knock());
      await field.used();
    },
    { config },
  );

  onBoth(
    'has its clock put an hour on and an hour back closes on time',
    async (field) => {
      await field.gateway.end();
      const { gateway } = field.world;
      field.gateway = await Gateway.start(
        {
          gateway: {
            spawn: (program, args, options) => gateway.spawn(program, ['--import', HOOK, ...args], options),
          },
        },
        field.site,
      );
      for (let way = 0; way < 2; way += 1) {
        const until = await opened(field);
        process.kill(field.gateway.pid, 'SIGUSR2');
        await closed(field, until);
      }
      // Its clock is not to outlive the test.
      await field.gateway.end('SIGKILL');
    },
    { config },
  );

  onKnockd('was real knockd stays for ever when systemd kills what waits to close it', async (field) => {
    await field.knockd.start({ closeAfter: CLOSE_SECONDS });
    await field.inject(field.plain());
    assert.ok(await field.knockd.opens());
    const sleeper = field.knockd.sleepers()[0] ?? assert.fail('nobody waits');
    // As a unit with KillMode=mixed is stopped: TERM for the main process, KILL for all others.
    process.kill(field.knockd.pid, 'SIGTERM');
    process.kill(sleeper, 'SIGKILL');
    await pause(CLOSE_SECONDS * 1000 + 300);
    assert.equal(await field.connect({ port: field.knockd.port }), 'talks');
  });
});
