"use strict";
// The page's own script: the theme, the browser of rows, and what opens with a row. Texts are set as text; only what was
// highlighted when the page was made is set as markup.

const ROWS_ON_A_PAGE = 50;
const LONG_LIST = 40; // values of a label, beyond which they are typed and not picked

const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

const code = (html) => make("pre", { className: "code", innerHTML: html });
const number = (value, share) => (value === null ? "–" : share ? value.toFixed(2) : value.toLocaleString("en"));

// Theme -----------------------------------------------------------------------------------------------------------------

function setUpTheme() {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  const show = () => { root.dataset.theme = chosen ?? (dark.matches ? "dark" : "light"); };
  dark.addEventListener("change", show);
  one("#theme").addEventListener("click", () => { chosen = root.dataset.theme === "dark" ? "light" : "dark"; show(); });
  show();
}

// Data ------------------------------------------------------------------------------------------------------------------

async function unpack(id) {
  const packed = atob(one("#" + id).textContent);
  const bytes = new Uint8Array(packed.length);
  for (let place = 0; place < packed.length; place++) bytes[place] = packed.charCodeAt(place);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

const unpacked = new Map();
function unpackOnce(id) {
  if (!unpacked.has(id)) unpacked.set(id, unpack(id));
  return unpacked.get(id);
}

// The browser of rows -----------------------------------------------------------------------------------------------------

function prepare(table) {
  table.numberOf = new Map(table.numbers.map((column) => [column.name, column]));
  table.labelOf = new Map(table.labels.map((column) => [column.name, column]));
  const concepts = table.labelOf.get("concept");
  table.searched = table.ids.map((id, row) => {
    const named = concepts ? concepts.rows[row].map((place) => concepts.names[place]).join(" ") : "";
    return `${table.titles[row]}\n${named}\n${table.places[row]}\n${id}`.toLowerCase();
  });
  return table;
}

function matching(table, state) {
  const words = state.query.toLowerCase().split(/\s+/).filter(Boolean);
  const ranges = [...state.ranges].map(([name, range]) => [table.numberOf.get(name).values, ...range]);
  const labels = [...state.labels].map(([name, value]) => {
    const column = table.labelOf.get(name);
    return [column.rows, column.names.indexOf(value)];
  });
  const found = [];
  for (let row = 0; row < table.ids.length; row++) {
    if (ranges.every(([values, low, high]) => values[row] !== null && values[row] >= low && values[row] <= high)
      && labels.every(([rows, place]) => rows[row].includes(place))
      && words.every((word) => table.searched[row].includes(word))) found.push(row);
  }
  if (state.sort) {
    const values = table.numberOf.get(state.sort).values;
    const sign = state.descending ? -1 : 1;
    found.sort((a, b) => {
      if (values[a] === null || values[b] === null) return (values[a] === null) - (values[b] === null) || a - b;
      return sign * (values[a] - values[b]) || a - b;
    });
  } else if (state.descending) found.reverse();
  return found;
}

function setUpRows(table) {
  const state = { query: "", labels: new Map(), ranges: new Map(), sort: "", descending: false, page: 0, found: [] };
  const list = one("#list");

  function refresh(page = 0) {
    state.found = matching(table, state);
    state.page = page;
    draw();
  }

  function draw() {
    const pages = Math.max(1, Math.ceil(state.found.length / ROWS_ON_A_PAGE));
    state.page = Math.min(Math.max(state.page, 0), pages - 1);
    const start = state.page * ROWS_ON_A_PAGE;
    const shown = state.found.slice(start, start + ROWS_ON_A_PAGE);
    list.replaceChildren(shown.length ? make("ol", {}, ...shown.map(item)) : make("p", { className: "note" }, "No row matches."));
    one("#page").textContent = `${state.found.length.toLocaleString("en")} of ${table.ids.length.toLocaleString("en")} rows, page ${state.page + 1} of ${pages}`;
    one("#previous").disabled = state.page === 0;
    one("#next").disabled = state.page === pages - 1;
    drawActive();
  }

  function item(row) {
    const value = (name) => { const column = table.numberOf.get(name); return column ? column.values[row] : null; };
    const label = (name) => { const column = table.labelOf.get(name); return column.rows[row].map((place) => column.names[place]).join(", "); };
    const sorted = state.sort && state.sort !== "confidence" ? table.numberOf.get(state.sort) : null;
    const numbers = make("span", { className: "numbers" },
      make("b", {}, number(value("confidence"), true)), " confidence",
      make("span", { className: "more" }, make("br"), `${number(value("passed"), true)} passed · ${number(value("mutation"), true)} mutation`),
      sorted ? make("span", {}, make("br"), `${number(sorted.values[row], sorted.share)} ${sorted.title.toLowerCase()}`) : null);
    const button = make("button", { type: "button" },
      make("span", { className: "title" }, table.titles[row]),
      make("span", { className: "sub" }, [table.places[row], label("concept")].filter(Boolean).join(" · ")), numbers);
    button.dataset.row = row;
    button.addEventListener("click", () => open(row));
    return make("li", {}, button);
  }

  function drawActive() {
    const chips = [];
    const chip = (text, remove) => chips.push(make("button", { type: "button", title: "Remove this filter", onclick: remove }, text + " ✕"));
    for (const [name, value] of state.labels) chip(`${table.labelOf.get(name).title}: ${value}`, () => setLabel(name, ""));
    for (const [name, [low, high]] of state.ranges) {
      const text = low === -Infinity ? `at most ${high}` : high === Infinity ? `at least ${low}` : `${low} to ${high}`;
      chip(`${table.numberOf.get(name).title}: ${text}`, () => setRange(name, "", ""));
    }
    if (chips.length > 1) chips.push(make("button", { type: "button", onclick: () => { state.labels.clear(); state.ranges.clear(); all("#fields input, #fields select").forEach((field) => { field.value = ""; }); refresh(); } }, "Clear all"));
    one("#active").replaceChildren(...chips);
  }

  function setLabel(name, value) {
    if (value) state.labels.set(name, value); else state.labels.delete(name);
    const field = one(`#fields [data-label="${name}"]`); // there is none where all listed rows have the same value
    if (field) field.value = value;
    refresh();
  }

  function setRange(name, low, high) {
    const limits = [low === "" ? -Infinity : Number(low), high === "" ? Infinity : Number(high)];
    if (limits[0] > limits[1]) { limits.reverse(); [low, high] = [high, low]; }
    if (limits[0] === -Infinity && limits[1] === Infinity) state.ranges.delete(name); else state.ranges.set(name, limits);
    const [least, most] = all(`#fields [data-number="${name}"] input`);
    least.value = low; most.value = high;
    refresh();
  }

  function drawFields() {
    const fields = table.labels.filter((column) => column.names.length > 1).map((column) => {
      const counts = new Map();
      for (const places of column.rows) for (const place of places) counts.set(place, (counts.get(place) ?? 0) + 1);
      const order = [...counts].sort((a, b) => b[1] - a[1]);
      const options = order.slice(0, 500).map(([place, count]) => make("option", { value: column.names[place] }, `${column.names[place]} (${count.toLocaleString("en")})`));
      const long = order.length > LONG_LIST;
      const field = long ? make("input", { type: "search", placeholder: "any" }) : make("select", {}, make("option", { value: "" }, "any"), ...options);
      field.dataset.label = column.name;
      const known = new Set(column.names);
      field.addEventListener("change", () => {
        const isKnown = !field.value || known.has(field.value);
        field.setCustomValidity(isKnown ? "" : "No row has this. Pick one of the list.");
        field.reportValidity();
        if (isKnown) setLabel(column.name, field.value);
      });
      if (long) { field.setAttribute("list", "values-" + column.name); return make("label", {}, column.title, field, make("datalist", { id: "values-" + column.name }, ...options)); }
      return make("label", {}, column.title, field);
    });
    for (const column of table.numbers) {
      const [least, most] = ["at least", "at most"].map((hint) => make("input", { type: "number", step: "any", placeholder: hint, "aria-label": `${column.title}, ${hint}` }));
      for (const field of [least, most]) field.addEventListener("change", () => setRange(column.name, least.value, most.value));
      const set = make("fieldset", {}, make("legend", {}, column.title), make("div", {}, least, most));
      set.dataset.number = column.name;
      fields.push(set);
    }
    one("#fields").replaceChildren(...fields);
    one("#sort").replaceChildren(make("option", { value: "" }, "order of the data set"), ...table.numbers.map((column) => make("option", { value: column.name }, column.title)));
  }

  function setUpCharts() {
    for (const chart of all(".chart[data-name]")) {
      for (const bar of all("button", chart)) {
        bar.addEventListener("click", () => {
          if (bar.dataset.value !== undefined) setLabel(chart.dataset.name, bar.dataset.value);
          else setRange(chart.dataset.name, bar.dataset.low, bar.dataset.high);
          one("#rows").scrollIntoView();
        });
      }
    }
  }

  // A row, opened ---------------------------------------------------------------------------------------------------------

  const dialog = one("#row");
  let shown = -1;

  async function open(row) {
    shown = row;
    const place = state.found.indexOf(row);
    const step = (by) => { const next = state.found[place + by]; if (next !== undefined) open(next); };
    const button = (text, by) => make("button", { type: "button", disabled: state.found[place + by] === undefined, onclick: () => step(by), title: by < 0 ? "Left arrow" : "Right arrow" }, text);
    const top = make("div", { className: "dialog-top" }, make("code", {}, table.ids[row]), button("←", -1), button("→", 1),
      make("button", { type: "button", onclick: () => dialog.close() }, "Close"));
    dialog.onkeydown = (event) => {
      if (event.target.matches("input, select, pre, .samples, .matrix") || event.altKey || event.ctrlKey || event.metaKey) return;
      if (event.key === "ArrowLeft" || event.key === "k") step(-1);
      if (event.key === "ArrowRight" || event.key === "j") step(1);
    };
    const detail = table.details[row];
    const body = detail < 0 ? summary(row) : whole((await unpackOnce("data-details-" + Math.floor(detail / table.chunk)))[detail % table.chunk], await unpackOnce("data-prompts"));
    if (shown !== row) return; // another one was opened meanwhile
    dialog.replaceChildren(top, ...body);
    if (!dialog.open) dialog.showModal();
    dialog.focus(); // what had the focus is gone
    dialog.scrollTop = 0;
    history.replaceState(null, "", "#row=" + encodeURIComponent(table.ids[row]));
  }

  dialog.addEventListener("close", () => {
    // A link that was followed meanwhile stays: this event comes a moment after the dialog is gone.
    if (location.hash === "#row=" + encodeURIComponent(table.ids[shown])) history.replaceState(null, "", "#rows");
    const place = state.found.indexOf(shown);
    if (place >= 0 && Math.floor(place / ROWS_ON_A_PAGE) !== state.page) { state.page = Math.floor(place / ROWS_ON_A_PAGE); draw(); }
    one(`#list [data-row="${shown}"]`)?.focus();
    shown = -1; // what is still being unpacked is not opened any more
  });

  function openLinked() {
    const linked = location.hash.match(/^#row=(.+)$/);
    if (!linked) return;
    let id = linked[1];
    try { id = decodeURIComponent(id); } catch { /* a link that was cut */ }
    const row = table.ids.indexOf(id);
    if (row >= 0) open(row);
    else one("#page").textContent += ` · the linked row ${id} is not listed`;
  }

  function summary(row) {
    return [make("h3", {}, "Instruction"), make("p", { className: "text" }, table.titles[row]),
      make("p", { className: "note" }, `This row's samples are not in this file. snipmill show RUN ${table.ids[row]} shows its whole way.`)];
  }

  // Start -----------------------------------------------------------------------------------------------------------------

  drawFields();
  setUpCharts();
  let waiting = 0;
  one("#search").addEventListener("input", (event) => { clearTimeout(waiting); waiting = setTimeout(() => { state.query = event.target.value; refresh(); }, 80); });
  one("#sort").addEventListener("change", (event) => { state.sort = event.target.value; state.descending = false; drawDirection(); refresh(); });
  const drawDirection = () => { one("#direction").textContent = state.descending ? "↓" : "↑"; };
  one("#direction").addEventListener("click", () => { state.descending = !state.descending; drawDirection(); refresh(); });
  one("#previous").addEventListener("click", () => { state.page--; draw(); list.focus(); });
  one("#next").addEventListener("click", () => { state.page++; draw(); list.focus(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !dialog.open && !event.target.matches("input, select")) { event.preventDefault(); one("#search").focus(); }
  });
  refresh();
  openLinked();
  addEventListener("hashchange", openLinked);
  return { state, refresh };
}

// What opens with a row ------------------------------------------------------------------------------------------------------

function whole(row, beginnings) {
  const origin = row.origin;
  const parts = [make("h3", {}, "Instruction"), make("p", { className: "text" }, row.instruction), make("p", { className: "note" }, `Asked for: ${row.asked}. Concepts: ${row.concepts.join(", ")}.`)];
  parts.push(make("h3", {}, "Row"), make("div", { className: "pair" }, code(row.row_html), evidence(row.evidence)));
  if (row.thinking) parts.push(folded("Trace of thought", make("pre", {}, row.thinking)));
  parts.push(make("h3", {}, `Samples (${row.samples.length + row.left_out})`),
    make("div", { className: "samples", tabIndex: 0, role: "group", "aria-label": "All samples" }, ...row.samples.map(sample)));
  if (row.left_out) parts.push(make("p", { className: "note" }, `${row.left_out} more samples are not shown.`));
  if (row.matrix.assertions?.length) parts.push(...matrix(row.matrix));
  else parts.push(make("p", { className: "note" }, "No matrix of samples and assertions is recorded for this task."));
  if (row.survivors_html.length) parts.push(make("h3", {}, `Mutants that the tests do not notice (${row.survivors_html.length})`), ...row.survivors_html.map(code));
  parts.push(make("h3", {}, "Seed"), seedLine(origin), code(row.seed_html));
  for (const prompt of row.prompts) {
    parts.push(folded(`Prompt of ${prompt.stage}`, make("details", {}, make("summary", {}, `${prompt.examples} solved examples before it`), make("pre", {}, beginnings[prompt.beginning])), make("pre", {}, prompt.question)));
  }
  return parts;
}

const folded = (title, ...children) => make("details", {}, make("summary", {}, title), ...children);

function seedLine(origin) {
  if (!origin.source) return make("p", { className: "note" }, "Its origin is not known.");
  const text = [origin.source, origin.revision, origin.path, origin.lines].filter(Boolean).join(", ");
  const place = origin.link ? make("a", { href: origin.link, rel: "noreferrer", target: "_blank" }, text) : text;
  return make("p", { className: "text" }, place, ` · licence ${origin.license}`);
}

function evidence(pairs) {
  return make("table", {}, make("tbody", {}, ...pairs.map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value)))));
}

function sample(found) {
  const facts = [];
  if (found.confidence !== undefined) facts.push(`confidence ${found.confidence.toFixed(3)}`);
  if (found.checks !== undefined) facts.push(`${found.checks} checks in ${found.milliseconds} ms`);
  if (found.tokens) facts.push(`${found.tokens} tokens`);
  return make("article", { className: found.chosen ? "sample chosen" : "sample" },
    make("p", {}, make("b", {}, `Sample ${found.number}`), " ", make("span", { className: found.status === "passed" ? "status passed" : "status" }, found.status),
      found.repaired !== undefined ? ` as written, passed with ${found.repaired} ${found.repaired === 1 ? "assertion" : "assertions"} repaired` : "", found.chosen ? " · in the data set" : ""),
    make("p", { className: "note" }, facts.join(" · ")),
    found.detail ? make("p", {}, found.detail) : null,
    found.later ? make("p", { className: "note" }, found.later) : null,
    code(found.html),
    found.repair_html ? make("p", { className: "note" }, "The repair of its tests:") : null,
    found.repair_html ? code(found.repair_html) : null,
    found.output ? folded("Output", make("pre", {}, found.output)) : null,
    found.thinking ? folded("Trace of thought", make("pre", {}, found.thinking)) : null);
}

function matrix(found) {
  const words = { "+": ["holds", "✓"], "-": ["fails", "✗"], "!": ["error", "!"], ".": ["does not fit", "·"] };
  const head = make("tr", {}, make("th", { scope: "col" }, "assertion"), ...found.samples.map((name) => make("th", { scope: "col" }, `s${name}`)));
  const lines = found.assertions.map((text, place) => make("tr", {}, make("th", { scope: "row" }, make("code", {}, text)),
    ...found.outcomes.map((outcomes, column) => {
      const [name, sign] = words[outcomes[place]];
      const own = found.authors[place].includes(column);
      return make("td", { className: `cell ${name.split(" ")[0]}${own ? " own" : ""}`, title: `${name}${own ? ", its own assertion" : ""}` }, sign);
    })));
  return [make("h3", {}, "Every sample against every assertion"),
    make("p", { className: "note" }, "✓ holds, ✗ fails, ! an error or no time left, · does not fit the code. A frame marks a sample's own assertion."),
    make("div", { className: "matrix", tabIndex: 0, role: "group", "aria-label": "Samples against assertions" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...lines)))];
}

setUpTheme();
if (one("#data-rows")) {
  const started = performance.now();
  // The page is drawn first; reading the rows takes its time after that.
  requestAnimationFrame(() => setTimeout(async () => {
    const browser = setUpRows(prepare(await unpackOnce("data-rows")));
    document.documentElement.dataset.ready = Math.round(performance.now() - started);
    window.snipmill = browser;
  }));
}
