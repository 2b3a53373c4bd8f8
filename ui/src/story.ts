// A story in chapters: a few sentences each, and a figure of numbers that the engine computed.

import { LedgerData, clean } from "./data";
import { h, put, s } from "./dom";
import { ledgerPage } from "./ledger";
import { chinese, w } from "./words";

type Text = { en: string; zh: string };
type Figure =
  | { kind: "line"; points: [number, number][]; lines: [number, number][]; labels: string[] } // y = slope·x + height
  | { kind: "curve"; points: [number, number][]; curve: [number, number][] }
  | { kind: "surface"; x: number[]; y: number[]; z: number[][]; trails: [number, number][][]; minima: [number, number][]; names: [string, string] }
  | { kind: "code"; text: string }
  | { kind: "ledger"; data: LedgerData; view: string };
export interface StoryData { kind: "story"; title: string; chapters: { title: Text; text: Text[]; figure: Figure }[] }

const WIDE = 520, HIGH = 340, EDGE = 34;

export function storyPage(data: StoryData, root: Element): void {
  const asked = Number(new URLSearchParams(location.hash.slice(1)).get("chapter") ?? 1);
  let at = Math.max(0, Math.min(data.chapters.length - 1, (Number.isFinite(asked) ? asked : 1) - 1));
  const say = (text: Text) => (chinese() ? text.zh : text.en);
  const draw = () => {
    const chapter = data.chapters[at];
    const go = (to: number) => { at = Math.max(0, Math.min(data.chapters.length - 1, to)); remember(at); draw(); (root.querySelector("h2") as HTMLElement).focus(); };
    const figure = h("div", { class: `figure ${chapter.figure.kind}` });
    put(root, h("nav", { class: "chapters", "aria-label": w().chapter }, ...data.chapters.map((c, k) =>
      h("button", { type: "button", "aria-current": k === at ? "step" : undefined, onclick: () => go(k) }, h("span", { class: "count" }, String(k + 1)), ` ${say(c.title)}`))),
      h("article", { class: "chapter" }, h("h2", { tabindex: "-1" }, say(chapter.title)), ...chapter.text.map((t) => h("p", {}, say(t))), figure,
        h("div", { class: "buttons" }, at > 0 && h("button", { type: "button", onclick: () => go(at - 1) }, w().previous),
          at < data.chapters.length - 1 && h("button", { type: "button", class: "primary", onclick: () => go(at + 1) }, w().next))));
    paint(chapter.figure, figure);
  };
  draw();
}

function remember(at: number): void {
  try { history.replaceState(null, "", `#chapter=${at + 1}`); } catch { /* a sandbox has no history */ }
}

function paint(figure: Figure, into: HTMLElement): void {
  if (figure.kind === "ledger") {
    ledgerPage(figure.data, into, true);
    const tab = into.querySelectorAll<HTMLButtonElement>("[role=tab]")[["ledger", "race", "paths", "whatif"].indexOf(figure.view)];
    tab?.click();
  } else if (figure.kind === "code") put(into, h("pre", {}, h("code", {}, clean(figure.text, 4000))));
  else if (figure.kind === "surface") put(into, surface(figure));
  else put(into, plot(figure));
}

function scale(values: number[], from: number, to: number): (x: number) => number {
  const least = Math.min(...values), most = Math.max(...values), wide = most - least || 1;
  return (x) => from + ((x - least) / wide) * (to - from);
}

function plot(figure: Extract<Figure, { kind: "line" | "curve" }>): SVGSVGElement {
  const xs = figure.points.map((p) => p[0]);
  const curves = figure.kind === "curve" ? [figure.curve] : figure.lines.map(([slope, height]) =>
    [Math.min(...xs), Math.max(...xs)].map((x) => [x, slope * x + height] as [number, number]));
  const ys = [...figure.points, ...curves.flat()].map((p) => p[1]);
  const x = scale(xs, EDGE, WIDE - EDGE), y = scale(ys, HIGH - EDGE, EDGE);
  const svg = s("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", class: "plot" });
  svg.append(s("path", { d: `M${EDGE} ${EDGE}V${HIGH - EDGE}H${WIDE - EDGE}`, class: "axis" }));
  curves.forEach((curve, k) => svg.append(s("path", { d: "M" + curve.map(([a, b]) => `${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("L"),
    class: "track", style: undefined, "stroke-opacity": curves.length > 1 ? 0.2 + (0.8 * (k + 1)) / curves.length : 1 })));
  for (const [a, b] of figure.points) svg.append(s("circle", { cx: x(a), cy: y(b), r: 4, class: "dot" }));
  if (figure.kind === "line") figure.labels.forEach((label, k) => svg.append(s("text", { x: WIDE - EDGE, y: EDGE + 16 * k, class: "label" }, label)));
  return svg;
}

function surface(figure: Extract<Figure, { kind: "surface" }>): SVGSVGElement {
  const x = scale(figure.x, EDGE, WIDE - EDGE), y = scale(figure.y, HIGH - EDGE, EDGE);
  const flat = figure.z.flat().filter(Number.isFinite).sort((a, b) => a - b);
  const rank = (v: number) => { let a = 0, b = flat.length; while (a < b) { const m = (a + b) >> 1; if (flat[m] < v) a = m + 1; else b = m; } return a / flat.length; };
  const svg = s("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", class: "plot" });
  const across = (WIDE - 2 * EDGE) / (figure.x.length - 1), up = (HIGH - 2 * EDGE) / (figure.y.length - 1);
  figure.z.forEach((row, i) => row.forEach((v, j) => {
    const cell = s("rect", { x: x(figure.x[j]) - across / 2, y: y(figure.y[i]) - up / 2, width: across + 0.5, height: up + 0.5 });
    cell.style.fill = `color-mix(in oklab, var(--deep) ${Math.round(100 - 100 * rank(v))}%, var(--high))`;
    svg.append(cell);
  }));
  for (const trail of figure.trails) {
    svg.append(s("path", { d: "M" + trail.map(([a, b]) => `${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("L"), class: "track trail" }));
    svg.append(s("circle", { cx: x(trail[0][0]), cy: y(trail[0][1]), r: 4, class: "begin" }));
  }
  for (const [a, b] of figure.minima) svg.append(s("circle", { cx: x(a), cy: y(b), r: 6, class: "minimum" }));
  svg.append(s("text", { x: WIDE / 2, y: HIGH - 8, class: "label middle" }, figure.names[0]), s("text", { x: 12, y: HIGH / 2, class: "label" }, figure.names[1]));
  return svg;
}
