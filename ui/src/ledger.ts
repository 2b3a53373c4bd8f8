// The page of one ledger: the graph in the middle, and around it what the sweep did.

import { Book, LedgerData, clean, showAmount } from "./data";
import { calm, h, put } from "./dom";
import { Graph } from "./graph";
import { Race, WhatIf, bookPanel, pathsPanel, sourcePanel } from "./panels";
import { w } from "./words";

const VIEWS = ["ledger", "race", "paths", "whatif"] as const;
type View = (typeof VIEWS)[number];

export function ledgerPage(data: LedgerData, root: Element, inside = false): void {
  const book = new Book(data);
  const last = book.events.length - 1;
  const hash = inside ? new URLSearchParams() : new URLSearchParams(location.hash.slice(1));
  const linked = hash.get("node") !== null ? book.find(hash.get("node")!) : -1;
  const state = {
    now: clamp(Number(hash.get("step") ?? last), last), chosen: linked >= 0 ? linked : null as number | null, hover: null as number | null,
    view: (VIEWS as readonly string[]).includes(hash.get("view") ?? "") ? (hash.get("view") as View) : "ledger", leaf: data.leaves[0] ?? 0,
  };
  let timer = 0;
  const side = h("section", { class: "side" });
  const lens = h("section", { class: "lens", "aria-label": w().source });
  const told = h("p", { class: "told", "aria-live": "polite" });
  const slider = h("input", { type: "range", min: -1, max: last, value: state.now, step: 1, "aria-label": w().step });
  const counter = h("span", { class: "counter" });
  const middle = h("section", { class: "middle", "aria-label": w().graph });
  const tabs = h("div", { class: "tabs", role: "tablist" });
  const play = h("button", { type: "button", class: "primary", onclick: () => toggle() });
  let graph: Graph, race: Race | null = null, whatif: WhatIf | null = null;

  const choose = (node: number | null) => {
    state.chosen = node;
    if (node !== null) graph.reveal(node);
    refresh();
  };

  function makeGraph(): void {
    whatif = state.view === "whatif" ? new WhatIf(book, () => graph.update()) : null;
    const cutting = whatif;
    graph = new Graph(book, () => ({ now: state.now, chosen: state.chosen, hover: state.hover, cut: cutting?.cut ?? new Set() }),
      (node) => choose(state.chosen === node ? null : node), (node) => { state.hover = node; showLens(); }, cutting ? (edge) => cutting.toggle(edge) : undefined);
    race = state.view === "race" ? new Race(book, graph) : null;
    put(middle, graph.root);
  }

  function show(view: View): void {
    race?.stop();
    state.view = view;
    makeGraph();
    refresh();
  }

  function seek(now: number): void {
    state.now = clamp(now, last);
    refresh();
  }

  function toggle(): void {
    if (timer) { window.clearInterval(timer); timer = 0; return refresh(); }
    if (state.now >= last) state.now = -1;
    timer = window.setInterval(() => {
      if (state.now >= last) { window.clearInterval(timer); timer = 0; return refresh(); }
      seek(state.now + 1);
    }, calm() ? 10 : Math.max(30, Math.min(900, 12000 / Math.max(last, 1))));
    refresh();
  }

  function sentence(): (Node | string)[] {
    const event = book.events[state.now];
    if (!event) return [w().begin];
    const name = (n: number) => h("bdi", {}, clean(data.nodes.name[n], 30));
    if (event.edge >= 0) {
      const e = event.edge;
      const owes = showAmount(data.nodes.settled[event.node]), partial = clean(showAmount(data.edges.partial[e]), 30);
      return [name(event.node), ` ${w().pays} `, name(data.edges.arg[e]), ` ${owes} × ${partial} = ${showAmount(data.edges.paid[e])}`];
    }
    const pile = graph.pileText(event.node, state.now);
    const sum = showAmount(data.nodes.settled[event.node]);
    return [name(event.node), ` ${w().settles} `, event.node === data.top ? `${sum} (${w().starts} ${sum})` : pile.includes("+") ? `${pile} = ${sum}` : sum];
  }

  function showLens(): void {
    const event = book.events[state.now];
    put(lens, h("h2", {}, w().source), sourcePanel(book, state.now, state.hover ?? state.chosen ?? event?.node ?? null, choose));
    graph.update();
  }

  function refresh(): void {
    slider.value = String(state.now);
    slider.setAttribute("aria-valuetext", `${state.now + 1} / ${last + 1}`);
    counter.textContent = `${w().step} ${state.now + 1} ${w().of} ${last + 1}`;
    play.textContent = timer ? w().pause : w().play;
    put(told, ...sentence());
    put(tabs, ...VIEWS.map((view) => h("button", { type: "button", role: "tab", "aria-selected": String(view === state.view), onclick: () => show(view) }, w()[view])));
    if (state.view === "ledger") put(side, h("h2", {}, w().book), bookPanel(book, state.now, state.chosen, choose));
    else if (state.view === "race") put(side, h("h2", {}, w().race), race!.root);
    else if (state.view === "paths") put(side, h("h2", {}, w().paths), pathsPanel(book, state.leaf, (leaf) => { state.leaf = leaf; refresh(); },
      (edges) => graph.mark(new Set(edges.flatMap((e) => [data.edges.payer[e], data.edges.arg[e]])), new Set(edges))));
    else put(side, h("h2", {}, w().whatif), whatif!.root);
    showLens();
    link();
  }

  function link(): void {
    if (inside) return;
    const parts = new URLSearchParams();
    if (state.now !== last) parts.set("step", String(state.now));
    if (state.chosen !== null) parts.set("node", data.nodes.name[state.chosen]);
    if (state.view !== "ledger") parts.set("view", state.view);
    const text = parts.toString();
    try { history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search); } catch { /* a sandbox has no history */ }
  }

  slider.addEventListener("input", () => seek(Number(slider.value)));
  const search = h("input", { type: "search", placeholder: w().search, "aria-label": w().search, class: "search", list: undefined });
  search.addEventListener("change", () => {
    const wanted = search.value.trim();
    let n = book.find(wanted);
    if (n < 0) n = data.nodes.name.findIndex((name) => name.includes(wanted));
    if (wanted && n >= 0) choose(n);
    search.setAttribute("aria-invalid", String(Boolean(wanted) && n < 0));
  });
  const button = (text: string, label: string, go: () => void) => h("button", { type: "button", "aria-label": label, title: label, onclick: go }, text);
  const question = data.leaves.find((n) => book.received[n].length > 1) ?? data.leaves[0];
  put(root,
    !inside && question !== undefined && h("button", { type: "button", class: "question", onclick: () => { state.now = last; show("ledger"); choose(question); } },
      h("bdi", {}, clean(data.nodes.name[question], 24)), ` ${w().owed} `, h("strong", {}, showAmount(data.nodes.settled[question])), ` — ${w().why}`),
    tabs,
    h("div", { class: "scrubber" }, button("|◀", w().first, () => seek(-1)), button("◀", w().back, () => seek(state.now - 1)), play,
      button("▶", w().forward, () => seek(state.now + 1)), button("▶|", w().last, () => seek(last)), slider, counter, search),
    told,
    h("div", { class: "panes" }, lens, middle, side),
    h("p", { class: "quiet help" }, w().help));
  if (!inside) document.addEventListener("keydown", (e) => {
    const typing = e.target instanceof HTMLInputElement || e.target instanceof HTMLSelectElement;
    if (e.key === "/" && !typing) { e.preventDefault(); search.focus(); }
    else if (e.key === "Escape") { state.chosen = null; graph.setFocus(null); refresh(); }
    else if (typing || e.ctrlKey || e.metaKey || e.altKey) return;
    else if (e.key === "ArrowLeft") { e.preventDefault(); seek(state.now - 1); }
    else if (e.key === "ArrowRight") { e.preventDefault(); seek(state.now + 1); }
    else if (e.key === "Home") { e.preventDefault(); seek(-1); }
    else if (e.key === "End") { e.preventDefault(); seek(last); }
  });
  if (!inside) window.addEventListener("hashchange", () => {
    const parts = new URLSearchParams(location.hash.slice(1));
    state.now = clamp(Number(parts.get("step") ?? last), last);
    const n = parts.get("node") !== null ? book.find(parts.get("node")!) : -1;
    state.chosen = n >= 0 ? n : null;
    const view = parts.get("view") ?? "ledger";
    if ((VIEWS as readonly string[]).includes(view) && view !== state.view) show(view as View);
    else refresh();
  });
  makeGraph();
  if (state.chosen !== null) graph!.reveal(state.chosen);
  refresh();
}

function clamp(now: number, last: number): number {
  return Number.isFinite(now) ? Math.max(-1, Math.min(last, Math.round(now))) : last;
}
