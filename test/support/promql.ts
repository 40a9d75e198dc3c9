// What a PromQL expression asks for: its series, its labels, and whether it is PromQL at all, by Prometheus's own grammar.

import { parser } from '@prometheus-io/lezer-promql';

/** `metric{label="value"}`; of a regular expression each of its alternatives. */
export interface Selector {
  readonly metric: string;
  readonly matched: readonly { readonly label: string; readonly values: readonly string[] }[];
}

/** `sum by (labels)`, or without any, and what it groups. */
export interface Grouping {
  readonly labels: readonly string[];
  readonly of: readonly Selector[];
}

export interface Asked {
  readonly selectors: readonly Selector[];
  /** The outer ones first. */
  readonly groupings: readonly Grouping[];
}

type Tree = ReturnType<typeof parser.parse>;
type Node = Tree['topNode'];

/** @throws Error for what is not PromQL */
export function askedBy(expression: string): Asked {
  const { topNode } = parser.parse(expression);
  const textOf = ({ from, to }: Node): string => expression.slice(from, to);
  const fault = all(topNode, '⚠')[0];
  if (fault !== undefined) throw new Error(`not PromQL, from character ${fault.from} on: ${expression}`);
  const matched = (node: Node): Selector['matched'][number] => {
    const value = JSON.parse(textOf(one(node, 'StringLiteral'))) as string;
    const isPattern = /Regex/u.test(one(node, 'MatchOp').firstChild?.name ?? '');
    return { label: textOf(one(node, 'LabelName')), values: isPattern ? value.split('|') : [value] };
  };
  const selectors = (node: Node): Selector[] =>
    all(node, 'VectorSelector').map((each) => ({
      metric: textOf(one(each, 'Identifier')),
      matched: all(each, 'UnquotedLabelMatcher').map(matched),
    }));
  return {
    selectors: selectors(topNode),
    groupings: all(topNode, 'AggregateExpr').map((node) => ({
      labels: node.getChildren('AggregateModifier').flatMap((by) => all(by, 'LabelName').map(textOf)),
      of: selectors(node),
    })),
  };
}

/** The node and what is in it, of a kind, in the order of the text. */
function all(node: Node, name: string): Node[] {
  const found: Node[] = [];
  node.cursor().iterate(({ node: each }) => {
    if (each.name === name) found.push(each);
  });
  return found;
}

function one(node: Node, name: string): Node {
  const [found] = all(node, name);
  if (found === undefined) throw new Error(`no ${name} in ${node.name}`);
  return found;
}
