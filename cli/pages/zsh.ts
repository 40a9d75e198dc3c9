// Shell completion; to be filled in.
import type { Manual } from '../manual/manual.ts';
export function zshCompletion(programs: readonly Manual[]): string {
  return programs.map(({ program }) => program).join(' ');
}
