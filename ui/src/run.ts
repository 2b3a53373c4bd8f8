// A recorded training: its map, its curves, the statement of one weight, and steps under the microscope.

import { LedgerData, Num, clean, show, toNumber } from "./data";
import { h, put, s } from "./dom";
import { ledgerPage } from "./ledger";
import { w } from "./words";

interface Statement {
  name: string; entry: number[]; start: number; stop: number; opening: number; closing: number; initial: number; rounding: number; bound: number;
  steps: { n: number[]; decay: number[] };
  deposits: { step: number[]; sample: number[]; class: (string | number)[] | null; amount: number[] };
}
interface Look { n: number; epoch: number; before: Num; after: Num; promise: Num[]; rows: { sample: number; cost: Num }[]; weights: string; ledger: LedgerData | null }
export interface RunData {
  kind: "run"; title: string; facts: [string, string][];
  curves: { name: string; values: (Num | null)[] }[];
  map: { rows: string[]; steps: number[]; gradient: (Num | null)[][]; update: (Num | null)[][]; dead: (Num | null)[][] };
  statements: Statement[];
  looks: Look[];
}

const VIEWS = ["runmap", "curves", "statement", "microscope"] as const;
type View = (typeof VIEWS)[number];

export function runPage(data: RunData, root: Element): void {
  const asked = new URLSearchParams(location.hash.slice(1));
  let view: View = (VIEWS as readonly string[]).includes(asked.get("view") ?? "") ? (asked.get("view") as View) : "runmap";
  const body = h("section", { class: "runview" }), tabs = h("div", { class: "tabs", role: "tablist" });
  const draw = () => {
    put(tabs, ...VIEWS.map((v) => h("button", { type: "button", role: "tab", "aria-selected": String(v === view), onclick: () => { view = v; draw(); } }, w()[v])));
    put(body, view === "runmap" ? new RunMap(data).root : view === "curves" ? curves(data) : view === "statement" ? statements(data) : microscope(data, Number(asked.get("step") ?? -1)));
    try { history.replaceState(null, "", `#view=${view}`); } catch { /* a sandbox has no history */ }
  };
  put(root, h("dl", { class: "facts" }, ...data.facts.map(([name, value]) => h("div", { class: "fact" }, h("dt", {}, clean(name)), h("dd", {}, clean(value, 80))))), tabs, body);
  draw();
}

const MEASURES = ["gradient", "update", "dead"] as const;
type Measure = (typeof MEASURES)[number];
const UNKNOWN = Infinity; // in the map's columns

// blue: small, white: usual, red: large; the scale is logarithmic (dead: a share)
class RunMap {
  readonly root = h("div", { class: "runmap" });
  private measure: Measure = "gradient";
  private worst = false;

  constructor(readonly data: RunData) { this.draw(); }

  private known = new Map<Measure, { logs: Float64Array[]; middle: number }>();

  // The numbers of a measure, logarithms where it has a size; -Infinity: 0; NaN: no number; +Infinity beyond: not known.
  private values(): { logs: Float64Array[]; middle: number } {
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
      found = { logs, middle: share ? 0 : some[some.length >> 1] ?? 0 };
      this.known.set(this.measure, found);
    }
    return found;
  }

  private draw(): void {
    const { rows, steps } = this.data.map, { logs, middle } = this.values(), share = this.measure === "dead";
    const badness = logs.map((row) => {
      let most = 0;
      for (const v of row) if (v !== UNKNOWN) most = Math.max(most, Number.isFinite(v) ? Math.abs(v - middle) : 99);
      return most;
    });
    const order = rows.map((_, k) => k);
    if (this.worst) order.sort((a, b) => badness[b] - badness[a] || a - b);
    const high = Math.max(2, Math.min(26, Math.floor(560 / Math.max(rows.length, 1))));
    const canvas = h("canvas", { role: "img", "aria-label": w().runmap });
    const [wide, tall] = [Math.max(steps.length, 1), Math.max(rows.length, 1)];
    canvas.width = wide;
    canvas.height = tall;
    canvas.style.height = `${high * tall}px`;
    const pen = canvas.getContext("2d")!, picture = pen.createImageData(wide, tall);
    const spread = share ? 1 : 4;
    const pixels = picture.data;
    order.forEach((row, y) => {
      for (let x = 0; x < steps.length; x++) {
        const v = logs[row][x], at = 4 * (y * wide + x);
        const t = Math.max(-1, Math.min(1, (v - middle) / spread));
        if (v === UNKNOWN) pixels[at] = pixels[at + 1] = pixels[at + 2] = 190;
        else if (Number.isNaN(v)) [pixels[at], pixels[at + 1], pixels[at + 2]] = [255, 0, 200];
        else {
          pixels[at] = t < 0 ? 247 + 226 * t : 247 - 49 * t;
          pixels[at + 1] = t < 0 ? 247 + 169 * t : 247 - 168 * t;
          pixels[at + 2] = t < 0 ? 247 + 75 * t : 247 - 217 * t;
        }
        pixels[at + 3] = 255;
      }
    });
    pen.putImageData(picture, 0, 0);
    const told = h("p", { class: "told", "aria-live": "polite" });
    canvas.addEventListener("pointermove", (e) => {
      const box = canvas.getBoundingClientRect();
      const x = Math.min(steps.length - 1, Math.max(0, Math.floor(((e.clientX - box.left) / box.width) * steps.length)));
      const y = Math.min(rows.length - 1, Math.max(0, Math.floor(((e.clientY - box.top) / box.height) * rows.length)));
      const given = this.data.map[this.measure][order[y]][x], v = given === null ? null : toNumber(given);
      put(told, h("bdi", {}, clean(rows[order[y]])), ` · ${w().step1} ${steps[x]} · ${v === null ? "–" : show(Number(v.toPrecision(5)))}`);
    });
    const select = h("select", { "aria-label": w().measure, onchange: (e: Event) => { this.measure = (e.target as HTMLSelectElement).value as Measure; this.draw(); } },
      ...MEASURES.map((m) => h("option", { value: m, selected: m === this.measure }, w()[m === "gradient" ? "gradientsize" : m === "update" ? "updateratio" : "deadshare"])));
    const sort = h("button", { type: "button", "aria-pressed": String(this.worst), onclick: () => { this.worst = !this.worst; this.draw(); } }, w().worst);
    put(this.root, h("div", { class: "buttons" }, select, sort), h("div", { class: "mapframe" },
      h("ol", { class: "maprows" }, ...order.map((row) => { const label = h("li", { title: clean(rows[row], 200) }, high >= 12 ? clean(rows[row], 28) : ""); label.style.height = `${high}px`; return label; })), canvas),
      h("p", { class: "quiet" }, w().maptext), told);
  }
}

function curves(data: RunData): HTMLElement {
  const WIDE = 560, HIGH = 260, EDGE = 48;
  return h("div", {}, ...data.curves.map((curve) => {
    const values = curve.values.map((v) => (v === null ? null : toNumber(v)));
    const known = values.filter((v): v is number => v !== null && Number.isFinite(v));
    const positive = known.every((v) => v > 0) && known.length > 0 && Math.max(...known) / Math.min(...known) > 30;
    const t = (v: number) => (positive ? Math.log10(v) : v);
    const least = Math.min(...known.map(t)), most = Math.max(...known.map(t));
    const x = (k: number) => EDGE + (k / Math.max(values.length - 1, 1)) * (WIDE - 2 * EDGE), y = (v: number) => HIGH - 30 - ((t(v) - least) / (most - least || 1)) * (HIGH - 60);
    const points = values.map((v, k) => (v !== null && Number.isFinite(v) ? `${x(k).toFixed(1)} ${y(v).toFixed(1)}` : null)).filter(Boolean);
    const last = known[known.length - 1];
    return h("figure", {}, h("figcaption", {}, clean(curve.name), " ", h("strong", {}, last === undefined ? "–" : show(Number(last.toPrecision(6))))),
      s("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "plot", role: "img", "aria-label": clean(curve.name) },
        s("path", { d: `M${EDGE} 20V${HIGH - 30}H${WIDE - EDGE}`, class: "axis" }), s("path", { d: points.length ? `M${points.join("L")}` : "", class: "track" }),
        known.length > 0 && s("text", { x: EDGE - 4, y: y(Math.max(...known)) + 4, class: "label" }, show(Number(Math.max(...known).toPrecision(3)))),
        known.length > 0 && s("text", { x: EDGE - 4, y: y(Math.min(...known)) + 4, class: "label" }, show(Number(Math.min(...known).toPrecision(3)))),
        s("text", { x: WIDE - EDGE, y: HIGH - 12, class: "label" }, `${values.length} ${w().epochs}`)));
  }));
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
    put(panel, h("div", { class: "buttons" }, h("select", { "aria-label": w().weight, onchange: (e: Event) => { at = Number((e.target as HTMLSelectElement).value); draw(); } },
      ...data.statements.map((one, k) => h("option", { value: k, selected: k === at }, clean(label(one))))),
      ...(["step", "sample", "class"] as const).filter((k) => k !== "class" || deposits.class).map((k) =>
        h("button", { type: "button", "aria-pressed": String(k === by), onclick: () => { by = k; draw(); } }, w()[k === "step" ? "bystep" : k === "sample" ? "bysample" : "byclass"]))),
      h("p", { class: `verdict ${ok ? "good" : "bad"}`, "data-ok": String(ok) }, ok ? `✓ ${w().reconciled}` : `✗ ${w().unreconciled} ${show(rest)}`),
      h("table", { class: "book" }, h("tbody", {}, line(w().opening, st.opening), line(`${deposits.amount.length.toLocaleString("en")} ${w().deposits}`, exactSum(deposits.amount)),
        line(w().decay, exactSum(st.steps.decay)), line(w().initial, st.initial), line(w().rounding, st.rounding), line(w().closing, st.closing, "closed"))),
      h("ol", { class: "deposits" }, ...parts.slice(0, 200).map(([key, amount]) => {
        const bar = h("span", { class: `ribbon ${amount < 0 ? "minus" : "plus"}` });
        bar.style.width = `${(100 * Math.abs(amount)) / most}%`;
        return h("li", {}, h("span", {}, clean(String(key))), bar, h("span", { class: "number" }, show(amount)));
      })), parts.length > 200 && h("p", { class: "quiet" }, `… ${parts.length - 200}`));
  };
  draw();
  return panel;
}

function microscope(data: RunData, asked: number): HTMLElement {
  const panel = h("div", { class: "microscope" });
  if (!data.looks.length) return h("p", { class: "quiet" }, w().nolooks);
  let at = Math.max(0, data.looks.findIndex((look) => look.n === asked));
  const draw = () => {
    const look = data.looks[at], promised = look.promise.map((p) => toNumber(p) ?? NaN), before = toNumber(look.before) ?? NaN, after = toNumber(look.after) ?? NaN;
    const book = h("div", { class: "stepbook" });
    const slider = h("input", { type: "range", min: 0, max: data.looks.length - 1, value: at, "aria-label": w().step1 });
    slider.addEventListener("input", () => { at = Number(slider.value); draw(); });
    put(panel, h("div", { class: "scrubber" }, slider, h("span", { class: "counter" }, `${w().step1} ${look.n}, ${w().epochs} ${look.epoch}`)),
      h("dl", { class: "facts" }, ...[[w().promise, exactSum(promised)], [w().actual, after - before]].map(([name, value]) =>
        h("div", { class: "fact" }, h("dt", {}, String(name)), h("dd", {}, show(Number((value as number).toPrecision(6))))))),
      h("table", { class: "book" }, h("thead", {}, h("tr", {}, h("th", {}, w().layer), h("th", {}, w().promise))), h("tbody", {}, ...promised.map((p, k) =>
        h("tr", {}, h("th", { scope: "row" }, clean(data.map.rows[k], 40)), h("td", { class: "number" }, show(Number(p.toPrecision(5)))))))),
      h("h3", {}, w().rowsworst), h("table", { class: "book" }, h("thead", {}, h("tr", {}, h("th", {}, w().row), h("th", {}, w().cost))), h("tbody", {}, ...look.rows.map((row) =>
        h("tr", {}, h("th", { scope: "row" }, String(row.sample)), h("td", { class: "number" }, show(toNumber(row.cost) ?? NaN)))))),
      h("p", { class: "quiet" }, `${w().weights} ${look.weights.slice(0, 16)}…`),
      look.ledger && h("div", { class: "buttons" }, h("button", { type: "button", class: "replay", onclick: () => ledgerPage(look.ledger!, book, true) }, w().replay)), book);
    (panel.querySelector("input[type=range]") as HTMLElement).focus();
  };
  draw();
  return panel;
}
