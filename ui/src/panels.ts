// What stands beside the graph: the account book, the race, the paths, what if.

import { Amount, Book, PathsTo, brief, clean, show, showAmount, toNumber } from "./data";
import { calm, h, keep, put } from "./dom";
import { evaluate, sweepWithout, unknownOps } from "./evaluate";
import { Graph } from "./graph";
import { w } from "./words";

const WALKED = 200; // paths that collectors walk on the page
const ROWS = 400, ACCOUNTS = 60; // of one account; accounts that are listed together

export function bookPanel(book: Book, now: number, chosen: number | null, choose: (node: number) => void): HTMLElement {
  const { nodes, edges } = book.data;
  const rows: HTMLElement[] = [];
  const shown = chosen !== null ? [chosen] : lately(book, now);
  for (const n of shown) {
    const pile = book.pile(n, now);
    const settled = book.settledAt[n] >= 0 && book.settledAt[n] <= now;
    const most = chosen !== null ? ROWS : 12, left = pile.length - most; // rows that are left out, before the last
    const head = () => h("th", { scope: "rowgroup", rowspan: Math.max(left > 0 ? most + 1 : pile.length, 1) },
      h("button", { type: "button", class: "link", "data-key": `book-${n}`, onclick: () => choose(n) }, h("bdi", {}, clean(nodes.name[n], 24))));
    const closing = settled ? "closed" : "";
    if (!pile.length) {
      const text = n === book.data.top ? w().starts : nodes.settled[n] === null ? w().nobody : "";
      rows.push(h("tr", { class: closing }, head(), h("td", { colspan: 4, class: "quiet" }, text), h("td", { class: "number" }, settled ? brief(nodes.settled[n]) : "")));
    }
    let total: number | null = null;
    pile.forEach((e, k) => {
      const payer = edges.payer[e], paid = toNumber(edges.paid[e]);
      total = paid === null ? null : k === 0 ? paid : total === null ? null : total + paid;
      if (left > 0 && k >= most - 1 && k < pile.length - 1) {
        if (k === most - 1) rows.push(h("tr", {}, h("td", { colspan: 5, class: "quiet" }, `… ${(left).toLocaleString("en")}`)));
        return;
      }
      const sum = total !== null ? brief(total) : k === pile.length - 1 && settled ? brief(nodes.settled[n]) : "";
      rows.push(h("tr", { class: k === pile.length - 1 ? closing : "" }, k === 0 && head(), h("td", { class: "who" }, h("bdi", {}, clean(nodes.name[payer], 24))),
        h("td", { class: "number" }, brief(nodes.settled[payer])), partialCell(edges.partial[e]),
        h("td", { class: "number" }, brief(edges.paid[e])), h("td", { class: "number", "data-sum": sum !== "" && k === pile.length - 1 ? nodes.name[n] : undefined }, sum)));
    });
  }
  if (!rows.length) return h("p", { class: "quiet" }, w().begin);
  if (chosen === null && shown.length >= ACCOUNTS) rows.unshift(h("tr", {}, h("td", { colspan: 6, class: "quiet" }, w().latest.replace("{n}", String(ACCOUNTS)))));
  return h("table", { class: "book" }, h("thead", {}, h("tr", {}, ...["", w().payer, w().owes, w().local, w().paid, w().sum].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, ...rows));
}

function partialCell(partial: Amount | string): HTMLElement {
  const number = toNumber(partial as Amount) !== null;
  return h("td", { class: number ? "number" : "rule" }, number ? brief(partial) : clean(showAmount(partial), 48));
}

// The accounts that something happened to up to now, as far as they are readable: what happened first stands first.
function lately(book: Book, now: number): number[] {
  const found = new Set<number>();
  for (let k = now; k >= 0 && found.size < ACCOUNTS; k--) {
    const { node, edge } = book.events[k];
    if (edge < 0) found.add(node);
    else if (book.settledAt[book.data.edges.arg[edge]] > now) found.add(book.data.edges.arg[edge]);
  }
  return [...found].reverse();
}

// The paths from a leaf to the top, as edges, the first so many: depth first, with a stack of its own.
export function walksTo(book: Book, leaf: number, most: number): number[][] {
  const found: number[][] = [], trail: number[] = [], open: number[][] = [[...book.received[leaf]]];
  if (leaf === book.data.top && most > 0) found.push([]);
  while (open.length && found.length < most) {
    const e = open[open.length - 1].shift();
    if (e === undefined) { open.pop(); trail.pop(); continue; }
    const payer = book.data.edges.payer[e];
    if (payer === book.data.top) found.push([...trail, e]);
    else if (book.settledAt[payer] >= 0) {
      trail.push(e);
      open.push([...book.received[payer]]);
    }
  }
  return found;
}

export class Race {
  readonly root = h("div", { class: "race" });
  private walks: number[] = []; // the edges of the paths, one path after the other; -1 ends a path
  private paths = 0;
  private at = 0;
  private timer = 0;
  private counts = { paths: 0, walks: 0 };
  private heat: Float64Array;
  private top = 1;

  constructor(readonly book: Book, readonly graph: Graph) {
    this.heat = new Float64Array(book.data.edges.payer.length);
    for (const leaf of book.data.leaves) for (const walk of walksTo(book, leaf, WALKED - this.paths)) {
      this.walks.push(...walk, -1);
      this.paths++;
    }
    this.show();
  }

  private step(): void {
    const e = this.walks[this.at++];
    if (e === undefined) return this.stop();
    if (e < 0) {
      this.counts.paths++;
      this.graph.mark(new Set(), new Set());
    } else {
      this.counts.walks++;
      this.heat[e]++;
      this.top = Math.max(this.top, this.heat[e]);
      this.graph.mark(new Set([this.book.data.edges.payer[e]]), new Set([e]));
    }
    const visits = this.counts.walks; // the sweep runs beside: an edge for each edge that is walked
    this.graph.heat((k) => (this.heat[k] ? Math.max(this.heat[k] / this.top, 0.15) : 0));
    this.show(visits);
  }

  play(): void {
    if (this.timer) return this.stop();
    if (this.at >= this.walks.length) this.reset();
    if (calm()) { while (this.at < this.walks.length) this.step(); return this.show(this.book.data.edges.payer.length); }
    this.timer = window.setInterval(() => this.step(), Math.max(40, Math.min(650, 9000 / this.walks.length)));
    this.show(Math.min(this.counts.walks, this.book.data.edges.payer.length));
  }

  stop(): void {
    window.clearInterval(this.timer);
    this.timer = 0;
    this.graph.mark(new Set(), new Set());
    this.show(Math.min(this.counts.walks, this.book.data.edges.payer.length));
  }

  reset(): void {
    this.stop();
    this.at = 0;
    this.counts = { paths: 0, walks: 0 };
    this.heat.fill(0);
    this.top = 1;
    this.graph.heat(() => 0);
    this.show();
  }

  private show(visits = 0): void {
    const race = this.book.data.race;
    if (!race) return put(this.root, h("p", { class: "quiet" }, w().manypaths));
    const digits = Math.max(race.walks.length, 1), all = log10(race.walks), swept = Math.log10(Math.max(race.visits, 1));
    const bar = (title: string, value: number, done: string, total: string, kind: string) => h("div", { class: "lane" }, h("h3", {}, title),
      h("p", { class: "big", "data-count": kind }, done, h("span", { class: "quiet" }, ` / ${total}`)),
      h("div", { class: `bar ${kind}`, role: "img", "aria-label": `${total}` }, fill(value / Math.max(all, swept, 1e-9))));
    const listed = this.paths < Number(race.paths);
    keep(this.root, () => put(this.root, h("p", {}, w().racetext),
      bar(w().collectors, all, `${this.counts.paths} ${w().pathsOf}, ${this.counts.walks} ${w().walksOf}`, `${grouped(race.paths)} ${w().pathsOf}, ${grouped(race.walks)} ${w().walksOf}`, "collect"),
      bar(w().sweep, swept, `${Math.min(visits, race.visits)}`, `${race.visits} ${w().visitsOf}`, "sweep"),
      digits > 6 && h("p", { class: "quiet" }, `10^${all.toFixed(1)} : 10^${swept.toFixed(1)}`),
      listed && h("p", { class: "quiet" }, w().shownwalks.replace("{n}", String(this.paths))),
      h("p", { class: "quiet" }, w().logscale), h("div", { class: "buttons" }, h("button", { type: "button", class: "primary", "data-key": "race-play", onclick: () => this.play() }, this.timer ? w().pause : w().play),
        h("button", { type: "button", "data-key": "race-step", onclick: () => { this.stop(); this.step(); } }, w().forward), h("button", { type: "button", "data-key": "race-reset", onclick: () => this.reset() }, w().first))));
  }
}

function fill(share: number): HTMLElement {
  const element = h("span");
  element.style.width = `${Math.max(1, Math.min(100, 100 * share))}%`;
  return element;
}

function log10(digits: string): number {
  return digits === "0" ? 0 : Math.log10(Number(`0.${digits.slice(0, 15)}`)) + digits.length;
}

function grouped(digits: string): string {
  if (digits.length > 21) return `${digits[0]}.${digits.slice(1, 3)}·10^${digits.length - 1}`;
  return digits.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

export function pathsPanel(book: Book, which: number, choose: (leaf: number) => void, trace: (edges: number[]) => void): HTMLElement {
  const all = book.data.paths, { name } = book.data.nodes;
  if (!all.length) return h("p", { class: "quiet" }, w().manypaths);
  const found: PathsTo = all.find((p) => p.leaf === which) ?? all[0];
  const select = h("select", { "data-key": "leaf", onchange: (e: Event) => choose(Number((e.target as HTMLSelectElement).value)) },
    ...all.map((p) => h("option", { value: p.leaf, selected: p === found }, clean(name[p.leaf], 40))));
  const gross = toNumber(found.gross), net = book.data.nodes.settled[found.leaf], kappa = toNumber(found.kappa);
  const fact = (title: string, value: string, key: string) => h("div", { class: "fact" }, h("dt", {}, title), h("dd", { "data-fact": key }, value));
  const biggest = Math.max(...found.largest.map((p) => size(p)), 0);
  const ribbons = found.largest.map((p) => {
    const product = p.product === null ? null : toNumber(p.product);
    const route = [...p.edges].map((e) => name[book.data.edges.arg[e]]).concat(p.edges.length ? name[book.data.edges.payer[p.edges[p.edges.length - 1]]] : []);
    const text = route.length > 9 ? [...route.slice(0, 4), "…", ...route.slice(-4)] : route;
    const share = gross && product !== null ? Math.abs(product) / gross : null;
    const line = h("span", { class: `ribbon ${product !== null && product < 0 ? "minus" : "plus"}` });
    line.style.width = `${biggest ? Math.max(2, (100 * size(p)) / biggest) : 2}%`;
    return h("li", {}, h("button", { type: "button", class: "route", onclick: () => trace(p.edges), onfocus: () => trace(p.edges), onpointerenter: () => trace(p.edges), onpointerleave: () => trace([]), onblur: () => trace([]) },
      h("bdi", {}, text.map((t) => clean(t, 12)).join(" – ")), h("span", { class: "number" }, product !== null ? show(product) : showAmount(p.paid)),
      line, share !== null && h("span", { class: "quiet" }, `${(100 * share).toFixed(1)} % ${w().share}`)));
  });
  return h("div", { class: "paths" }, h("label", {}, `${w().leaf} `, select),
    h("dl", { class: "facts" }, fact(w().count, grouped(found.count), "count"), fact(w().gross, showAmount(found.gross), "gross"), fact(w().net, showAmount(net), "net"), fact(w().kappa, showAmount(found.kappa), "kappa")),
    kappa !== null && h("div", { class: "dial" }, h("h3", {}, w().cancel), dial(gross, toNumber(net))),
    h("h3", {}, w().largest), found.count === "0" ? h("p", { class: "quiet" }, w().nopath) : ribbons.length ? h("ol", { class: "ribbons" }, ...ribbons) : h("p", { class: "quiet" }, w().notdefined));
}

function size(p: { product: unknown; paid: unknown }): number {
  const product = toNumber(p.product as Amount);
  if (product !== null) return Math.abs(product);
  const paid = p.paid as { norm?: number } | null;
  return typeof paid?.norm === "number" ? paid.norm : 0;
}

function dial(gross: number | null, net: number | null): HTMLElement {
  const kept = gross && net !== null ? Math.abs(net) / gross : gross === 0 ? 1 : 0;
  const bar = h("div", { class: "bar cancel", role: "img", "aria-label": `${(100 * (1 - kept)).toFixed(1)} %` }, fill(kept));
  return h("div", {}, bar, h("p", { class: "quiet" }, `${(100 * (1 - kept)).toFixed(1)} %`));
}

export class WhatIf {
  readonly root = h("div", { class: "whatif" });
  readonly cut = new Set<number>();
  private changed = new Map<number, number>();
  private readonly unknown: string[];

  constructor(readonly book: Book, readonly redraw: () => void) {
    this.unknown = unknownOps(book);
    this.show();
  }

  toggle(edge: number): void {
    if (!this.cut.delete(edge)) this.cut.add(edge);
    this.redraw();
    this.show();
  }

  private show(): void {
    const { nodes, leaves, top, edges } = this.book.data;
    const parts: (HTMLElement | false)[] = [];
    if (this.unknown.length) {
      parts.push(h("p", { class: "quiet" }, `${w().noeval} ${this.unknown.slice(0, 6).join(", ")}. ${w().fewer}`));
    } else {
      const result = h("dl", { class: "facts" });
      const tell = () => {
        const now = evaluate(this.book, this.changed)[top], before = toNumber(nodes.value[top])!;
        let predicted = before;
        for (const [n, x] of this.changed) predicted += (toNumber(nodes.settled[n]) ?? 0) * (x - toNumber(nodes.value[n])!);
        const fact = (title: string, value: number, key: string) => h("div", { class: "fact" }, h("dt", {}, title), h("dd", { "data-fact": key }, show(round(value))));
        put(result, fact(w().predicted, predicted, "predicted"), fact(w().truth, now, "truth"), fact(w().off, predicted - now, "off"));
      };
      parts.push(h("p", {}, w().drag), ...leaves.slice(0, 12).map((n) => {
        const x = toNumber(nodes.value[n])!, wide = Math.max(1, Math.abs(x));
        const number = h("input", { type: "number", step: "any", value: this.changed.get(n) ?? x, "aria-label": clean(nodes.name[n]), "data-leaf": clean(nodes.name[n]) });
        const slider = h("input", { type: "range", min: x - wide, max: x + wide, step: wide / 100, value: this.changed.get(n) ?? x, "aria-label": clean(nodes.name[n]) });
        const change = (from: HTMLInputElement, to: HTMLInputElement) => {
          const value = Number(from.value);
          if (from.value === "" || Number.isNaN(value)) return;
          to.value = String(value);
          if (value === x) this.changed.delete(n); else this.changed.set(n, value);
          tell();
        };
        number.addEventListener("input", () => change(number, slider));
        slider.addEventListener("input", () => change(slider, number));
        return h("div", { class: "knob" }, h("bdi", {}, clean(nodes.name[n], 16)), slider, number);
      }), result, h("div", { class: "buttons" }, h("button", { type: "button", "data-key": "reset", onclick: () => { this.changed.clear(); this.show(); } }, w().reset)));
      tell();
    }
    const numbers = edges.partial.every((partial) => toNumber(partial) !== null);
    if (numbers) {
      const owed = sweepWithout(this.book, this.cut);
      parts.push(h("p", {}, w().cut), h("table", { class: "book" }, h("thead", {}, h("tr", {}, ...[w().leaf, w().whole, w().without].map((text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, ...leaves.slice(0, 40).map((n) => h("tr", { class: owed[n] === toNumber(nodes.settled[n]) ? "" : "changed" }, h("th", { scope: "row" }, h("bdi", {}, clean(nodes.name[n], 24))), h("td", { class: "number" }, showAmount(nodes.settled[n])),
          h("td", { class: "number", "data-without": clean(nodes.name[n]) }, owed[n] === null ? "–" : show(owed[n]!)))))),
        this.cut.size > 0 && h("div", { class: "buttons" }, h("span", { class: "quiet" }, `${this.cut.size} ${w().cutcount} `), h("button", { type: "button", "data-key": "mend", onclick: () => { this.cut.clear(); this.redraw(); this.show(); } }, w().uncut)));
    }
    keep(this.root, () => put(this.root, ...parts));
  }
}

function round(x: number): number { // what stands in the last two bits is the machine's, not the story's
  return Number.isFinite(x) ? Number(x.toPrecision(14)) : x;
}
