// portknock.conf of sysusers.d(5), the account, and of tmpfiles.d(5), who owns the state.

import { quoted } from './escape.ts';
import { XTABLES_LOCK, type Service } from './unit.ts';

/** The account of the half without rights; `null` when there is none. */
export function sysusersText({ user }: Pick<Service, 'user'>): string | null {
  return user === 'root' ? null : `u ${user} - "portknock, the half without rights" - -\n`;
}

/** The state directory, handed over to the account where it was root's before. */
export function tmpfilesText({ user, stateDir, legacy }: Service): string {
  const path = quoted(stateDir);
  return [
    `d ${path} 0700 ${user} ${user} -`,
    `Z ${path} - ${user} ${user} -`,
    // It must be there to be the one thing in /run that the service may write to.
    ...(legacy ? [`f ${XTABLES_LOCK} 0600 root root -`] : []),
    '',
  ].join('\n');
}
