// Standard output, taken hold of only when something is printed: `connect` has it for the stream alone.

let guarded = false;

/** Writes to standard output. A reader that went away, as in `portknock ... | head -1`, is no failure. */
export function writeOut(text: string): void {
  if (!guarded) process.stdout.on('error', () => undefined);
  guarded = true;
  process.stdout.write(text);
}
