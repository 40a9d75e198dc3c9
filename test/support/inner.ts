// A host behind the gateway of a world (netns.ts): on a link of its own, its way back leads through the gateway, which
// forwards both families. Nothing here changes an address.

import { Namespace, type World } from './netns.ts';

/** What is joined to the gateway's other side. */
export interface Inner {
  readonly space: Namespace;
  readonly address: { readonly 4: string; readonly 6: string };
  destroy(): Promise<void>;
}

export async function joinInner({ gateway }: World): Promise<Inner> {
  const space = await Namespace.create();
  const peer = ['peer', 'name', 'in0', 'netns', String(space.pid)];
  await gateway.must('ip', ['link', 'add', 'gw1', 'type', 'veth', ...peer]);
  for (const [one, device, host] of [
    [gateway, 'gw1', 1],
    [space, 'in0', 5],
    [space, 'in0', 6],
  ] as const) {
    await one.must('ip', ['addr', 'add', `10.78.0.${host}/24`, 'dev', device]);
    await one.must('ip', ['-6', 'addr', 'add', `fd78::${host}/64`, 'dev', device, 'nodad']);
    // Who has no link-local address yet asks for no neighbour on behalf of others.
    await one.must('sysctl', ['-qw', `net.ipv6.conf.${device}.accept_dad=0`]);
    await one.must('ip', ['link', 'set', device, 'up']);
  }
  await space.must('ip', ['route', 'add', 'default', 'via', '10.78.0.1']);
  await space.must('ip', ['-6', 'route', 'add', 'default', 'via', 'fd78::1']);
  for (const name of ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'])
    await gateway.must('sysctl', ['-qw', name]);
  return { space, address: { 4: '10.78.0.5', 6: 'fd78::5' }, destroy: () => space.destroy() };
}
