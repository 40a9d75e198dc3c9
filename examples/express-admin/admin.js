// Asks the admin API: node admin.js PROFILE KEY PATH
// Every connection of the agent is knocked for; requests that follow soon go over the same one.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { get } from 'node:http';
import { keySigner, Knocker, parseProfile } from 'portknock/knocker';

const [profileFile, keyFile, path] = process.argv.slice(2);
const profile = parseProfile(await readFile(profileFile, 'utf8'));
const signer = await keySigner(await readFile(keyFile, 'utf8'));
const agent = new Knocker(profile, { signer }).agent();
const [answer] = await once(
  get({ host: profile.host, port: profile.services.admin, path, agent }),
  'response',
);
answer.pipe(process.stdout);
