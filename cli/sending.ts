// One run of `portknock send`: what is done, and what is said about it, to people or as JSON.

import { isKnockError, KnockError, messageOf, type Knocked } from '../lib/knocker.ts';
import { UsageError } from './args.ts';
import type { Client } from './client.ts';
import { asciiJson, print, tell } from './report.ts';

/** What is asked for. */
export interface SendTask {
  readonly service: string | undefined;
  readonly timeoutMs: number;
  /** Until the port accepts. */
  readonly wait: boolean;
  /** Takes openings back instead. */
  readonly close: boolean;
  readonly json: boolean;
}

/** Knocks, and reports it. @throws UsageError, KnockError */
export async function send({ profile, knocker, clockWarning }: Client, task: SendTask): Promise<void> {
  const { service, timeoutMs, wait, close } = task;
  if (close && profile.scheme !== 'spa') {
    throw new UsageError(`--close needs a profile of scheme spa, not ${profile.scheme}`);
  }
  let sent: Knocked;
  try {
    sent = wait
      ? await knocker.knockAndWait(service, { timeoutMs })
      : await knocker.knock(service, { close, signal: AbortSignal.timeout(timeoutMs) });
  } catch (error) {
    await warnOfClock(clockWarning);
    throw isTimeout(error) ? notSent(timeoutMs) : error;
  }
  if (sent.clockBehindMs !== undefined) await warnOfClock(clockWarning);
  if (task.json) print(asciiJson({ ok: true, ...factsOf(profile, sent, task) }));
  else tell(wordsOf(sent, task));
}

/** What a program reads instead of the line for people. */
export function failureJson(error: unknown): string {
  const code = isKnockError(error)
    ? error.code
    : error instanceof UsageError
      ? 'ERR_USAGE'
      : 'ERR_UNEXPECTED';
  return asciiJson({ ok: false, code, message: messageOf(error) });
}

/** A line on stderr when this computer's clock is wrong. */
export async function warnOfClock(clockWarning: Client['clockWarning']): Promise<void> {
  const warning = await clockWarning();
  if (warning !== null) tell(`portknock: ${warning}`, 'yellow');
}

function factsOf({ client, scheme }: Client['profile'], sent: Knocked, { service, wait, close }: SendTask) {
  const { sentTo, packets, step, clockBehindMs } = sent;
  return {
    ...{ client, scheme, service, sent_to: sentTo, packets, step },
    ...(clockBehindMs === undefined ? {} : { clock_behind_seconds: Math.round(clockBehindMs / 100) / 10 }),
    ...(wait ? { accepted: true } : {}),
    ...(close ? { close: true } : {}),
  };
}

function wordsOf({ sentTo, packets }: Knocked, { service, wait, close }: SendTask): string {
  if (wait) return `${service ?? 'the port'} at ${sentTo} accepts; connect now`;
  const count = packets === 1 ? '1 packet' : `${packets} packets`;
  return close ? `asked ${sentTo} to close (${count})` : `knocked at ${sentTo} (${count})`;
}

function isTimeout(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'TimeoutError';
}

function notSent(timeoutMs: number): KnockError {
  return new KnockError(
    'ERR_SEND',
    `knock was not sent within ${timeoutMs / 1000} s (check the network and the DNS, or give it a longer --timeout)`,
  );
}
