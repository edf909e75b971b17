// Draws the tables that ask for it (data-chart) with uPlot, above each. The table stays: it is the content, and what is
// drawn is read from its cells, so that the two cannot differ. A cell that holds no number is a gap, never a zero.
"use strict";

const dark = matchMedia("(prefers-color-scheme: dark)");
const DASHES = [[], [8, 4], [2, 4], [10, 4, 2, 4], [16, 6]];
const HEIGHT = 260;

const text = (cell) => cell.textContent.trim().replace(/\s+/g, " ");
const number = (said) => (/^[−-]?[\d,]*\.?\d+%?$/.test(said) ? Number(said.replace(/[,%]/g, "").replace("−", "-")) : null);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Months in order, those between which nothing stands among them: what is not there is a gap. Anything else as the table has it.
function inOrder(labels) {
  if (!labels.every((label) => /^\d{4}-\d\d/.test(label))) return labels;
  labels.sort();
  if (!labels.every((label) => /^\d{4}-\d\d( |$)/.test(label))) return labels;
  const months = [], named = new Map(labels.map((label) => [label.slice(0, 7), label]));
  let [year, month] = labels[0].slice(0, 7).split("-").map(Number);
  for (let key = labels[0].slice(0, 7); key <= labels.at(-1).slice(0, 7) && months.length < 600; ) {
    months.push(named.get(key) ?? key);
    [year, month] = month === 12 ? [year + 1, 1] : [year, month + 1];
    key = `${year}-${String(month).padStart(2, "0")}`;
  }
  return months;
}

function read(table) {
  const heads = [...table.tHead.rows[0].cells].map(text);
  const rows = [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => text(cell)));
  const columns = table.dataset.series.split(",").map(Number);
  const at = Number(table.dataset.x);
  const labels = inOrder([...new Set(rows.map((row) => row[at]))]);
  const group = table.dataset.group;
  const value = (some, label, column) => {
    const row = some.find((one) => one[at] === label);
    return row === undefined ? null : number(row[column]);
  };
  const series = group === undefined
    ? columns.map((column) => ({ name: heads[column], values: labels.map((label) => value(rows, label, column)) }))
    : [...new Set(rows.map((row) => row[Number(group)]))].slice(0, DASHES.length).map((name) => ({
      name,
      values: labels.map((label) => value(rows.filter((row) => row[Number(group)] === name), label, columns[0])),
    }));
  return { labels, series, unit: rows.some((row) => row[columns[0]].endsWith("%")) ? "%" : "" };
}

function hatch(context, stroke, kind) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const draw = tile.getContext("2d");
  draw.fillStyle = stroke;
  draw.strokeStyle = colour("--ground");
  draw.fillRect(0, 0, 8, 8);
  draw.lineWidth = 1.5;
  draw.beginPath();
  const lines = [[], [0, 8, 8, 0], [0, 0, 8, 8], [0, 4, 8, 4], [4, 0, 4, 8]][kind];
  if (lines.length) { draw.moveTo(lines[0], lines[1]); draw.lineTo(lines[2], lines[3]); }
  draw.stroke();
  return context.createPattern(tile, "repeat");
}

function swatch(stroke, kind, stacked) {
  const made = document.createElement("canvas");
  made.width = 28;
  made.height = 12;
  const draw = made.getContext("2d");
  if (stacked) { draw.fillStyle = hatch(draw, stroke, kind); draw.fillRect(0, 0, 28, 12); }
  else {
    draw.strokeStyle = stroke;
    draw.lineWidth = 2.5;
    draw.setLineDash(DASHES[kind]);
    draw.beginPath();
    draw.moveTo(0, 6);
    draw.lineTo(28, 6);
    draw.stroke();
  }
  made.setAttribute("aria-hidden", "true");
  return made;
}

function plot(frame, table) {
  const { labels, series, unit } = read(table);
  const stacked = table.dataset.chart === "stack";
  const strokes = series.map((_, at) => colour(`--series-${at + 1}`));
  const sums = labels.map(() => 0);
  const onto = (value, at) => { sums[at] += value ?? 0; return value ? sums[at] : null; }; // of nothing there is no bar
  const heights = series.map((one) => (stacked ? one.values.map(onto) : one.values));
  const order = series.map((_, at) => at);
  if (stacked) order.reverse(); // the tallest is drawn first, the lower ones over it
  const axis = { stroke: colour("--text"), grid: { stroke: colour("--soft") }, ticks: { stroke: colour("--line") }, font: "13px sans-serif" };
  const shown = (value) => value.toLocaleString("en-US") + unit;
  const legend = frame.querySelector("ul");
  legend.replaceChildren(...series.map((one, at) => {
    const item = document.createElement("li");
    item.append(swatch(strokes[at], at, stacked), ` ${one.name}`);
    return item;
  }));
  const width = Math.max(240, frame.clientWidth);
  return new uPlot({
    width,
    height: HEIGHT,
    legend: { show: false },
    scales: { x: { time: false, range: () => [-0.5, labels.length - 0.5] }, y: { range: (_, low, high) => [Math.min(0, low), Math.max(high, 0) * 1.05 || 1] } },
    axes: [
      { ...axis, splits: () => labels.map((_, at) => at).filter((at) => at % Math.ceil(labels.length * 84 / width) === 0), values: (_, ticks) => ticks.map((at) => labels[at] ?? "") },
      { ...axis, size: (self, values) => Math.max(52, ...(values ?? []).map((value) => 8 * value.length + 16)), values: (_, ticks) => ticks.map(shown) },
    ],
    cursor: { drag: { x: false, y: false } },
    series: [{}, ...order.map((at) => ({
      label: series[at].name,
      stroke: strokes[at],
      width: stacked ? 0 : 2.5,
      dash: stacked ? undefined : DASHES[at],
      points: { show: !stacked, size: 6, fill: strokes[at] },
      paths: stacked ? uPlot.paths.bars({ size: [0.6, 60] }) : undefined,
      fill: stacked ? (self) => hatch(self.ctx, strokes[at], at) : undefined,
    }))],
    hooks: {
      setCursor: [(self) => {
        const at = self.cursor.idx;
        frame.querySelector(".read").textContent = at == null || labels[at] === undefined ? "" : `${labels[at]}: ` + series.map((one) => `${one.name} ${one.values[at] === null ? "—" : shown(one.values[at])}`).join(" · ");
      }],
    },
  }, [labels.map((_, at) => at), ...order.map((at) => heights[at])], frame.querySelector(".plot"));
}

function begin(table) {
  const frame = document.createElement("div");
  frame.className = "chart";
  frame.setAttribute("role", "group");
  frame.tabIndex = 0;
  frame.setAttribute("aria-label", table.dataset.title);
  const [place, legend, read_] = ["div", "ul", "p"].map((tag) => document.createElement(tag));
  place.className = "plot";
  place.setAttribute("aria-hidden", "true");
  read_.className = "read";
  read_.setAttribute("aria-live", "polite");
  frame.append(place, legend, read_);
  table.before(frame);
  let drawn = plot(frame, table);
  const again = () => { drawn.destroy(); drawn = plot(frame, table); };
  dark.addEventListener("change", again);
  let width = frame.clientWidth;
  new ResizeObserver(() => {
    if (frame.clientWidth !== width) { width = frame.clientWidth; again(); }
  }).observe(frame);
  frame.addEventListener("keydown", (pressed) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[pressed.key];
    if (!step) return;
    pressed.preventDefault();
    const last = drawn.data[0].length - 1;
    const at = Math.min(last, Math.max(0, (drawn.cursor.idx ?? (step > 0 ? -1 : last + 1)) + step));
    drawn.setCursor({ left: drawn.valToPos(at, "x"), top: 10 });
  });
}

for (const table of document.querySelectorAll("table[data-chart]")) begin(table);
