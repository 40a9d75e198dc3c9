// The files of a configuration as one value: recorded while the half with root reads them, answered from while the half
// without root reads the same configuration again. It sees what root saw, and no other file.

import { readHostFile, type HostFile, type ReadHostFile } from './files.ts';
import { readConfig, type ReadConfig } from './load.ts';

/** How a configuration and the files that it names are read. */
export interface ConfigReader {
  readonly config: ReadConfig;
  readonly file: ReadHostFile;
}

/** What was read, by path. */
export interface ConfigFiles {
  readonly configs: Readonly<Record<string, { readonly text: string; readonly mode: number }>>;
  readonly files: Readonly<Record<string, HostFile>>;
}

/** Reads from the host, and keeps what it read. */
export function recordingReader(): { readonly reader: ConfigReader; readonly read: () => ConfigFiles } {
  const configs = new Map<string, { readonly text: string; readonly mode: number }>();
  const files = new Map<string, HostFile>();
  return {
    reader: {
      async config(path) {
        const found = await readConfig(path);
        configs.set(path, found);
        return found;
      },
      async file(path, most) {
        const found = await readHostFile(path, most);
        files.set(path, found);
        return found;
      },
    },
    read: () => ({ configs: Object.fromEntries(configs), files: Object.fromEntries(files) }),
  };
}

/** Reads what was recorded; everything else is not there. */
export function recordedReader({ configs, files }: ConfigFiles): ConfigReader {
  return {
    config: (path) => found(configs, path),
    file: (path) => found(files, path),
  };
}

async function found<T>(all: Readonly<Record<string, T>>, path: string): Promise<T> {
  const one = Object.hasOwn(all, path) ? all[path] : undefined;
  if (one !== undefined) return one;
  throw Object.assign(new Error('it was not read'), { code: 'ENOENT' });
}
