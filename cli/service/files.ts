// Which files make a service, and where systemd looks for an administrator's.

import { join } from 'node:path';
import { sysusersText, tmpfilesText } from './account-files.ts';
import type { MarkedFile } from './marked.ts';
import { unitText, type Service } from './unit.ts';

/** The files below `root`. */
export function serviceFiles(service: Service, root: string): readonly MarkedFile[] {
  const sysusers = sysusersText(service);
  return [
    { path: join(root, 'etc/systemd/system/portknockd.service'), text: unitText(service) },
    ...(sysusers === null ? [] : [{ path: join(root, 'etc/sysusers.d/portknock.conf'), text: sysusers }]),
    { path: join(root, 'etc/tmpfiles.d/portknock.conf'), text: tmpfilesText(service) },
  ];
}
