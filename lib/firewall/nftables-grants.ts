// Grants in the kernel's sets: made and taken back, several in one transaction, and asked which were used. When it is not
// known whether a transaction was done, its openings are taken back and fail: one that is made twice could admit twice.

import { parsePrefix } from '../address.ts';
import { KnockError } from '../errors.ts';
import { MOST_GRANTS, TABLE } from './nftables-rules.ts';
import { NftSession } from './nftables-session.ts';
import {
  changeLine,
  deleteLines,
  elementsIn,
  kindsOf,
  setName,
  type Change,
  type Group,
  type SetKind,
} from './nftables-sets.ts';

/** The kernel counts an opening's time from when it is made, so that one made late would end late. */
const LATE_MS = 500;
const ABSENT = /no such file or directory/iu;

/** Asked one thing at a time. */
export class NftGrants {
  readonly #session = new NftSession();

  /** Who hears of an nft that ended. */
  tell(warning: (message: string) => void): void {
    this.#session.tell(warning);
  }

  /**
   * Makes all changes; says of each what went wrong, or `null`. An opening that went wrong is not open. No two may be
   * for the same service and source.
   *
   * @throws KnockError `ERR_FIREWALL_MISSING`
   */
  async apply(changes: readonly Change[], again = true): Promise<readonly (KnockError | null)[]> {
    if (changes.length === 0) return [];
    await this.#session.wake();
    const began = performance.now();
    const answer = await this.#session.ask([changeLine(TABLE, changes)]);
    switch (answer.kind) {
      case 'done': {
        const ms = Math.round(performance.now() - began);
        return ms <= LATE_MS ? changes.map(() => null) : this.#takeBack(changes, tooLate(ms));
      }
      case 'lost':
        return this.#takeBack(changes, answer.reason);
      case 'refused':
        // Nothing of it was done, and one of them may be at fault.
        if (changes.length > 1) return this.#oneByOne(changes);
        // On an older kernel an element can end between two steps of a transaction.
        return again && ABSENT.test(answer.complaint)
          ? this.apply(changes, false)
          : this.#takeBack(changes, refusal(answer.complaint));
    }
  }

  /**
   * Which addresses, or first addresses of prefixes, of these groups had their last connection.
   *
   * @throws KnockError `ERR_FIREWALL_*`
   */
  async spent(groups: readonly Group[]): Promise<(group: Group, address: string) => boolean> {
    const counted = groups.filter(({ service }) => service.connections !== 'unlimited');
    const names = [...new Set(counted.map((group) => setName(group, 'spent')))];
    if (names.length === 0) return () => false;
    const lines = names.map((name) => `list set ${TABLE} ${name}`);
    let answer = await this.#session.ask(lines);
    // Asking changes nothing.
    if (answer.kind === 'lost') answer = await this.#session.ask(lines);
    if (answer.kind === 'lost') throw answer.reason;
    if (answer.kind === 'refused') throw refusal(answer.complaint);
    const sets = elementsIn(answer.output);
    return (group, address) => sets.get(setName(group, 'spent'))?.has(address) === true;
  }

  /**
   * Deletes what is in the sets of these groups, unless it is to be kept and still open; what stays.
   *
   * @throws KnockError `ERR_FIREWALL_*`
   */
  async sweep(
    groups: readonly Group[],
    keeps: (group: Group, address: string) => boolean,
  ): Promise<(group: Group, address: string) => boolean> {
    const sets = new Map<string, ReadonlySet<string>>();
    for (const group of groups) {
      const kinds = kindsOf(group.service);
      const answer = await this.#session.ask(
        kinds.map((kind) => `list set ${TABLE} ${setName(group, kind)}`),
      );
      if (answer.kind === 'lost') throw answer.reason;
      if (answer.kind === 'refused') throw refusal(answer.complaint);
      for (const [name, addresses] of elementsIn(answer.output)) sets.set(name, addresses);
    }
    const has = (group: Group, kind: SetKind, address: string): boolean =>
      sets.get(setName(group, kind))?.has(address) === true;
    const stays = (group: Group, address: string): boolean =>
      keeps(group, address) && has(group, 'gate', address) && !has(group, 'spent', address);
    const gone = groups.flatMap((group) => {
      const all = kindsOf(group.service).flatMap((kind) => [...(sets.get(setName(group, kind)) ?? [])]);
      return [...new Set(all)].flatMap((one) => (stays(group, one) ? [] : (leaving(group, one) ?? [])));
    });
    const faults = await this.apply(gone);
    for (const fault of faults) if (fault !== null) throw fault;
    return stays;
  }

  close(): void {
    this.#session.close();
  }

  async #oneByOne(changes: readonly Change[]): Promise<readonly (KnockError | null)[]> {
    const faults: (KnockError | null)[] = [];
    for (const change of changes) faults.push(...(await this.apply([change])));
    return faults;
  }

  /** Deletes what was to be closed or opened; what was to be opened fails. */
  async #takeBack(changes: readonly Change[], reason: KnockError): Promise<readonly (KnockError | null)[]> {
    const closed = changes.map((change) => ({ ...change, until: null, isNew: false }));
    const { kind } = await this.#session.ask([changeLine(TABLE, closed)]);
    const faults: (KnockError | null)[] = [];
    for (const change of changes) {
      const fault = kind === 'done' ? null : await this.#delete(change);
      if (fault !== null) faults.push(stillOpen(reason, fault));
      else faults.push(change.until === null ? null : reason);
    }
    return faults;
  }

  /** What went wrong, or `null`: it is not in the kernel any more. */
  async #delete(change: Change): Promise<string | null> {
    for (const line of deleteLines(TABLE, change)) {
      const answer = await this.#session.ask([line]);
      if (answer.kind === 'lost') return answer.reason.message;
      if (answer.kind === 'refused' && !ABSENT.test(answer.complaint)) return answer.complaint;
    }
    return null;
  }
}

/** The change that closes whatever a group has for an address. */
function leaving({ service, width }: Group, address: string): Change | null {
  const source = parsePrefix(width === null ? address : `${address}/${width.length}`);
  return source === null ? null : { service, source, connections: 1, until: null, isNew: false };
}

function refusal(complaint: string): KnockError {
  if (/too many open files in system|no space left/iu.test(complaint)) {
    return new KnockError(
      'ERR_FIREWALL_FULL',
      `a service has ${MOST_GRANTS} open grants, the kernel's set holds no more (wait until some end)`,
    );
  }
  if (/not permitted|permission denied/iu.test(complaint)) {
    return new KnockError(
      'ERR_FIREWALL_PERMISSION',
      `nft may not change the firewall: ${complaint} (run as root)`,
    );
  }
  const advice = ABSENT.test(complaint) ? ' (has another program removed our table? restart portknockd)' : '';
  return new KnockError('ERR_FIREWALL_COMMAND', `nft failed: ${complaint}${advice}`);
}

function tooLate(ms: number): KnockError {
  return new KnockError(
    'ERR_FIREWALL_COMMAND',
    `nft took ${ms} ms, so that the opening would have ended late (knock again)`,
  );
}

function stillOpen(reason: KnockError, fault: string): KnockError {
  return new KnockError(
    reason.code,
    `${reason.message}; it cannot be taken back either: ${fault} (if it is open, the kernel ends it in time)`,
  );
}
