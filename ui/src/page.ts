// The page: reads its data and shows them.

import { Book, LedgerData, clean } from "./data";
import { h, put } from "./dom";
import { evaluate, sweepWithout } from "./evaluate";
import { StoryData, storyPage } from "./story";
import { ledgerPage } from "./ledger";
import { RunData, exactSum, reconciled, runPage } from "./run";
import { chinese, speak, w } from "./words";

type Data = LedgerData | StoryData | RunData;

function start(): void {
  const data = JSON.parse(document.getElementById("data")!.textContent!) as Data;
  const page = document.getElementById("page")!;
  const asked = new URLSearchParams(location.hash.slice(1)).get("lang");
  speak(asked ?? navigator.language ?? "en");
  const draw = () => {
    const body = h("div", { class: "body" });
    const title = h("h1", {}, h("code", {}, h("bdi", {}, clean(data.title, 160))));
    put(page, h("header", { class: "top" }, h("span", { class: "brand" }, "payback"), title,
      h("span", { class: "switches" },
        h("button", { type: "button", onclick: () => { speak(chinese() ? "en" : "zh"); draw(); } }, w().language),
        h("button", { type: "button", "aria-label": w().dark, title: w().dark, onclick: () => shade() }, "◐"))), body);
    if (data.kind === "ledger") ledgerPage(data, body);
    else if (data.kind === "run") runPage(data, body);
    else storyPage(data, body);
  };
  draw();
}

function shade(): void {
  const dark = document.documentElement.dataset.shade ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.dataset.shade = dark === "dark" ? "light" : "dark";
}

// for tests, and for whoever opens the console: the page's own arithmetic
Object.assign(globalThis, { payback: { Book, evaluate, sweepWithout, exactSum, reconciled } });
start();
