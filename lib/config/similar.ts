// "Did you mean": the known word nearest to a mistyped one.

/** Advice with the nearest of `known`, when there is one near enough. */
export function didYouMean(word: string, known: readonly string[]): string | null {
  const normal = normalised(word);
  const ranked = known.map((candidate) => ({
    candidate,
    distance: editDistance(normal, normalised(candidate)),
  }));
  const best = ranked.toSorted((one, other) => one.distance - other.distance)[0];
  const near = best !== undefined && best.distance <= Math.max(1, Math.floor(best.candidate.length / 3));
  return near ? `did you mean ${best.candidate}?` : null;
}

function normalised(word: string): string {
  return word.toLowerCase().replaceAll('-', '_');
}

/** Levenshtein distance; swapped neighbours count as two. Words longer than any key of ours are far from all. */
function editDistance(one: string, other: string): number {
  if (one.length > 40) return one.length;
  let previous = Array.from({ length: other.length + 1 }, (_, i) => i);
  for (let i = 1; i <= one.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= other.length; j += 1) {
      const change = (previous[j - 1] ?? 0) + (one[i - 1] === other[j - 1] ? 0 : 1);
      row.push(Math.min(change, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[other.length] ?? 0;
}
