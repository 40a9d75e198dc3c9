// Which keys an ssh-agent holds (draft-ietf-sshm-ssh-agent, "Requesting a list of keys"): asked beforehand, so that
// the choice between the agent and a key file is made before anything is signed.

import { connect } from 'node:net';

const REQUEST = Buffer.from([0, 0, 0, 1, 11]);
const ANSWER = 12;
const LENGTH_BYTES = 4;
const MOST_BYTES = 256 * 1024;
const PATIENCE_MS = 2000;

/** What the agent at `socketPath` says of a key; `silent` when nobody answers there as an agent does. */
export async function askAgent(socketPath: string, blob: Uint8Array): Promise<'holds' | 'lacks' | 'silent'> {
  const socket = connect({ path: socketPath });
  socket.setTimeout(PATIENCE_MS, () => socket.destroy());
  try {
    socket.write(REQUEST);
    let answer = Buffer.alloc(0);
    for await (const part of socket as AsyncIterable<Buffer>) {
      answer = Buffer.concat([answer, part]);
      if (answer.length > MOST_BYTES) break;
      if (answer.length < LENGTH_BYTES || answer.length < LENGTH_BYTES + answer.readUInt32BE()) continue;
      return answer[LENGTH_BYTES] === ANSWER && answer.includes(Buffer.from(blob)) ? 'holds' : 'lacks';
    }
  } catch {
    // Nobody listens there.
  } finally {
    socket.destroy();
  }
  return 'silent';
}
