// A recorded training: its map, its curves, the statement of one weight, and steps under the microscope.

import { LedgerData, Num, clean, show, toNumber } from "./data";
import { address, h, keep, put, s, setAddress, tabs } from "./dom";
import { Exact, stepHolds } from "./exact";
import { ledgerPage } from "./ledger";
import { w } from "./words";

interface Statement {
  name: string; entry: number[]; start: number; stop: number; opening: number; closing: number; initial: number; rounding: number; bound: number;
  steps: { n: number[]; decay: number[] };
  deposits: { step: number[]; sample: number[]; class: (string | number)[] | null; amount: number[] };
}
interface Look { n: number; epoch: number; before: Num; after: Num; promise: Num[]; alone: Num[]; rows: { sample: number; cost: Num }[]; weights: string; exact: Exact | null; ledger: LedgerData | null }
export interface RunData {
  kind: "run"; title: string; facts: [string, string][];
  curves: { name: string; values: (Num | null)[] }[];
  map: { rows: string[]; steps: number[]; gradient: (Num | null)[][]; update: (Num | null)[][]; dead: (Num | null)[][] };
  statements: Statement[];
  looks: Look[];
  failed: { n: number; told: string } | null; // the step that was not applied
  learned: string; // what the training has come to
  findings: { kind: string; what: string; why: string; fix: string }[]; // what stands out
}

const VIEWS = ["runmap", "curves", "statement", "microscope"] as const;
type View = (typeof VIEWS)[number];

export function runPage(data: RunData, root: Element): void {
  const asked = address();
  let view: View = (VIEWS as readonly string[]).includes(asked.get("view") ?? "") ? (asked.get("view") as View) : "runmap";
  let step = Number(asked.get("step") ?? -1);
  const body = h("section", { class: "runview" });
  const link = () => setAddress(new URLSearchParams(view === "microscope" && step >= 0 ? { view, step: String(step) } : { view }));
  const bar = tabs(VIEWS.map((v) => [v, w()[v]]), w().views, (name) => { view = name as View; draw(); });
  const look = (n: number) => { step = n; view = "microscope"; draw(); };
  const draw = () => {
    bar.select(view);
    put(body, !data.map.steps.length && view !== "curves" ? h("p", { class: "quiet" }, w().nosteps) : view === "runmap" ? new RunMap(data, look).root : view === "curves" ? curves(data) : view === "statement" ? statements(data) : microscope(data, step, (n) => { step = n; link(); }));
    link();
  };
  const found = findings(data);
  put(root, h("dl", { class: "facts" }, ...data.facts.map(([name, value]) => h("div", { class: "fact" }, h("dt", {}, FACTS[name]?.() ?? clean(name)), h("dd", {}, clean(value, 80))))),
    h("div", { class: "findings" }, h("p", {}, data.learned), h("ol", {}, ...data.findings.map((one) => h("li", {}, h("strong", {}, clean(one.what, 400)), h("p", {}, clean(one.why, 400)), h("p", { class: "fix" }, `${w().helps} `, clean(one.fix, 400))))),
      h("ul", {}, ...found.map((text) => h("li", {}, text)))), bar.root, body);
  draw();
}

const FACTS: Record<string, () => string> = {
  steps: () => w().steps, epochs: () => w().epochs, stopped: () => w().stopped, optimizer: () => w().optimizer, loss: () => w().loss,
  batch_size: () => w().batchsize, rows: () => w().datarows, dtype: () => w().dtype,
};

// What rows and gradients are no numbers, or cost far more than others, in words.
export function findings(data: RunData): string[] {
  const { rows, steps, gradient } = data.map, end = steps.length - 1;
  const failed = data.failed && !data.findings.some((one) => one.kind === "not finite") ? [w().foundfailed.replace("{n}", String(data.failed.n)).replace("{told}", () => clean(data.failed!.told, 400))] : [];
  if (end < 0) return failed;
  const found: string[] = failed, sizes = gradient.map((row) => toNumber(row[end])), say = (text: string, row: string, n: string) => text.replace("{row}", () => clean(row, 40)).replace("{n}", n);
  const tell = (text: string, badness: (number | null)[], told: (x: number) => string) => { // the worst row, and how many more
    const bad = badness.map((x, k) => [x, k] as [number | null, number]).filter((pair): pair is [number, number] => pair[0] !== null).sort((a, b) => b[0] - a[0] || a[1] - b[1]);
    if (bad.length) found.push(say(text, rows[bad[0][1]], told(bad[0][0])) + (bad.length > 1 ? ` ${w().foundmore.replace("{n}", String(bad.length - 1))}` : ""));
  };
  const middle = (xs: number[]) => xs.filter(Number.isFinite).sort((a, b) => a - b)[xs.length >> 1] ?? 0;
  const costs = data.looks.flatMap((look) => { // beside the others of its step, too: in the first steps all rows cost much
    const xs = look.rows.map((row) => toNumber(row.cost) ?? NaN);
    return look.rows.map((row, k) => ({ ...row, n: look.n, x: xs[k], usual: middle(xs.filter((_, other) => other !== k)) }));
  });
  const usual = middle(costs.map((one) => one.x)), beyond = (one: { x: number; usual: number }) => one.x > 100 * Math.max(usual, one.usual);
  const worst = costs.filter((one) => !Number.isFinite(one.x) || beyond(one)).sort((a, b) => Number(Number.isFinite(a.x)) - Number(Number.isFinite(b.x)) || b.x - a.x)[0];
  if (worst) found.push(w().foundrow.replace("{row}", String(worst.sample)).replace("{x}", show(Number(worst.x.toPrecision(3)))).replace("{n}", String(worst.n)).replace("{usual}", show(Number(worst.usual.toPrecision(2)))));
  tell(w().foundnan, sizes.map((x) => (x !== null && !Number.isFinite(x) ? 1 : null)), () => String(steps[end]));
  return found;
}

const MEASURES = ["gradient", "update", "dead"] as const;
type Measure = (typeof MEASURES)[number];
const UNKNOWN = Infinity; // in the map's columns
const SPREAD = 4; // powers of ten to either end of the scale

interface Known { logs: Float64Array[]; middle: number; medians: number[] }

// blue: small, white: usual, red: large; the scale is logarithmic (dead: a share)
class RunMap {
  readonly root = h("div", { class: "runmap" });
  private measure: Measure = "gradient";
  private worst = false;
  private cell = { x: 0, y: 0 };

  constructor(readonly data: RunData, readonly look: (step: number) => void) { this.draw(); }

  private known = new Map<Measure, Known>();

  // The numbers of a measure, logarithms where it has a size; -Infinity: 0; NaN: no number; +Infinity beyond: not known.
  private values(): Known {
    let found = this.known.get(this.measure);
    if (!found) {
      const share = this.measure === "dead";
      const logs = this.data.map[this.measure].map((row) => Float64Array.from(row, (v) => {
        if (v === null) return UNKNOWN;
        const x = typeof v === "number" ? v : toNumber(v)!;
        return share ? x : x === Infinity ? NaN : Math.log10(x);
      }));
      const some: number[] = []; // the median of a sample of them
      const stride = Math.max(1, Math.floor((logs.length * (logs[0]?.length ?? 0)) / 20_000));
      let k = 0;
      for (const row of logs) for (const v of row) if (k++ % stride === 0 && Number.isFinite(v)) some.push(v);
      some.sort((a, b) => a - b);
      const medians = logs.map((row) => { const own = row.filter((v) => v !== UNKNOWN).sort(); return own.length ? own[own.length >> 1] : UNKNOWN; });
      found = { logs, middle: share ? 0 : some[some.length >> 1] ?? 0, medians };
      this.known.set(this.measure, found);
    }
    return found;
  }

  private told(v: number): string { // of a number of the map's columns
    return v === UNKNOWN ? "–" : this.measure === "dead" ? `${show(Number((100 * v).toPrecision(3)))} %` : show(Number((10 ** v).toPrecision(2)));
  }

  private draw(): void {
    const { rows, steps } = this.data.map, { logs, middle, medians } = this.values(), share = this.measure === "dead";
    const badness = logs.map((row) => {
      let most = 0;
      for (const v of row) if (v !== UNKNOWN) most = Math.max(most, Number.isFinite(v) ? Math.abs(v - middle) : 99);
      return most;
    });
    const order = rows.map((_, k) => k);
    if (this.worst) order.sort((a, b) => badness[b] - badness[a] || a - b);
    const high = Math.max(2, Math.min(26, Math.floor(560 / Math.max(rows.length, 1))));
    const canvas = h("canvas", { role: "application", tabindex: "0", "aria-label": `${w().runmap}: ${w().maptext}`, "data-key": "map" });
    const [wide, tall] = [Math.max(steps.length, 1), Math.max(rows.length, 1)];
    canvas.width = wide;
    canvas.height = tall;
    canvas.style.height = `${high * tall}px`;
    const pen = canvas.getContext("2d")!, picture = pen.createImageData(wide, tall);
    const spread = share ? 1 : SPREAD;
    const pixels = picture.data;
    order.forEach((row, y) => {
      for (let x = 0; x < steps.length; x++) {
        const v = logs[row][x], at = 4 * (y * wide + x);
        if (v === UNKNOWN) pixels[at] = pixels[at + 1] = pixels[at + 2] = 190;
        else if (Number.isNaN(v)) [pixels[at], pixels[at + 1], pixels[at + 2]] = [255, 0, 200];
        else {
          const t = Math.max(-1, Math.min(1, (v - middle) / spread));
          pixels[at] = t < 0 ? 247 + 226 * t : 247 - 49 * t;
          pixels[at + 1] = t < 0 ? 247 + 169 * t : 247 - 168 * t;
          pixels[at + 2] = t < 0 ? 247 + 75 * t : 247 - 217 * t;
        }
        pixels[at + 3] = 255;
      }
    });
    pen.putImageData(picture, 0, 0);
    const told = h("p", { class: "told", "aria-live": "polite" }), cursor = h("span", { class: "cursor", hidden: true });
    const read = (x: number, y: number) => {
      if (!steps.length || !rows.length) return;
      this.cell = { x: Math.min(steps.length - 1, Math.max(0, x)), y: Math.min(rows.length - 1, Math.max(0, y)) };
      const row = order[this.cell.y], given = this.data.map[this.measure][row][this.cell.x], v = given === null ? null : toNumber(given);
      put(told, h("bdi", {}, clean(rows[row])), ` · ${w().step1} ${steps[this.cell.x]} · ${v === null ? "–" : share ? this.told(v) : show(Number(v.toPrecision(5)))}`);
      cursor.hidden = false;
      cursor.style.left = `${(100 * (this.cell.x + 0.5)) / steps.length}%`;
      cursor.style.top = `${high * this.cell.y}px`;
      cursor.style.height = `${high}px`;
    };
    const point = (e: PointerEvent | MouseEvent) => {
      const box = canvas.getBoundingClientRect();
      read(Math.floor(((e.clientX - box.left) / box.width) * steps.length), Math.floor(((e.clientY - box.top) / box.height) * rows.length));
    };
    const enter = () => { if (steps.length && this.data.looks.length) this.look(steps[this.cell.x]); };
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("click", (e) => { point(e); enter(); });
    canvas.addEventListener("focus", () => read(this.cell.x, this.cell.y));
    canvas.addEventListener("keydown", (e) => {
      const by = ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] } as Record<string, [number, number]>)[e.key];
      if (by) { e.preventDefault(); read(this.cell.x + by[0], this.cell.y + by[1]); }
      else if (e.key === "Enter") enter();
    });
    const select = h("select", { "data-key": "measure", "aria-label": w().measure, onchange: (e: Event) => { this.measure = (e.target as HTMLSelectElement).value as Measure; this.draw(); } },
      ...MEASURES.map((m) => h("option", { value: m, selected: m === this.measure }, w()[m === "gradient" ? "gradientsize" : m === "update" ? "updateratio" : "deadshare"])));
    const sort = h("button", { type: "button", "data-key": "worst", "aria-pressed": String(this.worst), onclick: () => { this.worst = !this.worst; this.draw(); } }, w().worst);
    const label = (row: number) => {
      const made = h("li", { title: clean(rows[row], 200) }, ...(high >= 12 ? [h("bdi", {}, clean(rows[row], 28)), h("span", { class: "quiet", title: w().median }, this.told(medians[row]))] : []));
      made.style.height = made.style.lineHeight = `${high}px`;
      return made;
    };
    const ends = share ? ["0 %", "100 %"] : [this.told(middle - SPREAD), this.told(middle), this.told(middle + SPREAD)];
    keep(this.root, () => put(this.root, h("div", { class: "buttons" }, select, sort, h("span", { class: `legend ${share ? "share" : ""}`, role: "img", "aria-label": `${w().legend}: ${ends.join(" – ")}` },
      h("span", { class: "ramp" }), ...ends.map((text) => h("span", {}, text)))),
      h("div", { class: "mapframe" }, h("ol", { class: "maprows", tabindex: rows.length > 40 ? "-1" : undefined }, ...order.map(label)), h("div", { class: "mapcells" }, canvas, cursor),
        h("span", { class: "quiet" }, w().median), h("div", { class: "mapaxis quiet" }, h("span", {}, `${w().step1} ${steps[0] ?? ""}`), h("span", {}, String(steps[steps.length - 1] ?? "")))),
      told, h("p", { class: "quiet" }, w().maptext)));
  }
}

// What is measured of the rows held out lies beside the same of the others: what is between them is what was learned by heart.
function curves(data: RunData): HTMLElement {
  const HELD = "validation_", name = (of: string) => data.curves.find((curve) => curve.name === of);
  return h("div", { class: "curves" }, ...data.curves.filter((curve) => !curve.name.startsWith(HELD) || !name(curve.name.slice(HELD.length)))
    .map((curve) => figure(curve, name(HELD + curve.name))));
}

function figure(curve: RunData["curves"][number], held?: RunData["curves"][number]): HTMLElement {
  const WIDE = 480, HIGH = 240, EDGE = 66;
  const lines = [curve, ...(held ? [held] : [])].map((one) => one.values.map((v) => (v === null ? null : toNumber(v))));
  const of = (values: (number | null)[]) => values.filter((v): v is number => v !== null && Number.isFinite(v));
  const known = of(lines.flat()), low = Math.min(...known), high = Math.max(...known), epochs = lines[0].length;
  const positive = known.length > 0 && low > 0 && high / low > 30, t = (v: number) => (positive ? Math.log10(v) : v);
  const x = (k: number) => EDGE + (k / Math.max(epochs - 1, 1)) * (WIDE - EDGE - 24);
  const y = (v: number) => (high > low ? HIGH - 30 - ((t(v) - t(low)) / (t(high) - t(low))) * (HIGH - 60) : HIGH / 2);
  const last = (values: (number | null)[]) => { const v = of(values).pop(); return v === undefined ? "–" : show(Number(v.toPrecision(6))); };
  const least = held && curve.name === "loss" && of(lines[1]).length ? Math.min(...of(lines[1])) : null, at = least === null ? -1 : lines[1].indexOf(least);
  const drawn = lines.flatMap((values, which) => {
    const points = values.map((v, k) => (v !== null && Number.isFinite(v) ? [x(k).toFixed(1), y(v).toFixed(1)] : null));
    const lone = (k: number) => points[k] !== null && !points[k - 1] && !points[k + 1]; // no line leads to it
    const line = points.map((p, k) => (p === null || lone(k) ? "" : `${points[k - 1] ? "L" : "M"}${p.join(" ")}`)).join("");
    return [s("path", { d: line, class: which ? "track held" : "track" }), ...points.map((p, k) => p !== null && lone(k) && s("circle", { cx: p[0], cy: p[1], r: 4, class: which ? "dot held" : "dot" }))];
  });
  return h("figure", {},
    h("figcaption", {}, clean(curve.name.replace(/_/g, " ")), " ", h("strong", {}, last(lines[0])),
      held && h("span", { class: "held" }, ` ╌ ${w().heldout} `, h("strong", {}, last(lines[1]))),
      least !== null && h("span", { class: "quiet" }, `, ${w().leastat.replace("{x}", show(Number(least.toPrecision(3)))).replace("{n}", String(at + 1))}`)),
    s("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "plot", role: "img", "aria-label": clean(curve.name) },
      s("path", { d: `M${EDGE} 20V${HIGH - 30}H${WIDE - 24}`, class: "axis" }), ...drawn,
      least !== null && s("circle", { cx: x(at), cy: y(least), r: 4, class: "dot held" }),
      ...[...new Set(known.length ? [high, low] : [])].map((v) => s("text", { x: EDGE - 4, y: y(v) + 4, class: "label" }, show(Number(v.toPrecision(3))))),
      s("text", { x: WIDE - 24, y: HIGH - 12, class: "label" }, `${epochs} ${epochs === 1 ? w().epoch : w().epochs}${positive ? ` · ${w().logaxis}` : ""}`)));
}

// A sum without rounding errors but the last: Neumaier's.
export function exactSum(terms: number[]): number {
  let total = 0, lost = 0;
  for (const x of terms) {
    const next = total + x;
    lost += Math.abs(total) >= Math.abs(x) ? total - next + x : x - next + total;
    total = next;
  }
  return total + lost;
}

export function reconciled(st: Statement): { rest: number; ok: boolean } {
  const rest = exactSum([st.closing, -st.opening, -st.initial, ...st.deposits.amount.map((x) => -x), ...st.steps.decay.map((x) => -x), -st.rounding]);
  const size = Math.max(Math.abs(st.closing), Math.abs(st.opening), 1e-300);
  return { rest, ok: Math.abs(rest) <= 1e-12 * size && Math.abs(st.rounding) <= st.bound };
}

function statements(data: RunData): HTMLElement {
  const panel = h("div", { class: "statement" });
  if (!data.statements.length) return h("p", { class: "quiet" }, w().nostatement);
  let at = 0, by: "step" | "sample" | "class" = "step";
  const draw = () => {
    const st = data.statements[at], { deposits } = st, { ok, rest } = reconciled(st);
    const keys = by === "step" ? deposits.step : by === "sample" ? deposits.sample : deposits.class ?? deposits.sample;
    const sums = new Map<string | number, number[]>();
    keys.forEach((key, k) => (sums.get(key) ?? sums.set(key, []).get(key)!).push(deposits.amount[k]));
    const parts = [...sums].map(([key, amounts]) => [key, exactSum(amounts)] as [string | number, number]);
    if (by !== "step") parts.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
    const most = Math.max(...parts.map(([, x]) => Math.abs(x)), 1e-300);
    const line = (name: string, amount: number, kind = "") => h("tr", { class: kind }, h("th", { scope: "row" }, name), h("td", { class: "number" }, show(amount)));
    const label = (one: Statement) => `${one.name}[${one.entry.join(", ")}]`;
    keep(panel, () => put(panel, h("div", { class: "buttons" }, h("select", { "data-key": "weight", "aria-label": w().weight, onchange: (e: Event) => { at = Number((e.target as HTMLSelectElement).value); draw(); } },
      ...data.statements.map((one, k) => h("option", { value: k, selected: k === at }, clean(label(one))))),
      ...(["step", "sample", "class"] as const).filter((k) => k !== "class" || deposits.class).map((k) =>
        h("button", { type: "button", "data-key": k, "aria-pressed": String(k === by), onclick: () => { by = k; draw(); } }, w()[k === "step" ? "bystep" : k === "sample" ? "bysample" : "byclass"]))),
      h("p", { class: `verdict ${ok ? "good" : "bad"}`, "data-ok": String(ok) }, ok ? `✓ ${w().reconciled}` : `✗ ${w().unreconciled} ${show(rest)}`),
      h("table", { class: "book account" }, h("tbody", {}, line(w().opening, st.opening), line(`${deposits.amount.length.toLocaleString("en")} ${w().deposits}`, exactSum(deposits.amount)),
        line(w().decay, exactSum(st.steps.decay)), line(w().initial, st.initial), line(w().rounding, st.rounding), line(w().closing, st.closing, "closed"))),
      h("ol", { class: "deposits" }, ...parts.slice(0, 200).map(([key, amount]) => {
        const bar = h("span", { class: `ribbon ${amount < 0 ? "minus" : "plus"}` });
        bar.style.width = `${(100 * Math.abs(amount)) / most}%`;
        return h("li", {}, h("span", {}, clean(String(key))), bar, h("span", { class: "number" }, show(amount)));
      })), parts.length > 200 && h("p", { class: "quiet" }, `… ${parts.length - 200}`)));
  };
  draw();
  return panel;
}

// Every step was replayed when the report was made; where the page holds its numbers, it computes them again itself.
function verified(look: Look): HTMLElement {
  const ok = look.exact === null || stepHolds(look.exact, look.weights, look.promise);
  return h("p", { class: `verdict ${ok ? "good" : "bad"}`, "data-ok": String(ok), "data-exact": String(look.exact !== null) },
    ok ? "✓ " : "✗ ", look.exact === null ? w().weights : ok ? w().exact : w().inexact, " ", h("code", {}, look.weights.slice(0, 16)));
}

function microscope(data: RunData, asked: number, moved: (step: number) => void): HTMLElement {
  const panel = h("div", { class: "microscope" });
  const { looks } = data;
  if (!looks.length) return h("p", { class: "quiet" }, w().nolooks);
  const nearest = (n: number) => looks.reduce((best, look, k) => (Math.abs(look.n - n) < Math.abs(looks[best].n - n) ? k : best), 0);
  let at = asked >= 0 ? nearest(asked) : 0;
  const go = (to: number) => { at = Math.max(0, Math.min(looks.length - 1, to)); moved(looks[at].n); draw(); };
  const draw = () => {
    const look = looks[at], promised = look.promise.map((p) => toNumber(p) ?? NaN), before = toNumber(look.before) ?? NaN, after = toNumber(look.after) ?? NaN;
    const book = h("div", { class: "stepbook" });
    const slider = h("input", { type: "range", "data-key": "steps", min: 0, max: looks.length - 1, value: at, "aria-label": w().step1, "aria-valuetext": `${w().step1} ${look.n}` });
    slider.addEventListener("input", () => go(Number(slider.value)));
    const number = h("input", { type: "number", "data-key": "number", min: looks[0].n, max: looks[looks.length - 1].n, value: look.n, "aria-label": w().step1 });
    number.addEventListener("change", () => { if (number.value !== "") go(nearest(Number(number.value))); });
    const short = (x: number) => h("td", { class: "number" }, show(Number(x.toPrecision(5))));
    keep(panel, () => put(panel, h("div", { class: "scrubber" }, h("button", { type: "button", "data-key": "back", "aria-label": w().previous, onclick: () => go(at - 1) }, "◀"),
      h("button", { type: "button", "data-key": "on", "aria-label": w().nextstep, onclick: () => go(at + 1) }, "▶"), slider, h("label", { class: "counter" }, `${w().step1} `, number, ` ${w().epoch} ${look.epoch}`)),
      verified(look),
      h("div", { class: "columns" },
        h("table", { class: "book promises" }, h("thead", {}, h("tr", {}, ...[w().layer, w().promise, w().actualalone].map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, ...promised.map((p, k) =>
          h("tr", {}, h("th", { scope: "row" }, h("bdi", {}, clean(data.map.rows[k], 40))), short(p), short(toNumber(look.alone[k]) ?? NaN))),
        h("tr", { class: "closed total" }, h("th", { scope: "row" }, w().together), h("td", { class: "number", "data-fact": "promise" }, show(Number(exactSum(promised).toPrecision(6)))),
          h("td", { class: "number", "data-fact": "actual" }, show(Number((after - before).toPrecision(6))))))),
        h("table", { class: "book rows" }, h("caption", {}, w().rowsworst), h("thead", {}, h("tr", {}, h("th", { scope: "col" }, w().row), h("th", { scope: "col" }, w().cost))), h("tbody", {}, ...look.rows.map((row) =>
          h("tr", {}, h("th", { scope: "row" }, String(row.sample)), short(toNumber(row.cost) ?? NaN)))))),
      look.ledger ? h("div", { class: "buttons" }, h("button", { type: "button", class: "replay primary", "data-key": "replay", onclick: () => ledgerPage(look.ledger!, book, true) }, w().replay))
        : h("p", { class: "quiet nobook" }, w().nobook, ` ${look.n}`), book));
  };
  draw();
  return panel;
}
