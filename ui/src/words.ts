// The page's own words, in English and Chinese.

const EN = {
  language: "中文", owed: "is owed", why: "why?", ledger: "Ledger", race: "The race", paths: "Paths that pay",
  whatif: "What if", source: "Source", graph: "Graph", book: "Account book", step: "Event", of: "of", play: "Play", pause: "Pause",
  back: "One event back", forward: "One event on", first: "To the beginning", last: "To the end", begin: "Nothing has been paid yet.",
  settles: "settles", pays: "pays", starts: "the top, starts with", payer: "payer", owes: "owes", local: "× partial",
  paid: "= paid", sum: "sum", nobody: "nobody pays it: no path", search: "find a node", fold: "fold", none: "nothing", chains: "chains",
  lines: "lines of code", focus: "only the debts of", all: "show all", nodes: "nodes", value: "value", gradient: "gradient",
  debt: "debt paid by this line", nan: "the first value that is no number", nosource: "No source text is known.",
  collectors: "Collecting, path by path", sweep: "Paying back, each edge once", pathsOf: "paths", walksOf: "edges walked", visitsOf: "edges paid",
  racetext: "A collector walks every path from a leaf to the top and multiplies the partials on its way; the sweep pays each edge once. Both come to the same gradient.",
  manypaths: "There are too many nodes to count every path on this page.", shownwalks: "the first {n} paths are walked here; the counts are exact",
  leaf: "leaf", count: "paths", gross: "gross (Σ|path|)", net: "net (Σ path)", kappa: "κ, gross by net", largest: "The largest paths",
  share: "of the gross", cancel: "How much cancels", nopath: "no path leads here", notdefined: "Between these operations single paths are not defined.",
  drag: "Drag a value: the gradient predicts, the function tells the truth.", predicted: "predicted by the gradient", truth: "true value", off: "off by",
  cut: "Cut an edge: who is no longer paid?", uncut: "mend all edges", cutcount: "edges cut", whole: "gradient", without: "without the cut edges",
  noeval: "This page can compute again only where every node is a number and every operation is known to it:", reset: "reset values",
  fewer: "Ask for one entry of an array to see it number by number.", dark: "dark or light", hidden: "not shown", box: "a folded box of",
  help: "← → one event · Home End · / find a node · Esc all nodes", chapter: "Chapter", next: "Next", previous: "Back",
  runmap: "Run map", curves: "Learning curves", statement: "Statement of one weight", microscope: "Step microscope", step1: "step", epochs: "epochs",
  measure: "colour", gradientsize: "size of the gradient", updateratio: "update by weight", deadshare: "share of dead units", worst: "worst first",
  maptext: "One row a parameter, one column a step; blue is small, red is large (each unit a factor of ten), grey is not known, magenta is no number.",
  nostatement: "The report was made without a weight: give one with --entry W1[3,7].", weight: "weight", bystep: "by step", bysample: "by sample", byclass: "by class",
  reconciled: "reconciled: opening and all deposits come to the closing value", unreconciled: "does not add up; left over:", opening: "opening", deposits: "deposits",
  decay: "weight decay", initial: "the optimizer's state at the opening", rounding: "rounding of the run's numbers", closing: "closing",
  nolooks: "No step was looked at.", promise: "promised by g·Δθ", actual: "change of the cost", layer: "parameter", rowsworst: "The rows of the batch, the costliest first", row: "row", cost: "cost",
  weights: "digest of the weights after the step:", replay: "open the account book of this step",
};
const ZH: typeof EN = {
  language: "English", owed: "应得", why: "为什么？", ledger: "账本", race: "赛跑", paths: "付款的路径",
  whatif: "如果……", source: "源代码", graph: "图", book: "账簿", step: "事件", of: "/", play: "播放", pause: "暂停",
  back: "后退一步", forward: "前进一步", first: "回到开头", last: "到结尾", begin: "还没有任何付款。",
  settles: "结清", pays: "付给", starts: "顶点，起始为", payer: "付款者", owes: "欠", local: "× 偏导",
  paid: "= 已付", sum: "累计", nobody: "没有人付款：没有路径", search: "查找节点", fold: "折叠", none: "不折叠", chains: "链",
  lines: "代码行", focus: "只看这个节点的债：", all: "显示全部", nodes: "个节点", value: "值", gradient: "梯度",
  debt: "这一行付出的债", nan: "第一个不是数的值", nosource: "没有源代码文本。",
  collectors: "逐条路径收集", sweep: "还债：每条边一次", pathsOf: "条路径", walksOf: "次走边", visitsOf: "次付款",
  racetext: "收集者从叶子到顶点走遍每条路径，一路乘上偏导；反向扫描每条边只付一次。两者得到同样的梯度。",
  manypaths: "节点太多，本页不数每一条路径。", shownwalks: "这里走前 {n} 条路径；计数是精确的",
  leaf: "叶子", count: "路径数", gross: "总额 (Σ|路径|)", net: "净额 (Σ 路径)", kappa: "κ，总额比净额", largest: "最大的路径",
  share: "占总额", cancel: "抵消了多少", nopath: "没有路径通到这里", notdefined: "这些运算之间没有单条路径的定义。",
  drag: "拖动一个值：梯度作出预测，函数给出真值。", predicted: "梯度的预测", truth: "真值", off: "相差",
  cut: "剪断一条边：谁不再得到付款？", uncut: "接上所有的边", cutcount: "条边被剪断", whole: "梯度", without: "剪断后",
  noeval: "只有当每个节点都是数、且本页认识每个运算时，才能重新计算：", reset: "恢复原值",
  fewer: "请求数组的一个元素，就能逐个数地看。", dark: "深色或浅色", hidden: "未显示", box: "折叠的盒子：",
  help: "← → 一步 · Home End · / 查找 · Esc 全部", chapter: "第", next: "下一章", previous: "上一章",
  runmap: "训练地图", curves: "学习曲线", statement: "一个权重的对账单", microscope: "步骤显微镜", step1: "步", epochs: "轮",
  measure: "颜色", gradientsize: "梯度大小", updateratio: "更新与权重之比", deadshare: "死单元的比例", worst: "最差在前",
  maptext: "一行一个参数，一列一步；蓝小红大（每单位十倍），灰色未知，洋红不是数。",
  nostatement: "本报告没有选定权重：用 --entry W1[3,7] 指定。", weight: "权重", bystep: "按步", bysample: "按样本", byclass: "按类别",
  reconciled: "对账一致：期初加全部存入等于期末", unreconciled: "对不上；差额：", opening: "期初", deposits: "笔存入",
  decay: "权重衰减", initial: "期初时优化器的状态", rounding: "数值舍入", closing: "期末",
  nolooks: "没有查看任何一步。", promise: "g·Δθ 的承诺", actual: "代价的实际变化", layer: "参数", rowsworst: "本批的行，代价最高在前", row: "行", cost: "代价",
  weights: "这一步之后权重的摘要：", replay: "打开这一步的账簿",
};

let current: typeof EN = EN;

export const w = (): typeof EN => current;
export const chinese = (): boolean => current === ZH;

export function speak(language: string): void {
  current = language.startsWith("zh") ? ZH : EN;
  document.documentElement.lang = chinese() ? "zh-CN" : "en";
}
