// The comparison as a picture, docs/benchmarks-peers.svg: dots on a logarithmic scale, because a bar's length means
// nothing there. It brings its own background, so that it can be read on a light page and on a dark one.

import { ScatterChart } from 'echarts/charts';
import { GridComponent, TitleComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import type { Part, Result, Row } from './result.ts';

/** One scale with its rows. */
interface Panel {
  readonly title: string;
  readonly subtitle: string;
  readonly unit: string;
  /** What is left of it is drawn at the edge. */
  readonly least: number;
  readonly most: number;
  readonly dots: readonly Dot[];
}

interface Dot {
  readonly name: string;
  readonly subject: string;
  readonly median: number;
  readonly p95: number;
  readonly label: string;
}

const WIDTH = 960;
const LEFT = 350;
const RIGHT = 190;
const ROW = 21;
const HEAD = 66;
const FOOT = 46;
const MARGIN = 14;
const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
const INK = '#1f2328';
const FAINT = '#59636e';
const RULE = '#d8dee4';
const PAPER = '#ffffff';
const COLORS: Readonly<Record<string, string>> = {
  portknock: '#0b62c4',
  knockd: '#b35900',
  fwknopd: '#8a3ffc',
};

use([ScatterChart, GridComponent, TitleComponent, SVGRenderer]);

/** The SVG of a run. */
export function plotOf(result: Result): string {
  const panels = [openPanel(result), cpuPanel(result)].filter(({ dots }) => dots.length > 0);
  const heights = panels.map(({ dots }) => HEAD + dots.length * ROW + FOOT);
  const height = heights.reduce((sum, each) => sum + each, MARGIN);
  const tops = heights.map((_, i) => heights.slice(0, i).reduce((sum, each) => sum + each, MARGIN));
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height });
  chart.setOption({
    animation: false,
    textStyle: { fontFamily: FONT, color: INK },
    title: panels.map(({ title, subtitle }, i) => ({
      ...{ text: title, subtext: subtitle, left: MARGIN, top: tops[i] ?? 0, itemGap: 6 },
      textStyle: { fontSize: 16, color: INK },
      subtextStyle: { fontSize: 12, color: FAINT },
    })),
    grid: panels.map(({ dots }, i) => ({
      ...{ left: LEFT, right: RIGHT, top: (tops[i] ?? 0) + HEAD, height: dots.length * ROW },
    })),
    xAxis: panels.map((panel, i) => xAxis(panel, i)),
    yAxis: panels.map((panel, i) => yAxis(panel, i)),
    series: panels.flatMap((panel, i) => series(panel, i)),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return described(svg, { height, panels });
}

function openPanel({ parts, rounds }: Result): Panel {
  const dots = rowsOf(parts, 'open', 'ms').map((row): Dot => {
    const { median = Number.NaN, p95 = Number.NaN } = row;
    const label = `${short(median)} ms, p95 ${short(p95)}`;
    return { name: nameOf(row), subject: row.subject, median, p95, label };
  });
  return {
    title: 'From the last packet of a knock to the open port',
    subtitle: `milliseconds, logarithmic; full dot: median, ring: 95th percentile; ${rounds} rounds in turns; left is better`,
    ...{ unit: 'ms', ...range(dots, 0.1), dots },
  };
}

function cpuPanel({ parts }: Result): Panel {
  const shares = rowsOf(parts, 'cpu', '% dropped');
  const dots = rowsOf(parts, 'cpu', 'CPU ms per million').map((row): Dot => {
    const { subject, driver, variant, median = Number.NaN, p95 = Number.NaN } = row;
    const dropped = shares.find((each) => nameOf(each) === nameOf(row))?.value ?? 0;
    const label = `${short(median)} ms${dropped < 0.05 ? '' : `, drops ${short(dropped)} %`}`;
    // The junk tells the scheme.
    return { name: nameOf({ subject, driver, variant }), subject, median, p95, label };
  });
  return {
    title: 'What a million junk packets cost the daemon',
    subtitle:
      'milliseconds of processor at 100,000 packets/s, logarithmic; less than 1 ms stands at the edge; left is better, but a daemon that drops is cheap',
    ...{ unit: 'ms', ...range(dots, 1), dots },
  };
}

function rowsOf(parts: Result['parts'], part: Part, unit: string): readonly Row[] {
  return (parts[part] ?? []).filter((row) => row.unit === unit);
}

function nameOf({ subject, scheme, driver, variant }: Named): string {
  return [subject, scheme, driver, variant].filter((word) => word !== undefined).join(', ');
}

interface Named {
  readonly subject: string;
  readonly scheme?: string | undefined;
  readonly driver?: string | undefined;
  readonly variant?: string | undefined;
}

/** Whole powers of ten. */
function range(dots: readonly Dot[], least: number): { least: number; most: number } {
  const most = Math.max(
    least * 10,
    ...dots.flatMap(({ median, p95 }) => [median, p95]).filter(Number.isFinite),
  );
  return { least, most: 10 ** Math.ceil(Math.log10(most)) };
}

function xAxis({ least, most, unit }: Panel, gridIndex: number): object {
  return {
    ...{ type: 'log', gridIndex, min: least, max: most },
    splitLine: { lineStyle: { color: RULE } },
    axisLabel: { color: FAINT, fontSize: 12, formatter: (value: number) => `${short(value)} ${unit}` },
  };
}

function yAxis({ dots }: Panel, gridIndex: number): object {
  return {
    ...{ type: 'category', gridIndex, inverse: true, data: dots.map(({ name }) => name) },
    ...{ axisTick: { show: false }, axisLine: { lineStyle: { color: RULE } } },
    splitLine: { show: true, lineStyle: { color: RULE, type: 'dotted' } },
    axisLabel: { color: INK, fontSize: 12, interval: 0, margin: 10 },
  };
}

function series({ dots, least }: Panel, index: number): object[] {
  const at = (value: number): number => Math.max(least, value);
  const common = { type: 'scatter', xAxisIndex: index, yAxisIndex: index, silent: true };
  const color = ({ subject }: Dot): string => COLORS[subject] ?? FAINT;
  return [
    {
      ...common,
      symbolSize: 8,
      data: dots.map((dot, i) => ({
        value: [at(dot.p95), i],
        itemStyle: { color: PAPER, borderColor: color(dot), borderWidth: 1.5, opacity: 1 },
      })),
    },
    {
      ...common,
      symbolSize: 10,
      data: dots.map((dot, i) => ({
        value: [at(dot.median), i],
        itemStyle: { color: color(dot), opacity: 1 },
      })),
    },
    // The figures in a column of their own, beyond the end of the scale.
    {
      ...common,
      ...{ symbolSize: 0.01, clip: false, labelLayout: { x: WIDTH - RIGHT + 12, verticalAlign: 'middle' } },
      data: dots.map((dot, i) => ({
        value: [at(dot.median), i],
        label: {
          ...{ show: true, position: 'right', align: 'left', color: color(dot), opacity: 1, fontSize: 12 },
          formatter: dot.label,
        },
      })),
    },
  ];
}

/** Adds the background, and what a screen reader says. */
function described(svg: string, { height, panels }: { height: number; panels: readonly Panel[] }): string {
  const text = panels
    .map(({ title, dots }) => `${title}: ${dots.map(({ name, label }) => `${name} ${label}`).join('; ')}.`)
    .join(' ');
  const head = [
    '<title id="title">portknock beside knockd and fwknopd</title>',
    `<desc id="desc">${escaped(text)}</desc>`,
    `<rect width="${WIDTH}" height="${height}" rx="8" fill="${PAPER}" stroke="${RULE}"/>`,
  ].join('\n');
  return `${svg.replace(/^<svg ([^>]*)>/u, `<svg role="img" aria-labelledby="title desc" $1>\n${head}`).trimEnd()}\n`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function short(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (value < 0.005) return '0';
  if (value >= 100) return Math.round(value).toLocaleString('en');
  return String(Number(value.toPrecision(value < 1 ? 2 : 3)));
}
