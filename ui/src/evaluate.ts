// The graph computed again in the page, and its gradient without some edges.

import { Argument, Book, Num, toNumber } from "./data";

type Rule = (...x: number[]) => number;

// NumPy's rules on numbers
const RULES: Record<string, Rule> = {
  add: (a, b) => a + b, sub: (a, b) => a - b, mul: (a, b) => a * b, div: (a, b) => a / b, neg: (a) => -a,
  power: (a, b) => (a === 1 || b === 0 ? 1 : Math.pow(a, b)), exp: Math.exp, expm1: Math.expm1, exp2: (a) => Math.pow(2, a),
  log: Math.log, log1p: Math.log1p, log2: Math.log2, log10: Math.log10, sqrt: Math.sqrt, cbrt: Math.cbrt,
  sin: Math.sin, cos: Math.cos, tan: Math.tan, tanh: Math.tanh, sinh: Math.sinh, cosh: Math.cosh, arcsin: Math.asin,
  arccos: Math.acos, arctan: Math.atan, arcsinh: Math.asinh, arccosh: Math.acosh, arctanh: Math.atanh, arctan2: Math.atan2,
  hypot: Math.hypot, abs: Math.abs, sign: (a) => (Number.isNaN(a) ? NaN : Math.sign(a)),
  maximum: (a, b) => (Number.isNaN(a) || Number.isNaN(b) ? NaN : Math.max(a, b)),
  minimum: (a, b) => (Number.isNaN(a) || Number.isNaN(b) ? NaN : Math.min(a, b)),
  relu: (a) => (Number.isNaN(a) ? NaN : Math.max(a, 0)),
  sigmoid, expit: sigmoid, softplus: (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))),
  logaddexp: (a, b) => (a === b ? a + Math.LN2 : Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)))),
  identity: (a) => a, cast: (a) => a, stop_gradient: (a) => a, sum: (a) => a, reshape: (a) => a, broadcast: (a) => a, mean: (a) => a,
  deg2rad: (a) => (a * Math.PI) / 180, rad2deg: (a) => (a * 180) / Math.PI,
};

function sigmoid(a: number): number {
  const e = Math.exp(-Math.abs(a));
  return (a >= 0 ? 1 : e) / (1 + e);
}

export function unknownOps(book: Book): string[] {
  const { op, args, value } = book.data.nodes;
  const bad = new Set<string>();
  op.forEach((name, n) => {
    if (toNumber(value[n]) === null || args[n].includes(null)) bad.add(name);
    else if (args[n].length && !RULES[name]) bad.add(name);
  });
  return [...bad];
}

// The value of every node for other values of some leaves.
export function evaluate(book: Book, changed: Map<number, number>): number[] {
  const { op, args, value } = book.data.nodes;
  const out: number[] = [];
  for (let n = 0; n < book.count; n++) {
    if (changed.has(n)) out.push(changed.get(n)!);
    else if (!args[n].length) out.push(toNumber(value[n])!);
    else out.push(RULES[op[n]](...args[n].map((arg: Argument) => (typeof arg === "number" ? out[arg] : toNumber((arg as [Num])[0])!))));
  }
  return out;
}

// What every node is owed if these edges pay nothing: the sweep over the partials that are known.
export function sweepWithout(book: Book, cut: Set<number>): (number | null)[] {
  const { payer, partial, paid } = book.data.edges;
  const owed: (number | null)[] = new Array(book.count).fill(null);
  owed[book.data.top] = 1;
  for (let n = book.count - 1; n >= 0; n--) {
    if (n === book.data.top) continue;
    for (const e of book.received[n]) {
      const above = owed[payer[e]], d = toNumber(partial[e] as Num);
      if (cut.has(e) || above === null || d === null) continue;
      const taken = Number.isFinite(d) || toNumber(paid[e]) !== 0; // a choice not taken pays 0, whatever its partial
      owed[n] = (owed[n] ?? 0) + (taken ? above * d : 0);
    }
  }
  return owed;
}
