// The files of the repository that the house rules look at.

import { readdirSync } from 'node:fs';

/** Paths of the TypeScript files below a folder, from the root; none when there is no such folder. */
export function typescriptFiles(folder: string): string[] {
  return filesBelow(folder).filter((file) => file.endsWith('.ts'));
}

export function filesBelow(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => `${entry.parentPath}/${entry.name}`)
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
