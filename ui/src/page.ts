// The page: reads its data and shows them.

import { Book, LedgerData, clean, showAmount } from "./data";
import { address, h, keep, put } from "./dom";
import { evaluate, sweepWithout } from "./evaluate";
import { sha256 } from "./exact";
import { walksTo } from "./panels";
import { StoryData, storyPage } from "./story";
import { ledgerPage } from "./ledger";
import { RunData, exactSum, reconciled, runPage } from "./run";
import { chinese, speak, w } from "./words";

type Data = LedgerData | StoryData | RunData;

function start(): void {
  const data = JSON.parse(document.getElementById("data")!.textContent!) as Data;
  const page = document.getElementById("page")!;
  const asked = address().get("lang");
  speak(asked ?? navigator.language ?? "en");
  const draw = () => {
    const body = h("div", { class: "body" });
    const title = h("h1", {}, h("code", {}, h("bdi", {}, clean(data.title, 160))), about(data));
    keep(page, () => put(page, h("header", { class: "top" }, h("span", { class: "brand" }, "payback"), title,
      h("span", { class: "switches" },
        h("button", { type: "button", "data-key": "language", lang: chinese() ? "en" : "zh-CN", onclick: () => { speak(chinese() ? "en" : "zh"); draw(); } }, w().language),
        h("button", { type: "button", "aria-label": w().dark, title: w().dark, onclick: () => shade() }, "◐"))), body));
    if (data.kind === "ledger") ledgerPage(data, body);
    else if (data.kind === "run") runPage(data, body);
    else storyPage(data, body);
  };
  draw();
}

// Where the expression of a ledger stands, and what it is worth.
function about(data: Data): HTMLElement | false {
  if (data.kind !== "ledger") return false;
  const at = data.nodes.where[data.top], place = at >= 0 ? data.places[at] : null;
  const spot = place && place[1] ? `${clean(place[0].split(/[\\/]/).pop() ?? "", 40)}:${place[2]}` : "";
  return h("span", { class: "about" }, ` = ${showAmount(data.nodes.value[data.top])}`, spot && h("span", { class: "quiet" }, ` ${spot}`));
}

function shade(): void {
  const dark = document.documentElement.dataset.shade ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.dataset.shade = dark === "dark" ? "light" : "dark";
}

// for tests, and for whoever opens the console: the page's own arithmetic
Object.assign(globalThis, { payback: { Book, evaluate, sweepWithout, exactSum, reconciled, sha256, walksTo } });
start();
