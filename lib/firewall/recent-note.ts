// Changing xt_recent lists where /proc cannot be written (the root of a user namespace): rules in OUTPUT put the
// destination of a datagram on a list and drop it. We send such datagrams from a socket of our own; none leaves the host.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { KnockError, systemCode } from '../errors.ts';
import { listLimit, readList, type RecentLists } from './recent-file.ts';

export const NOTE = 'PK-NOTE';
/** Destination ports name the list: FIRST + 2i adds to list i, the next one removes. Nothing is ever sent there. */
const FIRST_PORT = 1024;

/** Lists that are written by datagrams. */
export async function noteLists(lists: readonly string[]): Promise<RecentLists> {
  const sockets = { 4: await bind('udp4', '0.0.0.0'), 6: await bind('udp6', '::') };

  const send = async (list: string, offset: 0 | 1, source: string): Promise<void> => {
    const socket = sockets[source.includes(':') ? 6 : 4];
    const port = FIRST_PORT + 2 * lists.indexOf(list) + offset;
    await new Promise<void>((resolve, reject) => {
      socket.send('', port, source, (error) => {
        // The rule that noted the address dropped the datagram, and the kernel calls that EPERM.
        if (error === null || systemCode(error) === 'EPERM') resolve();
        else
          reject(
            new KnockError('ERR_FIREWALL_COMMAND', `${source} cannot be noted: ${error.message}`, {
              cause: error,
            }),
          );
      });
    });
    if (readList(list).includes(source) !== (offset === 0)) {
      throw new KnockError(
        'ERR_FIREWALL_COMMAND',
        `kernel list ${list} did not take ${source} (are our rules still there?)`,
      );
    }
  };
  const remove = (list: string, source: string): Promise<void> => send(list, 1, source);

  return {
    add: (list, source) => send(list, 0, source),
    remove,
    read: (list) => Promise.resolve(readList(list)),
    async clear(list) {
      for (const source of readList(list)) await remove(list, source);
    },
    limit: listLimit,
    rules(family) {
      const from = `-p udp --sport ${sockets[family].address().port}`;
      return [
        `:${NOTE} - [0:0]`,
        ...lists.flatMap((list, i) =>
          ['--set', '--remove'].map(
            (action, offset) =>
              `-A ${NOTE} -p udp --dport ${FIRST_PORT + 2 * i + offset} -m recent --name ${list} ${action} --rdest`,
          ),
        ),
        `-A ${NOTE} -j DROP`,
        // Only root's datagrams: another user must not open ports by binding our source port.
        `-I OUTPUT 1 ${from} -m owner --uid-owner 0 -j ${NOTE}`,
      ];
    },
    async close() {
      await Promise.all(Object.values(sockets).map((socket) => closed(socket)));
    },
  };
}

async function bind(type: 'udp4' | 'udp6', address: string): Promise<Socket> {
  const socket = createSocket({ type, ipv6Only: type === 'udp6' });
  socket.bind(0, address);
  await once(socket, 'listening');
  socket.unref();
  return socket;
}

async function closed(socket: Socket): Promise<void> {
  const done = once(socket, 'close');
  socket.close();
  await done;
}
