// The data of a page, as `payback/glass/page.py` writes them, and what follows from them: events, piles, order.

export type Num = number | "NaN" | "Infinity" | "-Infinity";
export interface ArrayAmount { shape: string; norm: Num; values?: Num[]; bad?: true } // bad: not all of it is finite
export type Amount = Num | ArrayAmount | Amount[] | null;
export type Argument = number | [Num] | null; // a node, a constant, no number

export interface PathsTo {
  leaf: number; count: string; walks: string; gross: Amount; kappa: Amount;
  largest: { edges: number[]; product: Num | null; paid: Amount }[];
}

export interface LedgerData {
  kind: "ledger"; title: string; level: string; top: number; leaves: number[];
  nodes: {
    name: string[]; op: string[]; value: Amount[]; settled: Amount[]; layer: number[]; x: number[];
    where: number[]; stage: number[]; args: Argument[][];
  };
  edges: {
    payer: number[]; arg: number[]; slot: number[]; partial: (Num | string)[]; paid: Amount[];
    walks: string[] | null; heat: number[] | null;
  };
  race: { paths: string; walks: string; visits: number } | null;
  paths: PathsTo[];
  places: [string, string, number, number, number, number, string][];
  sources: { file: string; first: number; lines: string[] }[];
  story?: boolean;
}

export interface PageEvent { node: number; edge: number } // settles: edge -1; pays: the edge, and its payer as node

export class Book {
  readonly count: number;
  readonly received: number[][]; // edges by node, ascending payer
  readonly paying: number[][]; // edges by payer, ascending slot
  readonly events: PageEvent[] = [];
  readonly paidAt: Int32Array; // the event at which an edge is paid
  readonly settledAt: Int32Array; // ... a node settles; -1: never, no path

  constructor(readonly data: LedgerData) {
    const { nodes, edges } = data;
    this.count = nodes.name.length;
    this.received = Array.from({ length: this.count }, () => []);
    this.paying = Array.from({ length: this.count }, () => []);
    edges.payer.forEach((payer, e) => {
      this.received[edges.arg[e]].push(e);
      this.paying[payer].push(e);
    });
    this.paidAt = new Int32Array(edges.payer.length).fill(-1);
    this.settledAt = new Int32Array(this.count).fill(-1);
    const layers: number[][] = [];
    nodes.layer.forEach((layer, n) => {
      if (nodes.settled[n] !== null) (layers[layer] ??= []).push(n);
    });
    for (const layer of layers) {
      if (!layer) continue;
      for (const n of layer) {
        this.settledAt[n] = this.events.length;
        this.events.push({ node: n, edge: -1 });
      }
      for (const n of layer) {
        for (const e of this.paying[n]) {
          this.paidAt[e] = this.events.length;
          this.events.push({ node: n, edge: e });
        }
      }
    }
  }

  // The payments that a node has received by now, ascending payer.
  pile(node: number, now: number): number[] {
    return this.received[node].filter((e) => this.paidAt[e] <= now);
  }

  // The sum of a pile as the engine adds it: ascending payer, one by one; null where amounts are no numbers.
  sum(pile: number[]): number | null {
    let total: number | null = null;
    for (const e of pile) {
      const paid = toNumber(this.data.edges.paid[e]);
      if (paid === null) return null;
      total = total === null ? paid : total + paid;
    }
    return total;
  }

  // The first node, in the order of computing, whose value is not finite; then, in the order of paying, whose gradient is not.
  firstBad(): { node: number; backward: boolean } | null {
    const { value, settled } = this.data.nodes;
    const node = value.findIndex(isBad);
    if (node >= 0) return { node, backward: false };
    const event = this.events.find((one) => one.edge < 0 && isBad(settled[one.node]));
    return event ? { node: event.node, backward: true } : null;
  }

  find(name: string): number {
    return this.data.nodes.name.indexOf(name);
  }
}

export function isBad(amount: Amount): boolean {
  const x = toNumber(amount);
  if (x !== null) return !Number.isFinite(x);
  if (Array.isArray(amount)) return amount.some(isBad);
  return amount !== null && (amount as ArrayAmount).bad === true;
}

export function sizeOf(amount: Amount): number | null {
  const x = toNumber(amount);
  if (x !== null) return Math.abs(x);
  return amount !== null && !Array.isArray(amount) ? toNumber((amount as ArrayAmount).norm) : null;
}

export function toNumber(amount: Amount | string | undefined): number | null {
  if (typeof amount === "number") return amount;
  if (amount === "NaN") return NaN;
  if (amount === "Infinity") return Infinity;
  if (amount === "-Infinity") return -Infinity;
  return null;
}

// With fewer digits, where columns stand side by side.
export function brief(amount: Amount | string | undefined, digits = 5): string {
  const x = toNumber(amount as Amount);
  if (x !== null) return Number.isFinite(x) ? show(Number(x.toPrecision(digits))) : show(x);
  const norm = amount !== null && typeof amount === "object" && !Array.isArray(amount) ? toNumber(amount.norm) : null;
  return norm === null ? showAmount(amount) : `‖${show(Number.isFinite(norm) ? Number(norm.toPrecision(4)) : norm)}‖`;
}

export function show(x: number): string {
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  if (Number.isInteger(x) && Math.abs(x) < 1e15) return x === 0 ? "0" : String(x).replace("-", "−");
  const text = Math.abs(x) >= 1e6 || Math.abs(x) < 1e-4 ? x.toExponential(5) : x.toPrecision(7);
  const [digits, power] = text.split("e");
  const short = digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits;
  return (power ? `${short}e${power.replace("+", "")}` : short).replace(/-/g, "−");
}

export function showAmount(amount: Amount | string | undefined): string {
  if (amount === null || amount === undefined) return "–";
  const x = toNumber(amount as Amount);
  if (x !== null) return show(x);
  if (typeof amount === "string") return clean(amount);
  if (Array.isArray(amount)) return amount.map(showAmount).join(", ");
  const array = amount as ArrayAmount;
  const norm = toNumber(array.norm);
  return `[${array.shape}] ‖${norm === null ? "–" : show(Number(norm.toPrecision(4)))}‖`;
}

const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

// A user's text as it may be shown: what cannot be seen, or turns the writing round, by its number; not too long.
export function clean(text: string, most = 60): string {
  const seen = text.replace(UNSEEN, (c) => `‹U+${c.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}›`);
  return seen.length > most ? `${seen.slice(0, most - 1)}…` : seen;
}
