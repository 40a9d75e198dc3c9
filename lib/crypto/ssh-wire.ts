// How SSH puts values into bytes (RFC 4251 section 5), and the armour that OpenSSH puts around them in files. Malformed
// bytes are no exception: a reader that ran short gives empty values from then on, and says so when asked.

import { parseBase64 } from '../base64.ts';

const ARMOR_COLUMNS = 70;
const DASHES = '-'.repeat(5);
const NOTHING = Buffer.alloc(0);

/** Four bytes, big-endian. */
export function sshUint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Four bytes of length, then the bytes (of UTF-8, when it is text). */
export function sshString(value: Uint8Array | string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  return Buffer.concat([sshUint32(bytes.length), bytes]);
}

/** Reads one value after the other. What it hands out are views of the bytes it was given. */
export class SshReader {
  readonly #bytes: Buffer;
  #at = 0;
  #sound = true;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** False once a value did not fit into the bytes that were left. */
  get sound(): boolean {
    return this.#sound;
  }

  /** Whether all values fitted and no byte is left. */
  get ended(): boolean {
    return this.#sound && this.#at === this.#bytes.length;
  }

  bytes(length: number): Buffer {
    const start = this.#at;
    if (length <= this.#bytes.length - start) {
      this.#at += length;
      return this.#bytes.subarray(start, this.#at);
    }
    this.#sound = false;
    this.#at = this.#bytes.length;
    return NOTHING;
  }

  byte(): number {
    return this.bytes(1)[0] ?? 0;
  }

  uint32(): number {
    const bytes = this.bytes(4);
    return bytes.length === 4 ? bytes.readUInt32BE() : 0;
  }

  string(): Buffer {
    return this.bytes(this.uint32());
  }

  text(): string {
    return this.string().toString('utf8');
  }

  rest(): Buffer {
    return this.bytes(this.#bytes.length - this.#at);
  }
}

/** Bytes between a BEGIN and an END line of `label`, as text that ends in a line feed. */
export function sshArmor(label: string, bytes: Uint8Array): string {
  const base64 = Buffer.from(bytes).toString('base64');
  const lines = Array.from({ length: Math.ceil(base64.length / ARMOR_COLUMNS) }, (_, row) =>
    base64.slice(row * ARMOR_COLUMNS, (row + 1) * ARMOR_COLUMNS),
  );
  return [borderOf('BEGIN', label), ...lines, borderOf('END', label), ''].join('\n');
}

/** Whether the text begins with the BEGIN line of `label`. */
export function hasSshArmor(label: string, text: string): boolean {
  return text.trimStart().startsWith(borderOf('BEGIN', label));
}

/** The bytes in armour of `label`; `null` when a border is missing or the text between is not base64. */
export function parseSshArmor(label: string, text: string): Buffer | null {
  const [begin, end, trimmed] = [borderOf('BEGIN', label), borderOf('END', label), text.trim()];
  if (!trimmed.startsWith(begin) || !trimmed.endsWith(end)) return null;
  return parseBase64(trimmed.slice(begin.length, -end.length).replace(/\s/gu, ''));
}

function borderOf(edge: 'BEGIN' | 'END', label: string): string {
  return `${DASHES}${edge} ${label}${DASHES}`;
}
