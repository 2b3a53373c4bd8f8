// The graph: the top above, everybody below whom it owes. SVG for what can be read, Canvas for what can only be seen.

import { Book, clean, isBad, show, showAmount, toNumber } from "./data";
import { h, keep, put, s } from "./dom";
import { Box, FOLDINGS, Folding, Opened, Picture, picture } from "./fold";
import { w } from "./words";

export const READABLE = 400;
const LETTER = 7.3; // of a label
const HIGH = 112, GAP = 26, CHAR = 7.4, LEAST = 74, MOST = 340;
const HALF = 25, BESIDE = 7; // of a box's height; how near to it an edge passes
const SMALL = 12; // nodes that need no folding
const LEGIBLE = 0.68; // the smallest scale that a graph is fitted to its frame with

export interface GraphState { now: number; chosen: number | null; hover: number | null; cut: Set<number> }

interface Spot { x: number; y: number; width: number }

// Where along its edge a label stands: nearer to the payer, where edges are still apart, or at the first of a few places
// where no label is yet and no box.  All in CSS pixels: a letter is about 7.3 wide, a line 16 high.
function placing(spots: Spot[]): (letters: number, at: (t: number) => [number, number]) => [number, number] {
  const taken = new Map<number, [number, number, number][]>(); // by lines: where labels stand, and half of how wide they are
  return (letters, at) => {
    const half = LETTER / 2 * letters + 3;
    const beside = ([x, y]: [number, number]) => spots.every((box) => Math.abs(box.x - x) > half + box.width / 2 || Math.abs(box.y - y) > 33);
    const free = ([x, y]: [number, number]) => [-1, 0, 1].every((by) => (taken.get(Math.round(y / 16) + by) ?? []).every(([px, py, ph]) => Math.abs(px - x) > half + ph || Math.abs(py - y) > 15));
    const places = [0.36, 0.5, 0.64, 0.76, 0.22, 0.88, 0.12].map(at);
    const spot = places.find((place) => free(place) && beside(place)) ?? places.find(free) ?? places[0];
    const line = Math.round(spot[1] / 16);
    taken.set(line, [...(taken.get(line) ?? []), [...spot, half]]);
    return spot;
  };
}

// Where an edge passes the rows between its ends: beside their boxes, as near to the straight way as may be.
function passing(spots: Spot[]): (a: Spot, b: Spot) => [number, number][] {
  const rows = new Map<number, Spot[]>();
  for (const spot of spots) (rows.get(spot.y) ?? rows.set(spot.y, []).get(spot.y)!).push(spot);
  const ys = [...rows.keys()].sort((p, q) => p - q);
  for (const row of rows.values()) row.sort((p, q) => p.x - q.x);
  const taken = new Map<number, Set<number>>(ys.map((y) => [y, new Set()]));
  return (a, b) => {
    let x = a.x, last = a.y;
    return ys.filter((y) => a.y < y && y < b.y).map((y) => {
      const row = rows.get(y)!, wish = last === a.y ? x + ((b.x - x) * (y - last)) / (b.y - last) : x; // straight down, once on its way
      const starts = [4, ...row.map((box) => box.x + box.width / 2 + BESIDE)], ends = [...row.map((box) => box.x - box.width / 2 - BESIDE), Infinity];
      const nearest = starts.map((start, k) => Math.max(start, Math.min(ends[k], wish))).sort((p, q) => Math.abs(p - wish) - Math.abs(q - wish))[0];
      const right = nearest >= wish ? 1 : -1; // edges that come to the same place stand side by side, as far as there is room
      const free = [0, 4, 8].map((by) => Math.round(nearest + right * by)).find((at) => !taken.get(y)!.has(at) && starts.some((start, k) => start <= at && at <= ends[k]));
      x = free ?? Math.round(nearest);
      taken.get(y)!.add(x);
      last = y;
      return [x, y];
    });
  };
}

export class Graph {
  readonly root = h("div", { class: "graph", role: "group" });
  folding: Folding;
  focus: number | null = null;
  private opened: Opened = new Map();
  private whole = new Map<number, number>(); // the boxes of which none was opened, and how many nodes they hold
  private picture!: Picture;
  private spots: Spot[] = [];
  private size = { width: 0, height: 0 };
  private canvas: HTMLCanvasElement | null = null;
  private barFor: number | null = null;
  private boxes: SVGGElement[] = [];
  private lines: SVGGElement[] = [];
  private labels: SVGTextElement[] = [];
  private zoom: number | null = null; // null: fitted
  private frame = h("div", { class: "graph-frame", tabindex: "-1" });
  private bar = h("div", { class: "graph-bar" });

  constructor(readonly book: Book, readonly state: () => GraphState, readonly choose: (node: number) => void,
              readonly hover: (node: number | null) => void, readonly pick?: (edge: number) => void) {
    this.folding = book.count > READABLE ? "lines" : "none";
    this.root.append(this.bar, this.frame);
    this.rebuild();
    new ResizeObserver(() => this.fit()).observe(this.frame);
  }

  private get scale(): number {
    return this.zoom ?? Math.max(LEGIBLE, Math.min(1, (this.frame.clientWidth || this.size.width) / Math.max(this.size.width, 1)));
  }

  private fit(): void {
    const svg = this.frame.querySelector("svg");
    if (!svg) return;
    svg.setAttribute("width", String(Math.round(this.size.width * this.scale)));
    svg.setAttribute("height", String(Math.round(this.size.height * this.scale)));
  }

  private magnify(by: number | null): void {
    this.zoom = by === null ? null : Math.max(0.2, Math.min(3, this.scale * by));
    this.fit();
  }

  setFocus(node: number | null): void {
    this.focus = node;
    this.rebuild();
  }

  // Everything again, folded as in the beginning.
  reset(): void {
    this.opened.clear();
    this.setFocus(null);
  }

  // Make a node visible: open the box that it is folded into, or look at its debts alone.
  reveal(node: number): void {
    const k = this.picture.at[node];
    if (k >= 0 && this.picture.boxes[k].nodes.length === 1) return this.scrollTo(k);
    this.setFocus(node);
  }

  private scrollTo(k: number): void {
    const spot = this.spots[k], frame = this.frame;
    const scale = frame.scrollWidth / Math.max(this.size.width, 1);
    const x = spot.x * scale, y = spot.y * scale;
    const half = (spot.width * scale) / 2;
    if (x - half < frame.scrollLeft || x + half > frame.scrollLeft + frame.clientWidth) frame.scrollLeft = x - frame.clientWidth / 2;
    if (y - 30 < frame.scrollTop || y + 30 > frame.scrollTop + frame.clientHeight) frame.scrollTop = y - frame.clientHeight / 2;
  }

  rebuild(): void {
    keep(this.root, () => this.build());
  }

  private build(): void {
    this.picture = picture(this.book, this.folding, this.opened, this.focus);
    if (!this.opened.size) this.whole = new Map(this.picture.boxes.map((box) => [box.id, box.nodes.length]));
    this.place();
    const { boxes } = this.picture;
    this.drawBar();
    this.boxes = [];
    this.lines = [];
    this.labels = [];
    this.canvas = null;
    if (boxes.length <= READABLE) { put(this.frame, this.drawing()); this.fit(); }
    else {
      this.canvas = h("canvas", { role: "img", "aria-label": `${boxes.length} ${w().nodes}` });
      this.canvas.addEventListener("click", (e) => this.clickCanvas(e));
      put(this.frame, this.canvas);
    }
    this.update();
    requestAnimationFrame(() => { // begin with what is chosen, or where the top is
      const k = this.picture.at[this.state().chosen ?? this.focus ?? this.book.data.top] ?? -1;
      if (k >= 0) this.scrollTo(k);
    });
  }

  private drawBar(): void {
    const { boxes } = this.picture;
    this.bar.hidden = this.book.count <= SMALL;
    const select = h("select", { "data-key": "fold", onchange: (e: Event) => {
      this.folding = (e.target as HTMLSelectElement).value as Folding;
      this.opened.clear();
      this.rebuild();
    } }, ...FOLDINGS.filter((f) => f !== "layers" || this.book.data.nodes.stage.some((k) => k > 0)).map((f) =>
      h("option", { value: f, selected: f === this.folding }, w()[f])));
    const chosen = this.state().chosen;
    const button = (text: string, label: string, go: () => void) => h("button", { type: "button", class: "small", "data-key": label, "aria-label": label, title: label, onclick: go }, text);
    put(this.bar, h("label", {}, `${w().fold} `, select),
      boxes.length <= READABLE && h("span", { class: "zoom" }, button("−", w().smaller, () => this.magnify(1 / 1.25)), button("+", w().larger, () => this.magnify(1.25)), button("⤢", w().fitted, () => this.magnify(null))),
      h("span", { class: "quiet" }, `${boxes.length.toLocaleString("en")} / ${this.book.count.toLocaleString("en")} ${w().nodes}`),
      this.focus !== null && h("span", { class: "focus" }, `${w().focus} `, h("bdi", {}, clean(this.book.data.nodes.name[this.focus])), " ",
        h("button", { type: "button", class: "small", "data-key": "all", onclick: () => this.setFocus(null) }, w().all)),
      chosen !== null && this.focus !== chosen && h("button", { type: "button", class: "small", "data-key": "only", onclick: () => this.setFocus(chosen) }, `${w().focus} ${clean(this.book.data.nodes.name[chosen], 16)}`));
    this.barFor = chosen;
  }

  private place(): void {
    const { boxes } = this.picture;
    const rows = new Map<number, number[]>();
    boxes.forEach((box, k) => (rows.get(box.layer) ?? rows.set(box.layer, []).get(box.layer)!).push(k));
    const dense = boxes.length > READABLE;
    this.spots = new Array(boxes.length);
    const levels = [...rows.keys()].sort((a, b) => a - b);
    let width = 0;
    const unit = dense ? 12 : Math.max(...boxes.map((box) => this.widthOf(box)), LEAST) + GAP;
    const at = boxes.map((box) => box.x), left = Math.min(...at), span = Math.max(...at) - left;
    const most = Math.max(2, ...[...rows.values()].map((row) => row.length)) - 1; // folded boxes lie as far apart as all nodes did
    const near = boxes.length < this.book.count && span > most ? most / span : 1;
    levels.forEach((level, row) => {
      let edge = -Infinity;
      for (const k of rows.get(level)!.sort((a, b) => boxes[a].x - boxes[b].x || a - b)) {
        const own = dense ? 8 : this.widthOf(boxes[k]);
        const want = this.focus === null ? (boxes[k].x - left) * near * unit : 0;
        const x = Math.max(want, edge + own / 2 + (dense ? 4 : GAP));
        edge = x + own / 2;
        this.spots[k] = { x, y: row * (dense ? 14 : HIGH) + (dense ? 10 : 34), width: own };
        width = Math.max(width, edge);
      }
    });
    if (this.focus !== null) for (const row of rows.values()) { // rows of a cut-out stand in the middle
      const last = row[row.length - 1], first = row[0];
      const shift = (width - (this.spots[last].x + this.spots[last].width / 2) - (this.spots[first].x - this.spots[first].width / 2)) / 2;
      for (const k of row) this.spots[k].x += shift;
    }
    let least = Infinity;
    for (const spot of this.spots) least = Math.min(least, spot.x - spot.width / 2);
    for (const spot of this.spots) spot.x += 14 - least;
    this.size = { width: width + 28 - least, height: levels.length * (dense ? 14 : HIGH) - (dense ? 0 : HIGH - 68) + 12 };
  }

  private widthOf(box: Box): number {
    return Math.min(MOST, Math.max(LEAST, CHAR * Math.max(...this.texts(box).map((text) => text.length)) + 20));
  }

  // The two lines of a box: name and value, and beneath it the widest thing that it will ever say.
  private texts(box: Box): string[] {
    const { name, value, settled, op } = this.book.data.nodes;
    const many = box.nodes.length.toLocaleString("en");
    if (box.nodes.length > 1) return [this.nameOf(box), `${many} / ${many}`];
    const [n] = box.nodes;
    const pile = this.book.received[n].length > 1 ? this.pileText(n, Infinity) : "";
    return [`${clean(name[n], 18)} = ${showAmount(value[n])}`, pile, showAmount(settled[n]), op[n]];
  }

  private nameOf(box: Box): string {
    const { name, where, stage } = this.book.data.nodes;
    if (this.folding === "layers") return w().ofLayer.replace("{}", `${stage[box.id]}`);
    if (this.folding !== "chains" && where[box.id] >= 0 && this.whole.get(box.id) === box.nodes.length) {
      const place = this.book.data.places[where[box.id]];
      if (this.folding === "modules") return clean(place[0].split(/[\\/]/).pop() ?? "", 22);
      if (this.folding === "functions") return clean(place[1] || place[0], 22);
      return `${clean(place[0].split(/[\\/]/).pop() ?? "", 16)}:${place[2]}`;
    }
    return `${clean(name[box.nodes[0]], 9)} … ${clean(name[box.nodes[box.nodes.length - 1]], 9)}`;
  }

  pileText(node: number, now: number): string {
    const pile = this.book.pile(node, now);
    const terms = pile.map((e) => toNumber(this.book.data.edges.paid[e]));
    if (terms.includes(null)) return pile.length ? `${pile.length} × [${"…"}]` : "";
    const few = terms.slice(0, 4).map((t) => (t! < 0 ? `(${show(t!)})` : show(t!)));
    return `${few.join("+")}${terms.length > 4 ? "+…" : ""}`;
  }

  private drawing(): SVGSVGElement {
    const { boxes, links } = this.picture;
    const { width, height } = this.size;
    const edges = s("g"), labels = s("g", { "aria-hidden": "true" }), nodes = s("g"), place = placing(this.spots), lanes = passing(this.spots);
    for (const link of links) {
      const a = this.spots[link.from], b = this.spots[link.to], between = lanes(a, b);
      const ends = [...between.map(([x, y]) => [x, y - HALF]), [b.x, b.y - HALF]];
      const pieces = [[a.x, a.y + HALF], ...between.map(([x, y]) => [x, y + HALF])].map(([x, y], k) => [x, y, ...ends[k], Math.max(20, Math.abs(ends[k][1] - y) / 2.2)]);
      const d = "M" + pieces.map(([x1, y1, x2, y2, bend]) => `${x1} ${y1}C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}`).join("L");
      const [x1, y1, x2, y2, bend] = pieces[0];
      const [e] = link.edges;
      const partial = link.edges.length > 1 ? `${link.edges.length}×` : clean(showAmount(this.book.data.edges.partial[e]), 22);
      const [lx, ly] = place(partial.length, (t) => {
        const u = 1 - t, along = (p: number, q: number, r: number, z: number) => u ** 3 * p + 3 * u * u * t * q + 3 * u * t * t * r + t ** 3 * z;
        return [along(x1, x1, x2, x2), along(y1, y1 + bend, y2 - bend, y2)];
      });
      const line = s("g", { class: "edge" }, s("path", { d, class: "wide" }), s("path", { d, class: "line" }));
      const label = s("text", { x: lx, y: ly + 4, class: "partial" }, partial), wide = LETTER * partial.length;
      if (this.pick && link.edges.length === 1) {
        const name = this.book.data.nodes.name;
        const said = `${name[this.book.data.edges.payer[e]]} → ${name[this.book.data.edges.arg[e]]}`;
        for (const [k, v] of Object.entries({ tabindex: "0", role: "button", "aria-label": clean(said), "data-key": `edge-${e}` })) line.setAttribute(k, v);
        line.classList.add("cuttable");
        line.addEventListener("click", () => this.pick!(e));
        line.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); this.pick!(e); } });
      }
      this.lines.push(line);
      this.labels.push(label);
      edges.append(line);
      labels.append(s("rect", { x: lx - wide / 2, y: ly - 8, width: wide, height: 16, class: "ground" }), label);
    }
    boxes.forEach((box, k) => {
      const spot = this.spots[k];
      const node = s("g", { class: "node", transform: `translate(${spot.x} ${spot.y})`, tabindex: "0", role: "button", "data-key": `box-${box.id}` },
        s("rect", { x: -spot.width / 2, y: -25, width: spot.width, height: 50, rx: 9 }),
        s("text", { y: -6, class: "name" }), s("text", { y: 14, class: "owed" }), s("title"));
      const act = () => {
        if (box.nodes.length > 1) { this.opened.set(box.id, (this.opened.get(box.id) ?? 0) + 1); this.rebuild(); } else this.choose(box.nodes[0]);
      };
      node.addEventListener("click", act);
      node.addEventListener("dblclick", () => this.setFocus(box.nodes[0]));
      node.addEventListener("keydown", (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); act(); } });
      node.addEventListener("pointerenter", () => this.hover(box.nodes[0]));
      node.addEventListener("pointerleave", () => this.hover(null));
      node.addEventListener("focus", () => this.hover(box.nodes[0]));
      node.addEventListener("blur", () => this.hover(null));
      this.boxes.push(node);
      nodes.append(node);
    });
    return s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": w().graph }, edges, labels, nodes);
  }

  update(): void {
    if (this.state().chosen !== this.barFor) keep(this.bar, () => this.drawBar());
    if (this.canvas) return this.paint();
    const { now, chosen, hover, cut } = this.state();
    const { data } = this.book;
    const event = now < this.book.events.length - 1 ? this.book.events[now] : undefined; // at the end nothing happens any more
    this.picture.boxes.forEach((box, k) => {
      const g = this.boxes[k], [name, owed, title] = [g.children[1], g.children[2], g.children[3]];
      if (box.nodes.length > 1) {
        const done = box.nodes.filter((n) => this.book.settledAt[n] >= 0 && this.book.settledAt[n] <= now).length;
        name.textContent = this.nameOf(box);
        owed.textContent = `${done.toLocaleString("en")} / ${box.nodes.length.toLocaleString("en")}`;
        g.setAttribute("class", `node box ${done === box.nodes.length ? "settled" : done ? "some" : ""}`);
        g.setAttribute("aria-label", `${w().box} ${box.nodes.length} ${w().nodes}: ${name.textContent}`);
        return;
      }
      const [n] = box.nodes;
      const settled = this.book.settledAt[n] >= 0 && this.book.settledAt[n] <= now;
      const pile = this.pileText(n, now);
      name.textContent = `${clean(data.nodes.name[n], 18)} = ${clean(showAmount(data.nodes.value[n]), 22)}`;
      owed.textContent = settled ? showAmount(data.nodes.settled[n]) : pile ? `(${pile})` : data.nodes.settled[n] === null ? "–" : "·";
      owed.textContent = clean(owed.textContent ?? "", 24);
      title.textContent = `${clean(data.nodes.name[n], 200)} · ${data.nodes.op[n]}`;
      const active = event !== undefined && (event.edge >= 0 ? event.node === n || data.edges.arg[event.edge] === n : event.node === n);
      const kinds = ["node", settled ? "settled" : pile ? "some" : "", active ? "active" : "", n === chosen ? "chosen" : "", isBad(data.nodes.value[n]) || (settled && isBad(data.nodes.settled[n])) ? "sick" : "",
        n === hover ? "hover" : "", data.leaves.includes(n) ? "leaf" : "", n === data.top ? "top" : ""];
      g.setAttribute("class", kinds.filter(Boolean).join(" "));
      g.setAttribute("data-node", String(n));
      g.setAttribute("aria-label", `${name.textContent}; ${w().owed} ${owed.textContent}`);
      g.setAttribute("aria-pressed", String(n === chosen));
    });
    this.picture.links.forEach((link, k) => {
      const paid = link.edges.every((e) => this.book.paidAt[e] >= 0 && this.book.paidAt[e] <= now);
      const active = event !== undefined && link.edges.includes(event.edge);
      const gone = link.edges.some((e) => cut.has(e));
      this.labels[k].setAttribute("class", `partial${gone ? " cut" : ""}`);
      if (this.pick && link.edges.length === 1) this.lines[k].setAttribute("aria-pressed", String(gone));
      this.lines[k].setAttribute("class", `edge${this.pick ? " cuttable" : ""}${paid ? " paid" : ""}${active ? " active" : ""}${gone ? " cut" : ""}${chosen !== null && paid && link.edges.some((e) => data.edges.arg[e] === chosen) ? " due" : ""}`);
    });
  }

  heat(of: (edge: number) => number): void { // 0: cold, 1: hottest
    this.picture.links.forEach((link, k) => {
      const value = Math.max(...link.edges.map(of));
      const line = this.lines[k]?.querySelector(".line") as SVGPathElement | null;
      if (!line) return;
      line.style.stroke = value > 0 ? `color-mix(in srgb, var(--hot) ${Math.round(25 + 75 * value)}%, var(--line))` : "";
      line.style.strokeWidth = String(1.5 + 5 * value);
    });
  }

  mark(nodes: Set<number>, edges: Set<number>): void { // where a collector stands
    this.picture.boxes.forEach((box, k) => this.boxes[k]?.classList.toggle("walked", box.nodes.some((n) => nodes.has(n))));
    this.picture.links.forEach((link, k) => this.lines[k]?.classList.toggle("walked", link.edges.some((e) => edges.has(e))));
  }

  private paint(): void {
    const canvas = this.canvas!, { now, chosen } = this.state();
    const width = Math.min(this.size.width, 4000), height = Math.min(this.size.height, 4000);
    const sx = width / this.size.width, sy = height / this.size.height;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    if (canvas.width !== Math.round(width * ratio)) {
      canvas.width = width * ratio;
      canvas.height = height * ratio;
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    const pen = canvas.getContext("2d")!, style = getComputedStyle(this.root);
    const color = (name: string) => style.getPropertyValue(name).trim() || "#888";
    pen.setTransform(ratio * sx, 0, 0, ratio * sy, 0, 0);
    pen.clearRect(0, 0, this.size.width, this.size.height);
    pen.strokeStyle = color("--line");
    pen.lineWidth = 0.6;
    pen.beginPath();
    for (const link of this.picture.links) {
      const a = this.spots[link.from], b = this.spots[link.to];
      pen.moveTo(a.x, a.y);
      pen.lineTo(b.x, b.y);
    }
    pen.stroke();
    this.picture.boxes.forEach((box, k) => {
      const n = box.id, at = this.book.settledAt[n];
      pen.fillStyle = n === chosen ? color("--hot") : at >= 0 && at <= now ? color("--settled-line") : color("--quiet");
      pen.fillRect(this.spots[k].x - 4, this.spots[k].y - 3, 8, 6);
    });
  }

  private clickCanvas(e: MouseEvent): void {
    const box = this.canvas!.getBoundingClientRect();
    const x = ((e.clientX - box.left) / box.width) * this.size.width, y = ((e.clientY - box.top) / box.height) * this.size.height;
    let best = -1, least = 20;
    this.spots.forEach((spot, k) => {
      const far = Math.hypot(spot.x - x, spot.y - y);
      if (far < least) [best, least] = [k, far];
    });
    if (best >= 0) this.choose(this.picture.boxes[best].id);
  }
}
