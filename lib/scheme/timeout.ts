// How long a sequence may take: a caller's value, checked.

const DAY_MS = 86_400_000;

/** @throws RangeError for anything but a whole number of milliseconds up to a day */
export function requireTimeout(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1 || value > DAY_MS) {
    throw new RangeError(`${name} must be a whole number from 1 to ${DAY_MS}, got ${value}`);
  }
}
