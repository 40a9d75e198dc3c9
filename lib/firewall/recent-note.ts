// Changing xt_recent lists where /proc cannot be written (the root of a user namespace): rules in OUTPUT put the
// destination of a datagram on a list and drop it. We send such datagrams from a socket of our own; none leaves the host.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { KnockError, systemCode } from '../errors.ts';
import { nameOf, type RecentList } from './iptables-lists.ts';
import { listLimit, readList, type RecentLists } from './recent-file.ts';

export const NOTE = 'PK-NOTE';
/** Destination ports name the list: FIRST + 2i adds to the list in slot i, the next one removes. Nothing is ever sent there. */
const FIRST_PORT = 1024;

/** Lists that are written by datagrams. */
export async function noteLists(): Promise<RecentLists> {
  const sockets = { 4: await bind('udp4', '0.0.0.0'), 6: await bind('udp6', '::') };
  // The first address of a prefix may be a link's broadcast address, and nothing is really sent there.
  sockets[4].setBroadcast(true);
  const slots: (string | null)[] = [];

  const slotOf = (name: string): number => {
    const at = slots.indexOf(name);
    if (at >= 0) return at;
    const free = slots.indexOf(null);
    if (free < 0) return slots.push(name) - 1;
    slots[free] = name;
    return free;
  };
  const send = async ({ name }: RecentList, offset: 0 | 1, address: string): Promise<void> => {
    const socket = sockets[address.includes(':') ? 6 : 4];
    const port = FIRST_PORT + 2 * slotOf(name) + offset;
    await new Promise<void>((resolve, reject) => {
      socket.send('', port, address, (error) => {
        // The rule that noted the address dropped the datagram, and the kernel calls that EPERM.
        if (error === null || systemCode(error) === 'EPERM') resolve();
        else
          reject(
            new KnockError('ERR_FIREWALL_COMMAND', `${address} cannot be noted: ${error.message}`, {
              cause: error,
            }),
          );
      });
    });
    if (readList(name).includes(address) !== (offset === 0)) {
      throw new KnockError(
        'ERR_FIREWALL_COMMAND',
        `kernel list ${name} did not take ${address} (are our rules still there?)`,
      );
    }
  };
  const remove = (list: RecentList, address: string): Promise<void> => send(list, 1, address);

  return {
    add: (list, address) => send(list, 0, address),
    remove,
    read: ({ name }) => Promise.resolve(readList(name)),
    async clear(list) {
      for (const address of readList(list.name)) await remove(list, address);
    },
    limit: listLimit,
    rules(family, lists) {
      const from = `-p udp --sport ${sockets[family].address().port}`;
      const own = lists.filter(({ width }) => width === null || width.family === family);
      return [
        `:${NOTE} - [0:0]`,
        ...own.flatMap((list) =>
          ['--set', '--remove'].map(
            (action, offset) =>
              `-A ${NOTE} -p udp --dport ${FIRST_PORT + 2 * slotOf(list.name) + offset} -m recent ${nameOf(list)} ${action} --rdest`,
          ),
        ),
        `-A ${NOTE} -j DROP`,
        // Only root's datagrams: another user must not open ports by binding our source port.
        `-I OUTPUT 1 ${from} -m owner --uid-owner 0 -j ${NOTE}`,
      ];
    },
    keep(lists) {
      const names = new Set(lists.map(({ name }) => name));
      for (const [i, name] of slots.entries()) if (name !== null && !names.has(name)) slots[i] = null;
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
