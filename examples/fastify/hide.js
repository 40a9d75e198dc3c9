// A Fastify plugin that hides the whole app: without a knock, connections are reset before a byte is read.
// Register it before `listen`. Options: those of KnockListener but `driver` and `services`, and the TCP `port`.

import { gate, KnockListener } from 'portknock';

/**
 * @param {import('fastify').FastifyInstance} app
 * @param {Omit<import('portknock').ListenerOptions, 'driver' | 'services'> & {
 *   port: number, service?: string, openForMs?: number, connections?: number | 'unlimited' }} options
 */
export async function hide(app, { port, service = 'api', openForMs, connections, ...rest }) {
  const listener = new KnockListener({
    ...rest,
    driver: gate(app.server),
    services: { [service]: { port, ...(openForMs && { openForMs }), ...(connections && { connections }) } },
  });
  const log = app.log.child({ plugin: 'hide' });
  listener.on('grant', ({ grant }) => log.info({ client: grant.client, source: grant.source }, 'grant'));
  listener.on('close', ({ grant, reason }) => log.info({ client: grant.client, reason }, 'close'));
  listener.on('reject', ({ reason, source }) => log.warn({ reason, source }, 'reject'));
  listener.on('warning', ({ message }) => log.warn(message));
  listener.on('error', (error) => log.error(error));

  // For the host 'localhost' Fastify makes a server of its own for each of its addresses, and only the first of them is
  // `app.server`: the others would let everybody in.
  app.addHook('onListen', async () => {
    if (app.addresses().length === 1) return;
    log.fatal('listens with more than one server (listen on an address, not on a name such as localhost)');
    process.exitCode = 1;
    setImmediate(() => void app.close());
  });
  // No more knocks while the last requests are answered.
  app.addHook('preClose', () => listener.stop());
  await listener.start();
}
