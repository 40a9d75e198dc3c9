// What the set-up, the service and nobody else must agree on.

const { env } = process;

/** Where this runs; another address, or `::` for all of them, once you have tried it. */
export const HOST = env.HOST ?? '127.0.0.1';
export const PUBLIC_PORT = Number(env.PUBLIC_PORT ?? 8080);
export const ADMIN_PORT = Number(env.ADMIN_PORT ?? 8081);
/** A UDP port above 1023, so that no root is needed. */
export const KNOCK_PORT = Number(env.KNOCK_PORT ?? 62201);
/** How long the admin port waits for the connection of a knock. */
export const OPEN_FOR_MS = Number(env.OPEN_FOR_MS ?? 10_000);
/** The name of this service in knocks: one that was made for another is refused here. */
export const GATEWAY = 'express-admin.example';

export const ACCESS_KEY_FILE = 'secrets/access.key';
export const REPLAY_FILE = 'secrets/replay';
/** One public key per admin, NAME.pub. */
export const ADMINS = 'admins';
