// The entry for portknockd's own program, and for nobody else: how it becomes two processes. No part of the package's
// surface, since there is nothing in it for who embeds the library.

export { recordingReader } from './config/bundle.ts';
export { loadOrigin, type ConfigOrigin } from './config/origin.ts';
export { joinWarden, type Through, type WardenLink } from './privilege/link.ts';
export { prepareFor, requirePrograms, separationOf, type Separation } from './privilege/separation.ts';
export { startWarden, type Warden, type WardenOptions, type WardenState } from './privilege/warden.ts';
