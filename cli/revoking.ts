// Takes a grant back by its id, or by as much of its beginning as fits no other.

import type { KnockListener } from '../lib/index.ts';
import type { Answer } from './control.ts';

const MOST_NAMED = 4;

/** The answer says which grant it was. */
export async function revoke(
  listener: Pick<KnockListener, 'grants' | 'revoke'>,
  id: string,
): Promise<Answer> {
  const meant = listener.grants.filter((grant) => grant.id.startsWith(id));
  const exact = meant.find((grant) => grant.id === id);
  if (exact === undefined && meant.length > 1) {
    const some = meant.slice(0, MOST_NAMED).map((grant) => grant.id);
    const more = meant.length > MOST_NAMED ? '...' : '';
    const message = `'${id}' fits ${meant.length} open grants: ${some.join(', ')}${more} (give more of the id)`;
    return { ok: false, message };
  }
  const grant = exact ?? meant[0];
  // A grant that is on its way in is found by its whole id.
  const whole = grant?.id ?? id;
  if (!(await listener.revoke(whole))) {
    return { ok: false, message: `there is no open grant '${id}' (portknock grants lists them)` };
  }
  const facts = grant === undefined ? {} : factsOf(grant);
  return { ok: true, id: whole, ...facts };
}

function factsOf({ client, service, port, source }: KnockListener['grants'][number]) {
  return { client, service, port, source };
}
