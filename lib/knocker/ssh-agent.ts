// A signer that asks an ssh-agent (draft-ietf-sshm-ssh-agent): the private key stays where it is. The agent may ask its
// user in turn, so it gets half a minute; what it answers is bounded, and believed only once the signature verifies.

import { verify, type KeyObject } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { systemClock, type Clock } from '../clock.ts';
import { keyOfBlob, SSH_KEY_TYPE, sshFingerprint } from '../crypto/ssh-key.ts';
import { ed25519PublicKey } from '../crypto/sshsig.ts';
import { SshReader, sshString, sshUint32 } from '../crypto/ssh-wire.ts';
import { KnockError, printable, systemCode } from '../errors.ts';
import type { Signer } from './signer.ts';
import { unlessAborted } from './wait.ts';

/** {@link agentSigner}'s options. */
export interface AgentSignerOptions {
  /** The agent's socket: the value of `SSH_AUTH_SOCK`. */
  readonly socketPath: string;
  /** The Ed25519 key blob of the key that is to sign, 51 bytes. */
  readonly publicKey: Uint8Array;
  /** How long one signature may take, the user's confirmation included: 30 s unless given. */
  readonly timeoutMs?: number;
  readonly clock?: Clock;
}

interface Wanted {
  readonly publicKey: Buffer;
  readonly key: KeyObject;
  readonly message: Uint8Array;
}

type Ask = (request: Buffer) => Promise<SshReader>;

const REQUEST_IDENTITIES = 11;
const IDENTITIES_ANSWER = 12;
const SIGN_REQUEST = 13;
const SIGN_RESPONSE = 14;
const FAILURE = 5;

const TIMEOUT_MS = 30_000;
const MOST_ANSWER_BYTES = 256 * 1024;
const LENGTH_BYTES = 4;
const SIGNATURE_BYTES = 64;

/**
 * A signer that has an ssh-agent sign. It connects anew for each signature.
 * Its `sign` rejects with KnockError `ERR_AGENT` when there is no agent, it does not have the key, refuses, answers
 * nonsense or takes too long.
 *
 * @throws TypeError when `socketPath` is empty, RangeError when `publicKey` is not an Ed25519 key blob
 * @example
 * ```ts
 * const signer = agentSigner({ socketPath: process.env.SSH_AUTH_SOCK ?? '', publicKey });
 * ```
 */
export function agentSigner(options: AgentSignerOptions): Signer {
  const { socketPath, clock = systemClock, timeoutMs = TIMEOUT_MS } = options;
  const publicKey = Buffer.from(options.publicKey);
  const raw = keyOfBlob(publicKey);
  if (raw === null) {
    throw new RangeError(`publicKey must be an ${SSH_KEY_TYPE} key blob (got ${publicKey.length} bytes)`);
  }
  if (socketPath === '') throw new TypeError("socketPath must be the path of the agent's socket (got '')");
  const key = ed25519PublicKey(raw);

  return {
    publicKey,
    async sign(message, { signal } = {}) {
      signal?.throwIfAborted();
      const socket = connect({ path: socketPath });
      const cancel = clock.after(timeoutMs, () => {
        socket.destroy(
          failure(`ssh-agent did not answer within ${timeoutMs / 1000} s`, 'confirm the signature in time'),
        );
      });
      try {
        return await unlessAborted(signature(asker(socket, socketPath), { publicKey, key, message }), signal);
      } finally {
        cancel();
        socket.destroy();
      }
    },
  };
}

async function signature(ask: Ask, { publicKey, key, message }: Wanted): Promise<Buffer> {
  const identities = await ask(Buffer.of(REQUEST_IDENTITIES));
  if (!holds(identities, publicKey)) {
    const name = sshFingerprint(publicKey);
    throw failure(`ssh-agent does not have the key ${name}`, 'ssh-add FILE; if it is locked: ssh-add -X');
  }
  const flags = sshUint32(0);
  const answer = await ask(
    Buffer.concat([Buffer.of(SIGN_REQUEST), sshString(publicKey), sshString(message), flags]),
  );
  const type = answer.byte();
  if (type === FAILURE) throw failure('ssh-agent refused to sign', 'confirm the signature when it asks');
  const wrapped = new SshReader(answer.string());
  const [algorithm, bytes] = [wrapped.text(), wrapped.string()];
  const sound = answer.ended && wrapped.ended && bytes.length === SIGNATURE_BYTES;
  if (type !== SIGN_RESPONSE || !sound || algorithm !== SSH_KEY_TYPE) throw nonsense('no signature');
  if (!verify(null, message, key, bytes)) throw nonsense('a signature that does not verify');
  return bytes;
}

function holds(answer: SshReader, blob: Buffer): boolean {
  const type = answer.byte();
  if (type === FAILURE) throw failure('ssh-agent refused to list its keys', 'unlock it: ssh-add -X');
  if (type !== IDENTITIES_ANSWER) throw nonsense('no list of keys');
  let found = false;
  for (let left = answer.uint32(); left > 0 && answer.sound; left -= 1) {
    found = answer.string().equals(blob) || found;
    answer.string(); // the comment
  }
  if (!answer.ended) throw nonsense('no list of keys');
  return found;
}

/** Sends a request and gives what the agent answers, its length taken off. */
function asker(socket: Socket, socketPath: string): Ask {
  const chunks = (socket as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);
  const hold = async (count: number): Promise<void> => {
    const parts = [held];
    for (let had = held.length; had < count; had += parts.at(-1)?.length ?? 0) {
      parts.push(await nextOf(chunks, socketPath));
    }
    held = Buffer.concat(parts);
  };
  return async (request) => {
    socket.write(sshString(request));
    await hold(LENGTH_BYTES);
    const end = LENGTH_BYTES + held.readUInt32BE();
    if (end > MOST_ANSWER_BYTES) throw nonsense(`${end} bytes at once`);
    await hold(end);
    const answer = held.subarray(LENGTH_BYTES, end);
    held = held.subarray(end);
    return new SshReader(answer);
  };
}

async function nextOf(chunks: AsyncIterator<Buffer, unknown>, socketPath: string): Promise<Buffer> {
  let cause: unknown;
  try {
    const next = await chunks.next();
    if (next.done !== true) return next.value;
  } catch (error) {
    if (error instanceof KnockError) throw error;
    cause = error;
  }
  const code = systemCode(cause);
  if ((cause as NodeJS.ErrnoException | undefined)?.syscall === 'connect') {
    const where = `${printable(socketPath)}: ${printable(code)}`;
    throw failure(`no ssh-agent listens at ${where}`, 'start one, or set SSH_AUTH_SOCK', cause);
  }
  throw failure('ssh-agent hung up instead of answering', 'see whether it works: ssh-add -l', cause);
}

function nonsense(what: string): KnockError {
  return failure(`ssh-agent answered nonsense: ${what}`, 'is SSH_AUTH_SOCK the socket of an ssh-agent?');
}

function failure(message: string, advice: string, cause?: unknown): KnockError {
  return new KnockError('ERR_AGENT', `${message} (${advice})`, cause === undefined ? {} : { cause });
}
