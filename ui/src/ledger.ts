// The page of one ledger: the graph in the middle, and around it what the sweep did.

import { Book, LedgerData, clean, show, showAmount, toNumber } from "./data";
import { address, calm, h, keep, put, setAddress, tabs } from "./dom";
import { Graph } from "./graph";
import { Race, WhatIf, bookPanel, pathsPanel } from "./panels";
import { sourcePanel } from "./source";
import { chinese, w } from "./words";

const VIEWS = ["ledger", "race", "paths", "whatif"] as const;
type View = (typeof VIEWS)[number];

let listening: AbortController | null = null; // to the keys, for the page that is drawn now

const isView = (name: string | null): name is View => (VIEWS as readonly (string | null)[]).includes(name);

export function ledgerPage(data: LedgerData, root: HTMLElement, inside = false, first: string = "ledger"): void {
  const book = new Book(data);
  const last = book.events.length - 1;
  const hash = inside ? new URLSearchParams() : address();
  const linked = hash.get("node") !== null ? book.find(hash.get("node")!) : -1;
  const asked = hash.get("view") ?? first;
  const state = {
    now: clamp(Number(hash.get("step") ?? last), last), chosen: linked >= 0 ? linked : null as number | null, hover: null as number | null,
    view: isView(asked) ? asked : "ledger" as View, leaf: data.leaves[0] ?? 0,
  };
  let timer = 0;
  const side = h("section", { class: "side" });
  const lens = h("section", { class: "lens", "aria-label": w().source });
  const told = h("p", { class: "told", "aria-live": "polite" });
  const answer = h("p", { class: "answer", "aria-live": "polite" });
  const slider = h("input", { type: "range", min: -1, max: last, value: state.now, step: 1, "aria-label": w().step });
  const counter = h("span", { class: "counter" });
  const middle = h("section", { class: "middle", "aria-label": w().graph });
  const bar = tabs(VIEWS.map((view) => [view, w()[view]]), w().views, (view) => open(view as View));
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
    graph = new Graph(book, () => ({ now: state.view === "ledger" ? state.now : last, chosen: state.chosen, hover: state.hover, cut: cutting?.cut ?? new Set() }),
      (node) => choose(state.chosen === node ? null : node), (node) => { state.hover = node; showLens(); }, cutting ? (edge) => cutting.toggle(edge) : undefined);
    race = state.view === "race" ? new Race(book, graph) : null;
    put(middle, graph.root);
  }

  function open(view: View): void {
    race?.stop();
    state.view = view;
    makeGraph();
    refresh();
  }

  function seek(now: number): void {
    state.now = clamp(now, last);
    refresh();
  }

  function stop(): void {
    window.clearInterval(timer);
    timer = 0;
  }

  function toggle(): void {
    if (timer) { stop(); return refresh(); }
    if (state.now >= last) state.now = -1;
    timer = window.setInterval(() => {
      if (state.now >= last || !root.isConnected) { stop(); return refresh(); }
      seek(state.now + 1);
    }, calm() ? 10 : Math.max(30, Math.min(900, 12000 / Math.max(last, 1))));
    refresh();
  }

  const name = (n: number) => h("bdi", {}, clean(data.nodes.name[n], 30));

  function sentence(): (Node | string)[] {
    const event = book.events[state.now];
    if (!event) return [w().begin];
    if (event.edge >= 0) {
      const e = event.edge;
      const owes = showAmount(data.nodes.settled[event.node]), partial = clean(showAmount(data.edges.partial[e]), 30);
      return [name(event.node), ` ${w().pays} `, name(data.edges.arg[e]), ` ${owes} × ${partial} = ${showAmount(data.edges.paid[e])}`];
    }
    const pile = graph.pileText(event.node, state.now);
    const sum = showAmount(data.nodes.settled[event.node]);
    return [name(event.node), ` ${w().settles} `, event.node === data.top ? `${sum} (${w().starts} ${sum})` : pile.includes("+") ? `${pile} = ${sum}` : sum];
  }

  // Why the chosen node is owed what it is owed: who pays it, and what that means.
  function reason(): (Node | string)[] {
    const n = state.chosen;
    if (n === null) return [];
    const owed = data.nodes.settled[n], rate = toNumber(owed), { received } = book;
    if (owed === null) return [name(n), ` ${w().noroad}`];
    if (n === data.top) return [name(n), ` ${w().istop}`];
    const pile = received[n], few = pile.slice(0, 4);
    const terms = few.flatMap((e, k) => {
      const paid = data.edges.paid[e], x = toNumber(paid);
      const text = x !== null && x < 0 ? `(${show(x)})` : showAmount(paid);
      return [k ? " + " : "", h("strong", {}, text), chinese() ? "（来自 " : " (from ", name(data.edges.payer[e]), chinese() ? "）" : ")"];
    });
    const more = pile.length > few.length ? ` + … (${w().inall.replace("{n}", pile.length.toLocaleString("en"))})` : "";
    const means = rate === null || !Number.isFinite(rate) ? [] : [" ", ...fill(w().means, { leaf: name(n), top: name(data.top), rate: h("strong", {}, show(rate)) })];
    return [name(n), ` ${w().owed} `, h("strong", {}, showAmount(owed)), " = ", ...terms, more, w().stop, ...means];
  }

  function warning(): HTMLElement | false {
    const bad = book.firstBad();
    if (!bad) return false;
    const at = data.nodes.where[bad.node], place = at >= 0 ? data.places[at] : null;
    return h("p", { class: "warning" }, h("button", { type: "button", class: "link", onclick: () => choose(bad.node) }, bad.backward ? w().badgradient : w().badvalue),
      " ", h("code", {}, h("bdi", {}, clean(place?.[6] || data.nodes.name[bad.node], 80))),
      place && place[1] ? ` ${clean(place[0].split(/[\\/]/).pop() ?? "", 40)}:${place[2]}` : "", `. ${w().seewhynan}`);
  }

  function showLens(): void {
    const event = state.view === "ledger" ? book.events[state.now] : undefined;
    keep(lens, () => put(lens, h("h2", {}, w().source), sourcePanel(book, state.view === "ledger" ? state.now : last, state.hover ?? state.chosen ?? event?.node ?? null, choose)));
    graph.update();
  }

  function panel(): (Node | string)[] {
    if (state.view === "ledger") return [h("h2", {}, w().book), ...(state.chosen !== null ? [h("p", { class: "quiet" }, w().onlyof, " ", name(state.chosen), " ",
      h("button", { type: "button", class: "link", "data-key": "everybody", onclick: () => choose(null) }, w().everybody))] : []), bookPanel(book, state.now, state.chosen, choose)];
    if (state.view === "race") return [h("h2", {}, w().race), race!.root];
    if (state.view === "paths") return [h("h2", {}, w().paths), pathsPanel(book, state.leaf, (leaf) => { state.leaf = leaf; refresh(); },
      (edges) => graph.mark(new Set(edges.flatMap((e) => [data.edges.payer[e], data.edges.arg[e]])), new Set(edges)))];
    return [h("h2", {}, w().whatif), whatif!.root];
  }

  function refresh(): void {
    slider.value = String(state.now);
    slider.setAttribute("aria-valuetext", `${state.now + 1} / ${last + 1}`);
    counter.textContent = `${w().step} ${state.now + 1} ${w().of} ${last + 1}`;
    play.textContent = timer ? w().pause : w().play;
    scrubber.hidden = told.hidden = state.view !== "ledger";
    put(told, ...sentence());
    put(answer, ...reason());
    answer.hidden = state.chosen === null;
    bar.select(state.view);
    keep(side, () => put(side, ...panel()));
    showLens();
    link();
  }

  function link(): void {
    if (inside) return;
    const parts = new URLSearchParams();
    if (state.now !== last) parts.set("step", String(state.now));
    if (state.chosen !== null) parts.set("node", data.nodes.name[state.chosen]);
    if (state.view !== "ledger") parts.set("view", state.view);
    setAddress(parts);
  }

  slider.addEventListener("input", () => seek(Number(slider.value)));
  const search = h("input", { type: "search", placeholder: w().search, "aria-label": w().search, class: "search" });
  search.addEventListener("change", () => {
    const wanted = search.value.trim();
    let n = book.find(wanted);
    if (n < 0) n = data.nodes.name.findIndex((one) => one.includes(wanted));
    if (wanted && n >= 0) choose(n);
    search.setAttribute("aria-invalid", String(Boolean(wanted) && n < 0));
  });
  const button = (text: string, label: string, go: () => void) => h("button", { type: "button", "aria-label": label, title: label, onclick: go }, text);
  const question = data.leaves.find((n) => book.received[n].length > 1) ?? data.leaves[0];
  const scrubber = h("div", { class: "scrubber" }, button("|◀", w().first, () => seek(-1)), button("◀", w().back, () => seek(state.now - 1)), play,
    button("▶", w().forward, () => seek(state.now + 1)), button("▶|", w().last, () => seek(last)), slider, counter);
  put(root,
    (!inside || first === "question") && question !== undefined && h("button", { type: "button", class: "question", onclick: () => { stop(); state.now = last; if (state.view !== "ledger") open("ledger"); choose(question); } },
      h("bdi", {}, clean(data.nodes.name[question], 24)), ` ${w().owed} `, h("strong", {}, showAmount(data.nodes.settled[question])), ` — ${w().why}`),
    answer, warning(),
    h("div", { class: "views" }, bar.root, search),
    scrubber, told,
    h("div", { class: "panes" }, lens, middle, side),
    h("p", { class: "quiet help" }, ...(data.nodes.value.some((v) => v !== null && typeof v === "object" && !Array.isArray(v)) ? [w().norms, h("br")] : []), w().help));
  const pressed = (e: KeyboardEvent) => {
    const typing = e.target instanceof HTMLInputElement || e.target instanceof HTMLSelectElement;
    if (e.key === "/" && !typing) { e.preventDefault(); search.focus(); }
    else if (e.key === "Escape") { stop(); state.chosen = null; graph.reset(); refresh(); }
    else if (typing || e.ctrlKey || e.metaKey || e.altKey || state.view !== "ledger") return;
    else if (e.key === "ArrowLeft") { e.preventDefault(); seek(state.now - 1); }
    else if (e.key === "ArrowRight") { e.preventDefault(); seek(state.now + 1); }
    else if (e.key === "Home") { e.preventDefault(); seek(-1); }
    else if (e.key === "End") { e.preventDefault(); seek(last); }
  };
  if (inside) root.onkeydown = pressed;
  else {
    listening?.abort(); // a page that was drawn before, in the other language
    listening = new AbortController();
    const { signal } = listening;
    signal.addEventListener("abort", stop);
    document.addEventListener("keydown", pressed, { signal });
    window.addEventListener("hashchange", () => {
      const parts = address();
      state.now = clamp(Number(parts.get("step") ?? last), last);
      const n = parts.get("node") !== null ? book.find(parts.get("node")!) : -1;
      state.chosen = n >= 0 ? n : null;
      const view = parts.get("view") ?? "ledger";
      if (isView(view) && view !== state.view) open(view);
      else refresh();
    }, { signal });
  }
  makeGraph();
  if (state.chosen !== null) graph!.reveal(state.chosen);
  refresh();
}

// A sentence with elements in it: "{leaf} grows" with what stands for leaf.
function fill(text: string, parts: Record<string, Node>): (Node | string)[] {
  return text.split(/(\{\w+\})/).map((piece) => parts[piece.slice(1, -1)] ?? piece);
}

function clamp(now: number, last: number): number {
  return Number.isFinite(now) ? Math.max(-1, Math.min(last, Math.round(now))) : last;
}
