// The documented metrics are the real ones, both ways; the dashboard and the alerts ask, in PromQL, for series and labels that
// there are.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { promMetrics } from '../../lib/prometheus.ts';
import { askedBy, type Asked } from '../support/promql.ts';

interface Source {
  readonly type: string;
  readonly uid: string;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly datasource: Source;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly interval?: string;
  readonly targets: readonly {
    readonly expr: string;
    readonly legendFormat: string;
    readonly refId: string;
    readonly instant?: boolean;
    readonly datasource: Source;
  }[];
  readonly fieldConfig: { readonly defaults: { readonly unit: string; readonly thresholds?: object } };
  readonly options: { readonly colorMode?: string };
}

interface Dashboard {
  readonly title: string;
  readonly uid: string;
  readonly schemaVersion: number;
  readonly templating: {
    readonly list: readonly {
      readonly name: string;
      readonly type: string;
      readonly query: string | { readonly query: string };
      readonly datasource?: Source;
    }[];
  };
  readonly panels: readonly Panel[];
}

/** Samples by name, each with its labels and their values. */
type Exposed = ReadonlyMap<string, ReadonlyMap<string, ReadonlySet<string>>>;

const GUIDE = readFileSync('docs/monitoring.md', 'utf8');
const DASHBOARD = JSON.parse(readFileSync('docs/grafana-dashboard.json', 'utf8')) as Dashboard;
/** What Prometheus adds. */
const ADDED = ['job', 'instance'];

/** What Prometheus is given when nothing has happened yet: everything. */
async function exposition(): Promise<string> {
  const { metrics, text } = await promMetrics({ process: true });
  metrics.watch({ services: ['ssh'], schemes: ['spa'], grants: [] });
  return text();
}

async function exposed(): Promise<Exposed> {
  const samples = new Map([['up', new Map<string, Set<string>>()]]);
  for (const [, name = '', list = ''] of (await exposition()).matchAll(/^(\w+)(?:\{(.*)\})? /gmu)) {
    const labels = samples.get(name) ?? new Map<string, Set<string>>();
    samples.set(name, labels);
    for (const [, label = '', value = ''] of list.matchAll(/(\w+)="([^"]*)"/gu))
      labels.set(label, (labels.get(label) ?? new Set()).add(value));
  }
  return samples;
}

/** As Grafana asks: its variables replaced by what they may be. */
function asAsked(expr: string): string {
  return expr.replaceAll('$__rate_interval', '75s');
}

/** Series, labels and values that are asked for and that there are not. */
function unknownIn({ selectors, groupings }: Asked, known: Exposed): readonly string[] {
  const labelsOf = (metric: string): readonly string[] => [...(known.get(metric)?.keys() ?? []), ...ADDED];
  const wrong = selectors.flatMap(({ metric, matched }) => [
    ...(known.has(metric) ? [] : [metric]),
    ...matched
      .filter(({ label }) => !labelsOf(metric).includes(label))
      .map(({ label }) => `${metric} ${label}`),
    ...matched
      .filter(({ label }) => !ADDED.includes(label))
      .flatMap(({ label, values }) =>
        values.filter((value) => known.get(metric)?.get(label)?.has(value) !== true),
      )
      .map((value) => `${metric} ${value}`),
  ]);
  const grouped = groupings.flatMap(({ labels, of }) =>
    of.flatMap(({ metric }) =>
      labels.filter((label) => !labelsOf(metric).includes(label)).map((label) => `by ${label} of ${metric}`),
    ),
  );
  return [...wrong, ...grouped];
}

describe('the documented metrics', () => {
  it('are those that there are, with their labels', async () => {
    const rows = [...GUIDE.matchAll(/^\| `((?:portknock|process)_\w+)(?:\{([\w,]+)\})?` +\|/gmu)];
    const documented = new Map(rows.map(([, name = '', labels = '']) => [name, labels]));
    const known = await exposed();
    const names = [...(await exposition()).matchAll(/^# TYPE (\S+)/gmu)].map(([, name = '']) => name);
    const sorted = (map: ReadonlyMap<string, string>) => [...map].toSorted();
    assert.deepEqual(
      sorted(documented),
      sorted(new Map(names.map((name) => [name, [...(known.get(name)?.keys() ?? [])].join(',')]))),
    );
  });

  it('are all that the alerts ask for', async () => {
    const known = await exposed();
    const [, rules = ''] = /```yaml\n(# portknock\.rules\.yml\n.*?)```/su.exec(GUIDE) ?? [];
    const { groups } = parse(rules) as { groups: { rules: { alert: string; expr: string }[] }[] };
    const alerts = groups.flatMap((group) => group.rules);
    assert.ok(alerts.length >= 8);
    for (const { alert, expr } of alerts) assert.deepEqual(unknownIn(askedBy(expr), known), [], alert);
  });
});

describe('the dashboard', () => {
  const { panels, templating } = DASHBOARD;

  it('asks for series, labels and values that exist', async () => {
    const known = await exposed();
    for (const { title, targets } of panels)
      for (const { expr } of targets) assert.deepEqual(unknownIn(askedBy(asAsked(expr)), known), [], title);
  });

  it('leaves out none of our metrics', () => {
    const asked = panels.flatMap(({ targets }) =>
      targets.flatMap(({ expr }) => askedBy(asAsked(expr)).selectors.map(({ metric }) => metric)),
    );
    const documented = [...GUIDE.matchAll(/^\| `(portknock_\w+)/gmu)].map(([, name = '']) => name);
    assert.deepEqual(
      documented.filter((name) => !asked.includes(name) && !asked.includes(`${name}_bucket`)),
      [],
    );
  });

  it('narrows every query to the job and the gateways that are chosen', () => {
    for (const { title, targets } of panels)
      for (const { expr } of targets)
        for (const { matched } of askedBy(asAsked(expr)).selectors)
          assert.deepEqual(
            matched.filter(({ label }) => ADDED.includes(label)).map(({ values }) => values[0]),
            ['$job', '$instance'],
            title,
          );
  });

  it('tells its curves apart by the labels that are left of them', async () => {
    const known = await exposed();
    for (const { title, targets } of panels)
      for (const { expr, legendFormat } of targets) {
        const { selectors, groupings } = askedBy(asAsked(expr));
        const left = groupings[0]?.labels ?? [
          ...(known.get(selectors[0]?.metric ?? '')?.keys() ?? []),
          'instance',
        ];
        assert.deepEqual(
          [...legendFormat.matchAll(/\{\{(\w+)\}\}/gu)].map(([, label = '']) => label).toSorted(),
          left.filter((label) => label !== 'le').toSorted(),
          title,
        );
      }
  });

  it('shows a number as it is now, and what a minute brings as that', () => {
    for (const { title, type, targets, fieldConfig, options, interval } of panels) {
      const { unit, thresholds } = fieldConfig.defaults;
      for (const { expr, instant } of targets) {
        assert.equal(instant === true, type === 'stat', title);
        assert.equal(expr.startsWith('60 * '), unit === 'suffix:/min', title);
        if (unit === 'suffix:/min') assert.equal(interval, '1m', title);
      }
      // Grafana's own thresholds are green, and red from 80 on.
      if (type === 'stat') assert.equal(thresholds !== undefined, options.colorMode === 'value', title);
    }
  });

  it('has what Grafana needs: panels with ids and places of their own, queries, a data source to choose', () => {
    assert.ok(
      DASHBOARD.schemaVersion >= 36 && DASHBOARD.title !== '' && /^[\w-]{1,40}$/u.test(DASHBOARD.uid),
    );
    assert.equal(templating.list[0]?.type, 'datasource');
    assert.equal(templating.list[0]?.query, 'prometheus');
    const variables = new Set(templating.list.map(({ name }) => name));
    for (const { query, datasource } of templating.list.slice(1)) {
      assert.equal(datasource?.uid, '${datasource}');
      assert.match(
        typeof query === 'string' ? query : query.query,
        /^label_values\(portknock_build_info(?:\{job="\$job"\})?, (?:job|instance)\)$/u,
      );
    }
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
