// The public key line of a profile (it has been checked when the profile was read): what is compared, what is shown.

import { createHash } from 'node:crypto';
import { printable } from '../lib/knocker.ts';

/** The key as SSH sends it. */
export function keyBlobOf(line: string): Buffer {
  return Buffer.from(line.trim().split(/[ \t]+/u)[1] ?? '', 'base64');
}

/** `SHA256:... alice@laptop`: the fingerprint as `ssh-keygen -l` prints it, and the comment. */
export function keyNameOf(line: string): string {
  const [, , ...comment] = line.trim().split(/[ \t]+/u);
  const hash = createHash('sha256').update(keyBlobOf(line)).digest('base64').replace('=', '');
  return [`SHA256:${hash}`, ...(comment.length === 0 ? [] : [printable(comment.join(' '), 80)])].join(' ');
}
