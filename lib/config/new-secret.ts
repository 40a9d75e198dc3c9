// A secret that has just been made, and its file as it will be.

import { randomBytes } from 'node:crypto';
import type { HostFile } from './files.ts';

const SECRET_BYTES = 32;

/** 32 random bytes in base64. */
export function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64');
}

/** A private file of ours with this text. */
export function ownFile(text: string): HostFile {
  return { text, mode: 0o600, uid: process.getuid?.() ?? 0, regular: true, whole: true };
}
