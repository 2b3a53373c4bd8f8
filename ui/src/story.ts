// A story in chapters: a few sentences each, and a figure of numbers that the engine computed.

import { LedgerData, clean, show } from "./data";
import { address, h, put, s, setAddress } from "./dom";
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

export function storyPage(data: StoryData, root: HTMLElement): void {
  const asked = Number(address().get("chapter") ?? 1);
  let at = Math.max(0, Math.min(data.chapters.length - 1, (Number.isFinite(asked) ? asked : 1) - 1));
  const say = (text: Text) => (chinese() ? text.zh : text.en);
  const draw = () => {
    const chapter = data.chapters[at];
    const go = (to: number) => { at = Math.max(0, Math.min(data.chapters.length - 1, to)); remember(at); draw(); (root.querySelector("h2") as HTMLElement).focus(); };
    const figure = h("div", { class: `figure ${chapter.figure.kind}` });
    put(root, h("nav", { class: "chapters", "aria-label": w().chapter }, ...data.chapters.map((c, k) =>
      h("button", { type: "button", "aria-current": k === at ? "step" : undefined, onclick: () => go(k) }, h("span", { class: "count" }, String(k + 1)), h("span", { class: "chaptername" }, ` ${say(c.title)}`)))),
      h("article", { class: `chapter ${chapter.figure.kind}` }, h("div", { class: "telling" }, h("h2", { tabindex: "-1" }, say(chapter.title)), ...chapter.text.map((t) => h("p", {}, say(t)))), figure,
        h("div", { class: "buttons" }, at > 0 && h("button", { type: "button", onclick: () => go(at - 1) }, w().previous),
          at < data.chapters.length - 1 && h("button", { type: "button", class: "primary", onclick: () => go(at + 1) }, w().next))));
    paint(chapter.figure, figure);
  };
  draw();
}

function remember(at: number): void {
  setAddress(new URLSearchParams({ chapter: String(at + 1) }));
}

function paint(figure: Figure, into: HTMLElement): void {
  if (figure.kind === "ledger") {
    ledgerPage(figure.data, into, true, figure.view);
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
  const svg = s("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": w().samples, class: "plot" });
  svg.append(s("path", { d: `M${EDGE} ${EDGE}V${HIGH - EDGE}H${WIDE - EDGE}`, class: "axis" }), ...ticks(xs, ys, x, y));
  curves.forEach((curve, k) => svg.append(s("path", { d: "M" + curve.map(([a, b]) => `${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("L"),
    class: "track", "stroke-opacity": curves.length > 1 ? 0.2 + (0.8 * (k + 1)) / curves.length : 1 })));
  for (const [a, b] of figure.points) svg.append(s("circle", { cx: x(a), cy: y(b), r: 4, class: "dot" }));
  if (figure.kind === "line") { // where the lines begin they are apart; those that are not share a label
    const begins = figure.labels.map((label, k) => ({ label, at: y(curves[k][0][1]) }));
    for (let k = 0; k < begins.length; k++) {
      const same = begins.slice(k).findIndex((one, j) => j > 0 && Math.abs(one.at - begins[k].at) >= 14);
      const end = same < 0 ? begins.length : k + same;
      const text = begins.slice(k, end).map((one) => one.label).join(", ");
      svg.append(s("text", { x: x(xs[0]) + 8, y: begins[k].at - 6, class: "label start" }, k === 0 ? `${w().epoch} ${text}` : text));
      k = end - 1;
    }
  }
  return svg;
}

// The least and the most on both axes.
function ticks(xs: number[], ys: number[], x: (v: number) => number, y: (v: number) => number): SVGTextElement[] {
  const text = (v: number, at: Record<string, unknown>) => s("text", { class: "label quiet", ...at }, show(Number(v.toPrecision(3))));
  return [...[Math.min(...xs), Math.max(...xs)].map((v) => text(v, { x: x(v), y: HIGH - EDGE + 16, "text-anchor": "middle" })),
    ...[Math.min(...ys), Math.max(...ys)].map((v) => text(v, { x: EDGE - 5, y: y(v) + 4 }))];
}

function surface(figure: Extract<Figure, { kind: "surface" }>): SVGSVGElement {
  const x = scale(figure.x, EDGE, WIDE - EDGE), y = scale(figure.y, HIGH - EDGE, EDGE);
  const flat = figure.z.flat().filter(Number.isFinite).sort((a, b) => a - b);
  const rank = (v: number) => { let a = 0, b = flat.length; while (a < b) { const m = (a + b) >> 1; if (flat[m] < v) a = m + 1; else b = m; } return a / flat.length; };
  const svg = s("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": w().surface, class: "plot" });
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
  svg.append(s("text", { x: WIDE / 2, y: HIGH - 8, class: "label middle" }, figure.names[0]), s("text", { x: EDGE - 8, y: HIGH / 2, class: "label" }, figure.names[1]),
    ...ticks(figure.x, figure.y, x, y));
  return svg;
}
