// Which boxes stand for which nodes: everything; chains, lines of code, functions, modules or layers folded; or the debts of one node.

import { Book } from "./data";

export const FOLDINGS = ["none", "chains", "lines", "functions", "modules", "layers"] as const;
export type Folding = (typeof FOLDINGS)[number];

export interface Box { id: number; nodes: number[]; layer: number; x: number } // id: its first node
export interface Link { from: number; to: number; edges: number[] } // boxes by place; from pays to

export interface Picture { boxes: Box[]; links: Link[]; at: Int32Array } // at: node -> box, -1: not shown

const FOCUS_MOST = 60;
const FEW = 40; // nodes that a box opens into at once; more come in PARTS boxes
const PARTS = 24;

export type Opened = Map<number, number>; // by a box's first node: how many times it was opened

export function picture(book: Book, folding: Folding, opened: Opened, focus: number | null): Picture {
  const group = focus === null ? groups(book, folding, opened) : around(book, focus);
  const at = new Int32Array(book.count).fill(-1);
  const boxes: Box[] = [];
  const place = new Map<number, number>();
  const { layer, x } = book.data.nodes;
  for (let n = 0; n < book.count; n++) {
    const id = group[n];
    if (id < 0) continue;
    let k = place.get(id);
    if (k === undefined) {
      k = boxes.length;
      place.set(id, k);
      boxes.push({ id, nodes: [], layer: layer[n], x: 0 });
    }
    at[n] = k;
    const box = boxes[k];
    box.nodes.push(n);
    box.layer = Math.min(box.layer, layer[n]);
    box.x += x[n];
  }
  for (const box of boxes) box.x /= box.nodes.length;
  const links = new Map<number, Link>();
  book.data.edges.payer.forEach((payer, e) => {
    const from = at[payer], to = at[book.data.edges.arg[e]];
    if (from < 0 || to < 0 || from === to) return;
    const key = from * boxes.length + to;
    const link = links.get(key);
    if (link) link.edges.push(e);
    else links.set(key, { from, to, edges: [e] });
  });
  return { boxes, links: [...links.values()], at };
}

function groups(book: Book, folding: Folding, opened: Opened): Int32Array {
  const group = Int32Array.from({ length: book.count }, (_, n) => n);
  if (folding === "none") return group;
  const { where, stage } = book.data.nodes;
  const kept = new Set([book.data.top, ...book.data.leaves]);
  if (folding !== "chains") {
    const first = new Map<string, number>();
    for (let n = 0; n < book.count; n++) {
      if (kept.has(n) || (folding === "layers" ? stage[n] === 0 : where[n] < 0)) continue;
      const [file, name, line] = book.data.places[where[n]] ?? [];
      const key = { lines: `${file}:${line}`, functions: `${file}:${name}`, modules: file, layers: `${stage[n]}` }[folding];
      const id = first.get(key) ?? n;
      first.set(key, id);
      group[n] = id;
    }
    return refined(book, group, opened);
  }
  const alone = (n: number) => !kept.has(n) && book.received[n].length === 1 && book.paying[n].length === 1;
  for (let n = book.count - 1; n >= 0; n--) { // a payer comes after what it pays
    if (!alone(n)) continue;
    const above = book.data.edges.payer[book.received[n][0]];
    if (alone(above)) group[n] = group[above];
  }
  return refined(book, group, opened);
}

// What was opened, in its parts: a few nodes at once, many by line or in stretches that open again.
function refined(book: Book, group: Int32Array, opened: Opened): Int32Array {
  const members = new Map<number, number[]>();
  group.forEach((id, n) => { if (opened.has(id)) (members.get(id) ?? members.set(id, []).get(id)!).push(n); });
  const open = (nodes: number[], times: number) => {
    const id = nodes[0];
    if (nodes.length > 1 && (opened.get(id) ?? 0) > times) for (const part of parts(book, nodes)) open(part, part[0] === id ? times + 1 : 0);
    else for (const n of nodes) group[n] = id;
  };
  for (const nodes of members.values()) open(nodes, 0);
  return group;
}

function parts(book: Book, nodes: number[]): number[][] {
  if (nodes.length <= FEW) return nodes.map((n) => [n]);
  const lines = new Map<number, number[]>();
  for (const n of nodes) {
    const at = book.data.nodes.where[n], line = at < 0 ? -1 : book.data.places[at][2];
    (lines.get(line) ?? lines.set(line, []).get(line)!).push(n);
  }
  if (lines.size > 1 && lines.size <= FEW) return [...lines.values()];
  const size = Math.ceil(nodes.length / PARTS);
  return Array.from({ length: Math.ceil(nodes.length / size) }, (_, k) => nodes.slice(k * size, (k + 1) * size));
}

function around(book: Book, focus: number): Int32Array {
  const group = new Int32Array(book.count).fill(-1);
  const { payer, arg } = book.data.edges;
  let rim = [focus], shown = 0;
  for (let far = 0; far < 3 && rim.length; far++) {
    const next: number[] = [];
    for (const n of rim) {
      if (group[n] >= 0 || shown >= FOCUS_MOST) continue;
      group[n] = n;
      shown++;
      next.push(...book.received[n].map((e) => payer[e]));
      if (far < 2) next.push(...book.paying[n].map((e) => arg[e]));
    }
    rim = next;
  }
  return group;
}
