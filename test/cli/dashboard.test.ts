// The documented metrics are the real ones, both ways, and the dashboard and the alerts name no others.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { promMetrics } from '../../lib/prometheus.ts';

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly datasource: { readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets: readonly {
    readonly expr: string;
    readonly refId: string;
    readonly datasource: { readonly uid: string };
  }[];
}

interface Dashboard {
  readonly title: string;
  readonly uid: string;
  readonly schemaVersion: number;
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly type: string; readonly query: unknown }[];
  };
  readonly panels: readonly Panel[];
}

const GUIDE = readFileSync('docs/monitoring.md', 'utf8');
const DASHBOARD = JSON.parse(readFileSync('docs/grafana-dashboard.json', 'utf8')) as Dashboard;
const NAME = /\b(?:portknock|process)_[a-z_]+\b/gu;

/** Names with their labels, from what Prometheus is given when something of everything was counted. */
async function exposed(): Promise<ReadonlyMap<string, string>> {
  const { metrics, text } = await promMetrics({ process: true });
  metrics.watch({ services: ['ssh'], schemes: ['spa'], grants: [] });
  metrics.grant('ssh', 'spa');
  const lines = (await text()).split('\n');
  const types = lines.flatMap((line) => /^# TYPE (\S+)/u.exec(line)?.[1] ?? []);
  return new Map(
    types.map((name) => {
      const sample = lines.find((line) => line.startsWith(`${name}{`)) ?? '';
      return [name, [...sample.matchAll(/(\w+)="/gu)].map(([, label]) => label).join(',')];
    }),
  );
}

function namesIn(text: string): readonly string[] {
  return [...new Set([...text.matchAll(NAME)].map(([name]) => name.replace(/_(?:bucket|sum|count)$/u, '')))];
}

describe('the documented metrics', () => {
  it('are those that there are, with their labels', async () => {
    const rows = [...GUIDE.matchAll(/^\| `((?:portknock|process)_\w+)(?:\{([\w,]+)\})?` +\|/gmu)];
    const documented = new Map(rows.map(([, name = '', labels = '']) => [name, labels]));
    const sorted = (map: ReadonlyMap<string, string>) => [...map].toSorted();
    assert.deepEqual(sorted(documented), sorted(await exposed()));
  });

  it('are all that the alerts ask for', async () => {
    const known = await exposed();
    const expressions = [...GUIDE.matchAll(/^ +expr: (.*)$/gmu)].map(([, expr = '']) => expr);
    assert.ok(expressions.length >= 6);
    assert.deepEqual(
      namesIn(expressions.join('\n')).filter((name) => !known.has(name)),
      [],
    );
  });
});

describe('the dashboard', () => {
  const { panels, templating } = DASHBOARD;

  it('asks for metrics that exist, and leaves out none of ours', async () => {
    const known = await exposed();
    const asked = namesIn(panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)).join('\n'));
    assert.deepEqual(
      asked.filter((name) => !known.has(name)),
      [],
    );
    const ours = [...known.keys()].filter((name) => name.startsWith('portknock_'));
    assert.deepEqual(
      ours.filter((name) => !asked.includes(name)),
      [],
    );
  });

  it('groups by labels that its metrics have', async () => {
    const labels = new Set(
      [...(await exposed()).values()].flatMap((each) => each.split(',')).concat('le', 'job', 'instance'),
    );
    for (const { targets } of panels)
      for (const { expr } of targets) {
        const used = [...expr.matchAll(/by \(([^)]+)\)/gu)].flatMap(([, list = '']) => list.split(/, */u));
        assert.deepEqual(
          used.filter((label) => !labels.has(label)),
          [],
          expr,
        );
      }
  });

  it('has what Grafana needs: panels with ids and places of their own, queries, a data source to choose', () => {
    assert.ok(
      DASHBOARD.schemaVersion >= 36 && DASHBOARD.title !== '' && /^[\w-]{1,40}$/u.test(DASHBOARD.uid),
    );
    assert.equal(templating.list[0]?.type, 'datasource');
    assert.equal(templating.list[0]?.query, 'prometheus');
    const variables = new Set(templating.list.map(({ name }) => name));
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    const taken = new Set<string>();
    for (const { title, datasource, gridPos, targets } of panels) {
      assert.ok(title !== '' && targets.length > 0);
      assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title);
      for (const each of [{ datasource }, ...targets])
        assert.equal(each.datasource.uid, '${datasource}', title);
      for (const { expr } of targets)
        for (const [, name = ''] of expr.matchAll(/\$(\w+)/gu))
          assert.ok(variables.has(name) || name === '__rate_interval', expr);
      const { x, y, w, h } = gridPos;
      assert.ok(x + w <= 24, title);
      for (let i = x; i < x + w; i += 1)
        for (let j = y; j < y + h; j += 1) {
          assert.ok(!taken.has(`${i} ${j}`), `${title} lies on another`);
          taken.add(`${i} ${j}`);
        }
    }
  });
});
