// Who knocks at the gateway of the numbered attacks, with what, and the gateway's configuration that says so.

export const DRIVERS = ['iptables', 'nftables'] as const;
export type Driver = (typeof DRIVERS)[number];

export const ACCESS_KEY = Buffer.alloc(32, 11);
/** The last three have clocks of their own, so whoever tests something else leaves them alone. */
export const SPA_CLIENTS = ['alice', 'bob', 'exact', 'both', 'clock4', 'clock6', 'restored'] as const;
export type SpaName = (typeof SPA_CLIENTS)[number];
/** One-time clients by number: each has one knock per step. */
export const ONE_TIME_CLIENTS = 80;
export const STEP_SECONDS = 2;
/** What Site calls the gateway. */
export const NAME = 'gw.example';
/** Of client tcp3. */
export const PLAIN = ['7000:tcp', '8000:tcp', '9000:tcp'];
/** Of client door, which opens web. */
export const DOOR = ['5101:tcp', '6102:tcp', '4103:tcp'];
/** What real knockd waits for where a test does not say otherwise; no client of ours knocks so. */
export const KNOCKD = ['7100:tcp', '8100:tcp', '9100:tcp'];

export interface ConfigOptions {
  readonly driver: Driver;
  /** Of service ssh. */
  readonly openFor?: string;
  readonly plain?: boolean;
}

/** The gateway's configuration; all but the first three lines, which Site writes. */
export function configOf({ driver, openFor = '20s', plain = true }: ConfigOptions): string {
  const spa = SPA_CLIENTS.map((name) => {
    const more = `bind: ${name === 'exact' ? 'exact' : 'observed'}, services: [${name === 'both' ? 'ssh, web' : 'ssh'}]`;
    return `  ${name}: { scheme: spa, secret: "${secretOf(name)}", ${more} }`;
  });
  const oneTime = Array.from(
    { length: ONE_TIME_CLIENTS },
    (_, i) =>
      `  f${i}: { scheme: one-time, secret: "${secretOf(`f${i}`)}", step: ${STEP_SECONDS}, knocks: 4, services: [ssh] }`,
  );
  const sequences = [
    '  tcp3: { scheme: sequence, sequence: [7000/tcp, 8000/tcp, 9000/tcp], services: [ssh] }',
    '  mixed: { scheme: sequence, sequence: [5001/tcp, 4002/udp, 6003/tcp, 3004/udp], services: [ssh] }',
    '  udp3: { scheme: sequence, sequence: [2200/udp, 1100/udp, 3300/udp], services: [ssh] }',
    '  door: { scheme: sequence, sequence: [5101/tcp, 6102/tcp, 4103/tcp], services: [web] }',
  ];
  return [
    `firewall: ${driver}`,
    `access_key: "${ACCESS_KEY.toString('base64')}"`,
    `services: { ssh: { port: 22, open_for: ${openFor} }, web: { port: 443 } }`,
    'open_for: 20s',
    'clients:',
    ...[...spa, ...oneTime, ...(plain ? sequences : [])],
    '',
  ].join('\n');
}

export function secretOf(name: string): string {
  return Buffer.alloc(32, `secret of ${name} `).toString('base64');
}
