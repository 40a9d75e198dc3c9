// The reference of portknockd.yaml has every key that the parser takes, and no other, with the defaults that it has.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { CONFIGURATION } from '../../cli/manual/configuration.ts';
import { configurationMarkdown } from '../../cli/pages/configuration.ts';
import { clientSchemas } from '../../lib/config/client-schemas.ts';
import { commandSchema, nftablesSchema } from '../../lib/config/firewall.ts';
import { metricsSchema } from '../../lib/config/metrics.ts';
import { serviceSchema, settingsSchema } from '../../lib/config/schema.ts';

const OF_MAPS = { firewall: {}, metrics: {}, services: {}, clients: {} };
const OF_CLIENTS = { scheme: {}, services: {}, from: {}, expires: {} };

const TABLE: Readonly<Record<string, Readonly<Record<string, object>>>> = {
  'Top level': { ...settingsSchema.entries, ...OF_MAPS },
  'firewall, as a map with driver: nftables': nftablesSchema.entries,
  'firewall, as a map with driver: command': commandSchema.entries,
  metrics: metricsSchema.entries,
  'services, each by its name': serviceSchema.entries,
  'clients, each by its name': OF_CLIENTS,
  ...Object.fromEntries(
    Object.entries(clientSchemas).map(([scheme, { entries }]) => [`clients with scheme: ${scheme}`, entries]),
  ),
};

describe('the reference of the configuration', () => {
  it('has the maps that there are', () => {
    assert.deepEqual(
      CONFIGURATION.map(({ title }) => title),
      Object.keys(TABLE),
    );
  });

  for (const [title, entries] of Object.entries(TABLE)) {
    it(`has every key, with its default: ${title}`, () => {
      const { keys = {} } = CONFIGURATION.find((each) => each.title === title) ?? {};
      const common = title.startsWith('clients with') ? Object.keys(OF_CLIENTS) : [];
      assert.deepEqual([...Object.keys(keys), ...common].sort(), Object.keys(entries).sort());
      for (const [name, entry] of Object.entries(entries)) {
        const text = JSON.stringify((entry as { readonly default?: unknown }).default ?? {}).replaceAll(
          '"',
          '',
        );
        if (text !== '{}') assert.equal(keys[name]?.usual?.replaceAll(' ', ''), text, name);
      }
    });
  }

  it('is a page of docs as well', async () => {
    const page = await readFile('docs/configuration.md', 'utf8');
    assert.equal(page, configurationMarkdown(), 'write configurationMarkdown() to docs/configuration.md');
  });
});
