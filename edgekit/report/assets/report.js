"use strict";
// Draws the plots in the colours of the light or the dark scheme, and makes plots and tables usable by keyboard.
// Every text gets into the page as text (textContent), never as HTML.
(() => {
  const root = document.documentElement;
  const plots = JSON.parse(document.getElementById("plots-data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const coarse = matchMedia("(pointer: coarse)");
  const NAME_PX = { letter: 6.6, height: 15 };
  const PAPER_PX = 680;
  const HINT = "← → step through the points, Home and End go to the ends, Esc leaves.";
  const state = new Map();

  // A colour is the name of a custom property of the style sheet, "$ink"; only colours are replaced, never texts.
  function coloured(value, key, styles) {
    if (Array.isArray(value)) return value.map((one) => coloured(one, key, styles));
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, coloured(one, name, styles)]));
    }
    const named = typeof value === "string" && value.startsWith("$") && /color$/i.test(key);
    return named ? styles.getPropertyValue(`--${value.slice(1)}`).trim() : value;
  }

  function config() {
    return {
      responsive: true, displaylogo: false, displayModeBar: coarse.matches ? false : "hover", doubleClick: "reset",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"], scrollZoom: false,
    };
  }

  function draw(id) {
    const box = document.getElementById(id);
    const kept = state.get(id);
    const figure = coloured(plots[id].variants[kept.variant].figure, "", getComputedStyle(root));
    figure.layout.dragmode = coarse.matches ? false : "zoom";
    figure.layout.uirevision = kept.variant;
    if (root.classList.contains("paper")) figure.layout.width = PAPER_PX;
    return Plotly.react(box, figure.data, figure.layout, config()).then(() => placeNames(box));
  }

  // Where a name may stand beside its point: (pixels right of it, pixels below it), the best first.
  const SIDES = [[9, -16], [9, 16], [-9, -16], [-9, 16], [0, -22], [0, 22]];

  function nameBox([x, y], text, [right, down]) {
    const width = text.length * NAME_PX.letter;
    const left = x + right - (right === 0 ? width / 2 : right < 0 ? width : 0);
    return [left, y + down - NAME_PX.height / 2, left + width, y + down + NAME_PX.height / 2];
  }

  // Each name gets the first side of its point on which it covers neither a point nor another name; else none.
  function placeNames(box) {
    const kept = state.get(box.id);
    const names = box._fullLayout.meta && box._fullLayout.meta.names;
    if (!names || kept.placing) return undefined;
    const { xaxis, yaxis } = box._fullLayout;
    const points = box._fullData.filter((trace) => trace.mode === "markers")
      .flatMap((trace) => trace.x.map((x, i) => [xaxis.d2p(x), yaxis.d2p(trace.y[i])]));
    const taken = points.map(([x, y]) => [x - 7, y - 7, x + 7, y + 7]);
    const clear = (b) => b[0] >= 0 && b[1] >= 0 && b[2] <= xaxis._length && b[3] <= yaxis._length
      && taken.every((t) => b[2] < t[0] || t[2] < b[0] || b[3] < t[1] || t[3] < b[1]);
    const annotations = [];
    for (const { x, y, text } of names) {
      const at = [xaxis.d2p(x), yaxis.d2p(y)];
      const side = SIDES.find((one) => clear(nameBox(at, text, one)));
      if (side === undefined) continue;
      taken.push(nameBox(at, text, side));
      annotations.push({
        x: xaxis.type === "log" ? Math.log10(x) : x, y: yaxis.type === "log" ? Math.log10(y) : y, text,
        xshift: side[0], yshift: -side[1], showarrow: false, font: { size: 12 }, borderpad: 0,
        xanchor: side[0] === 0 ? "center" : side[0] < 0 ? "right" : "left", yanchor: "middle",
      });
    }
    kept.placing = true;
    return Plotly.relayout(box, { annotations }).then(() => { kept.placing = false; });
  }

  function say(id, text) {
    document.getElementById(`${id}-readout`).textContent = text;
  }

  function step(id, key) {
    const kept = state.get(id);
    const steps = plots[id].variants[kept.variant].steps;
    if (!steps.length) return;
    const last = steps.length - 1;
    const to = { ArrowRight: kept.step + 1, ArrowLeft: kept.step - 1, Home: 0, End: last }[key];
    kept.step = Math.min(last, Math.max(0, to));
    const [curve, point, text] = steps[kept.step];
    const box = document.getElementById(id);
    const trace = box._fullData[curve];
    Plotly.Fx.hover(box, [{ curveNumber: curve, pointNumber: point }], `${trace.xaxis || "x"}${trace.yaxis || "y"}`);
    say(id, `${kept.step + 1} of ${steps.length}: ${text}`);
  }

  function leave(id) {
    const box = document.getElementById(id);
    state.get(id).step = -1;
    Plotly.Fx.unhover(box);
    say(id, document.activeElement === box ? HINT : "");
  }

  function listen(id) {
    const box = document.getElementById(id);
    box.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey || event.target !== box) return;
      if (event.key === "Escape") leave(id);
      else if (["ArrowRight", "ArrowLeft", "Home", "End"].includes(event.key)) step(id, event.key);
      else return;
      event.preventDefault();
    });
    box.on("plotly_relayout", () => placeNames(box));
    box.addEventListener("focus", () => say(id, HINT));
    box.addEventListener("blur", () => leave(id));
  }

  function made(tag, text, side) {
    const element = document.createElement(tag);
    if (text !== null) element.textContent = text;
    if (side) element.className = side;
    return element;
  }

  function tabulate(id) {
    const place = document.querySelector(`[data-table-of="${id}"]`);
    const given = plots[id].variants[state.get(id).variant].table;
    if (place === null || given === null) return;
    const table = made("table", null);
    const head = table.createTHead().insertRow();
    for (const [heading, side] of given.columns) head.append(made("th", heading, side));
    const body = table.createTBody();
    for (const row of given.rows) {
      const line = body.insertRow();
      row.forEach((text, place) => line.append(made(place ? "td" : "th", text, given.columns[place][1])));
    }
    place.replaceChildren(table);
  }

  function choose(event) {
    for (const id of event.target.dataset.plots.split(" ")) {
      state.get(id).variant = Number(event.target.value);
      state.get(id).step = -1;
      draw(id);
      say(id, "");
      tabulate(id);
    }
  }

  function sort(event) {
    const head = event.target.closest("th");
    const column = [...head.parentNode.children].indexOf(head);
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = head.closest("table").tBodies[0];
    const number = (row) => ("v" in row.cells[column].dataset ? Number(row.cells[column].dataset.v) : null);
    const compared = (a, b) => {
      const [one, other] = [number(a), number(b)];
      if (one !== null && other !== null) return up ? one - other : other - one;
      // What is not known comes last, whichever way round.
      if (one !== null || other !== null) return one === null ? 1 : -1;
      const order = a.cells[column].textContent.localeCompare(b.cells[column].textContent, "en", { numeric: true });
      return up ? order : -order;
    };
    body.append(...[...body.rows].sort(compared));
  }

  function redraw() {
    for (const id of state.keys()) draw(id);
  }

  let timer = 0;
  function resized() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      for (const id of state.keys()) placeNames(document.getElementById(id));
    }, 150);
  }

  function paper(on) {
    root.classList.toggle("paper", on);
    redraw();
  }

  // One plot after another, so that the page can be read and scrolled meanwhile.
  function drawNext(ids) {
    if (!ids.length) {
      root.dataset.drawn = "all";
      return;
    }
    const [id, ...rest] = ids;
    state.set(id, { variant: 0, step: -1 });
    Promise.resolve(draw(id)).then(() => {
      listen(id);
      tabulate(id);
      setTimeout(drawNext, 0, rest);
    });
  }

  for (const button of document.querySelectorAll("button.sort")) button.addEventListener("click", sort);
  for (const select of document.querySelectorAll("select[data-plots]")) select.addEventListener("change", choose);
  dark.addEventListener("change", redraw);
  addEventListener("resize", resized);
  addEventListener("beforeprint", () => paper(true));
  addEventListener("afterprint", () => paper(false));
  // In the order of the page, not of the data, which is sorted by name.
  drawNext([...document.querySelectorAll(".plot")].map((box) => box.id));
})();
