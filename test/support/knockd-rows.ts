// Texts of knockd.conf, and what knockd 0.8 makes of each (protocols/knockd.md, section 1.2). Two tests use them: one holds
// our parser to the table, the other holds the table to the real program.

export interface KnockdRow {
  readonly what: string;
  readonly text: string;
  /** The sequences of its doors as knockd prints them, or that it refuses the file, and in which line we say so. */
  readonly knockd: readonly string[] | { readonly refusedIn: number; readonly because: RegExp };
  /** Lines that are taken with a guess. */
  readonly quirks?: readonly number[];
}

const refused = (refusedIn: number, because: RegExp) => ({ refusedIn, because });
const ports = (count: number): string => Array.from({ length: count }, (_, i) => 100 + i).join(',');
const all = (count: number): string =>
  ports(count)
    .split(',')
    .map((port) => `${port}:tcp`)
    .join(',');
const long = 'x'.repeat(4095 - 'command='.length);

export const KNOCKD_ROWS: readonly KnockdRow[] = [
  { what: 'a file without doors', text: '# nothing\n', knockd: [] },
  { what: 'a door', text: '[a]\nsequence = 7000,8000,9000\n', knockd: ['7000:tcp,8000:tcp,9000:tcp'] },
  { what: 'line ends of DOS', text: '[a]\r\nsequence=1,2\r\n\r\n', knockd: ['1:tcp,2:tcp'] },
  { what: 'no line end at the end', text: '[a]\nsequence=1,2', knockd: ['1:tcp,2:tcp'] },
  { what: 'blanks everywhere', text: '\t [a] \n \tsequence\t =  1 , 2 \n', knockd: ['1:tcp,2:tcp'] },
  {
    what: 'a byte order mark',
    text: '\u{feff}[a]\nsequence=1\n',
    knockd: refused(1, /belongs to no section/u),
  },
  { what: 'a comment after blanks', text: '[a]\n  # x\nsequence=1\n', knockd: ['1:tcp'] },
  {
    what: 'a comment with a semicolon',
    text: '[a]\n;x\nsequence=1\n',
    knockd: refused(2, /no 'key = value'/u),
  },
  { what: 'a comment behind a number', text: '[a]\nsequence=1 # x\n', knockd: ['1:tcp'], quirks: [2] },
  { what: 'a comment behind a section', text: '[a] # x\nsequence=1\n', knockd: refused(1, /no section/u) },
  { what: 'a comment in a command', text: '[a]\nsequence=1\ncommand=echo a # b\n', knockd: ['1:tcp'] },
  { what: 'a section without a name', text: '[]\nsequence=1\n', knockd: refused(1, /no name/u) },
  { what: 'a section with blanks in its name', text: '[ a b ]\nsequence=1\n', knockd: ['1:tcp'] },
  { what: 'a long name', text: `[${'n'.repeat(300)}]\nsequence=1\n`, knockd: ['1:tcp'] },
  { what: 'one name twice', text: '[a]\nsequence=1\n[a]\nsequence=2\n', knockd: ['1:tcp', '2:tcp'] },
  {
    what: 'Options, which is a door',
    text: '[Options]\nUseSyslog\n',
    knockd: refused(1, /has no sequence/u),
  },
  {
    what: 'a directive before any section',
    text: 'UseSyslog\n[a]\nsequence=1\n',
    knockd: refused(1, /no section/u),
  },
  { what: 'UseSyslog in a door', text: '[a]\nusesyslog\nsequence=1\n', knockd: ['1:tcp'] },
  {
    what: 'UseSyslog with a value',
    text: '[options]\nUseSyslog=yes\n',
    knockd: refused(2, /takes no value/u),
  },
  { what: 'a word alone', text: '[a]\nsequence\n', knockd: refused(2, /no 'key = value'/u) },
  {
    what: 'a key that is not known',
    text: '[a]\nsequense=1\n',
    knockd: refused(2, /did you mean sequence\?/u),
  },
  {
    what: 'a key of a door in [options]',
    text: '[options]\nsequence=1\n',
    knockd: refused(2, /not in \[options\]/u),
  },
  {
    what: 'a key of [options] in a door',
    text: '[a]\ninterface=x\n',
    knockd: refused(2, /belongs in \[options\]/u),
  },
  { what: 'keys in capitals', text: '[a]\nSEQUENCE=1\nCommand_6=x\n', knockd: ['1:tcp'] },
  { what: 'a value with an equals sign', text: '[a]\nsequence=1\ncommand=x=1 y\n', knockd: ['1:tcp'] },
  { what: 'a key without a value', text: '[a]\nsequence=1\ncommand_6=\n', knockd: ['1:tcp'] },
  { what: 'a key twice', text: '[a]\nsequence=1\nsequence=2,3\n', knockd: ['2:tcp,3:tcp'] },
  { what: 'a door without a sequence', text: '[a]\nseq_timeout=3\n', knockd: refused(1, /has no sequence/u) },
  { what: '32 knocks', text: `[a]\nsequence=${ports(32)}\n`, knockd: [all(32)] },
  { what: '33 knocks', text: `[a]\nsequence=${ports(33)}\n`, knockd: refused(2, /33 knocks/u) },
  { what: 'protocols', text: '[a]\nsequence=1:udp,2: TCP ,3:UdP\n', knockd: ['1:udp,2:tcp,3:udp'] },
  { what: 'a third field', text: '[a]\nsequence=1:udp:x,2\n', knockd: ['1:udp,2:tcp'], quirks: [2] },
  {
    what: 'a protocol that is none',
    text: '[a]\nsequence=1:icmp\n',
    knockd: refused(2, /no protocol 'icmp'/u),
  },
  { what: 'an empty protocol', text: '[a]\nsequence=1:\n', knockd: refused(2, /no protocol ''/u) },
  { what: 'a word for a port', text: '[a]\nsequence=abc,2\n', knockd: ['0:tcp,2:tcp'], quirks: [2] },
  { what: 'a negative port', text: '[a]\nsequence=-1,-65536\n', knockd: ['65535:tcp,0:tcp'], quirks: [2, 2] },
  { what: 'a plus sign', text: '[a]\nsequence=+5,2\n', knockd: ['5:tcp,2:tcp'], quirks: [2] },
  { what: 'a hexadecimal port', text: '[a]\nsequence=0x10,2\n', knockd: ['0:tcp,2:tcp'], quirks: [2] },
  { what: 'zeros in front', text: '[a]\nsequence=007,2\n', knockd: ['7:tcp,2:tcp'] },
  {
    what: 'no port between commas',
    text: '[a]\nsequence=1,,3\n',
    knockd: ['1:tcp,0:tcp,3:tcp'],
    quirks: [2],
  },
  { what: 'a comma at the end', text: '[a]\nsequence=1,2,\n', knockd: ['1:tcp,2:tcp,0:tcp'], quirks: [2] },
  { what: 'an empty sequence', text: '[a]\nsequence=\n', knockd: ['0:tcp'], quirks: [2] },
  { what: 'port 0', text: '[a]\nsequence=0,1\n', knockd: ['0:tcp,1:tcp'], quirks: [2] },
  { what: 'a port too high', text: '[a]\nsequence=1,65536\n', knockd: refused(2, /no port '65536'/u) },
  { what: 'a number beyond 32 bits', text: '[a]\nsequence=4294967297\n', knockd: ['1:tcp'] },
  {
    what: 'a number beyond 64 bits',
    text: '[a]\nsequence=99999999999999999999\n',
    knockd: ['65535:tcp'],
    quirks: [],
  },
  { what: 'flags', text: '[a]\nsequence=1\ntcpflags=SYN,!ack\n', knockd: ['1:tcp'] },
  {
    what: 'flags with a blank',
    text: '[a]\nsequence=1\ntcpflags=syn, ack\n',
    knockd: refused(3, /flag ' ack'/u),
  },
  {
    what: 'flags with a bar',
    text: '[a]\nsequence=1\ntcpflags=syn|ack\n',
    knockd: refused(3, /flag 'syn\|ack'/u),
  },
  {
    what: 'a comma behind the flags',
    text: '[a]\nsequence=1\ntcpflags=syn,\n',
    knockd: refused(3, /flag ''/u),
  },
  { what: 'no flags', text: '[a]\nsequence=1\ntcpflags=\n', knockd: refused(3, /flag ''/u) },
  { what: 'a timeout that is none', text: '[a]\nsequence=1\ntimeout=x\n', knockd: ['1:tcp'], quirks: [3] },
  { what: 'a negative timeout', text: '[a]\nsequence=1\ncmd_timeout=-5\n', knockd: ['1:tcp'], quirks: [3] },
  {
    what: 'a timeout and more',
    text: '[a]\nsequence=1\nseq_timeout=7 # x\n',
    knockd: ['1:tcp'],
    quirks: [3],
  },
  { what: 'a line of 4095 bytes', text: `[a]\nsequence=1\ncommand=${long}\n`, knockd: ['1:tcp'] },
  {
    what: 'a line that is too long',
    text: `[a]\nsequence=1\ncommand=${long}zz\n`,
    knockd: refused(3, /'zz'/u),
  },
  {
    what: 'a key in the second part of such a line',
    text: `[a]\nsequence=1${' '.repeat(4095 - 10)}sequence=2\n`,
    knockd: ['2:tcp'],
  },
];
