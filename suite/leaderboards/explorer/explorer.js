"use strict";

// The page's state is its address (#track=glue&tasks=50), so that a view can be sent to somebody.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const ALL = "all";
const NONE = "–";

// What can be shown along an axis. `of` takes a row and the number of tasks to serve.
const QUANTITIES = {
  stored: { label: "stored ×, for the tasks to serve (backbones)", log: true, of: storedFor },
  score: { label: "score", log: false, of: (row) => row.score },
  trained: { label: "trained per task (% of the backbone)", log: true, of: (row) => row.trained },
  ppt: { label: "PPT", log: false, of: ppt },
  pscp: { label: "PSCP", log: false, of: pscp },
};

function storedFor(row, tasks) {
  return row.shared === null ? null : row.shared + tasks * row.own;
}

// V-PETL Bench: a score discounted by the parameters that train, in units of ten million.
function ppt(row) {
  if (row.trained === null || row.published) return null;
  const millions = (row.trained / 100) * row.parameters / 1e7;
  return row.score * Math.exp(-Math.log10(millions + 1));
}

// PEFT-Bench, with what is stored for each task as its only cost and the backbone as reference.
function pscp(row, tasks) {
  const stored = storedFor(row, tasks);
  return stored === null ? null : row.score / (1 + stored / tasks);
}

function quantity(name) {
  if (QUANTITIES[name]) return QUANTITIES[name];
  const task = name.replace(/^task:/, "");
  return { label: `${task}: score`, log: false, of: (row) => row.scores[task] ?? null };
}

function option(select, value, text) {
  const element = document.createElement("option");
  element.value = value;
  element.textContent = text;
  select.append(element);
}

const unique = (values) => [...new Set(values)];

function fill(select, choices, wanted) {
  select.replaceChildren();
  for (const [value, text] of choices) option(select, value, text);
  const values = choices.map(([value]) => value);
  select.value = values.includes(wanted) ? wanted : values[0];
}

// Filters narrow the choices of those after them: track, family, backbone.
function fillFilters(state) {
  const tracks = unique(data.boards.map((board) => board.track));
  fill($("track"), tracks.map((track) => [track, track]), state.track);
  const ofTrack = data.boards.filter((board) => board.track === $("track").value);
  const families = unique(ofTrack.map((board) => board.family));
  fill($("family"), [[ALL, ALL], ...families.map((family) => [family, family])], state.family);
  const ofFamily = ofTrack.filter((board) => [ALL, board.family].includes($("family").value));
  const names = ofFamily.map((board) => [board.name, `${board.backbone} (${board.scale})`]);
  fill($("backbone"), names.length > 1 ? [...names, [ALL, ALL]] : names, state.backbone);
  const regimes = [[ALL, "per task or jointly"], ["per_task", "per task"], ["joint", "jointly"]];
  fill($("regime"), regimes, state.regime);
  const tasks = unique(chosenBoards().flatMap((board) => board.tasks));
  const axes = Object.entries(QUANTITIES).map(([name, { label }]) => [name, label]);
  axes.push(...tasks.map((task) => [`task:${task}`, `${task}: score`]));
  fill($("x"), axes, state.x ?? "stored");
  fill($("y"), axes, state.y ?? "score");
  $("method").value = state.method ?? "";
  $("published").checked = state.published === "1";
  $("tasks").value = state.tasks ?? chosenBoards()[0].tasks.length;
}

function chosenBoards() {
  const track = data.boards.filter((board) => board.track === $("track").value);
  const family = track.filter((board) => [ALL, board.family].includes($("family").value));
  return family.filter((board) => [ALL, board.name].includes($("backbone").value));
}

function chosenRows() {
  const part = $("method").value.trim().toLowerCase();
  const regime = $("regime").value;
  return chosenBoards().flatMap((board, series) =>
    board.rows
      .filter((row) => row.published ? $("published").checked : [ALL, row.regime].includes(regime))
      .filter((row) => row.method.toLowerCase().includes(part))
      .map((row) => ({ ...row, parameters: board.parameters, board: board.name, series,
                       backbone: board.backbone })));
}

// The rows that no other row of the same board beats upwards at the same or a smaller abscissa.
function front(points) {
  const found = [];
  const measured = points.filter((point) => !point.row.published);
  for (const point of measured.sort((a, b) => a.x - b.x || b.y - a.y)) {
    if (!found.length || point.y > found.at(-1).y) found.push(point);
  }
  return found;
}

function ticks(low, high, log) {
  if (log) {
    const found = [];
    for (let power = Math.floor(low); power <= Math.ceil(high); power++) {
      for (const digit of high - low < 1.5 ? [1, 2, 5] : [1]) found.push(power + Math.log10(digit));
    }
    return found.filter((tick) => tick >= low && tick <= high);
  }
  const raw = (high - low) / 6;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
  const found = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) found.push(tick);
  return found;
}

function number(value, digits = 3) {
  if (value === null || value === undefined) return NONE;
  if (value === 0) return "0";
  return Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(digits)));
}

function svg(tag, attributes, parent, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  parent?.append(element);
  return element;
}

function scale(values, log, from, to) {
  const placed = values.map((value) => (log ? Math.log10(value) : value));
  const low = Math.min(...placed), high = Math.max(...placed);
  const margin = (high - low || 1) * 0.07;
  const [start, end] = [low - margin, high + margin];
  const at = (value) => from + ((log ? Math.log10(value) : value) - start) / (end - start) * (to - from);
  const marks = ticks(start, end, log).map((tick) => ({
    place: from + (tick - start) / (end - start) * (to - from),
    text: number(log ? 10 ** tick : tick),
  }));
  return { at, marks };
}

function draw() {
  const [xAxis, yAxis] = [quantity($("x").value), quantity($("y").value)];
  const tasks = Number($("tasks").value);
  $("tasks-shown").textContent = String(tasks);
  const rows = chosenRows();
  const points = rows
    .map((row) => ({ row, x: xAxis.of(row, tasks), y: yAxis.of(row, tasks) }))
    .filter(({ x, y }) => x !== null && y !== null && (!xAxis.log || x > 0) && (!yAxis.log || y > 0));
  plot(points, xAxis, yAxis);
  table(rows, tasks);
  caption(rows, points);
}

function plot(points, xAxis, yAxis) {
  const narrow = window.innerWidth < 640;
  const [width, height] = narrow ? [480, 420] : [960, 480];
  const area = { left: 56, right: width - 16, top: 18, bottom: height - 46 };
  const canvas = $("plot");
  canvas.setAttribute("viewBox", `0 0 ${width} ${height}`);
  canvas.replaceChildren();
  if (!points.length) {
    svg("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, canvas, "Nothing fits.");
    return;
  }
  const bounds = $("y").value === "score"
    ? points.flatMap(({ row, y }) => [y, row.low ?? y, row.high ?? y]) : points.map(({ y }) => y);
  const across = scale(points.map(({ x }) => x), xAxis.log, area.left, area.right);
  const up = scale(bounds, yAxis.log, area.bottom, area.top);
  for (const { place, text } of across.marks) {
    const tick = svg("g", { class: "tick" }, canvas);
    svg("line", { class: "grid", x1: place, x2: place, y1: area.top, y2: area.bottom }, tick);
    svg("text", { x: place, y: area.bottom + 16, "text-anchor": "middle" }, tick, text);
  }
  for (const { place, text } of up.marks) {
    const tick = svg("g", { class: "tick" }, canvas);
    svg("line", { class: "grid", x1: area.left, x2: area.right, y1: place, y2: place }, tick);
    svg("text", { x: area.left - 6, y: place + 4, "text-anchor": "end" }, tick, text);
  }
  const middle = (area.left + area.right) / 2;
  svg("text", { class: "title", x: middle, y: height - 8, "text-anchor": "middle" }, canvas, xAxis.label);
  svg("text", { class: "title", x: area.left, y: 11 }, canvas, `${yAxis.label} ↑`);
  for (const board of unique(points.map(({ row }) => row.board))) {
    const steps = front(points.filter(({ row }) => row.board === board));
    if (!steps.length || !xAxis.log || yAxis.log) continue;  // Less is better upwards too.
    const path = steps.map(({ x, y }, i) => `${i ? "H" : "M"}${across.at(x)}${i ? "V" : ","}${up.at(y)}`);
    svg("path", { class: "front", d: `${path.join("")}H${area.right}` }, canvas);
  }
  const placed = points.map(({ row, x, y }) => ({ row, left: across.at(x), top: up.at(y) }));
  const taken = placed.map(({ left, top }) => [left - 6, top - 6, left + 6, top + 6]);
  for (const point of placed) mark(point, up, canvas, area, taken);
}

function mark({ row, left, top }, up, canvas, area, taken) {
  const colour = `var(--series-${row.published ? 6 : several() ? row.series % 6 : row.regime === "joint" ? 1 : 0})`;
  const group = svg("g", {
    class: "point", tabindex: 0, role: "img", "data-key": key(row), "aria-label": sentence(row),
  }, canvas);
  if ($("y").value === "score" && row.low !== null) {
    svg("line", { class: "bar", x1: left, x2: left, y1: up.at(row.low), y2: up.at(row.high),
                  stroke: colour }, group);
  }
  const look = row.published ? { fill: "var(--paper)", stroke: colour } : { fill: colour, stroke: "var(--paper)" };
  if (row.regime === "joint") {
    svg("rect", { class: "mark", x: left - 5, y: top - 5, width: 10, height: 10, ...look }, group);
  } else {
    svg("circle", { class: "mark", cx: left, cy: top, r: 5.5, ...look }, group);
  }
  // A name is written where nothing else stands; all others are told by pointing at them.
  const length = (row.best ? 7.2 : 6.6) * row.method.length;
  const starts = [[left + 9, top], [left - 9 - length, top], [left - length / 2, top - 15], [left - length / 2, top + 15]];
  const boxes = starts.map(([start, middle]) => [start, middle - 7, start + length, middle + 6]);
  const box = boxes.find((own) => own[0] > area.left && own[2] < area.right + 10 &&
    taken.every(([a, b, c, d]) => own[2] < a || own[0] > c || own[3] < b || own[1] > d));
  if (box) {
    taken.push(box);
    svg("text", { x: box[0], y: box[1] + 11, class: row.best ? "best name" : "name" }, group, row.method);
  }
  for (const event of ["mouseenter", "focus", "click"]) group.addEventListener(event, () => choose(row));
}

const several = () => chosenBoards().length > 1;
const key = (row) => `${row.board}/${row.method}`;

function sentence(row) {
  const tasks = Number($("tasks").value);
  const interval = row.low === null ? "" : ` (95 %: ${number(row.low)} to ${number(row.high)})`;
  const rank = row.rank === null ? "" : `; rank ${row.rank[0]} (${row.rank[1]} to ${row.rank[2]})`;
  const best = row.best ? ", not told apart from the best" : "";
  const stored = number(storedFor(row, tasks));
  return `${row.method} on ${row.backbone}: ${number(row.score)}${interval}${rank}${best}; ` +
    `${stored} backbones stored for ${tasks} tasks, ${number(row.shared)} of them once` +
    `${row.trained === null ? "" : `; trains ${number(row.trained)} % per task`}. ${row.note}`;
}

function choose(row) {
  $("details").textContent = sentence(row);
  for (const element of document.querySelectorAll("[data-key]")) {
    element.classList.toggle("chosen", element.dataset.key === key(row));
  }
}

const COLUMNS = [
  ["rank", (row) => row.rank?.[0] ?? null, (row) => row.rank ? `${row.rank[0]} (${row.rank[1]}–${row.rank[2]})` : NONE],
  ["method", (row) => row.method, (row) => row.method],
  ["backbone", (row) => row.backbone, (row) => row.backbone],
  ["score", (row) => row.score, (row) => row.low === null ? number(row.score)
    : `${row.score.toFixed(1)} ± ${((row.high - row.low) / 2).toFixed(1)}`],
  ["stored ×", (row, tasks) => storedFor(row, tasks), (row, tasks) => number(storedFor(row, tasks))],
  ["trained %", (row) => row.trained, (row) => number(row.trained)],
  ["PPT", ppt, (row) => number(ppt(row))],
  ["PSCP", pscp, (row, tasks) => number(pscp(row, tasks))],
];
let order = { column: 3, descending: true };

function table(rows, tasks) {
  const head = document.querySelector("thead"), body = document.querySelector("tbody");
  head.replaceChildren(document.createElement("tr"));
  COLUMNS.forEach(([title], i) => {
    const cell = document.createElement("th"), button = document.createElement("button");
    cell.scope = "col";
    cell.className = i === 1 || i === 2 ? "name" : "";
    if (i === order.column) cell.ariaSort = order.descending ? "descending" : "ascending";
    button.type = "button";
    button.textContent = title;
    button.addEventListener("click", () => {
      order = { column: i, descending: i === order.column ? !order.descending : i > 2 };
      draw();
    });
    cell.append(button);
    head.firstChild.append(cell);
  });
  const value = COLUMNS[order.column][1];
  const sorted = [...rows].sort((a, b) => {
    const [first, second] = [value(a, tasks), value(b, tasks)];
    if (first === null || second === null) return (first === null) - (second === null);
    return (first < second ? -1 : first > second ? 1 : 0) * (order.descending ? -1 : 1);
  });
  body.replaceChildren(...sorted.map((row) => {
    const line = document.createElement("tr");
    line.dataset.key = key(row);
    line.className = row.best ? "best" : "";
    COLUMNS.forEach(([, , text], i) => {
      const cell = document.createElement("td");
      cell.className = i === 1 || i === 2 ? "name" : "";
      cell.textContent = text(row, tasks);
      line.append(cell);
    });
    line.addEventListener("mouseenter", () => choose(row));
    return line;
  }));
}

function caption(rows, points) {
  const hidden = rows.length - points.length;
  $("caption").textContent = `${rows.length} rows` + (hidden ? `, ${hidden} without a place in the plot` : "");
  $("legend").textContent = "Round: one run per task. Square: one joint run for all tasks. Bold: not told apart " +
    "from the best score. Bars: 95 % intervals. Grey line: what nothing cheaper beats" +
    (several() ? "; colours are backbones, whose scores compare only where their tasks are the same." : ".");
}

function stateOfAddress() {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

function remember() {
  const names = ["track", "family", "backbone", "regime", "method", "x", "y", "tasks"];
  const state = Object.fromEntries(names.map((name) => [name, $(name).value]));
  state.published = $("published").checked ? "1" : "0";
  history.replaceState(null, "", `#${new URLSearchParams(state)}`);
}

function changed(event) {
  if (["track", "family", "backbone"].includes(event.target.id)) {
    const { tasks, ...rest } = stateOfAddress();
    fillFilters({ ...rest, [event.target.id]: event.target.value, regime: $("regime").value });
  }
  draw();
  remember();
}

function theme(name) {
  document.documentElement.dataset.theme = name;
}

theme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
$("theme").addEventListener("click", () =>
  theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
$("controls").addEventListener("input", changed);
$("controls").addEventListener("submit", (event) => event.preventDefault());
window.addEventListener("resize", draw);
window.addEventListener("hashchange", () => { fillFilters(stateOfAddress()); draw(); });
$("notes").textContent = data.notes;
fillFilters(stateOfAddress());
draw();
