// The way to the kernel's nftables: one long-lived `nft -i`, started anew when it was killed or has heard much, and where
// none can be kept, an `nft -f -` per request.

import { KnockError, printable } from '../errors.ts';
import { NftDialogue, type NftAnswer } from './nftables-dialogue.ts';
import { attempt, type RunOptions } from './run.ts';

/** Longer than any transaction of ours takes, so that a stuck program is noticed. */
const TIMEOUT_MS = 5000;
/** `nft -i` remembers every line that it was told. */
const RENEW_AFTER = 4 * 1024 * 1024;
/** How long one that could not be kept is not tried again. */
const REST_MS = 60_000;
/** How often the operator is told that it ended. */
const SAY_MS = 60_000;
/** Who stops a service ends all its programs: then there is nobody to tell this to. */
const STOP_MS = 500;

const NFT: RunOptions = { timeoutMs: TIMEOUT_MS, ifMissing: 'install the Debian package nftables' };

/** Asked one request at a time. */
export class NftSession {
  #dialogue: NftDialogue | null = null;
  #restsUntil = -Infinity;
  #warning: (message: string) => void = () => undefined;
  #saidAt = -Infinity;
  #unsaid = 0;

  /** Who hears that it ended without being told to. */
  tell(warning: (message: string) => void): void {
    this.#warning = warning;
  }

  /**
   * Says lines, each a transaction of its own.
   *
   * @throws KnockError `ERR_FIREWALL_MISSING`
   */
  async ask(lines: readonly string[]): Promise<NftAnswer> {
    const dialogue = await this.#ready();
    return dialogue === null ? askOnce(lines) : dialogue.ask(lines);
  }

  /** Starts the program if none runs, which takes time that no opening should lose. */
  async wake(): Promise<void> {
    await this.#ready();
  }

  /** Ends the program; the next request starts another. */
  close(): void {
    this.#dialogue?.end();
    this.#dialogue = null;
  }

  /** A dialogue that has answered before; `null` where there can be none. */
  async #ready(): Promise<NftDialogue | null> {
    const held = this.#dialogue;
    if (held !== null && !held.over && held.written < RENEW_AFTER) return held;
    this.close();
    if (performance.now() < this.#restsUntil) return null;
    const fresh: NftDialogue = new NftDialogue(TIMEOUT_MS, (reason) => {
      if (this.#dialogue === fresh) this.#sayLater(reason);
    });
    if ((await fresh.ask([])).kind !== 'done') {
      fresh.end();
      this.#restsUntil = performance.now() + REST_MS;
      return null;
    }
    this.#dialogue = fresh;
    return fresh;
  }

  #sayLater(reason: KnockError): void {
    const say = (): void => {
      this.#say(reason);
    };
    setTimeout(say, STOP_MS).unref();
  }

  #say({ message }: KnockError): void {
    const now = performance.now();
    if (now < this.#saidAt + SAY_MS) {
      this.#unsaid += 1;
      return;
    }
    const before = this.#unsaid === 0 ? '' : `, and ${this.#unsaid} times before`;
    this.#warning(
      `${message}${before}: the next change starts another (what was under way failed and is not open)`,
    );
    this.#saidAt = now;
    this.#unsaid = 0;
  }
}

/** A process per line: several listings in one would be one request to the kernel, which nft 1.0.6 gets wrong. */
async function askOnce(lines: readonly string[]): Promise<NftAnswer> {
  const outputs: string[] = [];
  for (const line of lines) {
    const { status, stdout, stderr } = await attempt('nft', ['-f', '-'], { ...NFT, input: `${line}\n` });
    if (typeof status === 'string')
      return { kind: 'lost', reason: new KnockError('ERR_FIREWALL_COMMAND', `nft failed: ${status}`) };
    if (status !== 0) {
      const complaint = /\bError: (.*)$/mu.exec(stderr)?.[1] ?? `exit status ${status}`;
      return { kind: 'refused', complaint: printable(complaint) };
    }
    outputs.push(stdout);
  }
  return { kind: 'done', output: outputs.join('') };
}
