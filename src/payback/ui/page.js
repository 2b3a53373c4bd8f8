"use strict";
(() => {
  // src/data.ts
  var Book = class {
    // ... a node settles; -1: never, no path
    constructor(data) {
      this.data = data;
      // edges by payer, ascending slot
      this.events = [];
      const { nodes, edges } = data;
      this.count = nodes.name.length;
      this.received = Array.from({ length: this.count }, () => []);
      this.paying = Array.from({ length: this.count }, () => []);
      edges.payer.forEach((payer, e) => {
        this.received[edges.arg[e]].push(e);
        this.paying[payer].push(e);
      });
      this.paidAt = new Int32Array(edges.payer.length).fill(-1);
      this.settledAt = new Int32Array(this.count).fill(-1);
      const layers = [];
      nodes.layer.forEach((layer, n) => {
        if (nodes.settled[n] !== null) (layers[layer] ?? (layers[layer] = [])).push(n);
      });
      for (const layer of layers) {
        if (!layer) continue;
        for (const n of layer) {
          this.settledAt[n] = this.events.length;
          this.events.push({ node: n, edge: -1 });
        }
        for (const n of layer) {
          for (const e of this.paying[n]) {
            this.paidAt[e] = this.events.length;
            this.events.push({ node: n, edge: e });
          }
        }
      }
    }
    // The payments that a node has received by now, ascending payer.
    pile(node, now) {
      return this.received[node].filter((e) => this.paidAt[e] <= now);
    }
    // The sum of a pile as the engine adds it: ascending payer, one by one; null where amounts are no numbers.
    sum(pile) {
      let total = null;
      for (const e of pile) {
        const paid = toNumber(this.data.edges.paid[e]);
        if (paid === null) return null;
        total = total === null ? paid : total + paid;
      }
      return total;
    }
    // The first node, in the order of computing, whose value is not finite; then, in the order of paying, whose gradient is not.
    firstBad() {
      const { value, settled } = this.data.nodes;
      const node = value.findIndex(isBad);
      if (node >= 0) return { node, backward: false };
      const event = this.events.find((one) => one.edge < 0 && isBad(settled[one.node]));
      return event ? { node: event.node, backward: true } : null;
    }
    find(name) {
      return this.data.nodes.name.indexOf(name);
    }
  };
  function isBad(amount) {
    const x = toNumber(amount);
    if (x !== null) return !Number.isFinite(x);
    if (Array.isArray(amount)) return amount.some(isBad);
    return amount !== null && amount.bad === true;
  }
  function sizeOf(amount) {
    const x = toNumber(amount);
    if (x !== null) return Math.abs(x);
    return amount !== null && !Array.isArray(amount) ? toNumber(amount.norm) : null;
  }
  function toNumber(amount) {
    if (typeof amount === "number") return amount;
    if (amount === "NaN") return NaN;
    if (amount === "Infinity") return Infinity;
    if (amount === "-Infinity") return -Infinity;
    return null;
  }
  function brief(amount, digits = 5) {
    const x = toNumber(amount);
    if (x !== null) return Number.isFinite(x) ? show(Number(x.toPrecision(digits))) : show(x);
    const norm = amount !== null && typeof amount === "object" && !Array.isArray(amount) ? toNumber(amount.norm) : null;
    return norm === null ? showAmount(amount) : `‖${show(Number.isFinite(norm) ? Number(norm.toPrecision(4)) : norm)}‖`;
  }
  function show(x) {
    if (Number.isNaN(x)) return "NaN";
    if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
    if (Number.isInteger(x) && Math.abs(x) < 1e15) return x === 0 ? "0" : String(x).replace("-", "−");
    const text = Math.abs(x) >= 1e6 || Math.abs(x) < 1e-4 ? x.toExponential(5) : x.toPrecision(7);
    const [digits, power] = text.split("e");
    const short = digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits;
    return (power ? `${short}e${power.replace("+", "")}` : short).replace(/-/g, "−");
  }
  function showAmount(amount) {
    if (amount === null || amount === void 0) return "–";
    const x = toNumber(amount);
    if (x !== null) return show(x);
    if (typeof amount === "string") return clean(amount);
    if (Array.isArray(amount)) return amount.map(showAmount).join(", ");
    const array = amount;
    const norm = toNumber(array.norm);
    return `[${array.shape}] ‖${norm === null ? "–" : show(Number(norm.toPrecision(4)))}‖`;
  }
  var UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
  function clean(text, most = 60) {
    const seen = text.replace(UNSEEN, (c) => `‹U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}›`);
    return seen.length > most ? `${seen.slice(0, most - 1)}…` : seen;
  }

  // src/dom.ts
  function h(tag, props = {}, ...children) {
    return build(document.createElement(tag), props, children);
  }
  function s(tag, props = {}, ...children) {
    return build(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);
  }
  function build(element, props, children) {
    for (const [name, value] of Object.entries(props)) {
      if (value === void 0 || value === false || value === null) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value === true ? "" : String(value));
    }
    for (const child of children) if (child) element.append(child);
    return element;
  }
  function put(parent, ...children) {
    parent.replaceChildren(...children.filter(Boolean));
  }
  function keep(root, change) {
    const active = document.activeElement;
    const key = active && root.contains(active) ? active.dataset.key : void 0;
    change();
    if (key !== void 0) root.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
  }
  function tabs(names, label, show2) {
    const buttons = names.map(([name, text]) => h("button", { type: "button", role: "tab", "data-key": `tab-${name}`, onclick: () => show2(name) }, text));
    const root = h("div", { class: "tabs", role: "tablist", "aria-label": label }, ...buttons);
    root.addEventListener("keydown", (event) => {
      const at = buttons.indexOf(document.activeElement), by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
      if (at < 0 || !by) return;
      event.preventDefault();
      event.stopPropagation();
      const next = (at + by + names.length) % names.length;
      show2(names[next][0]);
      buttons[next].focus();
    });
    const select = (name) => buttons.forEach((button, k) => {
      button.setAttribute("aria-selected", String(names[k][0] === name));
      button.tabIndex = names[k][0] === name ? 0 : -1;
    });
    return { root, select };
  }
  var place = null;
  function address() {
    return new URLSearchParams(place ?? location.hash.slice(1));
  }
  function setAddress(parts2) {
    const language = address().get("lang");
    if (language) parts2.set("lang", language);
    place = parts2.toString();
    try {
      history.replaceState(null, "", place ? `#${place}` : location.pathname + location.search);
    } catch {
    }
  }
  window.addEventListener("hashchange", () => {
    place = null;
  });
  var calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  // src/evaluate.ts
  var RULES = {
    add: (a, b) => a + b,
    sub: (a, b) => a - b,
    mul: (a, b) => a * b,
    div: (a, b) => a / b,
    neg: (a) => -a,
    power: (a, b) => a === 1 || b === 0 ? 1 : Math.pow(a, b),
    exp: Math.exp,
    expm1: Math.expm1,
    exp2: (a) => Math.pow(2, a),
    log: Math.log,
    log1p: Math.log1p,
    log2: Math.log2,
    log10: Math.log10,
    sqrt: Math.sqrt,
    cbrt: Math.cbrt,
    sin: Math.sin,
    cos: Math.cos,
    tan: Math.tan,
    tanh: Math.tanh,
    sinh: Math.sinh,
    cosh: Math.cosh,
    arcsin: Math.asin,
    arccos: Math.acos,
    arctan: Math.atan,
    arcsinh: Math.asinh,
    arccosh: Math.acosh,
    arctanh: Math.atanh,
    arctan2: Math.atan2,
    hypot: Math.hypot,
    abs: Math.abs,
    sign: (a) => Number.isNaN(a) ? NaN : Math.sign(a),
    maximum: (a, b) => Number.isNaN(a) || Number.isNaN(b) ? NaN : Math.max(a, b),
    minimum: (a, b) => Number.isNaN(a) || Number.isNaN(b) ? NaN : Math.min(a, b),
    relu: (a) => Number.isNaN(a) ? NaN : Math.max(a, 0),
    sigmoid,
    expit: sigmoid,
    softplus: (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))),
    logaddexp: (a, b) => a === b ? a + Math.LN2 : Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b))),
    identity: (a) => a,
    cast: (a) => a,
    stop_gradient: (a) => a,
    sum: (a) => a,
    reshape: (a) => a,
    broadcast: (a) => a,
    mean: (a) => a,
    deg2rad: (a) => a * Math.PI / 180,
    rad2deg: (a) => a * 180 / Math.PI
  };
  function sigmoid(a) {
    const e = Math.exp(-Math.abs(a));
    return (a >= 0 ? 1 : e) / (1 + e);
  }
  function unknownOps(book) {
    const { op, args, value } = book.data.nodes;
    const bad = /* @__PURE__ */ new Set();
    op.forEach((name, n) => {
      if (toNumber(value[n]) === null || args[n].includes(null)) bad.add(name);
      else if (args[n].length && !RULES[name]) bad.add(name);
    });
    return [...bad];
  }
  function evaluate(book, changed) {
    const { op, args, value } = book.data.nodes;
    const out = [];
    for (let n = 0; n < book.count; n++) {
      if (changed.has(n)) out.push(changed.get(n));
      else if (!args[n].length) out.push(toNumber(value[n]));
      else out.push(RULES[op[n]](...args[n].map((arg) => typeof arg === "number" ? out[arg] : toNumber(arg[0]))));
    }
    return out;
  }
  function sweepWithout(book, cut) {
    const { payer, partial, paid } = book.data.edges;
    const owed = new Array(book.count).fill(null);
    owed[book.data.top] = 1;
    for (let n = book.count - 1; n >= 0; n--) {
      if (n === book.data.top) continue;
      for (const e of book.received[n]) {
        const above = owed[payer[e]], d = toNumber(partial[e]);
        if (cut.has(e) || above === null || d === null) continue;
        const taken = Number.isFinite(d) || toNumber(paid[e]) !== 0;
        owed[n] = (owed[n] ?? 0) + (taken ? above * d : 0);
      }
    }
    return owed;
  }

  // src/exact.ts
  var PRIMES = (() => {
    const found = [];
    for (let n = 2; found.length < 64; n++) if (found.every((p) => n % p)) found.push(n);
    return found;
  })();
  var fraction = (x) => (x - Math.floor(x)) * 2 ** 32 | 0;
  function sha256(bytes) {
    const K = PRIMES.map((p) => fraction(Math.cbrt(p))), H = PRIMES.slice(0, 8).map((p) => fraction(Math.sqrt(p)));
    const padded = new Uint8Array((bytes.length + 8 >> 6 << 6) + 64);
    padded.set(bytes);
    padded[bytes.length] = 128;
    const view = new DataView(padded.buffer);
    view.setUint32(padded.length - 8, Math.floor(bytes.length / 2 ** 29));
    view.setUint32(padded.length - 4, bytes.length << 3 >>> 0);
    const W = new Int32Array(64), turn = (x, n) => x >>> n | x << 32 - n;
    for (let at = 0; at < padded.length; at += 64) {
      for (let t = 0; t < 16; t++) W[t] = view.getInt32(at + 4 * t);
      for (let t = 16; t < 64; t++) {
        const u = W[t - 15], v = W[t - 2];
        W[t] = (turn(v, 17) ^ turn(v, 19) ^ v >>> 10) + W[t - 7] + (turn(u, 7) ^ turn(u, 18) ^ u >>> 3) + W[t - 16];
      }
      let [a, b, c, d, e, f, g, h2] = H;
      for (let t = 0; t < 64; t++) {
        const x = h2 + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + (e & f ^ ~e & g) + K[t] + W[t] | 0;
        const y = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + (a & b ^ a & c ^ b & c) | 0;
        [a, b, c, d, e, f, g, h2] = [x + y | 0, a, b, c, d + x | 0, e, f, g];
      }
      [a, b, c, d, e, f, g, h2].forEach((x, k) => {
        H[k] = H[k] + x | 0;
      });
    }
    return H.map((x) => (x >>> 0).toString(16).padStart(8, "0")).join("");
  }
  var bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  function numbers(bytes, dtype) {
    return dtype === "<f4" ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer);
  }
  function digestOf(exact) {
    const parts2 = exact.after.flatMap((text, k) => {
      const shape = exact.shapes[k], told = `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;
      return [new TextEncoder().encode(exact.dtype + told), bytesOf(text)];
    });
    const all = new Uint8Array(parts2.reduce((n, part) => n + part.length, 0));
    let at = 0;
    for (const part of parts2) {
      all.set(part, at);
      at += part.length;
    }
    return sha256(all);
  }
  function stepHolds(exact, weights, promise) {
    if (digestOf(exact) !== weights) return false;
    return exact.shapes.every((_, k) => {
      const [g, a, b] = [exact.gradient, exact.before, exact.after].map((texts) => numbers(bytesOf(texts[k]), exact.dtype));
      let sum = 0, size2 = 0;
      for (let i = 0; i < g.length; i++) {
        const term = g[i] * (b[i] - a[i]);
        sum += term;
        size2 += Math.abs(term);
      }
      const told = toNumber(promise[k]) ?? NaN;
      return Number.isFinite(sum) ? Math.abs(sum - told) <= 1e-12 * size2 : !Number.isFinite(told);
    });
  }

  // src/words.ts
  var EN = {
    language: "中文",
    owed: "is owed",
    why: "why?",
    ledger: "Ledger",
    race: "The race",
    paths: "Paths that pay",
    whatif: "What if",
    source: "Source",
    graph: "Graph",
    book: "Account book",
    step: "Event",
    of: "of",
    play: "Play",
    pause: "Pause",
    back: "One event back",
    forward: "One event on",
    first: "To the beginning",
    last: "To the end",
    begin: "Nothing has been paid yet.",
    settles: "settles",
    pays: "pays",
    starts: "the top, starts with",
    payer: "payer",
    owes: "owes",
    local: "× partial",
    paid: "= paid",
    sum: "sum",
    nobody: "nobody pays it: no path",
    search: "find a node",
    fold: "Fold",
    none: "nothing",
    chains: "chains",
    lines: "lines of code",
    focus: "only the debts of",
    all: "show all",
    nodes: "nodes",
    value: "value",
    gradient: "gradient",
    debt: "what this line pays in all, signs left aside",
    nan: "the first value that is no number",
    nosource: "No source text is known.",
    collectors: "Collecting, path by path",
    sweep: "Paying back, each edge once",
    pathsOf: "paths",
    walksOf: "edges walked",
    visitsOf: "edges paid",
    racetext: "A collector walks every path from a leaf to the top and multiplies the partials on its way; the sweep pays each edge once. Both come to the same gradient.",
    manypaths: "There are too many nodes to count every path on this page.",
    shownwalks: "the first {n} paths are walked here; the counts are exact",
    leaf: "leaf",
    count: "paths",
    gross: "gross (Σ|path|)",
    net: "net (Σ path)",
    kappa: "κ, gross by net",
    largest: "The largest paths",
    share: "of the gross",
    cancel: "How much cancels",
    nopath: "no path leads here",
    notdefined: "Between these operations single paths are not defined, or there are too many to walk them all.",
    drag: "Drag a value: the gradient predicts, the function tells the truth.",
    predicted: "predicted by the gradient",
    truth: "true value",
    off: "off by",
    cut: "Click an edge of the graph to cut it: who is no longer paid?",
    uncut: "mend all edges",
    cutcount: "edges cut",
    whole: "gradient",
    without: "without the cut edges",
    noeval: "This page can compute again only where every node is a number and every operation is known to it:",
    reset: "reset values",
    fewer: "Ask for one entry of an array to see it number by number.",
    dark: "dark or light",
    hidden: "not shown",
    box: "a folded box of",
    help: "Keys: ← → one event back or on · Home, End · / find a node · Enter on a node: why is it owed that? · Esc everything again",
    chapter: "Chapters",
    next: "Next",
    previous: "Back",
    latest: "The latest {n} accounts; click a node for its own.",
    norms: "[4×3] ‖2.5‖ is an array: its shape and its norm.",
    samples: "Samples and curves",
    surface: "The cost over two weights: deep is dark, rings are minima",
    views: "Views",
    noroad: "is owed nothing: no path leads from it to the top.",
    istop: "is the top, where the sweep starts: it is owed 1.",
    inall: "{n} payments in all",
    stop: ".",
    means: "If {leaf} grows a little, {top} changes {rate} times as much.",
    badvalue: "The first value that is not finite:",
    badgradient: "The first gradient that is not finite:",
    seewhynan: "payback why-nan lists every place where one is born.",
    onlyof: "Only the account of",
    everybody: "show all accounts",
    owedshort: "owed",
    grossdebt: "pays",
    logscale: "The bars are logarithmic: each is as long as its number has digits.",
    smaller: "smaller",
    larger: "larger",
    fitted: "as wide as its frame",
    functions: "functions",
    modules: "modules",
    layers: "layers",
    ofLayer: "layer {}",
    steps: "steps",
    stopped: "stopped by",
    optimizer: "optimizer",
    loss: "loss",
    batchsize: "rows a step",
    datarows: "rows",
    dtype: "number type",
    foundfailed: "Step {n} was not applied: {told}",
    nosteps: "No step was applied.",
    foundnan: "The gradient of {row} is not a number at step {n}.",
    helps: "What helps:",
    foundrow: "Row {row} costs {x} at step {n}; the others that cost most there cost {usual} in the median.",
    heldout: "held out",
    leastat: "least {x}, epoch {n}",
    foundmore: "So it is with {n} more.",
    logaxis: "logarithmic",
    nextstep: "Next",
    together: "all together",
    runmap: "Run map",
    curves: "Learning curves",
    statement: "Statement of one weight",
    microscope: "Step microscope",
    step1: "step",
    epochs: "epochs",
    epoch: "epoch",
    measure: "color",
    gradientsize: "size of the gradient",
    updateratio: "update by weight",
    deadshare: "share of dead units",
    worst: "worst first",
    maptext: "One row for each parameter, one column for each step. Gray: not known. Magenta: not a number. Click a cell, or use the arrow keys on the map, to read it; Enter opens the nearest step under the microscope.",
    median: "median",
    smallest: "least",
    largest1: "most",
    legend: "scale",
    nostatement: "The report was made without a weight: give one with --entry W1[3,7].",
    weight: "weight",
    bystep: "by step",
    bysample: "by sample",
    byclass: "by class",
    reconciled: "reconciled: opening and all deposits come to the closing value",
    unreconciled: "does not add up; left over:",
    opening: "opening",
    deposits: "deposits",
    decay: "weight decay",
    initial: "the optimizer's state at the opening",
    rounding: "rounding of the run's numbers",
    closing: "closing",
    nolooks: "No step was looked at.",
    promise: "promised by the gradient (g·Δθ)",
    actual: "what the cost did",
    actualalone: "what the cost does if only this one is updated",
    layer: "parameter",
    rowsworst: "The rows of the batch that cost most, the costliest first",
    row: "row",
    cost: "cost",
    weights: "This step was computed again, and its weights have the digest of the run's log:",
    exact: "This page holds every weight of the step: it has computed their digest again, and the promise, and both are those of the run:",
    inexact: "The weights that this page holds do not have the digest of the run, or the promise is not theirs:",
    replay: "Open the account book of this step",
    nobook: "This page does not hold the account book of this step. To have it: payback report RUN --steps"
  };
  var ZH = {
    language: "English",
    owed: "应得",
    why: "为什么？",
    ledger: "账本",
    race: "赛跑",
    paths: "付款的路径",
    whatif: "假如",
    source: "源代码",
    graph: "图",
    book: "账目",
    step: "事件",
    of: "/",
    play: "播放",
    pause: "暂停",
    back: "后退一步",
    forward: "前进一步",
    first: "回到开头",
    last: "到结尾",
    begin: "还没有任何付款。",
    settles: "结清",
    pays: "付给",
    starts: "顶层节点，起始为",
    payer: "付款者",
    owes: "欠",
    local: "× 偏导",
    paid: "= 付款",
    sum: "累计",
    nobody: "没有人付款：没有路径",
    search: "查找节点",
    fold: "折叠",
    none: "不折叠",
    chains: "链",
    lines: "代码行",
    focus: "只看这个节点的债：",
    all: "显示全部",
    nodes: "个节点",
    value: "值",
    gradient: "梯度",
    debt: "这一行付出的总额，不计正负",
    nan: "第一个不是数的值",
    nosource: "没有源代码文本。",
    collectors: "逐条路径收集",
    sweep: "还债：每条边一次",
    pathsOf: "条路径",
    walksOf: "次走边",
    visitsOf: "条边已付",
    racetext: "收债的人从叶子到顶层节点走遍每条路径，一路乘上偏导；反向扫描每条边只付一次。两者得到同样的梯度。",
    manypaths: "节点太多，本页不逐条统计路径。",
    shownwalks: "这里只演示前 {n} 条路径；计数是精确的",
    leaf: "叶子",
    count: "路径数",
    gross: "总额 (Σ|路径|)",
    net: "净额 (Σ 路径)",
    kappa: "κ，总额比净额",
    largest: "最大的路径",
    share: "占总额",
    cancel: "抵消的比例",
    nopath: "没有路径通到这里",
    notdefined: "这些运算之间没有单条路径的定义，或者路径太多，无法逐条走完。",
    drag: "拖动一个值：梯度作出预测，函数给出真值。",
    predicted: "梯度的预测",
    truth: "真值",
    off: "相差",
    cut: "点击图中的一条边将它切断：谁不再得到付款？",
    uncut: "恢复所有的边",
    cutcount: "条边已切断",
    whole: "梯度",
    without: "切断后",
    noeval: "只有当每个节点都是数、且本页认识每个运算时，才能重新计算：",
    reset: "恢复原值",
    fewer: "只解释数组的一个元素，就能逐个数地看。",
    dark: "深色或浅色",
    hidden: "未显示",
    box: "折叠的方框：",
    help: "按键：← → 后退或前进一步 · Home、End · / 查找节点 · 在节点上按 Enter：它为什么应得这么多？ · Esc 恢复全部",
    chapter: "章节",
    next: "下一章",
    previous: "上一章",
    latest: "最近的 {n} 个账户；点击节点可看它自己的账户。",
    norms: "[4×3] ‖2.5‖ 表示数组：形状与范数。",
    samples: "样本与曲线",
    surface: "代价随两个权重的变化：越深越暗，圆环是极小值",
    views: "视图",
    noroad: "没有应得的款：没有路径从它通到顶层节点。",
    istop: "是顶层节点，扫描由此开始：起始为 1。",
    inall: "共 {n} 笔付款",
    stop: "。",
    means: "{leaf} 稍微增加时，{top} 的变化是它的 {rate} 倍。",
    badvalue: "第一个非有限的值：",
    badgradient: "第一个非有限的梯度：",
    seewhynan: "用 payback why-nan 可列出所有源头。",
    onlyof: "只看这个账户：",
    everybody: "查看全部账户",
    owedshort: "应得",
    grossdebt: "付出",
    logscale: "条形按对数绘制：数字有几位，条形就有多长。",
    smaller: "缩小",
    larger: "放大",
    fitted: "适合宽度",
    functions: "函数",
    modules: "模块",
    layers: "网络层",
    ofLayer: "第 {} 层",
    steps: "步数",
    stopped: "停止原因",
    optimizer: "优化器",
    loss: "损失函数",
    batchsize: "每步行数",
    datarows: "行数",
    dtype: "数值类型",
    foundfailed: "第 {n} 步没有执行：{told}",
    nosteps: "没有执行任何一步。",
    foundnan: "{row} 的梯度在第 {n} 步不是数。",
    helps: "怎么办：",
    foundrow: "第 {row} 行在第 {n} 步的代价为 {x}；该步其余代价最高的各行的中位数为 {usual}。",
    heldout: "验证",
    leastat: "最小 {x}，第 {n} 轮",
    foundmore: "另有 {n} 个参数也是如此。",
    logaxis: "对数刻度",
    nextstep: "下一步",
    together: "合计",
    runmap: "训练地图",
    curves: "学习曲线",
    statement: "一个权重的对账单",
    microscope: "单步显微镜",
    step1: "步",
    epochs: "轮",
    epoch: "轮",
    measure: "颜色",
    gradientsize: "梯度大小",
    updateratio: "更新与权重之比",
    deadshare: "失活单元的比例",
    worst: "最差在前",
    maptext: "每行一个参数，每列一步。灰色：未知。洋红：不是数。点击格子或在图上用方向键读数；按 Enter 在显微镜下打开最近的一步。",
    median: "中位数",
    smallest: "最小",
    largest1: "最大",
    legend: "色标",
    nostatement: "本报告没有选定权重：用 --entry W1[3,7] 指定。",
    weight: "权重",
    bystep: "按步",
    bysample: "按样本",
    byclass: "按类别",
    reconciled: "对账一致：期初加全部存入等于期末",
    unreconciled: "对不上；差额：",
    opening: "期初",
    deposits: "笔存入",
    decay: "权重衰减",
    initial: "期初时优化器的状态",
    rounding: "数值舍入",
    closing: "期末",
    nolooks: "没有查看任何一步。",
    promise: "梯度的承诺（g·Δθ）",
    actual: "代价的实际变化",
    actualalone: "只更新这一个参数时代价的变化",
    layer: "参数",
    rowsworst: "本批的行，代价最高在前",
    row: "行",
    cost: "代价",
    weights: "这一步已重新计算，权重的摘要与训练日志一致：",
    exact: "本页保存了这一步的全部权重：已在此重新计算其摘要与承诺，均与训练记录一致：",
    inexact: "本页保存的权重与训练记录的摘要不符，或承诺不是由它们算出的：",
    replay: "打开这一步的账目",
    nobook: "本页没有这一步的账目。要看它：payback report RUN --steps"
  };
  var current = EN;
  var w = () => current;
  var chinese = () => current === ZH;
  function speak(language) {
    current = language.startsWith("zh") ? ZH : EN;
    document.documentElement.lang = chinese() ? "zh-CN" : "en";
  }

  // src/panels.ts
  var WALKED = 200;
  var ROWS = 400;
  var ACCOUNTS = 60;
  function bookPanel(book, now, chosen, choose) {
    const { nodes, edges } = book.data;
    const rows = [];
    const shown = chosen !== null ? [chosen] : lately(book, now);
    for (const n of shown) {
      const pile = book.pile(n, now);
      const settled = book.settledAt[n] >= 0 && book.settledAt[n] <= now;
      const most = chosen !== null ? ROWS : 12, left = pile.length - most;
      const head = () => h(
        "th",
        { scope: "rowgroup", rowspan: Math.max(left > 0 ? most + 1 : pile.length, 1) },
        h("button", { type: "button", class: "link", "data-key": `book-${n}`, onclick: () => choose(n) }, h("bdi", {}, clean(nodes.name[n], 24)))
      );
      const closing = settled ? "closed" : "";
      if (!pile.length) {
        const text = n === book.data.top ? w().starts : nodes.settled[n] === null ? w().nobody : "";
        rows.push(h("tr", { class: closing }, head(), h("td", { colspan: 4, class: "quiet" }, text), h("td", { class: "number" }, settled ? brief(nodes.settled[n]) : "")));
      }
      let total = null;
      pile.forEach((e, k) => {
        const payer = edges.payer[e], paid = toNumber(edges.paid[e]);
        total = paid === null ? null : k === 0 ? paid : total === null ? null : total + paid;
        if (left > 0 && k >= most - 1 && k < pile.length - 1) {
          if (k === most - 1) rows.push(h("tr", {}, h("td", { colspan: 5, class: "quiet" }, `… ${left.toLocaleString("en")}`)));
          return;
        }
        const sum = total !== null ? brief(total) : k === pile.length - 1 && settled ? brief(nodes.settled[n]) : "";
        rows.push(h(
          "tr",
          { class: k === pile.length - 1 ? closing : "" },
          k === 0 && head(),
          h("td", { class: "who" }, h("bdi", {}, clean(nodes.name[payer], 24))),
          h("td", { class: "number" }, brief(nodes.settled[payer])),
          partialCell(edges.partial[e]),
          h("td", { class: "number" }, brief(edges.paid[e])),
          h("td", { class: "number", "data-sum": sum !== "" && k === pile.length - 1 ? nodes.name[n] : void 0 }, sum)
        ));
      });
    }
    if (!rows.length) return h("p", { class: "quiet" }, w().begin);
    if (chosen === null && shown.length >= ACCOUNTS) rows.unshift(h("tr", {}, h("td", { colspan: 6, class: "quiet" }, w().latest.replace("{n}", String(ACCOUNTS)))));
    return h(
      "table",
      { class: "book" },
      h("thead", {}, h("tr", {}, ...["", w().payer, w().owes, w().local, w().paid, w().sum].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, ...rows)
    );
  }
  function partialCell(partial) {
    const number = toNumber(partial) !== null;
    return h("td", { class: number ? "number" : "rule" }, number ? brief(partial) : clean(showAmount(partial), 48));
  }
  function lately(book, now) {
    const found = /* @__PURE__ */ new Set();
    for (let k = now; k >= 0 && found.size < ACCOUNTS; k--) {
      const { node, edge } = book.events[k];
      if (edge < 0) found.add(node);
      else if (book.settledAt[book.data.edges.arg[edge]] > now) found.add(book.data.edges.arg[edge]);
    }
    return [...found].reverse();
  }
  function walksTo(book, leaf, most) {
    const found = [], trail = [], open = [[...book.received[leaf]]];
    if (leaf === book.data.top && most > 0) found.push([]);
    while (open.length && found.length < most) {
      const e = open[open.length - 1].shift();
      if (e === void 0) {
        open.pop();
        trail.pop();
        continue;
      }
      const payer = book.data.edges.payer[e];
      if (payer === book.data.top) found.push([...trail, e]);
      else if (book.settledAt[payer] >= 0) {
        trail.push(e);
        open.push([...book.received[payer]]);
      }
    }
    return found;
  }
  var Race = class {
    constructor(book, graph) {
      this.book = book;
      this.graph = graph;
      this.root = h("div", { class: "race" });
      this.walks = [];
      // the edges of the paths, one path after the other; -1 ends a path
      this.paths = 0;
      this.at = 0;
      this.timer = 0;
      this.counts = { paths: 0, walks: 0 };
      this.top = 1;
      this.heat = new Float64Array(book.data.edges.payer.length);
      for (const leaf of book.data.leaves) for (const walk of walksTo(book, leaf, WALKED - this.paths)) {
        this.walks.push(...walk, -1);
        this.paths++;
      }
      this.show();
    }
    step() {
      const e = this.walks[this.at++];
      if (e === void 0) return this.stop();
      if (e < 0) {
        this.counts.paths++;
        this.graph.mark(/* @__PURE__ */ new Set(), /* @__PURE__ */ new Set());
      } else {
        this.counts.walks++;
        this.heat[e]++;
        this.top = Math.max(this.top, this.heat[e]);
        this.graph.mark(/* @__PURE__ */ new Set([this.book.data.edges.payer[e]]), /* @__PURE__ */ new Set([e]));
      }
      const visits = this.counts.walks;
      this.graph.heat((k) => this.heat[k] ? Math.max(this.heat[k] / this.top, 0.15) : 0);
      this.show(visits);
    }
    play() {
      if (this.timer) return this.stop();
      if (this.at >= this.walks.length) this.reset();
      if (calm()) {
        while (this.at < this.walks.length) this.step();
        return this.show(this.book.data.edges.payer.length);
      }
      this.timer = window.setInterval(() => this.step(), Math.max(40, Math.min(650, 9e3 / this.walks.length)));
      this.show(Math.min(this.counts.walks, this.book.data.edges.payer.length));
    }
    stop() {
      window.clearInterval(this.timer);
      this.timer = 0;
      this.graph.mark(/* @__PURE__ */ new Set(), /* @__PURE__ */ new Set());
      this.show(Math.min(this.counts.walks, this.book.data.edges.payer.length));
    }
    reset() {
      this.stop();
      this.at = 0;
      this.counts = { paths: 0, walks: 0 };
      this.heat.fill(0);
      this.top = 1;
      this.graph.heat(() => 0);
      this.show();
    }
    show(visits = 0) {
      const race = this.book.data.race;
      if (!race) return put(this.root, h("p", { class: "quiet" }, w().manypaths));
      const digits = Math.max(race.walks.length, 1), all = log10(race.walks), swept = Math.log10(Math.max(race.visits, 1));
      const bar = (title, value, done, total, kind) => h(
        "div",
        { class: "lane" },
        h("h3", {}, title),
        h("p", { class: "big", "data-count": kind }, done, h("span", { class: "quiet" }, ` / ${total}`)),
        h("div", { class: `bar ${kind}`, role: "img", "aria-label": `${total}` }, fill(value / Math.max(all, swept, 1e-9)))
      );
      const listed = this.paths < Number(race.paths);
      keep(this.root, () => put(
        this.root,
        h("p", {}, w().racetext),
        bar(w().collectors, all, `${this.counts.paths} ${w().pathsOf}, ${this.counts.walks} ${w().walksOf}`, `${grouped(race.paths)} ${w().pathsOf}, ${grouped(race.walks)} ${w().walksOf}`, "collect"),
        bar(w().sweep, swept, `${Math.min(visits, race.visits)}`, `${race.visits} ${w().visitsOf}`, "sweep"),
        digits > 6 && h("p", { class: "quiet" }, `10^${all.toFixed(1)} : 10^${swept.toFixed(1)}`),
        listed && h("p", { class: "quiet" }, w().shownwalks.replace("{n}", String(this.paths))),
        h("p", { class: "quiet" }, w().logscale),
        h(
          "div",
          { class: "buttons" },
          h("button", { type: "button", class: "primary", "data-key": "race-play", onclick: () => this.play() }, this.timer ? w().pause : w().play),
          h("button", { type: "button", "data-key": "race-step", onclick: () => {
            this.stop();
            this.step();
          } }, w().forward),
          h("button", { type: "button", "data-key": "race-reset", onclick: () => this.reset() }, w().first)
        )
      ));
    }
  };
  function fill(share) {
    const element = h("span");
    element.style.width = `${Math.max(1, Math.min(100, 100 * share))}%`;
    return element;
  }
  function log10(digits) {
    return digits === "0" ? 0 : Math.log10(Number(`0.${digits.slice(0, 15)}`)) + digits.length;
  }
  function grouped(digits) {
    if (digits.length > 21) return `${digits[0]}.${digits.slice(1, 3)}·10^${digits.length - 1}`;
    return digits.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  }
  function pathsPanel(book, which, choose, trace) {
    const all = book.data.paths, { name } = book.data.nodes;
    if (!all.length) return h("p", { class: "quiet" }, w().manypaths);
    const found = all.find((p) => p.leaf === which) ?? all[0];
    const select = h(
      "select",
      { "data-key": "leaf", onchange: (e) => choose(Number(e.target.value)) },
      ...all.map((p) => h("option", { value: p.leaf, selected: p === found }, clean(name[p.leaf], 40)))
    );
    const gross = toNumber(found.gross), net = book.data.nodes.settled[found.leaf], kappa = toNumber(found.kappa);
    const fact = (title, value, key) => h("div", { class: "fact" }, h("dt", {}, title), h("dd", { "data-fact": key }, value));
    const biggest = Math.max(...found.largest.map((p) => size(p)), 0);
    const ribbons = found.largest.map((p) => {
      const product = p.product === null ? null : toNumber(p.product);
      const route = [...p.edges].map((e) => name[book.data.edges.arg[e]]).concat(p.edges.length ? name[book.data.edges.payer[p.edges[p.edges.length - 1]]] : []);
      const text = route.length > 9 ? [...route.slice(0, 4), "…", ...route.slice(-4)] : route;
      const share = gross && product !== null ? Math.abs(product) / gross : null;
      const line = h("span", { class: `ribbon ${product !== null && product < 0 ? "minus" : "plus"}` });
      line.style.width = `${biggest ? Math.max(2, 100 * size(p) / biggest) : 2}%`;
      return h("li", {}, h(
        "button",
        { type: "button", class: "route", onclick: () => trace(p.edges), onfocus: () => trace(p.edges), onpointerenter: () => trace(p.edges), onpointerleave: () => trace([]), onblur: () => trace([]) },
        h("bdi", {}, text.map((t) => clean(t, 12)).join(" – ")),
        h("span", { class: "number" }, product !== null ? show(product) : showAmount(p.paid)),
        line,
        share !== null && h("span", { class: "quiet" }, `${(100 * share).toFixed(1)} % ${w().share}`)
      ));
    });
    return h(
      "div",
      { class: "paths" },
      h("label", {}, `${w().leaf} `, select),
      h("dl", { class: "facts" }, fact(w().count, grouped(found.count), "count"), fact(w().gross, showAmount(found.gross), "gross"), fact(w().net, showAmount(net), "net"), fact(w().kappa, showAmount(found.kappa), "kappa")),
      kappa !== null && h("div", { class: "dial" }, h("h3", {}, w().cancel), dial(gross, toNumber(net))),
      h("h3", {}, w().largest),
      found.count === "0" ? h("p", { class: "quiet" }, w().nopath) : ribbons.length ? h("ol", { class: "ribbons" }, ...ribbons) : h("p", { class: "quiet" }, w().notdefined)
    );
  }
  function size(p) {
    const product = toNumber(p.product);
    if (product !== null) return Math.abs(product);
    const paid = p.paid;
    return typeof paid?.norm === "number" ? paid.norm : 0;
  }
  function dial(gross, net) {
    const kept = gross && net !== null ? Math.abs(net) / gross : gross === 0 ? 1 : 0;
    const bar = h("div", { class: "bar cancel", role: "img", "aria-label": `${(100 * (1 - kept)).toFixed(1)} %` }, fill(kept));
    return h("div", {}, bar, h("p", { class: "quiet" }, `${(100 * (1 - kept)).toFixed(1)} %`));
  }
  var WhatIf = class {
    constructor(book, redraw) {
      this.book = book;
      this.redraw = redraw;
      this.root = h("div", { class: "whatif" });
      this.cut = /* @__PURE__ */ new Set();
      this.changed = /* @__PURE__ */ new Map();
      this.unknown = unknownOps(book);
      this.show();
    }
    toggle(edge) {
      if (!this.cut.delete(edge)) this.cut.add(edge);
      this.redraw();
      this.show();
    }
    show() {
      const { nodes, leaves, top, edges } = this.book.data;
      const parts2 = [];
      if (this.unknown.length) {
        parts2.push(h("p", { class: "quiet" }, `${w().noeval} ${this.unknown.slice(0, 6).join(", ")}. ${w().fewer}`));
      } else {
        const result = h("dl", { class: "facts" });
        const tell = () => {
          const now = evaluate(this.book, this.changed)[top], before = toNumber(nodes.value[top]);
          let predicted = before;
          for (const [n, x] of this.changed) predicted += (toNumber(nodes.settled[n]) ?? 0) * (x - toNumber(nodes.value[n]));
          const fact = (title, value, key) => h("div", { class: "fact" }, h("dt", {}, title), h("dd", { "data-fact": key }, show(round(value))));
          put(result, fact(w().predicted, predicted, "predicted"), fact(w().truth, now, "truth"), fact(w().off, predicted - now, "off"));
        };
        parts2.push(h("p", {}, w().drag), ...leaves.slice(0, 12).map((n) => {
          const x = toNumber(nodes.value[n]), wide = Math.max(1, Math.abs(x));
          const number = h("input", { type: "number", step: "any", value: this.changed.get(n) ?? x, "aria-label": clean(nodes.name[n]), "data-leaf": clean(nodes.name[n]) });
          const slider = h("input", { type: "range", min: x - wide, max: x + wide, step: wide / 100, value: this.changed.get(n) ?? x, "aria-label": clean(nodes.name[n]) });
          const change = (from, to) => {
            const value = Number(from.value);
            if (from.value === "" || Number.isNaN(value)) return;
            to.value = String(value);
            if (value === x) this.changed.delete(n);
            else this.changed.set(n, value);
            tell();
          };
          number.addEventListener("input", () => change(number, slider));
          slider.addEventListener("input", () => change(slider, number));
          return h("div", { class: "knob" }, h("bdi", {}, clean(nodes.name[n], 16)), slider, number);
        }), result, h("div", { class: "buttons" }, h("button", { type: "button", "data-key": "reset", onclick: () => {
          this.changed.clear();
          this.show();
        } }, w().reset)));
        tell();
      }
      const numbers2 = edges.partial.every((partial) => toNumber(partial) !== null);
      if (numbers2) {
        const owed = sweepWithout(this.book, this.cut);
        parts2.push(
          h("p", {}, w().cut),
          h(
            "table",
            { class: "book" },
            h("thead", {}, h("tr", {}, ...[w().leaf, w().whole, w().without].map((text) => h("th", { scope: "col" }, text)))),
            h("tbody", {}, ...leaves.slice(0, 40).map((n) => h(
              "tr",
              { class: owed[n] === toNumber(nodes.settled[n]) ? "" : "changed" },
              h("th", { scope: "row" }, h("bdi", {}, clean(nodes.name[n], 24))),
              h("td", { class: "number" }, showAmount(nodes.settled[n])),
              h("td", { class: "number", "data-without": clean(nodes.name[n]) }, owed[n] === null ? "–" : show(owed[n]))
            )))
          ),
          this.cut.size > 0 && h("div", { class: "buttons" }, h("span", { class: "quiet" }, `${this.cut.size} ${w().cutcount} `), h("button", { type: "button", "data-key": "mend", onclick: () => {
            this.cut.clear();
            this.redraw();
            this.show();
          } }, w().uncut))
        );
      }
      keep(this.root, () => put(this.root, ...parts2));
    }
  };
  function round(x) {
    return Number.isFinite(x) ? Number(x.toPrecision(14)) : x;
  }

  // src/fold.ts
  var FOLDINGS = ["none", "chains", "lines", "functions", "modules", "layers"];
  var FOCUS_MOST = 60;
  var FEW = 40;
  var PARTS = 24;
  function picture(book, folding, opened, focus) {
    const group = focus === null ? groups(book, folding, opened) : around(book, focus);
    const at = new Int32Array(book.count).fill(-1);
    const boxes = [];
    const place2 = /* @__PURE__ */ new Map();
    const { layer, x } = book.data.nodes;
    for (let n = 0; n < book.count; n++) {
      const id = group[n];
      if (id < 0) continue;
      let k = place2.get(id);
      if (k === void 0) {
        k = boxes.length;
        place2.set(id, k);
        boxes.push({ id, nodes: [], layer: layer[n], x: 0 });
      }
      at[n] = k;
      const box = boxes[k];
      box.nodes.push(n);
      box.layer = Math.min(box.layer, layer[n]);
      box.x += x[n];
    }
    for (const box of boxes) box.x /= box.nodes.length;
    const links = /* @__PURE__ */ new Map();
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
  function groups(book, folding, opened) {
    const group = Int32Array.from({ length: book.count }, (_, n) => n);
    if (folding === "none") return group;
    const { where, stage } = book.data.nodes;
    const kept = /* @__PURE__ */ new Set([book.data.top, ...book.data.leaves]);
    if (folding !== "chains") {
      const first = /* @__PURE__ */ new Map();
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
    const alone = (n) => !kept.has(n) && book.received[n].length === 1 && book.paying[n].length === 1;
    for (let n = book.count - 1; n >= 0; n--) {
      if (!alone(n)) continue;
      const above = book.data.edges.payer[book.received[n][0]];
      if (alone(above)) group[n] = group[above];
    }
    return refined(book, group, opened);
  }
  function refined(book, group, opened) {
    const members = /* @__PURE__ */ new Map();
    group.forEach((id, n) => {
      if (opened.has(id)) (members.get(id) ?? members.set(id, []).get(id)).push(n);
    });
    const open = (nodes, times) => {
      const id = nodes[0];
      if (nodes.length > 1 && (opened.get(id) ?? 0) > times) for (const part of parts(book, nodes)) open(part, part[0] === id ? times + 1 : 0);
      else for (const n of nodes) group[n] = id;
    };
    for (const nodes of members.values()) open(nodes, 0);
    return group;
  }
  function parts(book, nodes) {
    if (nodes.length <= FEW) return nodes.map((n) => [n]);
    const lines = /* @__PURE__ */ new Map();
    for (const n of nodes) {
      const at = book.data.nodes.where[n], line = at < 0 ? -1 : book.data.places[at][2];
      (lines.get(line) ?? lines.set(line, []).get(line)).push(n);
    }
    if (lines.size > 1 && lines.size <= FEW) return [...lines.values()];
    const size2 = Math.ceil(nodes.length / PARTS);
    return Array.from({ length: Math.ceil(nodes.length / size2) }, (_, k) => nodes.slice(k * size2, (k + 1) * size2));
  }
  function around(book, focus) {
    const group = new Int32Array(book.count).fill(-1);
    const { payer, arg } = book.data.edges;
    let rim = [focus], shown = 0;
    for (let far = 0; far < 3 && rim.length; far++) {
      const next = [];
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

  // src/graph.ts
  var READABLE = 400;
  var LETTER = 7.3;
  var HIGH = 112;
  var GAP = 26;
  var CHAR = 7.4;
  var LEAST = 74;
  var MOST = 340;
  var HALF = 25;
  var BESIDE = 7;
  var SMALL = 12;
  var LEGIBLE = 0.68;
  function placing(spots) {
    const taken = /* @__PURE__ */ new Map();
    return (letters, at) => {
      const half = LETTER / 2 * letters + 3;
      const beside = ([x, y]) => spots.every((box) => Math.abs(box.x - x) > half + box.width / 2 || Math.abs(box.y - y) > 33);
      const free = ([x, y]) => [-1, 0, 1].every((by) => (taken.get(Math.round(y / 16) + by) ?? []).every(([px, py, ph]) => Math.abs(px - x) > half + ph || Math.abs(py - y) > 15));
      const places = [0.36, 0.5, 0.64, 0.76, 0.22, 0.88, 0.12].map(at);
      const spot = places.find((place2) => free(place2) && beside(place2)) ?? places.find(free) ?? places[0];
      const line = Math.round(spot[1] / 16);
      taken.set(line, [...taken.get(line) ?? [], [...spot, half]]);
      return spot;
    };
  }
  function passing(spots) {
    const rows = /* @__PURE__ */ new Map();
    for (const spot of spots) (rows.get(spot.y) ?? rows.set(spot.y, []).get(spot.y)).push(spot);
    const ys = [...rows.keys()].sort((p, q) => p - q);
    for (const row of rows.values()) row.sort((p, q) => p.x - q.x);
    const taken = new Map(ys.map((y) => [y, /* @__PURE__ */ new Set()]));
    return (a, b) => {
      let x = a.x, last = a.y;
      return ys.filter((y) => a.y < y && y < b.y).map((y) => {
        const row = rows.get(y), wish = last === a.y ? x + (b.x - x) * (y - last) / (b.y - last) : x;
        const starts = [4, ...row.map((box) => box.x + box.width / 2 + BESIDE)], ends = [...row.map((box) => box.x - box.width / 2 - BESIDE), Infinity];
        const nearest = starts.map((start2, k) => Math.max(start2, Math.min(ends[k], wish))).sort((p, q) => Math.abs(p - wish) - Math.abs(q - wish))[0];
        const right = nearest >= wish ? 1 : -1;
        const free = [0, 4, 8].map((by) => Math.round(nearest + right * by)).find((at) => !taken.get(y).has(at) && starts.some((start2, k) => start2 <= at && at <= ends[k]));
        x = free ?? Math.round(nearest);
        taken.get(y).add(x);
        last = y;
        return [x, y];
      });
    };
  }
  var Graph = class {
    constructor(book, state, choose, hover, pick) {
      this.book = book;
      this.state = state;
      this.choose = choose;
      this.hover = hover;
      this.pick = pick;
      this.root = h("div", { class: "graph", role: "group" });
      this.focus = null;
      this.opened = /* @__PURE__ */ new Map();
      this.whole = /* @__PURE__ */ new Map();
      this.spots = [];
      this.size = { width: 0, height: 0 };
      this.canvas = null;
      this.barFor = null;
      this.boxes = [];
      this.lines = [];
      this.labels = [];
      this.zoom = null;
      // null: fitted
      this.frame = h("div", { class: "graph-frame", tabindex: "-1" });
      this.bar = h("div", { class: "graph-bar" });
      this.folding = book.count > READABLE ? "lines" : "none";
      this.root.append(this.bar, this.frame);
      this.rebuild();
      new ResizeObserver(() => this.fit()).observe(this.frame);
    }
    get scale() {
      return this.zoom ?? Math.max(LEGIBLE, Math.min(1, (this.frame.clientWidth || this.size.width) / Math.max(this.size.width, 1)));
    }
    fit() {
      const svg = this.frame.querySelector("svg");
      if (!svg) return;
      svg.setAttribute("width", String(Math.round(this.size.width * this.scale)));
      svg.setAttribute("height", String(Math.round(this.size.height * this.scale)));
    }
    magnify(by) {
      this.zoom = by === null ? null : Math.max(0.2, Math.min(3, this.scale * by));
      this.fit();
    }
    setFocus(node) {
      this.focus = node;
      this.rebuild();
    }
    // Everything again, folded as in the beginning.
    reset() {
      this.opened.clear();
      this.setFocus(null);
    }
    // Make a node visible: open the box that it is folded into, or look at its debts alone.
    reveal(node) {
      const k = this.picture.at[node];
      if (k >= 0 && this.picture.boxes[k].nodes.length === 1) return this.scrollTo(k);
      this.setFocus(node);
    }
    scrollTo(k) {
      const spot = this.spots[k], frame = this.frame;
      const scale2 = frame.scrollWidth / Math.max(this.size.width, 1);
      const x = spot.x * scale2, y = spot.y * scale2;
      const half = spot.width * scale2 / 2;
      if (x - half < frame.scrollLeft || x + half > frame.scrollLeft + frame.clientWidth) frame.scrollLeft = x - frame.clientWidth / 2;
      if (y - 30 < frame.scrollTop || y + 30 > frame.scrollTop + frame.clientHeight) frame.scrollTop = y - frame.clientHeight / 2;
    }
    rebuild() {
      keep(this.root, () => this.build());
    }
    build() {
      this.picture = picture(this.book, this.folding, this.opened, this.focus);
      if (!this.opened.size) this.whole = new Map(this.picture.boxes.map((box) => [box.id, box.nodes.length]));
      this.place();
      const { boxes } = this.picture;
      this.drawBar();
      this.boxes = [];
      this.lines = [];
      this.labels = [];
      this.canvas = null;
      if (boxes.length <= READABLE) {
        put(this.frame, this.drawing());
        this.fit();
      } else {
        this.canvas = h("canvas", { role: "img", "aria-label": `${boxes.length} ${w().nodes}` });
        this.canvas.addEventListener("click", (e) => this.clickCanvas(e));
        put(this.frame, this.canvas);
      }
      this.update();
      requestAnimationFrame(() => {
        const k = this.picture.at[this.state().chosen ?? this.focus ?? this.book.data.top] ?? -1;
        if (k >= 0) this.scrollTo(k);
      });
    }
    drawBar() {
      const { boxes } = this.picture;
      this.bar.hidden = this.book.count <= SMALL;
      const select = h("select", { "data-key": "fold", onchange: (e) => {
        this.folding = e.target.value;
        this.opened.clear();
        this.rebuild();
      } }, ...FOLDINGS.filter((f) => f !== "layers" || this.book.data.nodes.stage.some((k) => k > 0)).map((f) => h("option", { value: f, selected: f === this.folding }, w()[f])));
      const chosen = this.state().chosen;
      const button = (text, label, go) => h("button", { type: "button", class: "small", "data-key": label, "aria-label": label, title: label, onclick: go }, text);
      put(
        this.bar,
        h("label", {}, `${w().fold} `, select),
        boxes.length <= READABLE && h("span", { class: "zoom" }, button("−", w().smaller, () => this.magnify(1 / 1.25)), button("+", w().larger, () => this.magnify(1.25)), button("⤢", w().fitted, () => this.magnify(null))),
        h("span", { class: "quiet" }, `${boxes.length.toLocaleString("en")} / ${this.book.count.toLocaleString("en")} ${w().nodes}`),
        this.focus !== null && h(
          "span",
          { class: "focus" },
          `${w().focus} `,
          h("bdi", {}, clean(this.book.data.nodes.name[this.focus])),
          " ",
          h("button", { type: "button", class: "small", "data-key": "all", onclick: () => this.setFocus(null) }, w().all)
        ),
        chosen !== null && this.focus !== chosen && h("button", { type: "button", class: "small", "data-key": "only", onclick: () => this.setFocus(chosen) }, `${w().focus} ${clean(this.book.data.nodes.name[chosen], 16)}`)
      );
      this.barFor = chosen;
    }
    place() {
      const { boxes } = this.picture;
      const rows = /* @__PURE__ */ new Map();
      boxes.forEach((box, k) => (rows.get(box.layer) ?? rows.set(box.layer, []).get(box.layer)).push(k));
      const dense = boxes.length > READABLE;
      this.spots = new Array(boxes.length);
      const levels = [...rows.keys()].sort((a, b) => a - b);
      let width = 0;
      const unit = dense ? 12 : Math.max(...boxes.map((box) => this.widthOf(box)), LEAST) + GAP;
      const at = boxes.map((box) => box.x), left = Math.min(...at), span = Math.max(...at) - left;
      const most = Math.max(2, ...[...rows.values()].map((row) => row.length)) - 1;
      const near = boxes.length < this.book.count && span > most ? most / span : 1;
      levels.forEach((level, row) => {
        let edge = -Infinity;
        for (const k of rows.get(level).sort((a, b) => boxes[a].x - boxes[b].x || a - b)) {
          const own = dense ? 8 : this.widthOf(boxes[k]);
          const want = this.focus === null ? (boxes[k].x - left) * near * unit : 0;
          const x = Math.max(want, edge + own / 2 + (dense ? 4 : GAP));
          edge = x + own / 2;
          this.spots[k] = { x, y: row * (dense ? 14 : HIGH) + (dense ? 10 : 34), width: own };
          width = Math.max(width, edge);
        }
      });
      if (this.focus !== null) for (const row of rows.values()) {
        const last = row[row.length - 1], first = row[0];
        const shift = (width - (this.spots[last].x + this.spots[last].width / 2) - (this.spots[first].x - this.spots[first].width / 2)) / 2;
        for (const k of row) this.spots[k].x += shift;
      }
      let least = Infinity;
      for (const spot of this.spots) least = Math.min(least, spot.x - spot.width / 2);
      for (const spot of this.spots) spot.x += 14 - least;
      this.size = { width: width + 28 - least, height: levels.length * (dense ? 14 : HIGH) - (dense ? 0 : HIGH - 68) + 12 };
    }
    widthOf(box) {
      return Math.min(MOST, Math.max(LEAST, CHAR * Math.max(...this.texts(box).map((text) => text.length)) + 20));
    }
    // The two lines of a box: name and value, and beneath it the widest thing that it will ever say.
    texts(box) {
      const { name, value, settled, op } = this.book.data.nodes;
      const many = box.nodes.length.toLocaleString("en");
      if (box.nodes.length > 1) return [this.nameOf(box), `${many} / ${many}`];
      const [n] = box.nodes;
      const pile = this.book.received[n].length > 1 ? this.pileText(n, Infinity) : "";
      return [`${clean(name[n], 18)} = ${showAmount(value[n])}`, pile, showAmount(settled[n]), op[n]];
    }
    nameOf(box) {
      const { name, where, stage } = this.book.data.nodes;
      if (this.folding === "layers") return w().ofLayer.replace("{}", `${stage[box.id]}`);
      if (this.folding !== "chains" && where[box.id] >= 0 && this.whole.get(box.id) === box.nodes.length) {
        const place2 = this.book.data.places[where[box.id]];
        if (this.folding === "modules") return clean(place2[0].split(/[\\/]/).pop() ?? "", 22);
        if (this.folding === "functions") return clean(place2[1] || place2[0], 22);
        return `${clean(place2[0].split(/[\\/]/).pop() ?? "", 16)}:${place2[2]}`;
      }
      return `${clean(name[box.nodes[0]], 9)} … ${clean(name[box.nodes[box.nodes.length - 1]], 9)}`;
    }
    pileText(node, now) {
      const pile = this.book.pile(node, now);
      const terms = pile.map((e) => toNumber(this.book.data.edges.paid[e]));
      if (terms.includes(null)) return pile.length ? `${pile.length} × [${"…"}]` : "";
      const few = terms.slice(0, 4).map((t) => t < 0 ? `(${show(t)})` : show(t));
      return `${few.join("+")}${terms.length > 4 ? "+…" : ""}`;
    }
    drawing() {
      const { boxes, links } = this.picture;
      const { width, height } = this.size;
      const edges = s("g"), labels = s("g", { "aria-hidden": "true" }), nodes = s("g"), place2 = placing(this.spots), lanes = passing(this.spots);
      for (const link of links) {
        const a = this.spots[link.from], b = this.spots[link.to], between = lanes(a, b);
        const ends = [...between.map(([x, y]) => [x, y - HALF]), [b.x, b.y - HALF]];
        const pieces = [[a.x, a.y + HALF], ...between.map(([x, y]) => [x, y + HALF])].map(([x, y], k) => [x, y, ...ends[k], Math.max(20, Math.abs(ends[k][1] - y) / 2.2)]);
        const d = "M" + pieces.map(([x12, y12, x22, y22, bend2]) => `${x12} ${y12}C${x12} ${y12 + bend2} ${x22} ${y22 - bend2} ${x22} ${y22}`).join("L");
        const [x1, y1, x2, y2, bend] = pieces[0];
        const [e] = link.edges;
        const partial = link.edges.length > 1 ? `${link.edges.length}×` : clean(showAmount(this.book.data.edges.partial[e]), 22);
        const [lx, ly] = place2(partial.length, (t) => {
          const u = 1 - t, along = (p, q, r, z) => u ** 3 * p + 3 * u * u * t * q + 3 * u * t * t * r + t ** 3 * z;
          return [along(x1, x1, x2, x2), along(y1, y1 + bend, y2 - bend, y2)];
        });
        const line = s("g", { class: "edge" }, s("path", { d, class: "wide" }), s("path", { d, class: "line" }));
        const label = s("text", { x: lx, y: ly + 4, class: "partial" }, partial), wide = LETTER * partial.length;
        if (this.pick && link.edges.length === 1) {
          const name = this.book.data.nodes.name;
          const said = `${name[this.book.data.edges.payer[e]]} → ${name[this.book.data.edges.arg[e]]}`;
          for (const [k, v] of Object.entries({ tabindex: "0", role: "button", "aria-label": clean(said), "data-key": `edge-${e}` })) line.setAttribute(k, v);
          line.classList.add("cuttable");
          line.addEventListener("click", () => this.pick(e));
          line.addEventListener("keydown", (event) => {
            if (event.key === "Enter" || event.key === " ") {
              event.preventDefault();
              this.pick(e);
            }
          });
        }
        this.lines.push(line);
        this.labels.push(label);
        edges.append(line);
        labels.append(s("rect", { x: lx - wide / 2, y: ly - 8, width: wide, height: 16, class: "ground" }), label);
      }
      boxes.forEach((box, k) => {
        const spot = this.spots[k];
        const node = s(
          "g",
          { class: "node", transform: `translate(${spot.x} ${spot.y})`, tabindex: "0", role: "button", "data-key": `box-${box.id}` },
          s("rect", { x: -spot.width / 2, y: -25, width: spot.width, height: 50, rx: 9 }),
          s("text", { y: -6, class: "name" }),
          s("text", { y: 14, class: "owed" }),
          s("title")
        );
        const act = () => {
          if (box.nodes.length > 1) {
            this.opened.set(box.id, (this.opened.get(box.id) ?? 0) + 1);
            this.rebuild();
          } else this.choose(box.nodes[0]);
        };
        node.addEventListener("click", act);
        node.addEventListener("dblclick", () => this.setFocus(box.nodes[0]));
        node.addEventListener("keydown", (e) => {
          if (e.key === "Enter" || e.key === " ") {
            e.preventDefault();
            act();
          }
        });
        node.addEventListener("pointerenter", () => this.hover(box.nodes[0]));
        node.addEventListener("pointerleave", () => this.hover(null));
        node.addEventListener("focus", () => this.hover(box.nodes[0]));
        node.addEventListener("blur", () => this.hover(null));
        this.boxes.push(node);
        nodes.append(node);
      });
      return s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": w().graph }, edges, labels, nodes);
    }
    update() {
      if (this.state().chosen !== this.barFor) keep(this.bar, () => this.drawBar());
      if (this.canvas) return this.paint();
      const { now, chosen, hover, cut } = this.state();
      const { data } = this.book;
      const event = now < this.book.events.length - 1 ? this.book.events[now] : void 0;
      this.picture.boxes.forEach((box, k) => {
        const g = this.boxes[k], [name, owed, title] = [g.children[1], g.children[2], g.children[3]];
        if (box.nodes.length > 1) {
          const done = box.nodes.filter((n2) => this.book.settledAt[n2] >= 0 && this.book.settledAt[n2] <= now).length;
          name.textContent = this.nameOf(box);
          owed.textContent = `${done.toLocaleString("en")} / ${box.nodes.length.toLocaleString("en")}`;
          g.setAttribute("class", `node box ${done === box.nodes.length ? "settled" : done ? "some" : ""}`);
          g.setAttribute("aria-label", `${w().box} ${box.nodes.length} ${w().nodes}: ${name.textContent}`);
          return;
        }
        const [n] = box.nodes;
        const settled = this.book.settledAt[n] >= 0 && this.book.settledAt[n] <= now;
        const pile = this.pileText(n, now);
        name.textContent = `${clean(data.nodes.name[n], 18)} = ${clean(showAmount(data.nodes.value[n]), 22)}`;
        owed.textContent = settled ? showAmount(data.nodes.settled[n]) : pile ? `(${pile})` : data.nodes.settled[n] === null ? "–" : "·";
        owed.textContent = clean(owed.textContent ?? "", 24);
        title.textContent = `${clean(data.nodes.name[n], 200)} · ${data.nodes.op[n]}`;
        const active = event !== void 0 && (event.edge >= 0 ? event.node === n || data.edges.arg[event.edge] === n : event.node === n);
        const kinds = [
          "node",
          settled ? "settled" : pile ? "some" : "",
          active ? "active" : "",
          n === chosen ? "chosen" : "",
          isBad(data.nodes.value[n]) || settled && isBad(data.nodes.settled[n]) ? "sick" : "",
          n === hover ? "hover" : "",
          data.leaves.includes(n) ? "leaf" : "",
          n === data.top ? "top" : ""
        ];
        g.setAttribute("class", kinds.filter(Boolean).join(" "));
        g.setAttribute("data-node", String(n));
        g.setAttribute("aria-label", `${name.textContent}; ${w().owed} ${owed.textContent}`);
        g.setAttribute("aria-pressed", String(n === chosen));
      });
      this.picture.links.forEach((link, k) => {
        const paid = link.edges.every((e) => this.book.paidAt[e] >= 0 && this.book.paidAt[e] <= now);
        const active = event !== void 0 && link.edges.includes(event.edge);
        const gone = link.edges.some((e) => cut.has(e));
        this.labels[k].setAttribute("class", `partial${gone ? " cut" : ""}`);
        if (this.pick && link.edges.length === 1) this.lines[k].setAttribute("aria-pressed", String(gone));
        this.lines[k].setAttribute("class", `edge${this.pick ? " cuttable" : ""}${paid ? " paid" : ""}${active ? " active" : ""}${gone ? " cut" : ""}${chosen !== null && paid && link.edges.some((e) => data.edges.arg[e] === chosen) ? " due" : ""}`);
      });
    }
    heat(of) {
      this.picture.links.forEach((link, k) => {
        const value = Math.max(...link.edges.map(of));
        const line = this.lines[k]?.querySelector(".line");
        if (!line) return;
        line.style.stroke = value > 0 ? `color-mix(in srgb, var(--hot) ${Math.round(25 + 75 * value)}%, var(--line))` : "";
        line.style.strokeWidth = String(1.5 + 5 * value);
      });
    }
    mark(nodes, edges) {
      this.picture.boxes.forEach((box, k) => this.boxes[k]?.classList.toggle("walked", box.nodes.some((n) => nodes.has(n))));
      this.picture.links.forEach((link, k) => this.lines[k]?.classList.toggle("walked", link.edges.some((e) => edges.has(e))));
    }
    paint() {
      const canvas = this.canvas, { now, chosen } = this.state();
      const width = Math.min(this.size.width, 4e3), height = Math.min(this.size.height, 4e3);
      const sx = width / this.size.width, sy = height / this.size.height;
      const ratio = Math.min(devicePixelRatio || 1, 2);
      if (canvas.width !== Math.round(width * ratio)) {
        canvas.width = width * ratio;
        canvas.height = height * ratio;
        canvas.style.width = `${width}px`;
        canvas.style.height = `${height}px`;
      }
      const pen = canvas.getContext("2d"), style = getComputedStyle(this.root);
      const color = (name) => style.getPropertyValue(name).trim() || "#888";
      pen.setTransform(ratio * sx, 0, 0, ratio * sy, 0, 0);
      pen.clearRect(0, 0, this.size.width, this.size.height);
      pen.strokeStyle = color("--line");
      pen.lineWidth = 0.6;
      pen.beginPath();
      for (const link of this.picture.links) {
        const a = this.spots[link.from], b = this.spots[link.to];
        pen.moveTo(a.x, a.y);
        pen.lineTo(b.x, b.y);
      }
      pen.stroke();
      this.picture.boxes.forEach((box, k) => {
        const n = box.id, at = this.book.settledAt[n];
        pen.fillStyle = n === chosen ? color("--hot") : at >= 0 && at <= now ? color("--settled-line") : color("--quiet");
        pen.fillRect(this.spots[k].x - 4, this.spots[k].y - 3, 8, 6);
      });
    }
    clickCanvas(e) {
      const box = this.canvas.getBoundingClientRect();
      const x = (e.clientX - box.left) / box.width * this.size.width, y = (e.clientY - box.top) / box.height * this.size.height;
      let best = -1, least = 20;
      this.spots.forEach((spot, k) => {
        const far = Math.hypot(spot.x - x, spot.y - y);
        if (far < least) [best, least] = [k, far];
      });
      if (best >= 0) this.choose(this.picture.boxes[best].id);
    }
  };

  // src/source.ts
  var LINES = 400;
  var NOTES = 12;
  function sourcePanel(book, now, active, choose) {
    const { nodes, places, sources, edges } = book.data;
    if (!sources.length || !sources.some((source) => source.lines.some(Boolean))) return h("p", { class: "quiet" }, w().nosource);
    const debts = /* @__PURE__ */ new Map();
    edges.payer.forEach((payer, e) => {
      const paid = sizeOf(edges.paid[e]), at = nodes.where[payer];
      if (paid === null || at < 0 || book.paidAt[e] < 0 || book.paidAt[e] > now) return;
      const key = `${places[at][0]}:${places[at][2]}`;
      debts.set(key, (debts.get(key) ?? 0) + paid);
    });
    const byLine = /* @__PURE__ */ new Map();
    nodes.where.forEach((at, n) => {
      if (at < 0) return;
      const key = `${places[at][0]}:${places[at][2]}`;
      (byLine.get(key) ?? byLine.set(key, []).get(key)).push(n);
    });
    const placeOf = (n) => n !== void 0 && n !== null && nodes.where[n] >= 0 ? places[nodes.where[n]] : null;
    const marked = placeOf(active), sick = placeOf(book.firstBad()?.node);
    const panel = h("div", { class: "sources" });
    for (const source of sources) {
      const list = h("ol", { class: "source", start: source.first });
      const lines = source.lines.slice(0, LINES);
      const margin = Math.min(...lines.filter((text) => text.trim()).map((text) => text.length - text.trimStart().length), 80);
      lines.forEach((text, k) => {
        const line = source.first + k, key = `${source.file}:${line}`;
        const within = (place2) => place2 !== null && place2[0] === source.file && place2[2] <= line && line <= place2[3];
        const here = within(marked), span = here ? marked : within(sick) ? sick : null;
        const code = h("code");
        if (span && (span[5] > span[4] || span[3] > span[2])) {
          const [a, b] = [line === span[2] ? chars(text, span[4]) : margin, line === span[3] ? chars(text, span[5]) : text.length];
          put(code, clean(text.slice(margin, a), 400), h("mark", { class: here ? "" : "sick", title: here ? void 0 : w().nan }, clean(text.slice(a, b), 400)), clean(text.slice(b), 400));
        } else code.textContent = clean(text.slice(margin), 400);
        const all = byLine.get(key) ?? [], of = all.filter((n) => !nodes.name[n].startsWith("%")), debt = debts.get(key);
        const notes = of.slice(0, NOTES).map((n) => {
          const done = book.settledAt[n] >= 0 && book.settledAt[n] <= now;
          return h(
            "button",
            { type: "button", class: `note${n === active ? " on" : ""}`, "data-key": `note-${n}`, onclick: () => choose(n) },
            h("bdi", {}, clean(nodes.name[n], 14)),
            ` = ${brief(nodes.value[n], 4)}`,
            done && h("b", {}, ` ${w().owedshort} ${brief(nodes.settled[n], 4)}`)
          );
        });
        list.append(h("li", { class: here ? "here" : "", value: line }, code, all.length > 0 && h(
          "span",
          { class: "notes" },
          ...notes,
          of.length > NOTES && h("span", { class: "quiet" }, `… ${of.length - NOTES}`),
          debt !== void 0 && h("span", { class: "debt", title: w().debt }, `${w().grossdebt} ${show(Number(debt.toPrecision(6)))}`)
        )));
      });
      panel.append(h("h3", {}, h("bdi", {}, clean(source.file.split(/[\\/]/).pop() ?? "", 40))), list);
    }
    return panel;
  }
  function chars(text, bytes) {
    let seen = 0, at = 0;
    for (const c of text) {
      if (seen >= bytes) break;
      seen += new TextEncoder().encode(c).length;
      at += c.length;
    }
    return at;
  }

  // src/ledger.ts
  var VIEWS = ["ledger", "race", "paths", "whatif"];
  var listening = null;
  var isView = (name) => VIEWS.includes(name);
  function ledgerPage(data, root, inside = false, first = "ledger") {
    const book = new Book(data);
    const last = book.events.length - 1;
    const hash = inside ? new URLSearchParams() : address();
    const linked = hash.get("node") !== null ? book.find(hash.get("node")) : -1;
    const asked = hash.get("view") ?? first;
    const state = {
      now: clamp(Number(hash.get("step") ?? last), last),
      chosen: linked >= 0 ? linked : null,
      hover: null,
      view: isView(asked) ? asked : "ledger",
      leaf: data.leaves[0] ?? 0
    };
    let timer = 0;
    const side = h("section", { class: "side" });
    const lens = h("section", { class: "lens", "aria-label": w().source });
    const told = h("p", { class: "told", "aria-live": "polite" });
    const answer = h("p", { class: "answer", "aria-live": "polite" });
    const slider = h("input", { type: "range", min: -1, max: last, value: state.now, step: 1, "aria-label": w().step });
    const counter = h("span", { class: "counter" });
    const middle = h("section", { class: "middle", "aria-label": w().graph });
    const bar = tabs(VIEWS.map((view) => [view, w()[view]]), w().views, (view) => open(view));
    const play = h("button", { type: "button", class: "primary", onclick: () => toggle() });
    let graph, race = null, whatif = null;
    const choose = (node) => {
      state.chosen = node;
      if (node !== null) graph.reveal(node);
      refresh();
    };
    function makeGraph() {
      whatif = state.view === "whatif" ? new WhatIf(book, () => graph.update()) : null;
      const cutting = whatif;
      graph = new Graph(
        book,
        () => ({ now: state.view === "ledger" ? state.now : last, chosen: state.chosen, hover: state.hover, cut: cutting?.cut ?? /* @__PURE__ */ new Set() }),
        (node) => choose(state.chosen === node ? null : node),
        (node) => {
          state.hover = node;
          showLens();
        },
        cutting ? (edge) => cutting.toggle(edge) : void 0
      );
      race = state.view === "race" ? new Race(book, graph) : null;
      put(middle, graph.root);
    }
    function open(view) {
      race?.stop();
      state.view = view;
      makeGraph();
      refresh();
    }
    function seek(now) {
      state.now = clamp(now, last);
      refresh();
    }
    function stop() {
      window.clearInterval(timer);
      timer = 0;
    }
    function toggle() {
      if (timer) {
        stop();
        return refresh();
      }
      if (state.now >= last) state.now = -1;
      timer = window.setInterval(() => {
        if (state.now >= last || !root.isConnected) {
          stop();
          return refresh();
        }
        seek(state.now + 1);
      }, calm() ? 10 : Math.max(30, Math.min(900, 12e3 / Math.max(last, 1))));
      refresh();
    }
    const name = (n) => h("bdi", {}, clean(data.nodes.name[n], 30));
    function sentence() {
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
    function reason() {
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
      const means = rate === null || !Number.isFinite(rate) ? [] : [" ", ...fill2(w().means, { leaf: name(n), top: name(data.top), rate: h("strong", {}, show(rate)) })];
      return [name(n), ` ${w().owed} `, h("strong", {}, showAmount(owed)), " = ", ...terms, more, w().stop, ...means];
    }
    function warning() {
      const bad = book.firstBad();
      if (!bad) return false;
      const at = data.nodes.where[bad.node], place2 = at >= 0 ? data.places[at] : null;
      return h(
        "p",
        { class: "warning" },
        h("button", { type: "button", class: "link", onclick: () => choose(bad.node) }, bad.backward ? w().badgradient : w().badvalue),
        " ",
        h("code", {}, h("bdi", {}, clean(place2?.[6] || data.nodes.name[bad.node], 80))),
        place2 && place2[1] ? ` ${clean(place2[0].split(/[\\/]/).pop() ?? "", 40)}:${place2[2]}` : "",
        `. ${w().seewhynan}`
      );
    }
    function showLens() {
      const event = state.view === "ledger" ? book.events[state.now] : void 0;
      keep(lens, () => put(lens, h("h2", {}, w().source), sourcePanel(book, state.view === "ledger" ? state.now : last, state.hover ?? state.chosen ?? event?.node ?? null, choose)));
      graph.update();
    }
    function panel() {
      if (state.view === "ledger") return [h("h2", {}, w().book), ...state.chosen !== null ? [h(
        "p",
        { class: "quiet" },
        w().onlyof,
        " ",
        name(state.chosen),
        " ",
        h("button", { type: "button", class: "link", "data-key": "everybody", onclick: () => choose(null) }, w().everybody)
      )] : [], bookPanel(book, state.now, state.chosen, choose)];
      if (state.view === "race") return [h("h2", {}, w().race), race.root];
      if (state.view === "paths") return [h("h2", {}, w().paths), pathsPanel(
        book,
        state.leaf,
        (leaf) => {
          state.leaf = leaf;
          refresh();
        },
        (edges) => graph.mark(new Set(edges.flatMap((e) => [data.edges.payer[e], data.edges.arg[e]])), new Set(edges))
      )];
      return [h("h2", {}, w().whatif), whatif.root];
    }
    function refresh() {
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
    function link() {
      if (inside) return;
      const parts2 = new URLSearchParams();
      if (state.now !== last) parts2.set("step", String(state.now));
      if (state.chosen !== null) parts2.set("node", data.nodes.name[state.chosen]);
      if (state.view !== "ledger") parts2.set("view", state.view);
      setAddress(parts2);
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
    const button = (text, label, go) => h("button", { type: "button", "aria-label": label, title: label, onclick: go }, text);
    const question = data.leaves.find((n) => book.received[n].length > 1) ?? data.leaves[0];
    const scrubber = h(
      "div",
      { class: "scrubber" },
      button("|◀", w().first, () => seek(-1)),
      button("◀", w().back, () => seek(state.now - 1)),
      play,
      button("▶", w().forward, () => seek(state.now + 1)),
      button("▶|", w().last, () => seek(last)),
      slider,
      counter
    );
    put(
      root,
      (!inside || first === "question") && question !== void 0 && h(
        "button",
        { type: "button", class: "question", onclick: () => {
          stop();
          state.now = last;
          if (state.view !== "ledger") open("ledger");
          choose(question);
        } },
        h("bdi", {}, clean(data.nodes.name[question], 24)),
        ` ${w().owed} `,
        h("strong", {}, showAmount(data.nodes.settled[question])),
        ` — ${w().why}`
      ),
      answer,
      warning(),
      h("div", { class: "views" }, bar.root, search),
      scrubber,
      told,
      h("div", { class: "panes" }, lens, middle, side),
      h("p", { class: "quiet help" }, ...data.nodes.value.some((v) => v !== null && typeof v === "object" && !Array.isArray(v)) ? [w().norms, h("br")] : [], w().help)
    );
    const pressed = (e) => {
      const typing = e.target instanceof HTMLInputElement || e.target instanceof HTMLSelectElement;
      if (e.key === "/" && !typing) {
        e.preventDefault();
        search.focus();
      } else if (e.key === "Escape") {
        stop();
        state.chosen = null;
        graph.reset();
        refresh();
      } else if (typing || e.ctrlKey || e.metaKey || e.altKey || state.view !== "ledger") return;
      else if (e.key === "ArrowLeft") {
        e.preventDefault();
        seek(state.now - 1);
      } else if (e.key === "ArrowRight") {
        e.preventDefault();
        seek(state.now + 1);
      } else if (e.key === "Home") {
        e.preventDefault();
        seek(-1);
      } else if (e.key === "End") {
        e.preventDefault();
        seek(last);
      }
    };
    if (inside) root.onkeydown = pressed;
    else {
      listening?.abort();
      listening = new AbortController();
      const { signal } = listening;
      signal.addEventListener("abort", stop);
      document.addEventListener("keydown", pressed, { signal });
      window.addEventListener("hashchange", () => {
        const parts2 = address();
        state.now = clamp(Number(parts2.get("step") ?? last), last);
        const n = parts2.get("node") !== null ? book.find(parts2.get("node")) : -1;
        state.chosen = n >= 0 ? n : null;
        const view = parts2.get("view") ?? "ledger";
        if (isView(view) && view !== state.view) open(view);
        else refresh();
      }, { signal });
    }
    makeGraph();
    if (state.chosen !== null) graph.reveal(state.chosen);
    refresh();
  }
  function fill2(text, parts2) {
    return text.split(/(\{\w+\})/).map((piece) => parts2[piece.slice(1, -1)] ?? piece);
  }
  function clamp(now, last) {
    return Number.isFinite(now) ? Math.max(-1, Math.min(last, Math.round(now))) : last;
  }

  // src/story.ts
  var WIDE = 520;
  var HIGH2 = 340;
  var EDGE = 34;
  function storyPage(data, root) {
    const asked = Number(address().get("chapter") ?? 1);
    let at = Math.max(0, Math.min(data.chapters.length - 1, (Number.isFinite(asked) ? asked : 1) - 1));
    const say = (text) => chinese() ? text.zh : text.en;
    const draw = () => {
      const chapter = data.chapters[at];
      const go = (to) => {
        at = Math.max(0, Math.min(data.chapters.length - 1, to));
        remember(at);
        draw();
        root.querySelector("h2").focus();
      };
      const figure2 = h("div", { class: `figure ${chapter.figure.kind}` });
      put(
        root,
        h("nav", { class: "chapters", "aria-label": w().chapter }, ...data.chapters.map((c, k) => h("button", { type: "button", "aria-current": k === at ? "step" : void 0, onclick: () => go(k) }, h("span", { class: "count" }, String(k + 1)), h("span", { class: "chaptername" }, ` ${say(c.title)}`)))),
        h(
          "article",
          { class: `chapter ${chapter.figure.kind}` },
          h("div", { class: "telling" }, h("h2", { tabindex: "-1" }, say(chapter.title)), ...chapter.text.map((t) => h("p", {}, say(t)))),
          figure2,
          h(
            "div",
            { class: "buttons" },
            at > 0 && h("button", { type: "button", onclick: () => go(at - 1) }, w().previous),
            at < data.chapters.length - 1 && h("button", { type: "button", class: "primary", onclick: () => go(at + 1) }, w().next)
          )
        )
      );
      paint(chapter.figure, figure2);
    };
    draw();
  }
  function remember(at) {
    setAddress(new URLSearchParams({ chapter: String(at + 1) }));
  }
  function paint(figure2, into) {
    if (figure2.kind === "ledger") {
      ledgerPage(figure2.data, into, true, figure2.view);
    } else if (figure2.kind === "code") put(into, h("pre", {}, h("code", {}, clean(figure2.text, 4e3))));
    else if (figure2.kind === "surface") put(into, surface(figure2));
    else put(into, plot(figure2));
  }
  function scale(values, from, to) {
    const least = Math.min(...values), most = Math.max(...values), wide = most - least || 1;
    return (x) => from + (x - least) / wide * (to - from);
  }
  function plot(figure2) {
    const xs = figure2.points.map((p) => p[0]);
    const curves2 = figure2.kind === "curve" ? [figure2.curve] : figure2.lines.map(([slope, height]) => [Math.min(...xs), Math.max(...xs)].map((x2) => [x2, slope * x2 + height]));
    const ys = [...figure2.points, ...curves2.flat()].map((p) => p[1]);
    const x = scale(xs, EDGE, WIDE - EDGE), y = scale(ys, HIGH2 - EDGE, EDGE);
    const svg = s("svg", { viewBox: `0 0 ${WIDE} ${HIGH2}`, role: "img", "aria-label": w().samples, class: "plot" });
    svg.append(s("path", { d: `M${EDGE} ${EDGE}V${HIGH2 - EDGE}H${WIDE - EDGE}`, class: "axis" }), ...ticks(xs, ys, x, y));
    curves2.forEach((curve, k) => svg.append(s("path", {
      d: "M" + curve.map(([a, b]) => `${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("L"),
      class: "track",
      "stroke-opacity": curves2.length > 1 ? 0.2 + 0.8 * (k + 1) / curves2.length : 1
    })));
    for (const [a, b] of figure2.points) svg.append(s("circle", { cx: x(a), cy: y(b), r: 4, class: "dot" }));
    if (figure2.kind === "line") {
      const begins = figure2.labels.map((label, k) => ({ label, at: y(curves2[k][0][1]) }));
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
  function ticks(xs, ys, x, y) {
    const text = (v, at) => s("text", { class: "label quiet", ...at }, show(Number(v.toPrecision(3))));
    return [
      ...[Math.min(...xs), Math.max(...xs)].map((v) => text(v, { x: x(v), y: HIGH2 - EDGE + 16, "text-anchor": "middle" })),
      ...[Math.min(...ys), Math.max(...ys)].map((v) => text(v, { x: EDGE - 5, y: y(v) + 4 }))
    ];
  }
  function surface(figure2) {
    const x = scale(figure2.x, EDGE, WIDE - EDGE), y = scale(figure2.y, HIGH2 - EDGE, EDGE);
    const flat = figure2.z.flat().filter(Number.isFinite).sort((a, b) => a - b);
    const rank = (v) => {
      let a = 0, b = flat.length;
      while (a < b) {
        const m = a + b >> 1;
        if (flat[m] < v) a = m + 1;
        else b = m;
      }
      return a / flat.length;
    };
    const svg = s("svg", { viewBox: `0 0 ${WIDE} ${HIGH2}`, role: "img", "aria-label": w().surface, class: "plot" });
    const across = (WIDE - 2 * EDGE) / (figure2.x.length - 1), up = (HIGH2 - 2 * EDGE) / (figure2.y.length - 1);
    figure2.z.forEach((row, i) => row.forEach((v, j) => {
      const cell = s("rect", { x: x(figure2.x[j]) - across / 2, y: y(figure2.y[i]) - up / 2, width: across + 0.5, height: up + 0.5 });
      cell.style.fill = `color-mix(in oklab, var(--deep) ${Math.round(100 - 100 * rank(v))}%, var(--high))`;
      svg.append(cell);
    }));
    for (const trail of figure2.trails) {
      svg.append(s("path", { d: "M" + trail.map(([a, b]) => `${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("L"), class: "track trail" }));
      svg.append(s("circle", { cx: x(trail[0][0]), cy: y(trail[0][1]), r: 4, class: "begin" }));
    }
    for (const [a, b] of figure2.minima) svg.append(s("circle", { cx: x(a), cy: y(b), r: 6, class: "minimum" }));
    svg.append(
      s("text", { x: WIDE / 2, y: HIGH2 - 8, class: "label middle" }, figure2.names[0]),
      s("text", { x: EDGE - 8, y: HIGH2 / 2, class: "label" }, figure2.names[1]),
      ...ticks(figure2.x, figure2.y, x, y)
    );
    return svg;
  }

  // src/run.ts
  var VIEWS2 = ["runmap", "curves", "statement", "microscope"];
  function runPage(data, root) {
    const asked = address();
    let view = VIEWS2.includes(asked.get("view") ?? "") ? asked.get("view") : "runmap";
    let step = Number(asked.get("step") ?? -1);
    const body = h("section", { class: "runview" });
    const link = () => setAddress(new URLSearchParams(view === "microscope" && step >= 0 ? { view, step: String(step) } : { view }));
    const bar = tabs(VIEWS2.map((v) => [v, w()[v]]), w().views, (name) => {
      view = name;
      draw();
    });
    const look = (n) => {
      step = n;
      view = "microscope";
      draw();
    };
    const draw = () => {
      bar.select(view);
      put(body, !data.map.steps.length && view !== "curves" ? h("p", { class: "quiet" }, w().nosteps) : view === "runmap" ? new RunMap(data, look).root : view === "curves" ? curves(data) : view === "statement" ? statements(data) : microscope(data, step, (n) => {
        step = n;
        link();
      }));
      link();
    };
    const found = findings(data);
    put(
      root,
      h("dl", { class: "facts" }, ...data.facts.map(([name, value]) => h("div", { class: "fact" }, h("dt", {}, FACTS[name]?.() ?? clean(name)), h("dd", {}, clean(value, 80))))),
      h(
        "div",
        { class: "findings" },
        h("p", {}, data.learned),
        h("ol", {}, ...data.findings.map((one) => h("li", {}, h("strong", {}, clean(one.what, 400)), h("p", {}, clean(one.why, 400)), h("p", { class: "fix" }, `${w().helps} `, clean(one.fix, 400))))),
        h("ul", {}, ...found.map((text) => h("li", {}, text)))
      ),
      bar.root,
      body
    );
    draw();
  }
  var FACTS = {
    steps: () => w().steps,
    epochs: () => w().epochs,
    stopped: () => w().stopped,
    optimizer: () => w().optimizer,
    loss: () => w().loss,
    batch_size: () => w().batchsize,
    rows: () => w().datarows,
    dtype: () => w().dtype
  };
  function findings(data) {
    const { rows, steps, gradient } = data.map, end = steps.length - 1;
    const failed = data.failed && !data.findings.some((one) => one.kind === "not finite") ? [w().foundfailed.replace("{n}", String(data.failed.n)).replace("{told}", () => clean(data.failed.told, 400))] : [];
    if (end < 0) return failed;
    const found = failed, sizes = gradient.map((row) => toNumber(row[end])), say = (text, row, n) => text.replace("{row}", () => clean(row, 40)).replace("{n}", n);
    const tell = (text, badness, told) => {
      const bad = badness.map((x, k) => [x, k]).filter((pair) => pair[0] !== null).sort((a, b) => b[0] - a[0] || a[1] - b[1]);
      if (bad.length) found.push(say(text, rows[bad[0][1]], told(bad[0][0])) + (bad.length > 1 ? ` ${w().foundmore.replace("{n}", String(bad.length - 1))}` : ""));
    };
    const middle = (xs) => xs.filter(Number.isFinite).sort((a, b) => a - b)[xs.length >> 1] ?? 0;
    const costs = data.looks.flatMap((look) => {
      const xs = look.rows.map((row) => toNumber(row.cost) ?? NaN);
      return look.rows.map((row, k) => ({ ...row, n: look.n, x: xs[k], usual: middle(xs.filter((_, other) => other !== k)) }));
    });
    const usual = middle(costs.map((one) => one.x)), beyond = (one) => one.x > 100 * Math.max(usual, one.usual);
    const worst = costs.filter((one) => !Number.isFinite(one.x) || beyond(one)).sort((a, b) => Number(Number.isFinite(a.x)) - Number(Number.isFinite(b.x)) || b.x - a.x)[0];
    if (worst) found.push(w().foundrow.replace("{row}", String(worst.sample)).replace("{x}", show(Number(worst.x.toPrecision(3)))).replace("{n}", String(worst.n)).replace("{usual}", show(Number(worst.usual.toPrecision(2)))));
    tell(w().foundnan, sizes.map((x) => x !== null && !Number.isFinite(x) ? 1 : null), () => String(steps[end]));
    return found;
  }
  var MEASURES = ["gradient", "update", "dead"];
  var UNKNOWN = Infinity;
  var SPREAD = 4;
  var RunMap = class {
    constructor(data, look) {
      this.data = data;
      this.look = look;
      this.root = h("div", { class: "runmap" });
      this.measure = "gradient";
      this.worst = false;
      this.cell = { x: 0, y: 0 };
      this.known = /* @__PURE__ */ new Map();
      this.draw();
    }
    // The numbers of a measure, logarithms where it has a size; -Infinity: 0; NaN: no number; +Infinity beyond: not known.
    values() {
      let found = this.known.get(this.measure);
      if (!found) {
        const share = this.measure === "dead";
        const logs = this.data.map[this.measure].map((row) => Float64Array.from(row, (v) => {
          if (v === null) return UNKNOWN;
          const x = typeof v === "number" ? v : toNumber(v);
          return share ? x : x === Infinity ? NaN : Math.log10(x);
        }));
        const some = [];
        const stride = Math.max(1, Math.floor(logs.length * (logs[0]?.length ?? 0) / 2e4));
        let k = 0;
        for (const row of logs) for (const v of row) if (k++ % stride === 0 && Number.isFinite(v)) some.push(v);
        some.sort((a, b) => a - b);
        const medians = logs.map((row) => {
          const own = row.filter((v) => v !== UNKNOWN).sort();
          return own.length ? own[own.length >> 1] : UNKNOWN;
        });
        found = { logs, middle: share ? 0 : some[some.length >> 1] ?? 0, medians };
        this.known.set(this.measure, found);
      }
      return found;
    }
    told(v) {
      return v === UNKNOWN ? "–" : this.measure === "dead" ? `${show(Number((100 * v).toPrecision(3)))} %` : show(Number((10 ** v).toPrecision(2)));
    }
    draw() {
      const { rows, steps } = this.data.map, { logs, middle, medians } = this.values(), share = this.measure === "dead";
      const badness = logs.map((row) => {
        let most = 0;
        for (const v of row) if (v !== UNKNOWN) most = Math.max(most, Number.isFinite(v) ? Math.abs(v - middle) : 99);
        return most;
      });
      const order = rows.map((_, k) => k);
      if (this.worst) order.sort((a, b) => badness[b] - badness[a] || a - b);
      const high = Math.max(2, Math.min(26, Math.floor(560 / Math.max(rows.length, 1))));
      const canvas = h("canvas", { role: "application", tabindex: "0", "aria-label": `${w().runmap}: ${w().maptext}`, "data-key": "map" });
      const [wide, tall] = [Math.max(steps.length, 1), Math.max(rows.length, 1)];
      canvas.width = wide;
      canvas.height = tall;
      canvas.style.height = `${high * tall}px`;
      const pen = canvas.getContext("2d"), picture2 = pen.createImageData(wide, tall);
      const spread = share ? 1 : SPREAD;
      const pixels = picture2.data;
      order.forEach((row, y) => {
        for (let x = 0; x < steps.length; x++) {
          const v = logs[row][x], at = 4 * (y * wide + x);
          if (v === UNKNOWN) pixels[at] = pixels[at + 1] = pixels[at + 2] = 190;
          else if (Number.isNaN(v)) [pixels[at], pixels[at + 1], pixels[at + 2]] = [255, 0, 200];
          else {
            const t = Math.max(-1, Math.min(1, (v - middle) / spread));
            pixels[at] = t < 0 ? 247 + 226 * t : 247 - 49 * t;
            pixels[at + 1] = t < 0 ? 247 + 169 * t : 247 - 168 * t;
            pixels[at + 2] = t < 0 ? 247 + 75 * t : 247 - 217 * t;
          }
          pixels[at + 3] = 255;
        }
      });
      pen.putImageData(picture2, 0, 0);
      const told = h("p", { class: "told", "aria-live": "polite" }), cursor = h("span", { class: "cursor", hidden: true });
      const read = (x, y) => {
        if (!steps.length || !rows.length) return;
        this.cell = { x: Math.min(steps.length - 1, Math.max(0, x)), y: Math.min(rows.length - 1, Math.max(0, y)) };
        const row = order[this.cell.y], given = this.data.map[this.measure][row][this.cell.x], v = given === null ? null : toNumber(given);
        put(told, h("bdi", {}, clean(rows[row])), ` · ${w().step1} ${steps[this.cell.x]} · ${v === null ? "–" : share ? this.told(v) : show(Number(v.toPrecision(5)))}`);
        cursor.hidden = false;
        cursor.style.left = `${100 * (this.cell.x + 0.5) / steps.length}%`;
        cursor.style.top = `${high * this.cell.y}px`;
        cursor.style.height = `${high}px`;
      };
      const point = (e) => {
        const box = canvas.getBoundingClientRect();
        read(Math.floor((e.clientX - box.left) / box.width * steps.length), Math.floor((e.clientY - box.top) / box.height * rows.length));
      };
      const enter = () => {
        if (steps.length && this.data.looks.length) this.look(steps[this.cell.x]);
      };
      canvas.addEventListener("pointermove", point);
      canvas.addEventListener("click", (e) => {
        point(e);
        enter();
      });
      canvas.addEventListener("focus", () => read(this.cell.x, this.cell.y));
      canvas.addEventListener("keydown", (e) => {
        const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
        if (by) {
          e.preventDefault();
          read(this.cell.x + by[0], this.cell.y + by[1]);
        } else if (e.key === "Enter") enter();
      });
      const select = h(
        "select",
        { "data-key": "measure", "aria-label": w().measure, onchange: (e) => {
          this.measure = e.target.value;
          this.draw();
        } },
        ...MEASURES.map((m) => h("option", { value: m, selected: m === this.measure }, w()[m === "gradient" ? "gradientsize" : m === "update" ? "updateratio" : "deadshare"]))
      );
      const sort = h("button", { type: "button", "data-key": "worst", "aria-pressed": String(this.worst), onclick: () => {
        this.worst = !this.worst;
        this.draw();
      } }, w().worst);
      const label = (row) => {
        const made = h("li", { title: clean(rows[row], 200) }, ...high >= 12 ? [h("bdi", {}, clean(rows[row], 28)), h("span", { class: "quiet", title: w().median }, this.told(medians[row]))] : []);
        made.style.height = made.style.lineHeight = `${high}px`;
        return made;
      };
      const ends = share ? ["0 %", "100 %"] : [this.told(middle - SPREAD), this.told(middle), this.told(middle + SPREAD)];
      keep(this.root, () => put(
        this.root,
        h("div", { class: "buttons" }, select, sort, h(
          "span",
          { class: `legend ${share ? "share" : ""}`, role: "img", "aria-label": `${w().legend}: ${ends.join(" – ")}` },
          h("span", { class: "ramp" }),
          ...ends.map((text) => h("span", {}, text))
        )),
        h(
          "div",
          { class: "mapframe" },
          h("ol", { class: "maprows", tabindex: rows.length > 40 ? "-1" : void 0 }, ...order.map(label)),
          h("div", { class: "mapcells" }, canvas, cursor),
          h("span", { class: "quiet" }, w().median),
          h("div", { class: "mapaxis quiet" }, h("span", {}, `${w().step1} ${steps[0] ?? ""}`), h("span", {}, String(steps[steps.length - 1] ?? "")))
        ),
        told,
        h("p", { class: "quiet" }, w().maptext)
      ));
    }
  };
  function curves(data) {
    const HELD = "validation_", name = (of) => data.curves.find((curve) => curve.name === of);
    return h("div", { class: "curves" }, ...data.curves.filter((curve) => !curve.name.startsWith(HELD) || !name(curve.name.slice(HELD.length))).map((curve) => figure(curve, name(HELD + curve.name))));
  }
  function figure(curve, held) {
    const WIDE2 = 480, HIGH3 = 240, EDGE2 = 66;
    const lines = [curve, ...held ? [held] : []].map((one) => one.values.map((v) => v === null ? null : toNumber(v)));
    const of = (values) => values.filter((v) => v !== null && Number.isFinite(v));
    const known = of(lines.flat()), low = Math.min(...known), high = Math.max(...known), epochs = lines[0].length;
    const positive = known.length > 0 && low > 0 && high / low > 30, t = (v) => positive ? Math.log10(v) : v;
    const x = (k) => EDGE2 + k / Math.max(epochs - 1, 1) * (WIDE2 - EDGE2 - 24);
    const y = (v) => high > low ? HIGH3 - 30 - (t(v) - t(low)) / (t(high) - t(low)) * (HIGH3 - 60) : HIGH3 / 2;
    const last = (values) => {
      const v = of(values).pop();
      return v === void 0 ? "–" : show(Number(v.toPrecision(6)));
    };
    const least = held && curve.name === "loss" && of(lines[1]).length ? Math.min(...of(lines[1])) : null, at = least === null ? -1 : lines[1].indexOf(least);
    const drawn = lines.flatMap((values, which) => {
      const points = values.map((v, k) => v !== null && Number.isFinite(v) ? [x(k).toFixed(1), y(v).toFixed(1)] : null);
      const lone = (k) => points[k] !== null && !points[k - 1] && !points[k + 1];
      const line = points.map((p, k) => p === null || lone(k) ? "" : `${points[k - 1] ? "L" : "M"}${p.join(" ")}`).join("");
      return [s("path", { d: line, class: which ? "track held" : "track" }), ...points.map((p, k) => p !== null && lone(k) && s("circle", { cx: p[0], cy: p[1], r: 4, class: which ? "dot held" : "dot" }))];
    });
    return h(
      "figure",
      {},
      h(
        "figcaption",
        {},
        clean(curve.name.replace(/_/g, " ")),
        " ",
        h("strong", {}, last(lines[0])),
        held && h("span", { class: "held" }, ` ╌ ${w().heldout} `, h("strong", {}, last(lines[1]))),
        least !== null && h("span", { class: "quiet" }, `, ${w().leastat.replace("{x}", show(Number(least.toPrecision(3)))).replace("{n}", String(at + 1))}`)
      ),
      s(
        "svg",
        { viewBox: `0 0 ${WIDE2} ${HIGH3}`, class: "plot", role: "img", "aria-label": clean(curve.name) },
        s("path", { d: `M${EDGE2} 20V${HIGH3 - 30}H${WIDE2 - 24}`, class: "axis" }),
        ...drawn,
        least !== null && s("circle", { cx: x(at), cy: y(least), r: 4, class: "dot held" }),
        ...[...new Set(known.length ? [high, low] : [])].map((v) => s("text", { x: EDGE2 - 4, y: y(v) + 4, class: "label" }, show(Number(v.toPrecision(3))))),
        s("text", { x: WIDE2 - 24, y: HIGH3 - 12, class: "label" }, `${epochs} ${epochs === 1 ? w().epoch : w().epochs}${positive ? ` · ${w().logaxis}` : ""}`)
      )
    );
  }
  function exactSum(terms) {
    let total = 0, lost = 0;
    for (const x of terms) {
      const next = total + x;
      lost += Math.abs(total) >= Math.abs(x) ? total - next + x : x - next + total;
      total = next;
    }
    return total + lost;
  }
  function reconciled(st) {
    const rest = exactSum([st.closing, -st.opening, -st.initial, ...st.deposits.amount.map((x) => -x), ...st.steps.decay.map((x) => -x), -st.rounding]);
    const size2 = Math.max(Math.abs(st.closing), Math.abs(st.opening), 1e-300);
    return { rest, ok: Math.abs(rest) <= 1e-12 * size2 && Math.abs(st.rounding) <= st.bound };
  }
  function statements(data) {
    const panel = h("div", { class: "statement" });
    if (!data.statements.length) return h("p", { class: "quiet" }, w().nostatement);
    let at = 0, by = "step";
    const draw = () => {
      const st = data.statements[at], { deposits } = st, { ok, rest } = reconciled(st);
      const keys = by === "step" ? deposits.step : by === "sample" ? deposits.sample : deposits.class ?? deposits.sample;
      const sums = /* @__PURE__ */ new Map();
      keys.forEach((key, k) => (sums.get(key) ?? sums.set(key, []).get(key)).push(deposits.amount[k]));
      const parts2 = [...sums].map(([key, amounts]) => [key, exactSum(amounts)]);
      if (by !== "step") parts2.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
      const most = Math.max(...parts2.map(([, x]) => Math.abs(x)), 1e-300);
      const line = (name, amount, kind = "") => h("tr", { class: kind }, h("th", { scope: "row" }, name), h("td", { class: "number" }, show(amount)));
      const label = (one) => `${one.name}[${one.entry.join(", ")}]`;
      keep(panel, () => put(
        panel,
        h(
          "div",
          { class: "buttons" },
          h(
            "select",
            { "data-key": "weight", "aria-label": w().weight, onchange: (e) => {
              at = Number(e.target.value);
              draw();
            } },
            ...data.statements.map((one, k) => h("option", { value: k, selected: k === at }, clean(label(one))))
          ),
          ...["step", "sample", "class"].filter((k) => k !== "class" || deposits.class).map((k) => h("button", { type: "button", "data-key": k, "aria-pressed": String(k === by), onclick: () => {
            by = k;
            draw();
          } }, w()[k === "step" ? "bystep" : k === "sample" ? "bysample" : "byclass"]))
        ),
        h("p", { class: `verdict ${ok ? "good" : "bad"}`, "data-ok": String(ok) }, ok ? `✓ ${w().reconciled}` : `✗ ${w().unreconciled} ${show(rest)}`),
        h("table", { class: "book account" }, h(
          "tbody",
          {},
          line(w().opening, st.opening),
          line(`${deposits.amount.length.toLocaleString("en")} ${w().deposits}`, exactSum(deposits.amount)),
          line(w().decay, exactSum(st.steps.decay)),
          line(w().initial, st.initial),
          line(w().rounding, st.rounding),
          line(w().closing, st.closing, "closed")
        )),
        h("ol", { class: "deposits" }, ...parts2.slice(0, 200).map(([key, amount]) => {
          const bar = h("span", { class: `ribbon ${amount < 0 ? "minus" : "plus"}` });
          bar.style.width = `${100 * Math.abs(amount) / most}%`;
          return h("li", {}, h("span", {}, clean(String(key))), bar, h("span", { class: "number" }, show(amount)));
        })),
        parts2.length > 200 && h("p", { class: "quiet" }, `… ${parts2.length - 200}`)
      ));
    };
    draw();
    return panel;
  }
  function verified(look) {
    const ok = look.exact === null || stepHolds(look.exact, look.weights, look.promise);
    return h(
      "p",
      { class: `verdict ${ok ? "good" : "bad"}`, "data-ok": String(ok), "data-exact": String(look.exact !== null) },
      ok ? "✓ " : "✗ ",
      look.exact === null ? w().weights : ok ? w().exact : w().inexact,
      " ",
      h("code", {}, look.weights.slice(0, 16))
    );
  }
  function microscope(data, asked, moved) {
    const panel = h("div", { class: "microscope" });
    const { looks } = data;
    if (!looks.length) return h("p", { class: "quiet" }, w().nolooks);
    const nearest = (n) => looks.reduce((best, look, k) => Math.abs(look.n - n) < Math.abs(looks[best].n - n) ? k : best, 0);
    let at = asked >= 0 ? nearest(asked) : 0;
    const go = (to) => {
      at = Math.max(0, Math.min(looks.length - 1, to));
      moved(looks[at].n);
      draw();
    };
    const draw = () => {
      const look = looks[at], promised = look.promise.map((p) => toNumber(p) ?? NaN), before = toNumber(look.before) ?? NaN, after = toNumber(look.after) ?? NaN;
      const book = h("div", { class: "stepbook" });
      const slider = h("input", { type: "range", "data-key": "steps", min: 0, max: looks.length - 1, value: at, "aria-label": w().step1, "aria-valuetext": `${w().step1} ${look.n}` });
      slider.addEventListener("input", () => go(Number(slider.value)));
      const number = h("input", { type: "number", "data-key": "number", min: looks[0].n, max: looks[looks.length - 1].n, value: look.n, "aria-label": w().step1 });
      number.addEventListener("change", () => {
        if (number.value !== "") go(nearest(Number(number.value)));
      });
      const short = (x) => h("td", { class: "number" }, show(Number(x.toPrecision(5))));
      keep(panel, () => put(
        panel,
        h(
          "div",
          { class: "scrubber" },
          h("button", { type: "button", "data-key": "back", "aria-label": w().previous, onclick: () => go(at - 1) }, "◀"),
          h("button", { type: "button", "data-key": "on", "aria-label": w().nextstep, onclick: () => go(at + 1) }, "▶"),
          slider,
          h("label", { class: "counter" }, `${w().step1} `, number, ` ${w().epoch} ${look.epoch}`)
        ),
        verified(look),
        h(
          "div",
          { class: "columns" },
          h("table", { class: "book promises" }, h("thead", {}, h("tr", {}, ...[w().layer, w().promise, w().actualalone].map((text) => h("th", { scope: "col" }, text)))), h(
            "tbody",
            {},
            ...promised.map((p, k) => h("tr", {}, h("th", { scope: "row" }, h("bdi", {}, clean(data.map.rows[k], 40))), short(p), short(toNumber(look.alone[k]) ?? NaN))),
            h(
              "tr",
              { class: "closed total" },
              h("th", { scope: "row" }, w().together),
              h("td", { class: "number", "data-fact": "promise" }, show(Number(exactSum(promised).toPrecision(6)))),
              h("td", { class: "number", "data-fact": "actual" }, show(Number((after - before).toPrecision(6))))
            )
          )),
          h("table", { class: "book rows" }, h("caption", {}, w().rowsworst), h("thead", {}, h("tr", {}, h("th", { scope: "col" }, w().row), h("th", { scope: "col" }, w().cost))), h("tbody", {}, ...look.rows.map((row) => h("tr", {}, h("th", { scope: "row" }, String(row.sample)), short(toNumber(row.cost) ?? NaN)))))
        ),
        look.ledger ? h("div", { class: "buttons" }, h("button", { type: "button", class: "replay primary", "data-key": "replay", onclick: () => ledgerPage(look.ledger, book, true) }, w().replay)) : h("p", { class: "quiet nobook" }, w().nobook, ` ${look.n}`),
        book
      ));
    };
    draw();
    return panel;
  }

  // src/page.ts
  function start() {
    const data = JSON.parse(document.getElementById("data").textContent);
    const page = document.getElementById("page");
    const asked = address().get("lang");
    speak(asked ?? navigator.language ?? "en");
    const draw = () => {
      const body = h("div", { class: "body" });
      const title = h("h1", {}, h("code", {}, h("bdi", {}, clean(data.title, 160))), about(data));
      keep(page, () => put(page, h(
        "header",
        { class: "top" },
        h("span", { class: "brand" }, "payback"),
        title,
        h(
          "span",
          { class: "switches" },
          h("button", { type: "button", "data-key": "language", lang: chinese() ? "en" : "zh-CN", onclick: () => {
            speak(chinese() ? "en" : "zh");
            draw();
          } }, w().language),
          h("button", { type: "button", "aria-label": w().dark, title: w().dark, onclick: () => shade() }, "◐")
        )
      ), body));
      if (data.kind === "ledger") ledgerPage(data, body);
      else if (data.kind === "run") runPage(data, body);
      else storyPage(data, body);
    };
    draw();
  }
  function about(data) {
    if (data.kind !== "ledger") return false;
    const at = data.nodes.where[data.top], place2 = at >= 0 ? data.places[at] : null;
    const spot = place2 && place2[1] ? `${clean(place2[0].split(/[\\/]/).pop() ?? "", 40)}:${place2[2]}` : "";
    return h("span", { class: "about" }, ` = ${showAmount(data.nodes.value[data.top])}`, spot && h("span", { class: "quiet" }, ` ${spot}`));
  }
  function shade() {
    const dark = document.documentElement.dataset.shade ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    document.documentElement.dataset.shade = dark === "dark" ? "light" : "dark";
  }
  Object.assign(globalThis, { payback: { Book, evaluate, sweepWithout, exactSum, reconciled, sha256, walksTo } });
  start();
})();
