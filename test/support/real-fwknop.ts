// The real fwknop client: packets that it makes and does not send.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What stands on its command line, without dashes: `{ A: 'tcp/22', 'use-hmac': true }`. */
export type FwknopOptions = Readonly<Record<string, string | true>>;

const USUAL: FwknopOptions = { A: 'tcp/22', a: '1.2.3.4', D: '127.0.0.1', U: 'alice' };

/** Says why the real client cannot be asked here, or nothing. */
export function fwknopFault(): string | null {
  const { error } = spawnSync('fwknop', ['--version']);
  return error === undefined ? null : 'fwknop is missing (apt-get install fwknop-client)';
}

/** A home for the client, since it writes there. */
export class RealFwknop {
  readonly #home = mkdtempSync(join(tmpdir(), 'portknock-fwknop-'));

  /** The characters of a packet. */
  packet(options: FwknopOptions): string {
    const file = join(this.#home, 'packet');
    rmSync(file, { force: true });
    const args = Object.entries({ ...USUAL, ...options }).flatMap(([name, value]) => {
      const dashed = name.length === 1 ? `-${name}` : `--${name}`;
      return value === true ? [dashed] : [dashed, value];
    });
    const { stdout, stderr } = spawnSync(
      'fwknop',
      ['--no-rc-file', '--no-save-args', '-T', '-B', file, ...args],
      { encoding: 'utf8', env: { ...process.env, HOME: this.#home } },
    );
    // It writes packets that it then finds too long, and says so by its status.
    if (!existsSync(file)) throw new Error(`fwknop ${args.join(' ')}: ${stderr}${stdout}`);
    // The file ends with a line feed, the datagram does not.
    return readFileSync(file, 'latin1').trimEnd();
  }

  remove(): void {
    rmSync(this.#home, { recursive: true });
  }
}
