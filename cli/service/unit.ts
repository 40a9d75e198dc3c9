// portknockd.service: a gateway with the rights that it needs and no more (systemd.exec(5)). What each group of lines takes
// away, and what may have to be loosened, is in docs/service.md.

import { relative } from 'node:path';
import { commandLine, quoted } from './escape.ts';

/** What the service is to be. */
export interface Service {
  readonly node: string;
  /** The folder of our programs, `portknock.js` and `portknockd.js`. */
  readonly programs: string;
  readonly config: string;
  readonly stateDir: string;
  /** The account of the half without rights; `root`: there is none. */
  readonly user: string;
  /** It needs sockets of IPv4 and IPv6: to listen on them, for programs of the host's, or for iptables-legacy. */
  readonly internet: boolean;
  /** The legacy back-end of iptables: a lock in /run, modules that only root outside can load. */
  readonly legacy: boolean;
  /** Something of it is below /home, /root or /run/user. */
  readonly home: boolean;
  /** Folders that it changes files in, beside the state. */
  readonly writes: readonly string[];
}

/** The lock that every program with iptables-legacy takes. */
export const XTABLES_LOCK = '/run/xtables.lock';

const CAPABILITIES = [
  ...['CAP_NET_ADMIN', 'CAP_NET_RAW'],
  // To start processes without rights, and to end them.
  ...['CAP_SETUID', 'CAP_SETGID', 'CAP_SETPCAP', 'CAP_KILL'],
];

const FIREWALLS = ['nftables', 'netfilter-persistent', 'iptables', 'ip6tables', 'firewalld', 'ufw'];

/** The unit's text. */
export function unitText(service: Service): string {
  return [...unitSection(service), ...serviceSection(service), ...hardening(service), ...INSTALL, ''].join(
    '\n',
  );
}

function unitSection({ legacy }: Service): readonly string[] {
  const modules = ['modprobe@ip_tables.service', 'modprobe@ip6_tables.service'];
  return [
    '[Unit]',
    'Description=portknock: closed ports that open to who knocks',
    'Documentation=man:portknockd(8)',
    '# After what may flush the rules; before what is hidden (add yours: systemctl edit portknockd).',
    `After=network.target ${FIREWALLS.map((name) => `${name}.service`).join(' ')}`,
    'Before=ssh.service sshd.service',
    ...(legacy ? [`Wants=${modules.join(' ')}`, `After=${modules.join(' ')}`] : []),
    '# However often it fails, it is tried again: while it does not run, the ports are closed to everybody.',
    'StartLimitIntervalSec=0',
    '',
  ];
}

function serviceSection({ node, programs, config, stateDir, user, legacy, writes }: Service): string[] {
  // With ! it starts as root all the same, and becomes `user` where it needs no rights.
  const start = commandLine([node, `${programs}/portknockd.js`, '--config', config]);
  const reload = commandLine([node, `${programs}/portknock.js`, 'reload', '--config', config]);
  const state = relative('/var/lib', stateDir);
  const managed = state !== '' && /^(?!\.\.)[\w/@+,-][\w/.@+,-]*$/u.test(state);
  const writable = [...(managed ? [] : [stateDir]), ...(legacy ? [XTABLES_LOCK] : []), ...writes];
  return [
    '[Service]',
    'Type=notify',
    '# systemd-notify, which is a child of the main process, speaks for it.',
    'NotifyAccess=all',
    ...(user === 'root' ? [`ExecStart=${start}`] : [`User=${user}`, `ExecStart=!${start}`]),
    '# The state belongs to the half without rights: asking it takes the rights of an administrator.',
    `ExecReload=+${reload}`,
    'Restart=on-failure',
    'RestartSec=5s',
    'WatchdogSec=60s',
    'TimeoutStopSec=10s',
    'KillMode=mixed',
    ...(managed ? [`StateDirectory=${quoted(state)}`, 'StateDirectoryMode=0700'] : []),
    'RuntimeDirectory=portknock',
    ...(writable.length > 0
      ? [`ReadWritePaths=${writable.map((path) => quoted(`-${path}`)).join(' ')}`]
      : []),
    'UMask=0077',
    'LimitNOFILE=4096',
    '# A core would hold keys.',
    'LimitCORE=0',
    'MemoryMax=512M',
    'TasksMax=256',
    '',
  ];
}

function hardening({ internet, home }: Service): readonly string[] {
  return [
    '# What is left of root',
    `CapabilityBoundingSet=${CAPABILITIES.join(' ')}`,
    'NoNewPrivileges=yes',
    'RestrictSUIDSGID=yes',
    'LockPersonality=yes',
    'RestrictRealtime=yes',
    'RestrictNamespaces=yes',
    'KeyringMode=private',
    '',
    '# What it sees of the host. /proc/net holds the kernel lists that it writes: no ProcSubset=pid.',
    'ProtectSystem=strict',
    `ProtectHome=${home ? 'read-only' : 'yes'}`,
    'PrivateTmp=yes',
    'PrivateDevices=yes',
    'DevicePolicy=closed',
    'PrivateMounts=yes',
    'PrivateIPC=yes',
    'RemoveIPC=yes',
    'ProtectProc=invisible',
    'ProtectKernelTunables=yes',
    'ProtectKernelModules=yes',
    'ProtectKernelLogs=yes',
    'ProtectControlGroups=yes',
    'ProtectClock=yes',
    'ProtectHostname=yes',
    '',
    '# What it may ask of the kernel. Node compiles as it runs: no MemoryDenyWriteExecute.',
    `RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_PACKET${internet ? ' AF_INET AF_INET6' : ''}`,
    ...(internet ? [] : ['IPAddressDeny=any']),
    'SystemCallArchitectures=native',
    'SystemCallFilter=@system-service',
    'SystemCallFilter=~@resources',
    'SystemCallErrorNumber=EPERM',
    '',
  ];
}

const INSTALL = ['[Install]', 'WantedBy=multi-user.target'];
