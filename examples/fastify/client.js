// Asks the API: node client.js
// `connect` knocks, with fresh knocks until the port accepts, and gives the socket of the one connection.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { get } from 'node:http';
import { Knocker, parseProfile } from 'portknock/knocker';

const profile = parseProfile(await readFile('client.knock', 'utf8'));
const socket = await new Knocker(profile).connect('api');
const [answer] = await once(get({ path: '/jobs', createConnection: () => socket }), 'response');
for await (const chunk of answer) process.stdout.write(chunk);
process.stdout.write('\n');
