// Making elements. Texts are always text: nothing here parses markup.

type Child = Node | string | null | undefined | false;
type Props = Record<string, unknown>;

export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props: Props = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  return build(document.createElement(tag), props, children);
}

export function s<K extends keyof SVGElementTagNameMap>(tag: K, props: Props = {}, ...children: Child[]): SVGElementTagNameMap[K] {
  return build(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);
}

function build<E extends Element>(element: E, props: Props, children: Child[]): E {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === false || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value as EventListener);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child) element.append(child);
  return element;
}

export function put(parent: Element, ...children: Child[]): void {
  parent.replaceChildren(...(children.filter(Boolean) as (Node | string)[]));
}

// Change what an element holds, and leave the focus where it was: on what has the same data-key.
export function keep(root: Element, change: () => void): void {
  const active = document.activeElement as HTMLElement | null;
  const key = active && root.contains(active) ? active.dataset.key : undefined;
  change();
  if (key !== undefined) root.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

// Tabs: a click or an arrow key shows a view.
export function tabs(names: [string, string][], label: string, show: (name: string) => void): { root: HTMLElement; select: (name: string) => void } {
  const buttons = names.map(([name, text]) => h("button", { type: "button", role: "tab", "data-key": `tab-${name}`, onclick: () => show(name) }, text));
  const root = h("div", { class: "tabs", role: "tablist", "aria-label": label }, ...buttons);
  root.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement), by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (at < 0 || !by) return;
    event.preventDefault();
    event.stopPropagation();
    const next = (at + by + names.length) % names.length;
    show(names[next][0]);
    buttons[next].focus();
  });
  const select = (name: string) => buttons.forEach((button, k) => {
    button.setAttribute("aria-selected", String(names[k][0] === name));
    button.tabIndex = names[k][0] === name ? 0 : -1;
  });
  return { root, select };
}

// What a link to this picture says after its #. A sandboxed frame has no history: there it is only remembered.
let place: string | null = null;

export function address(): URLSearchParams {
  return new URLSearchParams(place ?? location.hash.slice(1));
}

export function setAddress(parts: URLSearchParams): void {
  const language = address().get("lang");
  if (language) parts.set("lang", language);
  place = parts.toString();
  try { history.replaceState(null, "", place ? `#${place}` : location.pathname + location.search); } catch { /* remembered */ }
}

window.addEventListener("hashchange", () => { place = null; });

export const calm = (): boolean => matchMedia("(prefers-reduced-motion: reduce)").matches;
