// What the stanzas of an access.conf become, with the fwknopd.conf beside it, and the list, by line, of what is not as it
// was. No note shows a key.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { importFwknop, type FwknopImportOptions } from '../../lib/config/fwknop-load.ts';
import { parseConfig } from '../../lib/config/load.ts';
import { ConfigError } from '../../lib/config/problems.ts';

const KEY = Buffer.alloc(32, 'K').toString('base64');
const HMAC = Buffer.alloc(64, 'H').toString('base64');
const KEYS = [`KEY_BASE64 ${KEY}`, `HMAC_KEY_BASE64 ${HMAC}`];
/** A stanza whose own lines begin with the 5th. */
const stanza = (...more: string[]): string =>
  ['SOURCE ANY', 'OPEN_PORTS tcp/22', ...KEYS, ...more].join('\n');
const SSH = { ssh: { port: 22, open_for: '30s' } };

interface Written {
  readonly services: unknown;
  readonly clients: Readonly<Record<string, unknown>>;
  readonly [key: string]: unknown;
}

describe('an imported access.conf', () => {
  let folder: string;
  let file: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'portknock-import-'));
    file = join(folder, 'access.conf');
  });

  after(() => rm(folder, { recursive: true }));

  const imported = async (text: string, options: FwknopImportOptions = {}) => {
    await writeFile(file, text);
    const { text: yaml, notes } = await importFwknop(file, options);
    const written = parse(yaml) as Written;
    // Without any stanza left it is none yet.
    if (Object.keys(written.clients).length > 0)
      await parseConfig(yaml, { path: join(folder, 'made.yaml'), mode: 0o600 });
    assert.ok(!JSON.stringify(notes).match(/secret|KKKK|S0tL|SEhI/u), 'a key is shown');
    return { written, notes: notes.map(({ line, kind }) => `${line} ${kind}`).join(','), all: notes };
  };
  const client = (more: object = {}, services: readonly string[] = ['ssh']) => ({
    ...{ scheme: 'fwknop', key_base64: KEY, hmac_key_base64: HMAC, ...more, services },
  });

  const rows: readonly [what: string, text: string, services: unknown, clients: unknown, notes: string][] = [
    ['the plainest stanza', stanza(), SSH, { fwknop: client() }, '2 stricter'],
    [
      'colons, semicolons, comments and blanks',
      `# SOURCE: x;\n  SOURCE:  ANY ;\nOPEN_PORTS: tcp/22; what follows\n${KEYS.join(';\n')};`,
      SSH,
      { fwknop: client() },
      '3 stricter',
    ],
    [
      'ports without those that are restricted, and a time',
      stanza('OPEN_PORTS tcp/22, udp/53,tcp/8080', 'RESTRICT_PORTS tcp/8080', 'FW_ACCESS_TIMEOUT 60'),
      { ssh: { port: 22, open_for: '60s' }, 'udp-53': { port: 53, protocol: 'udp', open_for: '60s' } },
      { fwknop: client({}, ['ssh', 'udp-53']) },
      '5 stricter',
    ],
    [
      'passphrases, another HMAC and another mode',
      'SOURCE ANY\nOPEN_PORTS tcp/22\nKEY a secret with blanks\nHMAC_KEY 12345\nHMAC_DIGEST_TYPE SHA3_512\nENCRYPTION_MODE CFB',
      SSH,
      {
        fwknop: {
          ...{ scheme: 'fwknop', key: 'a secret with blanks', hmac_key: '12345' },
          ...{ hmac_digest: 'sha3_512', encryption_mode: 'cfb', services: ['ssh'] },
        },
      },
      '2 stricter',
    ],
    [
      'a stanza without HMAC',
      `SOURCE ANY\nOPEN_PORTS tcp/22\nKEY_BASE64 ${KEY}\nENCRYPTION_MODE legacy`,
      SSH,
      {
        fwknop: {
          ...{
            scheme: 'fwknop',
            key_base64: KEY,
            hmac: 'none',
            encryption_mode: 'legacy',
            services: ['ssh'],
          },
        },
      },
      '2 stricter',
    ],
    [
      'from where, until when, for whom',
      stanza(
        ...['SOURCE 192.168.0.0/16, 10.1.2.3', 'OPEN_PORTS tcp/22', `KEY_BASE64 ${HMAC.slice(0, 40)}`],
        ...[
          'HMAC_KEY a secret of his own',
          'REQUIRE_USERNAME bob smith',
          'REQUIRE_SOURCE_ADDRESS N',
          'REQUIRE_SOURCE Y',
        ],
        'ACCESS_EXPIRE 1/31/2031',
      ),
      SSH,
      {
        fwknop: client(),
        'bob-smith': {
          ...{ scheme: 'fwknop', key_base64: HMAC.slice(0, 40), hmac_key: 'a secret of his own' },
          ...{ from: ['192.168.0.0/16', '10.1.2.3'], expires: '2031-01-31', require_address: true },
          services: ['ssh'],
        },
      },
      '2 stricter,6 stricter,9 lost',
    ],
    [
      'a moment, and what says no',
      stanza(
        'ACCESS_EXPIRE_EPOCH 1893456001',
        'ENABLE_CMD_EXEC N',
        'REQUIRE_SOURCE_ADDRESS N',
        'FORWARD_ALL N',
      ),
      SSH,
      { fwknop: client({ expires: '2030-01-01T00:00:01Z' }) },
      '2 stricter',
    ],
    [
      'a host behind',
      stanza('FORCE_NAT 10.0.0.5 2022', 'FORCE_MASQUERADE Y'),
      { ssh: { port: 22, to: '10.0.0.5:2022', open_for: '30s' } },
      { fwknop: client() },
      '2 stricter,6 lost',
    ],
    [
      'what has no counterpart, and what nobody knows',
      stanza('ENABLE_CMD_EXEC Y', 'CMD_EXEC_USER nobody', 'GPG_DECRYPT_ID AA', 'GPG_ALLOW_NO_PW Y', 'FOO 1'),
      SSH,
      { fwknop: client() },
      '2 stricter,5 lost,7 lost,9 warning',
    ],
    ['nothing at all', '', {}, {}, ''],
  ];
  for (const [what, text, services, clients, notes] of rows) {
    it(what, async () => {
      const { written, notes: said } = await imported(text);
      assert.deepEqual(written.services, services);
      assert.deepEqual(written.clients, clients);
      assert.equal(said, notes);
    });
  }

  const refused: readonly [what: string, text: string, note: RegExp][] = [
    ['without ports', `SOURCE ANY\n${KEYS.join('\n')}`, /^1 refused: .*any port could be asked for/u],
    ['with no port left', stanza('RESTRICT_PORTS tcp/22'), /^2 refused: .*leaves no port/u],
    ['for an odd port', stanza('OPEN_PORTS tcp/22,icmp/1'), /^5 refused: .*icmp\/1 is no port/u],
    ['for an odd source', stanza().replace('ANY', 'gw.example'), /SOURCE: gw\.example is no address/u],
    ['from nowhere', stanza().replace('ANY', ''), /^1 refused: .*SOURCE is empty$/u],
    ['from nowhere, with a comma', stanza().replace('ANY', ' , ;'), /^1 refused: .*SOURCE is empty$/u],
    ['without a key', 'SOURCE ANY\nOPEN_PORTS tcp/22\nGPG_DECRYPT_ID 1', /^1 refused: .*no KEY, and GPG/u],
    ['never set up', stanza('KEY_BASE64 __CHANGEME__'), /^5 refused: .*KEY_BASE64 was never set/u],
    ['with a key that is none', stanza('KEY_BASE64 a secret?'), /^5 refused: .*KEY_BASE64 is not base64/u],
    ['with a key that is too long', stanza(`KEY_BASE64 ${HMAC}`), /^5 refused: .*1 to 32 bytes, not 64/u],
    [
      'with one key for both',
      stanza(`HMAC_KEY_BASE64 ${KEY}`),
      /^1 refused: .*KEY and HMAC_KEY are the same/u,
    ],
    ['in another mode', stanza('ENCRYPTION_MODE pcbc'), /^5 refused: .*must be cbc, .*, not pcbc$/u],
    ['with another HMAC', stanza('HMAC_DIGEST_TYPE crc'), /^5 refused: .*HMAC_DIGEST_TYPE must be md5/u],
    ['that runs commands', stanza('CMD_CYCLE_OPEN /bin/true'), /^5 refused: .*write a service with open:/u],
    ['that opens everything', stanza('FORWARD_ALL Y'), /^5 refused: .*opens everything/u],
    ['with an odd end', stanza('ACCESS_EXPIRE 2030-01-31'), /^5 refused: .*must be MM\/DD\/YYYY/u],
    ['with an odd moment', stanza('ACCESS_EXPIRE_EPOCH soon'), /^5 refused: .*must be seconds/u],
    ['for an odd host behind', stanza('FORCE_NAT inner 22'), /^5 refused: .*FORCE_NAT must be an address/u],
    [
      'that goes on elsewhere',
      `${stanza().replace('tcp/22', 'tcp/23')}\n%include x`,
      /^5 refused: %include is not/u,
    ],
    ['that was never begun', `KEY x\n${stanza()}`, /^1 refused: KEY belongs to no stanza/u],
  ];
  for (const [what, text, note] of refused) {
    it(`leaves out what cannot be carried over, and says so: a stanza ${what}`, async () => {
      const { written, all } = await imported(text);
      const [said] = all.filter(({ kind }) => kind === 'refused');
      assert.match(`${said?.line} ${said?.kind}: ${said?.message}`, note);
      const isWhole = /belongs to no|is not followed/u.test(String(said?.message));
      assert.equal(Object.keys(written.clients).length, isWhole ? 1 : 0);
    });
  }

  it('keeps one client of those that share a key, and one target of a port', async () => {
    const twice = await imported(`${stanza()}\n${stanza()}`);
    assert.deepEqual(Object.keys(twice.written.clients), ['fwknop']);
    assert.match(String(twice.all.at(-1)?.message), /it has a key of the stanza of line 1/u);
    const other = 'SOURCE ANY\nOPEN_PORTS tcp/22\nKEY another secret\nHMAC_KEY and one more';
    const behind = await imported(`${stanza()}\n${other}\nFORCE_NAT 10.0.0.5 22`);
    assert.match(String(behind.all.at(-1)?.message), /FORCE_NAT of tcp\/22 is not that of line 1/u);
    assert.deepEqual(behind.written.services, SSH);
    const shorter = await imported(`${stanza()}\n${other}\nFW_ACCESS_TIMEOUT 5`);
    assert.deepEqual(shorter.written.services, { ssh: { port: 22, open_for: '5s' } });
    assert.equal(shorter.notes, '2 stricter,6 stricter,9 stricter');
  });

  describe('with a fwknopd.conf beside it', () => {
    afterEach(() => rm(join(folder, 'fwknopd.conf'), { force: true }));

    const places: readonly [what: string, lines: readonly string[], place: object, notes: string][] = [
      ['its interface', ['PCAP_INTF eth3;', 'VERBOSE 0;'], { interface: 'eth3' }, ''],
      ['its port', ['PCAP_FILTER udp dst port 4000;'], { interface: 'eth0', knock_port: 4000 }, ''],
      ['another filter', ['PCAP_FILTER port 1;'], { interface: 'eth0' }, '1 lost'],
      ['a socket', ['ENABLE_UDP_SERVER Y;', 'UDPSERV_PORT 4001;'], { socket: 4001, knock_port: 4001 }, ''],
      [
        'what is otherwise here',
        [
          ...['MAX_SPA_PACKET_AGE 30;', 'ENABLE_SPA_PACKET_AGING N;', 'ENABLE_DIGEST_PERSISTENCE N;'],
          ...['ENABLE_SPA_OVER_HTTP Y;', 'ENABLE_IPT_FORWARDING Y;', 'ENABLE_TCP_SERVER N;'],
        ],
        { interface: 'eth0' },
        '2 stricter,3 stricter,4 lost,5 lost,1 lost',
      ],
      ['older packets', ['MAX_SPA_PACKET_AGE 600;'], { interface: 'eth0' }, '1 stricter'],
    ];
    for (const [what, lines, place, notes] of places) {
      it(`takes over ${what}`, async () => {
        await writeFile(join(folder, 'fwknopd.conf'), lines.join('\n'));
        const { written, notes: said } = await imported(stanza());
        const { interface: device, socket, knock_port: port } = written;
        const found = { interface: device, socket, knock_port: port };
        assert.deepEqual(JSON.parse(JSON.stringify(found)), place);
        assert.equal(said, [notes, '2 stricter'].filter(Boolean).join(','));
      });
    }

    it('is told another interface, another file and another place', async () => {
      await writeFile(join(folder, 'fwknopd.conf'), 'PCAP_INTF eth3\nENABLE_UDP_SERVER Y');
      await writeFile(join(folder, 'other.conf'), 'PCAP_INTF eth4');
      const { written } = await imported(stanza(), { interface: 'eth5', stateDir: '/var/lib/other' });
      assert.deepEqual(
        [written.interface, written.socket, written.state_dir],
        ['eth5', undefined, '/var/lib/other'],
      );
      const other = await imported(stanza(), { daemon: join(folder, 'other.conf') });
      assert.equal(other.written.interface, 'eth4');
      await assert.rejects(imported(stanza(), { daemon: join(folder, 'absent.conf') }), ConfigError);
    });
  });

  it('must be there', async () => {
    await assert.rejects(importFwknop(join(folder, 'absent.conf')), ConfigError);
  });
});
