// The page's own words, in English and Chinese.

const EN = {
  language: "中文", owed: "is owed", why: "why?", ledger: "Ledger", race: "The race", paths: "Paths that pay",
  whatif: "What if", source: "Source", graph: "Graph", book: "Account book", step: "Event", of: "of", play: "Play", pause: "Pause",
  back: "One event back", forward: "One event on", first: "To the beginning", last: "To the end", begin: "Nothing has been paid yet.",
  settles: "settles", pays: "pays", starts: "the top, starts with", payer: "payer", owes: "owes", local: "× partial",
  paid: "= paid", sum: "sum", nobody: "nobody pays it: no path", search: "find a node", fold: "Fold", none: "nothing", chains: "chains",
  lines: "lines of code", focus: "only the debts of", all: "show all", nodes: "nodes", value: "value", gradient: "gradient",
  debt: "what this line pays in all, signs left aside", nan: "the first value that is no number", nosource: "No source text is known.",
  collectors: "Collecting, path by path", sweep: "Paying back, each edge once", pathsOf: "paths", walksOf: "edges walked", visitsOf: "edges paid",
  racetext: "A collector walks every path from a leaf to the top and multiplies the partials on its way; the sweep pays each edge once. Both come to the same gradient.",
  manypaths: "There are too many nodes to count every path on this page.", shownwalks: "the first {n} paths are walked here; the counts are exact",
  leaf: "leaf", count: "paths", gross: "gross (Σ|path|)", net: "net (Σ path)", kappa: "κ, gross by net", largest: "The largest paths",
  share: "of the gross", cancel: "How much cancels", nopath: "no path leads here", notdefined: "Between these operations single paths are not defined.",
  drag: "Drag a value: the gradient predicts, the function tells the truth.", predicted: "predicted by the gradient", truth: "true value", off: "off by",
  cut: "Click an edge of the graph to cut it: who is no longer paid?", uncut: "mend all edges", cutcount: "edges cut", whole: "gradient", without: "without the cut edges",
  noeval: "This page can compute again only where every node is a number and every operation is known to it:", reset: "reset values",
  fewer: "Ask for one entry of an array to see it number by number.", dark: "dark or light", hidden: "not shown", box: "a folded box of",
  help: "Keys: ← → one event back or on · Home, End · / find a node · Enter on a node: why is it owed that? · Esc everything again", chapter: "Chapters", next: "Next", previous: "Back",
  latest: "The latest {n} accounts; click a node for its own.", norms: "[4×3] ‖2.5‖ is an array: its shape and its norm.", samples: "Samples and curves", surface: "The cost over two weights: deep is dark, rings are minima", views: "Views", noroad: "is owed nothing: no path leads from it to the top.", istop: "is the top, where the sweep starts: it is owed 1.",
  inall: "{n} payments in all", stop: ".", means: "If {leaf} grows a little, {top} changes {rate} times as much.",
  badvalue: "The first value that is not finite:", badgradient: "The first gradient that is not finite:",
  seewhynan: "payback why-nan lists every place where one is born.", onlyof: "Only the account of", everybody: "show all accounts",
  owedshort: "owed", grossdebt: "pays", logscale: "The bars are logarithmic: each is as long as its number has digits.",
  smaller: "smaller", larger: "larger", fitted: "as wide as its frame", functions: "functions",
  steps: "steps", stopped: "stopped by", optimizer: "optimizer", loss: "loss", batchsize: "rows a step", datarows: "rows", dtype: "number type",
  foundnan: "The gradient of {row} is not a number at step {n}.", founddead: "{n} % of the units of {row} get no gradient at the last step.",
  foundsmall: "The gradient of {row} is {n} times smaller than the largest one at the last step.", foundrow: "Row {row} costs {x} at step {n}; the median of the costliest rows is {usual}.", foundmore: "So it is with {n} more.", logaxis: "logarithmic", nextstep: "Next", together: "all together",
  runmap: "Run map", curves: "Learning curves", statement: "Statement of one weight", microscope: "Step microscope", step1: "step", epochs: "epochs", epoch: "epoch",
  measure: "color", gradientsize: "size of the gradient", updateratio: "update by weight", deadshare: "share of dead units", worst: "worst first",
  maptext: "One row for each parameter, one column for each step. Gray: not known. Magenta: not a number. Click a cell, or use the arrow keys on the map, to read it; Enter opens the nearest step under the microscope.", median: "median", smallest: "least", largest1: "most", legend: "scale",
  nostatement: "The report was made without a weight: give one with --entry W1[3,7].", weight: "weight", bystep: "by step", bysample: "by sample", byclass: "by class",
  reconciled: "reconciled: opening and all deposits come to the closing value", unreconciled: "does not add up; left over:", opening: "opening", deposits: "deposits",
  decay: "weight decay", initial: "the optimizer's state at the opening", rounding: "rounding of the run's numbers", closing: "closing",
  nolooks: "No step was looked at.", promise: "promised by the gradient (g·Δθ)", actual: "what the cost did", actualalone: "what the cost does if only this one is updated", layer: "parameter", rowsworst: "The rows of the batch that cost most, the costliest first", row: "row", cost: "cost",
  weights: "This step was computed again, and its weights have the digest of the run's log:", replay: "Open the account book of this step", nobook: "This page does not hold the account book of this step. To have it: payback report RUN --steps",
};
const ZH: typeof EN = {
  language: "English", owed: "应得", why: "为什么？", ledger: "账本", race: "赛跑", paths: "付款的路径",
  whatif: "假如", source: "源代码", graph: "图", book: "账目", step: "事件", of: "/", play: "播放", pause: "暂停",
  back: "后退一步", forward: "前进一步", first: "回到开头", last: "到结尾", begin: "还没有任何付款。",
  settles: "结清", pays: "付给", starts: "顶层节点，起始为", payer: "付款者", owes: "欠", local: "× 偏导",
  paid: "= 付款", sum: "累计", nobody: "没有人付款：没有路径", search: "查找节点", fold: "折叠", none: "不折叠", chains: "链",
  lines: "代码行", focus: "只看这个节点的债：", all: "显示全部", nodes: "个节点", value: "值", gradient: "梯度",
  debt: "这一行付出的总额，不计正负", nan: "第一个不是数的值", nosource: "没有源代码文本。",
  collectors: "逐条路径收集", sweep: "还债：每条边一次", pathsOf: "条路径", walksOf: "次走边", visitsOf: "条边已付",
  racetext: "收债的人从叶子到顶层节点走遍每条路径，一路乘上偏导；反向扫描每条边只付一次。两者得到同样的梯度。",
  manypaths: "节点太多，本页不逐条统计路径。", shownwalks: "这里只演示前 {n} 条路径；计数是精确的",
  leaf: "叶子", count: "路径数", gross: "总额 (Σ|路径|)", net: "净额 (Σ 路径)", kappa: "κ，总额比净额", largest: "最大的路径",
  share: "占总额", cancel: "抵消的比例", nopath: "没有路径通到这里", notdefined: "这些运算之间没有单条路径的定义。",
  drag: "拖动一个值：梯度作出预测，函数给出真值。", predicted: "梯度的预测", truth: "真值", off: "相差",
  cut: "点击图中的一条边将它切断：谁不再得到付款？", uncut: "恢复所有的边", cutcount: "条边已切断", whole: "梯度", without: "切断后",
  noeval: "只有当每个节点都是数、且本页认识每个运算时，才能重新计算：", reset: "恢复原值",
  fewer: "只解释数组的一个元素，就能逐个数地看。", dark: "深色或浅色", hidden: "未显示", box: "折叠的方框：",
  help: "按键：← → 后退或前进一步 · Home、End · / 查找节点 · 在节点上按 Enter：它为什么应得这么多？ · Esc 恢复全部", chapter: "章节", next: "下一章", previous: "上一章",
  latest: "最近的 {n} 个账户；点击节点可看它自己的账户。", norms: "[4×3] ‖2.5‖ 表示数组：形状与范数。", samples: "样本与曲线", surface: "代价随两个权重的变化：越深越暗，圆环是极小值", views: "视图", noroad: "没有应得的款：没有路径从它通到顶层节点。", istop: "是顶层节点，扫描由此开始：起始为 1。",
  inall: "共 {n} 笔付款", stop: "。", means: "{leaf} 稍微增加时，{top} 的变化是它的 {rate} 倍。",
  badvalue: "第一个非有限的值：", badgradient: "第一个非有限的梯度：",
  seewhynan: "用 payback why-nan 可列出所有源头。", onlyof: "只看这个账户：", everybody: "查看全部账户",
  owedshort: "应得", grossdebt: "付出", logscale: "条形按对数绘制：数字有几位，条形就有多长。",
  smaller: "缩小", larger: "放大", fitted: "适合宽度", functions: "函数",
  steps: "步数", stopped: "停止原因", optimizer: "优化器", loss: "损失函数", batchsize: "每步行数", datarows: "行数", dtype: "数值类型",
  foundnan: "{row} 的梯度在第 {n} 步不是数。", founddead: "{row} 中有 {n}% 的单元在最后一步得不到梯度。",
  foundsmall: "在最后一步，{row} 的梯度只有最大梯度的 1/{n}。", foundrow: "第 {row} 行在第 {n} 步的代价为 {x}；代价最高的各行的中位数为 {usual}。", foundmore: "另有 {n} 个参数也是如此。", logaxis: "对数刻度", nextstep: "下一步", together: "合计",
  runmap: "训练地图", curves: "学习曲线", statement: "一个权重的对账单", microscope: "单步显微镜", step1: "步", epochs: "轮", epoch: "轮",
  measure: "颜色", gradientsize: "梯度大小", updateratio: "更新与权重之比", deadshare: "失活单元的比例", worst: "最差在前",
  maptext: "每行一个参数，每列一步。灰色：未知。洋红：不是数。点击格子或在图上用方向键读数；按 Enter 在显微镜下打开最近的一步。", median: "中位数", smallest: "最小", largest1: "最大", legend: "色标",
  nostatement: "本报告没有选定权重：用 --entry W1[3,7] 指定。", weight: "权重", bystep: "按步", bysample: "按样本", byclass: "按类别",
  reconciled: "对账一致：期初加全部存入等于期末", unreconciled: "对不上；差额：", opening: "期初", deposits: "笔存入",
  decay: "权重衰减", initial: "期初时优化器的状态", rounding: "数值舍入", closing: "期末",
  nolooks: "没有查看任何一步。", promise: "梯度的承诺（g·Δθ）", actual: "代价的实际变化", actualalone: "只更新这一个参数时代价的变化", layer: "参数", rowsworst: "本批的行，代价最高在前", row: "行", cost: "代价",
  weights: "这一步已重新计算，权重的摘要与训练日志一致：", replay: "打开这一步的账目", nobook: "本页没有这一步的账目。要看它：payback report RUN --steps",
};

let current: typeof EN = EN;

export const w = (): typeof EN => current;
export const chinese = (): boolean => current === ZH;

export function speak(language: string): void {
  current = language.startsWith("zh") ? ZH : EN;
  document.documentElement.lang = chinese() ? "zh-CN" : "en";
}
