// A small seeded generator of pseudo-random numbers (xorshift32), so that a failing run can be run again.

/** Gives an integer from 0 to `below` - 1. */
export type Random = (below: number) => number;

export function random(seed: number): Random {
  let state = seed | 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}
