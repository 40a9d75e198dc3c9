// The capture process: opens the interface, gives up root, and writes what passes the kernel's filter to its standard
// output. It is a process of its own because libpcap's loop starves every timer while packets come, cannot be closed
// while they do not, and is native code that reads what strangers send. The parent ends it by killing it.

import { writeSync } from 'node:fs';
import {
  encodeFrame,
  FRAME_HEADER,
  SNAP_LENGTH,
  type ChildFault,
  type ChildOrder,
  type ChildReport,
} from './frames.ts';
import { Hearing, isHooked, ownPacketSocket } from './hearing.ts';

/** The part of the package `pcap` that we use; its own types are ten years old. */
interface Pcap {
  warningHandler: (text: string) => void;
  createSession(device: string, options: object): PcapSession;
}

interface PcapSession {
  readonly link_type: string;
  on(event: 'packet', run: (packet: { readonly buf: Buffer; readonly header: Buffer }) => void): void;
  stats(): { readonly ps_recv: number; readonly ps_drop: number };
  /** The binding; its callback reads what waits, and is looked up each time that the socket calls. */
  readonly session: { read_callback: () => void };
}

/** Kernel buffer for packets that we have not read yet, bytes: about 30,000 knocks. */
const BUFFER_SIZE = 16 * 1024 * 1024;
const STATS_MS = 2000;

process.once('message', (order: ChildOrder) => {
  // The channel's end is the parent's end, however it came about.
  process.once('disconnect', () => process.exit(0));
  start(order).catch((error: unknown) => {
    const message = error instanceof Error ? error.message : String(error);
    report({ kind: 'failed', fault: faultOf(error, message), message }, () => process.exit(1));
  });
});

async function start({ device, filter, uid, gid }: ChildOrder): Promise<void> {
  const pcap = await loadPcap();
  const session = pcap.createSession(device, {
    filter,
    promiscuous: false,
    snap_length: SNAP_LENGTH,
    buffer_size: BUFFER_SIZE,
    buffer_timeout: 0,
  });
  const socket = ownPacketSocket();
  giveUpRoot(uid, gid);
  const link = linkNumber(session.link_type);
  const frame = Buffer.alloc(FRAME_HEADER + SNAP_LENGTH);
  let read = 0;
  session.on('packet', ({ buf, header }) => {
    read += 1;
    const length = encodeFrame(frame, header, buf, link);
    // A blocking write: when the parent is slower than the packets, they wait in the kernel's bounded buffer.
    for (let sent = 0; sent < length;) sent += write(frame, sent, length - sent);
  });
  report({ kind: 'ready', droppedRoot: process.getuid?.() !== 0 });
  // Quiet seconds must cost nothing, and an interface that goes down is a call, too.
  let isCalled = true;
  const { read_callback: readWaiting } = session.session;
  session.session.read_callback = () => {
    isCalled = true;
    readWaiting();
  };
  let dropped = 0;
  const hearing = new Hearing(session.stats().ps_recv);
  setInterval(() => {
    if (isCalled && socket !== null && !isHooked(socket)) {
      end(session, 'down');
      return;
    }
    isCalled = false;
    const { ps_recv: received, ps_drop: drop } = session.stats();
    if (drop !== dropped) report({ kind: 'dropped', count: (drop - dropped) >>> 0 });
    dropped = drop;
    if (!hearing.goesOn(received, read)) end(session, 'deaf');
  }, STATS_MS);
}

/** Ends what hears no more, with what still waits to be read: it cannot be opened again without root. */
function end({ session }: PcapSession, fault: ChildFault): void {
  session.read_callback();
  report({ kind: 'failed', fault, message: '' }, () => process.exit(1));
}

async function loadPcap(): Promise<Pcap> {
  const module: { readonly default: unknown } = await import('pcap');
  const pcap = module.default as Pcap;
  // It reports an interface without an IPv4 address on stderr.
  pcap.warningHandler = () => undefined;
  return pcap;
}

/** Capture needs root only to be opened. In a user namespace without other users there is nobody to become. */
function giveUpRoot(uid: number, gid: number): void {
  if (process.getuid?.() !== 0) return;
  try {
    process.setgroups?.([]);
    process.setgid?.(gid);
    process.setuid?.(uid);
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    if (code !== 'EINVAL' && code !== 'EPERM') throw error;
    return;
  }
  if (process.getuid() === 0) throw new Error('root could not be given up');
}

function write(bytes: Buffer, from: number, length: number): number {
  try {
    return writeSync(1, bytes, from, length);
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    if (code === 'EPIPE') process.exit(0);
    if (code === 'EAGAIN') return 0;
    throw error;
  }
}

/** libpcap's name to the number of packet/link.ts. */
function linkNumber(name: string): number {
  const names: Readonly<Record<string, number>> = {
    LINKTYPE_NULL: 0,
    LINKTYPE_ETHERNET: 1,
    LINKTYPE_RAW: 101,
    LINKTYPE_LINUX_SLL: 113,
  };
  const number = names[name] ?? Number(/^Unknown linktype (\d+)$/u.exec(name)?.[1] ?? Number.NaN);
  if (Number.isNaN(number)) throw new Error(`link type ${name} is not supported`);
  // DLT_RAW is 12 or 14 on some systems where savefiles say 101.
  return number === 12 || number === 14 ? 101 : number;
}

function faultOf(error: unknown, message: string): ChildFault {
  const code = (error as { code?: unknown } | null)?.code;
  if (code === 'ERR_MODULE_NOT_FOUND') return 'absent';
  if (code === 'MODULE_NOT_FOUND' || code === 'ERR_DLOPEN_FAILED') return 'unbuilt';
  if (/permission|not permitted/iu.test(message)) return 'permission';
  if (/device is not up/iu.test(message)) return 'down';
  if (/no such device|doesn't exist|No such device exists/iu.test(message)) return 'interface';
  return 'other';
}

function report(message: ChildReport, sent?: () => void): void {
  process.send?.(message, undefined, undefined, () => sent?.());
}
