// Asks the running portknockd over its control socket.

import { connect } from 'node:net';
import { KnockError, messageOf, printable, systemCode } from '../lib/knocker.ts';
import { controlPath, type Answer } from './control.ts';
import type { Request } from './requests.ts';

/** More than 40,000 grants with the longest names. */
const MOST_CHARS = 16 * 1024 * 1024;
/** A firewall may take its time. */
const PATIENCE_MS = 30_000;

/** The daemon's answer; `null` when none is running with this state directory. @throws KnockError `ERR_SEND` */
export async function askDaemon(
  stateDir: string,
  request: Request & { readonly command: string },
): Promise<Answer | null> {
  const path = controlPath(stateDir);
  const socket = connect({ path });
  socket.setTimeout(PATIENCE_MS, () => {
    socket.destroy(new Error('it does not answer'));
  });
  let text = '';
  try {
    socket.setEncoding('utf8').end(`${JSON.stringify(request)}\n`);
    for await (const part of socket as AsyncIterable<string>) {
      text += part;
      if (text.length > MOST_CHARS) throw new Error(`it answers with more than ${MOST_CHARS} characters`);
    }
    return answerOf(text);
  } catch (cause) {
    const code = systemCode(cause);
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return null;
    const why = code === 'EACCES' ? 'permission denied' : printable(code === '' ? messageOf(cause) : code);
    const advice = code === 'EACCES' ? 'run as its owner' : 'see its log';
    throw new KnockError(
      'ERR_SEND',
      `portknockd cannot be asked: ${printable(path, 1000)}: ${why} (${advice})`,
      {
        cause,
      },
    );
  } finally {
    socket.destroy();
  }
}

function answerOf(text: string): Answer {
  if (text === '') throw new Error('it hung up');
  const value: unknown = JSON.parse(text);
  const { ok, message } = value as { readonly ok?: unknown; readonly message?: unknown };
  if (ok === true || (ok === false && typeof message === 'string')) return value as Answer;
  throw new Error('its answer makes no sense');
}
