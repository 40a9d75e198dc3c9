// portknock send: knocks, and on demand waits until the port accepts. Imports the light entry only.

import { isKnockError, messageOf, type Knocked, type Profile } from '../../lib/knocker.ts';
import { durationOption, readArgs, UsageError } from '../args.ts';
import { knockerOf, serviceOf } from '../client.ts';
import { readProfile } from '../profile.ts';
import { asciiJson, EXIT_DONE, print, tell } from '../report.ts';

const HELP = `usage: portknock send -p PROFILE [SERVICE] [options]

Knocks at the gateway of the profile. Without --wait nothing tells whether the
knock was accepted: the gateway never answers, the port is open or it is not.

  -p, --profile FILE   the profile; without it PORTKNOCK_PROFILE (path or text)
  -w, --wait           knock until SERVICE's port accepts a connection, close
                       it, and knock once more: the port is then open again
  -t, --timeout 10s    give up after this time
  -4, -6               only IPv4, only IPv6
      --json           one JSON object on stdout
  -h, --help           this text
  -V, --version        the version

Exit: 0 sent (with --wait: the port accepted), 1 failed, 2 usage or profile.
`;

const OPTIONS = {
  profile: { type: 'string', short: 'p' },
  wait: { type: 'boolean', short: 'w' },
  timeout: { type: 'string', short: 't', default: '10s' },
  ipv4: { type: 'boolean', short: '4' },
  ipv6: { type: 'boolean', short: '6' },
  json: { type: 'boolean' },
} as const;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, { program: 'portknock send', help: HELP, options: OPTIONS, words: [0, 1] });
  if (line === null) return EXIT_DONE;
  const { values, positionals } = line;
  if (values.ipv4 && values.ipv6) throw new UsageError('-4 and -6 exclude each other');
  const timeoutMs = durationOption('timeout', values.timeout);
  const family = values.ipv4 ? 4 : values.ipv6 ? 6 : undefined;
  try {
    const profile = await readProfile(values.profile);
    const service = serviceOf(profile, positionals[0], values.wait === true);
    const knocker = knockerOf(profile, family);
    const sent = values.wait
      ? await knocker.knockAndWait(service, { timeoutMs })
      : await knocker.knock(service, { signal: AbortSignal.timeout(timeoutMs) });
    report(profile, service, sent, { json: values.json === true, wait: values.wait === true });
    return EXIT_DONE;
  } catch (error) {
    if (values.json)
      print(
        asciiJson({
          ok: false,
          code: isKnockError(error) ? error.code : 'ERR_USAGE',
          message: messageOf(error),
        }),
      );
    throw error;
  }
}

function report(
  profile: Profile,
  service: string | undefined,
  sent: Knocked,
  as: { json: boolean; wait: boolean },
): void {
  const { sentTo, packets, step } = sent;
  const facts = { client: profile.client, scheme: profile.scheme, service, sent_to: sentTo, packets, step };
  if (as.json) print(asciiJson({ ok: true, ...facts, ...(as.wait ? { accepted: true } : {}) }));
  else if (as.wait) tell(`${service ?? 'the port'} at ${sentTo} accepts; connect now`);
  else tell(`knocked at ${sentTo} (${packets} packets)`);
}
