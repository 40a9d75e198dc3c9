// Deploy pipelines: the very texts of action.yml and of examples/deploy-pipeline are run, with the package as it would be
// installed, against a hidden sshd.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { installed } from '../consumer/installed.ts';
import { Gateway } from '../support/gateway.ts';
import { Machine } from '../support/machine.ts';
import { createWorld, type Finished, type World } from '../support/netns.ts';
import { sshKeygen, writePrivate } from '../support/ssh-tools.ts';
import { startSshd, type Sshd } from '../support/sshd.ts';
import { readAction, WorkflowRunner, type Ran, type Step } from '../support/workflow.ts';
import { describeInNamespaces } from './support.ts';

const EXAMPLE = 'examples/deploy-pipeline';
const README = readFileSync(`${EXAMPLE}/README.md`, 'utf8');
const CONFIG = '/etc/portknock/portknockd.yaml';
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

interface Workflow {
  readonly jobs: Readonly<Record<string, { readonly steps: readonly Step[] }>>;
}

interface GitlabJob {
  readonly variables: Readonly<Record<string, string>>;
  readonly before_script: readonly string[];
  readonly script: readonly string[];
  readonly retry: { readonly exit_codes: readonly number[] };
}

describe('the texts for deploy pipelines', () => {
  it('never write an expression into a script, where its value would be run', async () => {
    const { runs } = await readAction();
    const steps = [...runs.steps, ...Object.values(workflows()).flatMap((each) => each)];
    const scripts = steps.flatMap(({ run }) => (run === undefined ? [] : [run]));
    assert.ok(scripts.length >= 6);
    assert.deepEqual(
      scripts.filter((script) => script.includes('${{')),
      [],
    );
  });

  it('name the version of the package', async () => {
    const { inputs } = await readAction();
    assert.equal(inputs.version?.default, version);
    assert.ok(gitlabJob().before_script.some((line) => line.endsWith(` portknock@${version}`)));
  });

  it('retry only what may succeed the next time', () => {
    assert.deepEqual(gitlabJob().retry.exit_codes, [1]);
  });
});

describeInNamespaces('a deploy pipeline', function () {
  this.timeout(180_000);
  let world: World;
  let gate: Machine;
  let runner: Machine;
  let sshd: Sshd;
  let gateway: Gateway;
  /** Texts of profiles and keys. */
  const secrets = { psk: '', signed: '', key: '', stranger: '' };
  let said = '';

  before(async function () {
    // Whoever comes first builds and installs the package.
    this.timeout(900_000);
    world = await createWorld();
    gate = await Machine.create(world.gateway, { name: 'gw.example' });
    const hosts = { 'gw.example': [world.address[4], world.address[6]] };
    runner = await Machine.create(world.outside, { name: 'runner', hosts });
    sshd = await startSshd(world.gateway);
    await gate.must(`portknock init --service ssh=22 --interface ${world.device}`);
    const config = gate.etc('portknock/portknockd.yaml');
    await writeFile(config, (await readFile(config, 'utf8')).replace('open_for: 30s', 'open_for: 20s'));
    sshKeygen(runner.path('id'));
    const out = (name: string): string => `--services ssh --out ${runner.path(name)}`;
    await gate.must(`portknock add-client deploy --psk ${out('psk')}`);
    await gate.must(`portknock add-client signer --key ${runner.path('id.pub')} ${out('signed')}`);
    secrets.psk = await readFile(runner.path('psk'), 'utf8');
    secrets.signed = await readFile(runner.path('signed'), 'utf8');
    secrets.key = await readFile(runner.path('id'), 'utf8');
    secrets.stranger = JSON.stringify({
      ...fieldsOf(secrets.psk),
      secret: randomBytes(32).toString('base64'),
    });
    for (const name of ['psk', 'signed', 'id', 'id.pub']) await rm(runner.path(name));
    await prepareRunner();
    // It shows what has been brought, as the site's own service would.
    const systemctl = '#!/bin/sh\ncat /srv/site/index.html && echo "systemctl $*"\n';
    await writeFile(join(sshd.bin, 'systemctl'), systemctl, { mode: 0o755 });
    gateway = await Gateway.start({ gateway: gate }, { config: CONFIG });
  });

  after(async () => {
    await gateway?.end('SIGKILL');
    await sshd?.stop();
    await Promise.all([gate?.destroy(), runner?.destroy()]);
    await world.destroy();
  });

  beforeEach(async () => {
    await rm(join(runner.bin, 'portknock'), { force: true });
    await writeFile(runner.path('npm.log'), '');
  });

  /** A checkout with a site in it; npm, which installs the package that was built here; no apt-get. */
  async function prepareRunner(): Promise<void> {
    const { folder } = await installed();
    const programs = join(folder, 'node_modules/.bin');
    await mkdir(runner.path('dist/assets'), { recursive: true });
    await mkdir(runner.path('tmp'));
    await writeFile(runner.path('dist/index.html'), 'hello\n');
    await writeFile(runner.path('dist/assets/a b.css'), 'body {}\n');
    await copyFile(`${EXAMPLE}/deploy.sh`, runner.path('deploy.sh'));
    const npm = [
      `echo "$*" >>'${runner.path('npm.log')}'`,
      `bin='${runner.bin}'`,
      'while [ $# -gt 0 ]; do [ "$1" != --prefix ] || bin=$2/bin; shift; done',
      'mkdir -p "$bin"',
      `ln -sf '${programs}/portknock' "$bin/portknock"`,
    ];
    await runner.install('npm', `#!/bin/sh\nset -eu\n${npm.join('\n')}\n`);
    await runner.install('apt-get', '#!/bin/sh\n');
  }

  const install = async (): Promise<void> => {
    const { folder } = await installed();
    await symlink(join(folder, 'node_modules/.bin/portknock'), join(runner.bin, 'portknock'));
  };
  const knownHosts = (): string => `gw.example ${sshd.hostKey}`;
  const settings = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
    PORTKNOCK_PROFILE: secrets.psk,
    DEPLOY_HOST: 'gw.example',
    DEPLOY_KNOWN_HOSTS: knownHosts(),
    DEPLOY_KEY: sshd.userKey,
    DEPLOY_FROM: 'dist',
    DEPLOY_TO: '/srv/site',
    DEPLOY_RUN: 'systemctl reload site',
    DEPLOY_TIMEOUT: '30',
    TMPDIR: runner.path('tmp'),
    ...more,
  });
  const deploy = async (more: NodeJS.ProcessEnv = {}): Promise<Finished> =>
    noted(await runner.sh('sh deploy.sh', { env: settings(more) }));

  /** Nothing that an earlier test has knocked for is open any more. */
  async function allClosed(): Promise<void> {
    const count = gateway.of('grant').length;
    if (count > 0) await gateway.wait('close', { count, timeoutMs: 40_000 });
  }

  function noted<T extends { readonly stdout: string; readonly stderr: string }>(ran: T): T {
    said += ran.stdout + ran.stderr;
    return ran;
  }

  describe('deploy.sh', () => {
    beforeEach(install);

    it('brings a folder and runs a command, with a shared secret', async () => {
      const ran = await deploy();
      assert.deepEqual(ran, {
        status: 0,
        signal: null,
        stdout: 'hello\nsystemctl reload site\n',
        stderr: '',
      });
      await writeFile(runner.path('dist/index.html'), 'changed\n');
      assert.equal((await deploy()).stdout, 'changed\nsystemctl reload site\n');
      await writeFile(runner.path('dist/index.html'), 'hello\n');
    });

    it('does so with a key that signs, from the environment', async () => {
      const ran = await deploy({ PORTKNOCK_PROFILE: secrets.signed, PORTKNOCK_KEY: secrets.key });
      assert.equal(ran.stdout, 'hello\nsystemctl reload site\n', ran.stderr);
    });

    for (const home of ['/nonexistent', '/proc/nobody', undefined]) {
      it(`needs no home directory (HOME=${home ?? ''})`, async () => {
        const ran = await deploy({ HOME: home });
        assert.deepEqual([ran.status, ran.stderr], [0, '']);
        assert.equal(existsSync('/nonexistent'), false);
        assert.deepEqual(
          await readdir(runner.home).then((all) => all.filter((each) => each.startsWith('.'))),
          [],
        );
      });
    }

    it('leaves no files behind, whether it was successful or not', async () => {
      await deploy({ DEPLOY_RUN: 'exit 3' });
      await deploy();
      assert.deepEqual(await readdir(runner.path('tmp')), []);
    });

    const refused: readonly [title: string, env: () => NodeJS.ProcessEnv, said: RegExp][] = [
      [
        'a port that stays closed, in time',
        () => ({ PORTKNOCK_PROFILE: secrets.stranger, DEPLOY_TIMEOUT: '2' }),
        /port 22 of gw\.example did not accept after \d+ knocks/u,
      ],
      [
        'a host that is another one',
        () => ({ DEPLOY_KNOWN_HOSTS: `gw.example ${otherHostKey()}` }),
        /rsync failed/u,
      ],
      ['a login that is refused', () => ({ DEPLOY_KEY: secrets.key }), /rsync failed/u],
      ['a command that fails there', () => ({ DEPLOY_RUN: 'exit 2' }), /ssh failed/u],
      [
        'a name that does not resolve',
        () => ({ PORTKNOCK_PROFILE: elsewhere(secrets.psk), DEPLOY_TIMEOUT: '8' }),
        /nowhere\.invalid/u,
      ],
    ];
    for (const [title, env, message] of refused) {
      it(`exits with 1 for ${title}`, async () => {
        await allClosed();
        const began = performance.now();
        const ran = await deploy(env());
        assert.equal(ran.status, 1, ran.stderr);
        assert.match(ran.stderr, message);
        assert.ok(performance.now() - began < 60_000);
      });
    }

    const unusable: readonly [title: string, env: () => NodeJS.ProcessEnv, said: RegExp][] = [
      ['no profile', () => ({ PORTKNOCK_PROFILE: '' }), /PORTKNOCK_PROFILE is not set/u],
      [
        'a profile that is none',
        () => ({ PORTKNOCK_PROFILE: '{"portknock": 1}' }),
        /profile cannot be used/u,
      ],
      ['a profile that is not there', () => ({ PORTKNOCK_PROFILE: '/nowhere' }), /there is no such file/u],
      [
        'no key for a profile that has one signed',
        () => ({ PORTKNOCK_PROFILE: secrets.signed }),
        /PORTKNOCK_KEY|-i/u,
      ],
      [
        'a key that is another one',
        () => ({ PORTKNOCK_PROFILE: secrets.signed, PORTKNOCK_KEY: sshd.userKey }),
        /private key is not that of the profile/u,
      ],
      ['a host with more than its name', () => ({ DEPLOY_HOST: 'gw.example\nProxyCommand id' }), /one word/u],
      ['a host that is an option', () => ({ DEPLOY_HOST: '-oProxyCommand=id' }), /one word/u],
      ['a folder that is not there', () => ({ DEPLOY_FROM: 'gone' }), /not a folder/u],
      ['a target that is the whole host', () => ({ DEPLOY_TO: '/' }), /not all of the host/u],
      ['a time that is no number', () => ({ DEPLOY_TIMEOUT: '5; id' }), /whole number/u],
    ];
    for (const [title, env, message] of unusable) {
      it(`exits with 2 for ${title}`, async () => {
        const ran = await deploy(env());
        assert.equal(ran.status, 2, ran.stderr);
        assert.match(ran.stderr, message);
        assert.equal(ran.stdout, '');
      });
    }
  });

  describe('the action', () => {
    const use = async (inputs: Readonly<Record<string, string>>): Promise<Ran & { temp: string }> => {
      const workflow = await WorkflowRunner.create(runner);
      const ran = noted(await workflow.use(await readAction(), inputs));
      return { ...ran, temp: workflow.temp };
    };

    it('installs the version that was asked for, without running scripts of packages', async () => {
      assert.equal((await use({ profile: secrets.psk, knock: 'false', version: '0.9.3' })).status, 0);
      const log = await readFile(runner.path('npm.log'), 'utf8');
      assert.match(log, /^install --global .*--ignore-scripts.* portknock@0\.9\.3\n$/u);
    });

    it('knocks, so that the next connection is accepted', async () => {
      await allClosed();
      const grants = gateway.of('grant').length;
      const ran = await use({ profile: secrets.psk });
      assert.equal(ran.status, 0, ran.stderr);
      assert.ok(gateway.of('grant').length > grants);
      await runner.must(`${login()} root@gw.example true`);
    });

    for (const [title, inputs] of [
      ['a shared secret', () => ({ profile: secrets.psk })],
      ['a key that signs', () => ({ profile: secrets.signed, key: secrets.key })],
    ] as const) {
      it(`gives ssh a ProxyCommand, with ${title}`, async () => {
        const ran = await use({ ...inputs(), knock: 'false' });
        const proxy = ran.outputs.action?.['proxy-command'] ?? '';
        await install();
        const { stdout } = await runner.must(
          `${login()} -o ProxyCommand="$PROXY" root@gw.example echo through`,
          {
            env: { PROXY: proxy },
          },
        );
        assert.equal(stdout, 'through\n');
      });
    }

    it('keeps profile and key where only its own user can read them', async () => {
      const { temp } = await use({ profile: secrets.signed, key: secrets.key, knock: 'false' });
      const { stdout } = await runner.must(
        `find '${temp}' -type f ! -path '*/bin/*' -printf '%m %f\\n' | sort`,
      );
      assert.equal(stdout, '600 key\n600 profile\n');
    });

    const failures: readonly [
      title: string,
      inputs: () => Record<string, string>,
      status: number,
      said: RegExp,
    ][] = [
      ['a profile that is none', () => ({ profile: 'secret' }), 2, /profile cannot be used/u],
      ['a profile that is empty', () => ({ profile: '' }), 2, /profile is empty/u],
      [
        'a service that is not in the profile',
        () => ({ profile: secrets.psk, service: 'web' }),
        2,
        /service must be/u,
      ],
      [
        'a service that is an option',
        () => ({ profile: secrets.psk, service: '--close' }),
        2,
        /service must be/u,
      ],
      ['a key that is missing', () => ({ profile: secrets.signed }), 2, /private key/u],
      ['a version that is code', () => ({ profile: secrets.psk, version: '1 && id' }), 2, /version must be/u],
      ['a timeout that is code', () => ({ profile: secrets.psk, timeout: '$(id)' }), 2, /timeout must be/u],
      [
        'a port that stays closed',
        () => ({ profile: secrets.stranger, timeout: '2s' }),
        1,
        /did not accept/u,
      ],
    ];
    for (const [title, inputs, status, message] of failures) {
      it(`exits with ${status} for ${title}`, async () => {
        await allClosed();
        const ran = await use(inputs());
        assert.equal(ran.status, status, ran.stderr);
        assert.match(ran.stderr, message);
      });
    }

    it('runs no text of an input', async () => {
      const touch = `touch ${runner.path('pwned')}`;
      for (const evil of [`$(${touch})`, `'; ${touch}; '`, `x; ${touch}`]) {
        for (const name of ['profile', 'key', 'service', 'timeout', 'version', 'knock']) {
          await use({ profile: secrets.psk, ...{ [name]: evil } });
        }
      }
      assert.equal(existsSync(runner.path('pwned')), false);
    });
  });

  describe('the README', () => {
    const job = async (name: string): Promise<Ran> => {
      const workflow = await WorkflowRunner.create(runner, { TMPDIR: runner.path('tmp') });
      const context = {
        secrets: { PORTKNOCK_PROFILE: secrets.psk, DEPLOY_KEY: sshd.userKey },
        vars: { DEPLOY_KNOWN_HOSTS: knownHosts() },
      };
      return noted(await workflow.run(workflows()[name] ?? [], context));
    };

    it('shows a GitHub job that deploys', async () => {
      const ran = await job('deploy');
      assert.equal(ran.status, 0, ran.stderr);
      assert.equal(ran.stdout, 'hello\nsystemctl reload site\n');
    });

    it('shows a GitHub job that knocks and connects', async () => {
      await runner.configureSsh(sshd.sshArgs);
      const ran = await job('restart');
      assert.equal(ran.status, 0, ran.stderr);
      assert.equal(ran.stdout, 'hello\nsystemctl restart site\nhello\nsystemctl status site\n');
    });

    it('shows a GitLab job that deploys', async () => {
      const { variables, before_script, script } = gitlabJob();
      const ran = noted(
        await runner.sh(`set -e\n${[...before_script, ...script].join('\n')}`, {
          env: {
            ...variables,
            PORTKNOCK_PROFILE: secrets.psk,
            DEPLOY_KEY: sshd.userKey,
            DEPLOY_KNOWN_HOSTS: knownHosts(),
          },
        }),
      );
      assert.equal(ran.status, 0, ran.stderr);
      assert.equal(ran.stdout, 'hello\nsystemctl reload site\n');
    });

    it('shows shell lines that deploy', async () => {
      await install();
      await mkdir(runner.etc('deploy'));
      writePrivate(runner.etc('deploy/deploy.knock'), secrets.psk);
      writePrivate(runner.etc('deploy/id_ed25519'), sshd.userKey);
      await writeFile(runner.etc('deploy/known_hosts'), `${knownHosts()}\n`);
      const script = blocks('sh').find((text) => text.includes('DEPLOY_HOST=')) ?? '';
      assert.equal(noted(await runner.must(script)).stdout, 'deployed\n');
    });

    it('shows a command that adds the client', async () => {
      const [command = ''] = blocks('sh');
      const { stdout } = await gate.must(command.replace('add-client deploy', 'add-client another'));
      assert.match(stdout, /deploy\.knock/u);
    });
  });

  describe('all of it', () => {
    it('never prints a secret', () => {
      const bodies = [secrets.key, sshd.userKey].map((key) => key.split('\n')[2] ?? '');
      for (const secret of [
        String(fieldsOf(secrets.psk).secret),
        String(fieldsOf(secrets.psk).access_key),
        ...bodies,
      ]) {
        assert.ok(secret.length > 20);
        assert.ok(!said.includes(secret));
      }
    });
  });

  const login = (): string => {
    writePrivate(runner.path('login'), sshd.userKey);
    return `ssh ${sshd.sshArgs.join(' ')} -i login`;
  };
  const otherHostKey = (): string => readFileSync(runner.path('other.pub'), 'utf8').trim();
  before(() => {
    sshKeygen(runner.path('other'));
  });
});

function fieldsOf(profile: string): Record<string, unknown> {
  return JSON.parse(profile) as Record<string, unknown>;
}

function elsewhere(profile: string): string {
  return JSON.stringify({ ...fieldsOf(profile), host: 'nowhere.invalid' });
}

/** Code blocks of the README. */
function blocks(language: string): string[] {
  return [...README.matchAll(/^```(\w+)\n([^]*?)^```$/gmu)].flatMap(([, name, text]) =>
    name === language ? [text ?? ''] : [],
  );
}

/** Steps of GitHub's jobs by the job's name. */
function workflows(): Record<string, readonly Step[]> {
  const jobs = blocks('yaml').flatMap((text) =>
    Object.entries((parse(text) as Partial<Workflow>).jobs ?? {}),
  );
  return Object.fromEntries(jobs.map(([name, { steps }]) => [name, steps]));
}

function gitlabJob(): GitlabJob {
  const found = blocks('yaml').find((text) => text.startsWith('deploy:')) ?? '';
  return (parse(found) as { deploy: GitlabJob }).deploy;
}
