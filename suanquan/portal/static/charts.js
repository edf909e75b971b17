// Draws the tables that ask for it (data-chart) with uPlot, above each. The table stays: it is the content, and what is
// drawn is read from its cells, so that the two cannot differ. A cell that holds no number is a gap, never a zero.
//
// data-chart  line, stack, dots (one for each row), or multiples (one small plot for each row, its columns from data-first on)
// data-x      column of the labels; data-series columns of figures; data-group column that names series of one column
// data-over   columns drawn as broken lines over bars, of three the first and last being the ends of a band (data-band its name); data-limit column of a limit, a line with its heading; data-marks labels
// data-top    what the axis goes up to; data-height in pixels; data-open the word for what is not over
// Rows with data-later are drawn pale: what is not soon. Rows and cells with data-open are not over: hatched, or drawn in dots. Cells with data-mark have an upright line.
"use strict";

const dark = matchMedia("(prefers-color-scheme: dark)");
const paper = matchMedia("print");
const DASHES = [[], [8, 4], [2, 4], [10, 4, 2, 4], [16, 6]];
const OVER = [[2, 4], [8, 4], [2, 4]];
const HEIGHT = 260;

const text = (cell) => (cell.querySelector(".figure") ?? cell).textContent.trim().replace(/\s+/g, " ");
const number = (said) => (/^[−-]?[\d,]*\.?\d+%?$/.test(said) ? Number(said.replace(/[,%]/g, "").replace("−", "-")) : null);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const columnsOf = (said) => (said ? said.split(",").map(Number) : []);

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

// What a table says: labels with their places on the axis, series, limits, and which labels are not over.
function read(table) {
  const data = table.dataset, heads = [...table.tHead.rows[0].cells].map(text);
  const cells = [...table.tBodies[0].rows].map((row) => [...row.cells]);
  const rows = cells.map((row) => row.map(text));
  const columns = columnsOf(data.series), at = Number(data.x), group = data.group, dots = data.chart === "dots";
  const labels = dots ? rows.map((row) => row[at]) : inOrder([...new Set(rows.map((row) => row[at]))]);
  const open = labels.map((label) => cells.some((row, which) => rows[which][at] === label && "open" in row[at].parentNode.dataset));
  const pick = (label, column, name) => rows.findIndex((row) => row[at] === label && (name === undefined || row[Number(group)] === name));
  const of = (column, name) => {
    const found = dots ? rows.map((row, which) => (row[Number(group)] === name ? which : -1)) : labels.map((label) => pick(label, column, name));
    return {
      name: name ?? heads[column],
      values: found.map((which) => (which < 0 ? null : number(rows[which][column]))),
      open: found.map((which) => which >= 0 && "open" in cells[which][column].dataset),
    };
  };
  const names = group === undefined ? [] : [...new Set(rows.map((row) => row[Number(group)]))].slice(0, DASHES.length);
  return {
    labels, open, later: labels.map((label) => cells.some((row, which) => rows[which][at] === label && "later" in row[at].parentNode.dataset)), told: labels.map((label) => rows.some((row) => row[at] === label)),
    series: group === undefined ? columns.map((column) => of(column)) : names.map((name) => of(columns[0], name)),
    over: columnsOf(data.over).map((column) => of(column)),
    limit: columnsOf(data.limit).map((column) => of(column)),
    marks: (data.marks ?? "").split(",").filter(Boolean),
    unit: rows.some((row) => row[columns[0]].endsWith("%")) ? "%" : "",
  };
}

// One row of a table whose columns are labels.
function readRow(table, row) {
  const first = Number(table.dataset.first), heads = [...table.tHead.rows[0].cells].slice(first), cells = [...row.cells].slice(first);
  const labels = heads.map(text);
  return {
    labels,
    open: heads.map((head) => "open" in head.dataset),
    told: labels.map(() => true),
    series: [{ name: text(row.cells[0]), values: cells.map((cell) => number(text(cell))), open: labels.map(() => false) }],
    over: [], limit: [], unit: "%",
    marks: labels.filter((_, at) => "mark" in cells[at].dataset),
  };
}

// Days and numbers stand where they belong on the axis; other labels one after another.
function placesOf(labels) {
  if (labels.length && labels.every((label) => /^\d+$/.test(label))) return labels.map(Number);
  if (labels.length && labels.every((label) => /^\d{4}-\d\d-\d\d$/.test(label))) return labels.map((label) => Date.parse(label) / 86400000);
  return labels.map((_, at) => at);
}

// Dots of one day side by side within it, so that each can be seen and read.
function apart(places) {
  const count = new Map(), seen = new Map();
  for (const place of places) count.set(place, (count.get(place) ?? 0) + 1);
  return places.map((place) => {
    const at = seen.get(place) ?? 0;
    seen.set(place, at + 1);
    return place + 0.8 * at / count.get(place);
  });
}

function hatch(context, stroke, kind, ground = "--ground") {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const draw = tile.getContext("2d");
  if (stroke) { draw.fillStyle = stroke; draw.fillRect(0, 0, 8, 8); }
  draw.strokeStyle = colour(ground);
  draw.lineWidth = 1.5;
  draw.beginPath();
  const lines = [[], [0, 8, 8, 0], [0, 0, 8, 8], [0, 4, 8, 4], [4, 0, 4, 8]][kind];
  if (lines.length) { draw.moveTo(lines[0], lines[1]); draw.lineTo(lines[2], lines[3]); }
  draw.stroke();
  return context.createPattern(tile, "repeat");
}

function swatch(stroke, kind, look) {
  const made = document.createElement("canvas");
  made.width = 28;
  made.height = 12;
  const draw = made.getContext("2d");
  if (look === "stack") { draw.fillStyle = hatch(draw, stroke, kind); draw.fillRect(0, 0, 28, 12); }
  else {
    draw.strokeStyle = draw.fillStyle = stroke;
    draw.lineWidth = look === "over" ? 1.5 : 2.5;
    draw.setLineDash(look === "dots" ? [] : (look === "over" ? OVER[kind] ?? OVER[1] : DASHES[kind]) ?? []);
    draw.beginPath();
    if (look === "dots") { draw.arc(14, 6, 4, 0, 7); if (kind === 0) draw.fill(); draw.lineWidth = 1.5; }
    else { draw.moveTo(0, 6); draw.lineTo(28, 6); }
    draw.stroke();
  }
  made.setAttribute("aria-hidden", "true");
  return made;
}

// From where to where each place reaches: halfway to its neighbours.
function reaches(places) {
  const half = (at) => (places.length < 2 ? 0.5 : Math.abs(places[Math.min(at + 1, places.length - 1)] - places[Math.max(at - 1, 0)]) / (at > 0 && at < places.length - 1 ? 4 : 2));
  return places.map((place, at) => [at > 0 ? (places[at - 1] + place) / 2 : place - half(at), at < places.length - 1 ? (place + places[at + 1]) / 2 : place + half(at)]);
}

function inPlot(self, draw) {
  const { ctx, bbox } = self;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.setLineDash([]);
  ctx.lineWidth = devicePixelRatio;
  ctx.font = `${11 * devicePixelRatio}px sans-serif`;
  draw(ctx, bbox);
  ctx.restore();
}

// What is not over, and what the table has no figure for, hatched from top to bottom; marks as upright lines.
function beneath(self, model, places, table) {
  inPlot(self, (ctx, bbox) => {
    const every = [...model.series, ...model.over];
    reaches(places).forEach((ends, at) => {
      const gap = table.dataset.chart !== "dots" && model.told[at] && every.every((one) => one.values[at] === null);
      if (!gap && !model.open[at]) return;
      const [left, right] = ends.map((x) => self.valToPos(x, "x", true));
      ctx.fillStyle = hatch(ctx, null, gap ? 2 : 1, "--soft");
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
    });
    ctx.strokeStyle = colour("--quiet");
    for (const mark of model.marks) {
      const x = self.valToPos(places[model.labels.indexOf(mark)], "x", true);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
  });
}

// Words over it all: that a place is not over, and what a limit is, each on a ground that lets it be read.
function above(self, model, places, table) {
  inPlot(self, (ctx, bbox) => {
    const put = (said, x, y, align) => {
      ctx.textAlign = align;
      ctx.strokeStyle = colour("--ground");
      ctx.lineWidth = 4 * devicePixelRatio;
      ctx.lineJoin = "round";
      ctx.strokeText(said, x, y);
      ctx.fillStyle = colour("--text");
      ctx.fillText(said, x, y);
    };
    const step = 4 * devicePixelRatio, line = 12 * devicePixelRatio;
    for (const one of model.limit) {
      const at = one.values.findIndex((value) => value !== null);
      if (at >= 0) put(one.name, bbox.left + step, Math.max(bbox.top + line, self.valToPos(one.values[at], "y", true) + line), "left");
    }
    reaches(places).forEach((ends, at) => {
      if (!model.later?.[at]) return;
      const [left, right] = ends.map((x) => self.valToPos(x, "x", true));
      ctx.globalAlpha = 0.5;
      ctx.fillStyle = colour("--ground");
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
      ctx.globalAlpha = 1;
    });
    const open = model.open.indexOf(true);
    if (open < 0 || !table.dataset.open) return;
    const x = self.valToPos(places[open], "x", true), half = ctx.measureText(table.dataset.open).width / 2 + step;
    put(table.dataset.open, Math.min(x, bbox.left + bbox.width - half), bbox.top + line, "center");
  });
}

// Broken lines over bars are of the colour of text; those that go with lines have the colours of these.
const strokeOf = (at, look, strokes, kind) => (look === "over" && kind === "stack" ? colour("--text") : strokes[at] ?? colour("--text"));

function lookOf(at, look, strokes, kind) {
  const stroke = strokeOf(at, look, strokes, kind);
  if (look === "stack") return { stroke, width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.6, 60] }), fill: (self) => hatch(self.ctx, stroke, at) };
  if (look === "dots") return { stroke, width: 0, paths: () => null, points: { show: true, size: 7, width: 1.5, stroke, fill: at === 0 ? stroke : colour("--ground") } };
  if (look === "over") return { stroke, width: 1.5, dash: OVER[at] ?? OVER[1], points: { show: false } };
  if (look === "limit") return { stroke: colour("--text"), width: 1.5, dash: [12, 3], points: { show: false } };
  if (look === "open") return { stroke, width: 1.5, dash: [1, 5], points: { show: false } };
  return { stroke, width: 2.5, dash: DASHES[at], points: { show: true, size: 6, fill: stroke } };
}

function plot(frame, table, model = read(table)) {
  const { labels, series, over, limit, unit } = model;
  const kind = table.dataset.chart === "multiples" ? "line" : table.dataset.chart, stacked = kind === "stack";
  const strokes = series.map((_, at) => colour(`--series-${at + 1}`));
  const places = kind === "dots" ? apart(placesOf(labels)) : placesOf(labels), sums = labels.map(() => 0);
  const onto = (value, at) => { sums[at] += value ?? 0; return value ? sums[at] : null; }; // of nothing there is no bar
  const drawn = series.map((one, at) => ({ look: kind, at, name: one.name, values: stacked ? one.values.map(onto) : one.values }));
  if (stacked) drawn.reverse(); // the tallest is drawn first, the lower ones over it
  if (kind === "line") {
    series.forEach((one, at) => {
      if (!one.open.some(Boolean)) return;
      const begins = one.open.indexOf(true);
      drawn[at].values = one.values.map((value, which) => (one.open[which] ? null : value));
      drawn.push({ look: "open", at, name: one.name, values: one.values.map((value, which) => (which >= begins - 1 ? value : null)) });
    });
  }
  over.forEach((one, at) => drawn.push({ look: "over", at, name: one.name, values: one.values }));
  limit.forEach((one) => drawn.push({ look: "limit", at: 0, name: one.name, values: one.values }));
  const axis = { stroke: colour("--text"), grid: { stroke: colour("--soft") }, ticks: { stroke: colour("--line") }, font: "13px sans-serif" };
  const shown = (value) => value.toLocaleString("en-US") + unit;
  const legend = frame.querySelector("ul");
  const band = table.dataset.band, lines = over.map((one, at) => [strokeOf(at, "over", strokes, kind), at, "over", band && at === 0 ? band : one.name]);
  const keys = [...series.map((one, at) => [strokes[at], at, kind, one.name]), ...lines.slice(0, band ? 2 : undefined), ...limit.map((one) => [colour("--text"), 4, "line", one.name])];
  legend?.replaceChildren(...keys.map(([stroke, at, look, name]) => {
    const item = document.createElement("li");
    item.append(swatch(stroke, at, look), ` ${name}`);
    return item;
  }));
  const width = Math.max(120, frame.clientWidth), height = Number(table.dataset.height ?? HEIGHT), top = Number(table.dataset.top ?? 0);
  const half = places.length > 1 && places[1] > places[0] ? (places[1] - places[0]) / 2 : 0.5;
  const some = labels.filter((_, at) => at % Math.ceil(labels.length * (labels.some((label) => label.length > 4) ? 84 : 44) / width) === 0);
  const ticks = [...new Set(some.map((label) => places[labels.indexOf(label)]))];
  return new uPlot({
    width,
    height,
    legend: { show: false },
    scales: { x: { time: false, range: () => [places[0] - half, places.at(-1) + half] }, y: { range: (_, low, high) => [Math.min(0, low), Math.max(high, top, 0) * (top ? 1 : 1.05) || 1] } },
    axes: [
      { ...axis, size: height < 150 ? 30 : 50, splits: () => ticks, values: (_, some) => some.map((place) => labels[places.indexOf(place)] ?? "") },
      { ...axis, size: (self, values) => Math.max(height < 120 ? 44 : 52, ...(values ?? []).map((value) => 8 * value.length + 16)), space: height < 120 ? 22 : 30, ...(kind === "dots" ? { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500] } : {}), values: (_, ticks) => ticks.map(shown) },
    ],
    cursor: { drag: { x: false, y: false } },
    series: [{}, ...drawn.map((one) => ({ label: one.name, ...lookOf(one.at, one.look, strokes, kind) }))],
    hooks: {
      drawClear: [(self) => beneath(self, model, places, table)],
      draw: [(self) => above(self, model, places, table)],
      setCursor: [(self) => {
        const at = self.cursor.idx, said = [...series, ...over, ...limit];
        if (!frame.querySelector(".read")) return;
        frame.querySelector(".read").textContent = at == null || labels[at] === undefined ? "" : `${labels[at]}: ` + said.filter((one) => kind !== "dots" || one.values[at] !== null).map((one) => `${one.name} ${one.values[at] === null ? "—" : shown(one.values[at])}`).join(" · ");
      }],
    },
  }, [places, ...drawn.map((one) => one.values)], frame.querySelector(".plot"));
}

function made(tag, className) {
  const found = document.createElement(tag);
  found.className = className;
  return found;
}

function frameOf(title, key) {
  const frame = made("div", "chart");
  frame.setAttribute("role", "group");
  frame.tabIndex = 0;
  frame.setAttribute("aria-label", title);
  const [place, legend, said] = [made("div", "plot"), made("ul", ""), made("p", "read")];
  place.setAttribute("aria-hidden", "true");
  said.setAttribute("aria-live", "polite");
  frame.append(place, ...(key ? [legend] : []), said);
  return frame;
}

// Draws anew when theme, paper or width change, and reads the figures one by one by the keys left and right.
function keep(frame, draw) {
  let drawn = draw(), width = frame.clientWidth;
  const again = () => { drawn.destroy(); drawn = draw(); };
  for (const asked of [dark, paper]) asked.addEventListener("change", again);
  new ResizeObserver(() => {
    if (frame.clientWidth !== width) { width = frame.clientWidth; again(); }
  }).observe(frame);
  frame.addEventListener("keydown", (pressed) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[pressed.key];
    if (!step) return;
    pressed.preventDefault();
    const last = drawn.data[0].length - 1;
    const at = Math.min(last, Math.max(0, (drawn.cursor.idx ?? (step > 0 ? -1 : last + 1)) + step));
    drawn.setCursor({ left: drawn.valToPos(drawn.data[0][at], "x"), top: 10 });
  });
}

function begin(table) {
  const holder = table.closest("details"), many = table.dataset.chart === "multiples";
  const frames = many ? [...table.tBodies[0].rows].map((row) => {
    const frame = frameOf(`${table.dataset.title}: ${text(row.cells[0])}`, false), name = made("p", "name");
    name.textContent = [...row.cells].slice(0, Number(table.dataset.first)).map(text).join(" · ");
    frame.prepend(name);
    return [frame, () => plot(frame, table, readRow(table, row))];
  }) : [frameOf(table.dataset.title, true)].map((frame) => [frame, () => plot(frame, table)]);
  const place = many ? made("div", "multiples") : null;
  if (place) (holder ?? table).before(place);
  for (const [frame] of frames) { if (place) place.append(frame); else (holder ?? table).before(frame); }
  for (const [frame, draw] of frames) keep(frame, draw);
  if (holder) holder.open = false; // the chart says it; without this script the table is open
}

for (const table of document.querySelectorAll("table[data-chart]")) begin(table);
