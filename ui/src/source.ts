// The user's own lines: what each expression is called, what it is worth and owed, and what a line pays.

import { Book, brief, clean, show, sizeOf } from "./data";
import { h, put } from "./dom";
import { w } from "./words";

const LINES = 400, NOTES = 12;

export function sourcePanel(book: Book, now: number, active: number | null, choose: (node: number) => void): HTMLElement {
  const { nodes, places, sources, edges } = book.data;
  if (!sources.length || !sources.some((source) => source.lines.some(Boolean))) return h("p", { class: "quiet" }, w().nosource);
  const debts = new Map<string, number>();
  edges.payer.forEach((payer, e) => {
    const paid = sizeOf(edges.paid[e]), at = nodes.where[payer];
    if (paid === null || at < 0 || book.paidAt[e] < 0 || book.paidAt[e] > now) return;
    const key = `${places[at][0]}:${places[at][2]}`;
    debts.set(key, (debts.get(key) ?? 0) + paid);
  });
  const byLine = new Map<string, number[]>();
  nodes.where.forEach((at, n) => {
    if (at < 0) return;
    const key = `${places[at][0]}:${places[at][2]}`;
    (byLine.get(key) ?? byLine.set(key, []).get(key)!).push(n);
  });
  const placeOf = (n: number | undefined | null) => (n !== undefined && n !== null && nodes.where[n] >= 0 ? places[nodes.where[n]] : null);
  const marked = placeOf(active), sick = placeOf(book.firstBad()?.node);
  const panel = h("div", { class: "sources" });
  for (const source of sources) {
    const list = h("ol", { class: "source", start: source.first });
    const lines = source.lines.slice(0, LINES);
    const margin = Math.min(...lines.filter((text) => text.trim()).map((text) => text.length - text.trimStart().length), 80);
    lines.forEach((text, k) => {
      const line = source.first + k, key = `${source.file}:${line}`;
      const within = (place: typeof marked) => place !== null && place[0] === source.file && place[2] <= line && line <= place[3];
      const here = within(marked), span = here ? marked! : within(sick) ? sick! : null;
      const code = h("code");
      if (span && (span[5] > span[4] || span[3] > span[2])) {
        const [a, b] = [line === span[2] ? chars(text, span[4]) : margin, line === span[3] ? chars(text, span[5]) : text.length];
        put(code, clean(text.slice(margin, a), 400), h("mark", { class: here ? "" : "sick", title: here ? undefined : w().nan }, clean(text.slice(a, b), 400)), clean(text.slice(b), 400));
      } else code.textContent = clean(text.slice(margin), 400);
      const all = byLine.get(key) ?? [], of = all.filter((n) => !nodes.name[n].startsWith("%")), debt = debts.get(key);
      const notes = of.slice(0, NOTES).map((n) => {
        const done = book.settledAt[n] >= 0 && book.settledAt[n] <= now;
        return h("button", { type: "button", class: `note${n === active ? " on" : ""}`, "data-key": `note-${n}`, onclick: () => choose(n) },
          h("bdi", {}, clean(nodes.name[n], 14)), ` = ${brief(nodes.value[n], 4)}`, done && h("b", {}, ` ${w().owedshort} ${brief(nodes.settled[n], 4)}`));
      });
      list.append(h("li", { class: here ? "here" : "", value: line }, code, all.length > 0 && h("span", { class: "notes" }, ...notes,
        of.length > NOTES && h("span", { class: "quiet" }, `… ${of.length - NOTES}`),
        debt !== undefined && h("span", { class: "debt", title: w().debt }, `${w().grossdebt} ${show(Number(debt.toPrecision(6)))}`))));
    });
    panel.append(h("h3", {}, h("bdi", {}, clean(source.file.split(/[\\/]/).pop() ?? "", 40))), list);
  }
  return panel;
}

// Python counts columns in UTF-8 bytes, JavaScript in UTF-16 units.
function chars(text: string, bytes: number): number {
  let seen = 0, at = 0;
  for (const c of text) {
    if (seen >= bytes) break;
    seen += new TextEncoder().encode(c).length;
    at += c.length;
  }
  return at;
}
