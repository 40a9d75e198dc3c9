// A service manager's end of sd_notify(3): a unix datagram socket, which Node cannot make, so python3 does.

import { spawn } from 'node:child_process';
import { Lines } from '../cli/support.ts';

/** One message a line; the descriptors of barriers are closed at once, as systemd does when it has come to them. */
const RECEIVER = `
import array, json, os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print(json.dumps("bound"), flush=True)
while True:
    data, extra, _, _ = s.recvmsg(4096, socket.CMSG_SPACE(4 * 16))
    for level, kind, raw in extra:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            for fd in array.array("i", raw): os.close(fd)
    if data != b"BARRIER=1": print(json.dumps(data.decode()), flush=True)
`;

/** What was said, in order. */
export interface NotifySocket {
  readonly path: string;
  /** The messages up to now. */
  readonly heard: readonly string[];
  /** Resolves to the message with this line in it, that has come or comes. */
  find(line: string | RegExp): Promise<string>;
  close(): void;
}

export async function openNotifySocket(path: string): Promise<NotifySocket> {
  const child = spawn('python3', ['-c', RECEIVER, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = new Lines(child.stdout);
  await lines.find((line) => line === '"bound"');
  const parse = (line: string): string => JSON.parse(line) as string;
  return {
    path,
    get heard() {
      return lines.all.slice(1).map(parse);
    },
    async find(wanted) {
      const fits = (line: string): boolean =>
        typeof wanted === 'string' ? line === wanted : wanted.test(line);
      return parse(await lines.find((line) => parse(line).split('\n').some(fits)));
    },
    close: () => {
      child.kill('SIGKILL');
    },
  };
}
