// Signature files of `ssh-keygen -Y` (OpenSSH's PROTOCOL.sshsig), written and read apart from the library's reader.

import { parseSshPublicKey } from '../../lib/crypto/ssh-key.ts';

const LABEL = 'SSH SIGNATURE';

/** A signature file that says that the key of `blob` signed with `namespace` portknock and hash sha512. */
export function armorSshsig(blob: Uint8Array, signature: Uint8Array): string {
  const fields = [blob, 'portknock', '', 'sha512', Buffer.concat([text('ssh-ed25519'), text(signature)])];
  const bytes = Buffer.concat([
    Buffer.from('SSHSIG\0\0\0\x01', 'latin1'),
    ...fields.map((field) => text(field)),
  ]);
  const lines = bytes.toString('base64').match(/.{1,70}/gu) ?? [];
  return [`-----BEGIN ${LABEL}-----`, ...lines, `-----END ${LABEL}-----`, ''].join('\n');
}

/** The 64 bytes at the end of a signature file with an Ed25519 signature. */
export function rawSignature(armored: string): Buffer {
  return Buffer.from(armored.replace(/-----.*-----|\s/gu, ''), 'base64').subarray(-64);
}

/** A line of an allowed_signers file. */
export function allowedSigner(principal: string, publicLine: string): string {
  const key = parseSshPublicKey(publicLine);
  return `${principal} ssh-ed25519 ${key?.blob.toString('base64') ?? ''}\n`;
}

function text(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(bytes.length);
  return Buffer.concat([head, bytes]);
}
