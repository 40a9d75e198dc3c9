// Lets an admin in: node setup.js NAME KEY.pub
// Writes NAME.knock, which says where and how to knock. The private key stays where it is; the service knows only KEY.pub.

import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createReplayFile, createSecret, formatProfile } from 'portknock';
import { ACCESS_KEY_FILE, ADMIN_PORT, ADMINS, GATEWAY, HOST, KNOCK_PORT, REPLAY_FILE } from './settings.js';

const [name = '', keyFile = ''] = process.argv.slice(2);
if (!/^[a-z0-9]+$/.test(name) || keyFile === '') {
  console.error('usage: node setup.js NAME KEY.pub (NAME: a-z and 0-9)');
  process.exit(2);
}

await mkdir('secrets', { recursive: true, mode: 0o700 });
await mkdir(ADMINS, { recursive: true });
// The first time only: all admins share the access key, and a replay file made anew would accept old knocks again.
await createSecret(ACCESS_KEY_FILE).then(() => createReplayFile(REPLAY_FILE), unlessThere);

const publicKey = (await readFile(keyFile, 'utf8')).trim();
const profile = formatProfile({
  scheme: 'spa',
  host: HOST,
  port: KNOCK_PORT,
  gateway: GATEWAY,
  client: name,
  key: publicKey,
  accessKey: Buffer.from(await readFile(ACCESS_KEY_FILE, 'utf8'), 'base64'),
  // 'exact' where no NAT is in between: then a knock is worth nothing to whoever sends it on from elsewhere.
  bind: 'observed',
  services: { admin: ADMIN_PORT },
});
// It holds the access key, so it is for its owner alone; `wx`: nothing is overwritten.
await writeFile(`${name}.knock`, profile, { mode: 0o600, flag: 'wx' });
await copyFile(keyFile, `${ADMINS}/${name}.pub`);
console.log(`${name}.knock`);

function unlessThere(error) {
  if (error.code !== 'ERR_EXISTS') throw error;
}
