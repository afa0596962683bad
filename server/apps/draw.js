// What all apps draw with. Texts become text nodes, never markup.
const SHOWN = 200;
const MOST = 60;
const SVG = "http://www.w3.org/2000/svg";
const STATES = {
  good: ["ok", "done", "ready", "finished", "passed", "better", "above_baseline", "complete", "same"],
  bad: ["failed", "error", "lost", "dead", "degraded", "killed", "fail", "worse", "below_baseline", "drifted"],
  wait: ["queued", "running", "starting", "cancelled", "pruned", "waiting"],
};

function cut(value, most = SHOWN) {
  const text = String(value);
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function made(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((each) => each !== null && each !== undefined).map((each) => (each instanceof Node ? each : cut(each, 4000))));
  return element;
}

function el(name, attributes, ...children) {
  return made(document.createElement(name), attributes, children);
}

function shape(name, attributes, ...children) {
  return made(document.createElementNS(SVG, name), attributes, children);
}

function heading(text) {
  return el("h1", {}, text);
}

function fill(...children) {
  document.querySelector("main").replaceChildren(...children);
}

function say(words, more) {
  fill(heading(TITLE), el("p", { class: "problem", role: "status" }, more ? `${words} ${cut(more, 2000)}` : words));
}

function notes(given) {
  return given?.length ? [el("ul", {}, given.slice(0, MOST).map((each) => el("li", {}, each)))] : [];
}

function progress(job) {
  const at = job.progress ?? {};
  const said = [job.state, at.total ? `${number(at.done)} of ${number(at.total)}` : "", at.message ?? ""];
  if (at.best !== null && at.best !== undefined) said.push(`best so far ${number(at.best)}`);
  return el("p", { role: "status" }, said.filter(Boolean).join(", "));
}

function number(value) {
  if (value === null || value === undefined) return "-";
  if (typeof value !== "number") return cut(value);
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
}

function state(word) {
  const kind = Object.keys(STATES).find((each) => STATES[each].includes(String(word).toLowerCase()));
  return el("span", { class: kind ? `state ${kind}` : "state" }, cut(word ?? "-"));
}

function estimate(of) {
  if (!of) return "-";
  const range = of.interval ? ` (${number(of.interval[0])} to ${number(of.interval[1])})` : "";
  return `${number(of.value)}${range}`;
}

function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", {}, shown.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

function region(label, child) {
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, child);
}

function short(cell) {
  return cell instanceof Node ? cell : cut(cell);
}

// Columns that begin with # hold numbers.
function table(caption, columns, rows) {
  const numeric = columns.map((each) => (each.startsWith("#") ? "number" : null));
  const head = columns.map((each, at) => el("th", { scope: "col", class: numeric[at] }, each.replace(/^#/, "")));
  const body = rows.slice(0, MOST).map((row) => el("tr", {}, row.map((cell, at) => (at
    ? el("td", { class: numeric[at] }, short(cell))
    : el("th", { scope: "row", class: numeric[at] }, short(cell))))));
  const left = rows.length - body.length;
  const drawn = region(caption, el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, head)), el("tbody", {}, body)));
  return left > 0 ? el("div", {}, drawn, el("p", { class: "faint" }, `${left} more are not shown.`)) : drawn;
}

const ROW = 24;
const NAMES = 170;
const WIDTH = 260;
const VALUES = 150;

// Bars from nought; `low` and `high` are the ends of an interval, `said` stands beside the bar.
function bars(title, items) {
  const shown = items.filter((each) => Number.isFinite(each.value)).slice(0, MOST);
  const ends = [0, ...shown.flatMap((each) => [each.value, each.low, each.high])].filter(Number.isFinite);
  const [least, most] = [Math.min(...ends), Math.max(...ends)];
  if (!shown.length || least === most) return null;
  const place = (value) => NAMES + ((value - least) / (most - least)) * WIDTH;
  const rows = shown.flatMap((each, at) => bar(each, at * ROW, place));
  return drawing(title, NAMES + WIDTH + VALUES, ROW * shown.length + 6, rows);
}

function bar(each, top, place) {
  const middle = top + ROW / 2;
  const [start, end] = [place(0), place(each.value)].sort((one, another) => one - another);
  const ranged = Number.isFinite(each.low) && Number.isFinite(each.high);
  return [
    label(NAMES - 8, middle + 4, cut(each.name, 21), "end"),
    shape("rect", { x: start, y: top + 5, width: Math.max(1, end - start), height: ROW - 10, class: each.bad ? "bar bad" : "bar" }),
    ranged ? shape("line", { x1: place(each.low), x2: place(each.high), y1: middle, y2: middle, class: "edge" }) : null,
    label(NAMES + WIDTH + 8, middle + 4, each.said ?? number(each.value), "start"),
  ];
}

const WIDE = 560;
const HIGH = 200;
const LEFT = 70;
const FOOT = 28;

// A line through `points` and a dot for each of `dots`: both are [x, y].
function curve(title, points, dots) {
  const every = [...points, ...dots].filter((each) => each.every(Number.isFinite));
  if (every.length < 4) return null;
  const [across, up] = [scale(every.map((each) => each[0])), scale(every.map((each) => each[1]))];
  const right = (x) => LEFT + across.of(x) * (WIDE - LEFT - 14);
  const top = (y) => HIGH - FOOT - up.of(y) * (HIGH - FOOT - 14);
  return drawing(title, WIDE, HIGH, [
    shape("line", { x1: LEFT, x2: WIDE - 14, y1: HIGH - FOOT, y2: HIGH - FOOT, class: "axis" }),
    shape("line", { x1: LEFT, x2: LEFT, y1: 14, y2: HIGH - FOOT, class: "axis" }),
    label(LEFT - 6, 18, number(up.most), "end"), label(LEFT - 6, HIGH - FOOT + 2, number(up.least), "end"),
    label(LEFT, HIGH - 8, number(across.least), "start"), label(WIDE - 14, HIGH - 8, number(across.most), "end"),
    shape("path", { d: `M${points.map((each) => `${right(each[0])} ${top(each[1])}`).join(" L")}`, class: "line" }),
    ...dots.map((each) => shape("circle", { cx: right(each[0]), cy: top(each[1]), r: 2.5, class: "dot" })),
  ]);
}

function scale(values) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const extent = most / 2 - least / 2; // of the halves, since the whole may be more than a number can hold
  return { least, most, of: (value) => (extent ? (value / 2 - least / 2) / extent : 0.5) };
}

function label(x, y, words, anchor) {
  return shape("text", { x, y, "text-anchor": anchor }, words);
}

function drawing(title, width, height, inside) {
  return region(title, shape("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title }, inside));
}
