// What moves on the page: sorting of tables, hiding of a norm everywhere at once, and the plots, drawn when they come into view.
// Texts in the data for plotly are escaped already; all others are only compared, never written into the page.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const hidden = new Set();
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Tables: figures by their number, missing ones last in both directions, anything else by its words.
  const words = new Intl.Collator("en", { numeric: true });
  function sort(heading) {
    const table = heading.closest("table"), body = table.tBodies[0];
    const direction = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    const sign = direction === "ascending" ? 1 : -1;
    const cell = (row) => row.cells[heading.cellIndex];
    const number = (row) => ("sort" in cell(row).dataset ? Number(cell(row).dataset.sort) : NaN);
    const rows = [...body.rows];
    const numeric = rows.some((row) => !Number.isNaN(number(row)));
    const order = (one, other) => {
      if (!numeric) return sign * words.compare(cell(one).textContent, cell(other).textContent);
      const [a, b] = [number(one), number(other)];
      if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
      return a === b ? 0 : sign * (a < b ? -1 : 1); // two infinities have no difference
    };
    body.append(...rows.sort(order));
    all("th[aria-sort]", table).forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", direction);
  }

  // One filter for tables and plots.
  function filter() {
    all("#filter input").forEach((box) => { box.checked = !hidden.has(box.value); });
    all("[data-toggle]").forEach((entry) => entry.setAttribute("aria-pressed", String(!hidden.has(entry.dataset.toggle))));
    all("tr[data-arm]").forEach((row) => { row.hidden = hidden.has(row.dataset.arm); });
    all("figure.plot.drawn").forEach(draw);
  }
  function show(arm, visible) {
    if (visible) hidden.delete(arm);
    else hidden.add(arm);
    filter();
  }

  // Plots.
  const plain = { displayModeBar: false, responsive: true, doubleClick: false, scrollZoom: false };
  const grid = "#e6e3dc", ink = "#1c1c1a", sans = getComputedStyle(document.querySelector(".summary")).fontFamily;
  const figure = (number, digits) => (number === null ? "–" : number.toLocaleString("en", digits === null ? { maximumSignificantDigits: 4 } : { maximumFractionDigits: digits }));
  function along(plot, trace, i) {
    const unit = plot.unit && ` ${plot.unit}`;
    const where = Object.entries(trace.x).map(([axis, values]) => `${figure(values[i], 3)} ${axis}`);
    const interval = trace.low[i] === null ? "" : ` (${figure(trace.low[i], plot.decimals)} to ${figure(trace.high[i], plot.decimals)})`;
    return [data.marks[trace.arm].label, where.join(", "), `${figure(trace.y[i], plot.decimals)}${unit}${interval}`].join("<br>");
  }
  function line(plot, trace, x, asBand, clipped) {
    const mark = data.marks[trace.arm];
    const text = asBand ? trace.y.map((_, i) => along(plot, trace, i)) : trace.text;
    const away = (ends, sign) => ends.map((end, i) => (end === null ? 0 : sign * (end - trace.y[i])));
    const points = {
      type: "scatter", mode: "lines+markers", x, y: trace.y, text, hoverinfo: "text", cliponaxis: clipped,
      line: { color: mark.color, dash: mark.dash, width: mark.width },
      marker: { symbol: mark.symbol, size: asBand ? 0.6 * mark.size : mark.size, color: asBand ? mark.color : "#fff", line: { color: mark.color, width: 1.6 } },
    };
    if (!asBand) {
      const array = away(trace.high, 1), arrayminus = away(trace.low, -1);
      points.error_y = { type: "data", symmetric: false, array, arrayminus, color: mark.color, thickness: 1.3, width: 3 };
      return [points];
    }
    const known = trace.y.map((_, i) => i).filter((i) => trace.low[i] !== null && trace.high[i] !== null);
    const back = [...known].reverse();
    const band = {
      type: "scatter", mode: "lines", hoverinfo: "skip", line: { width: 0 }, fill: "toself", fillcolor: mark.color + "26",
      x: [...known, ...back].map((i) => x[i]), y: [...known.map((i) => trace.high[i]), ...back.map((i) => trace.low[i])],
    };
    return [band, points];
  }
  function range(plot, traces) {
    const ends = traces.flatMap((trace) => [...trace.y, ...trace.low, ...trace.high]).filter((end) => end !== null);
    if (plot.rope !== null) ends.push(-plot.rope, plot.rope);
    if (plot.from_zero) ends.push(0);
    let low = Math.min(...ends), high = Math.max(...ends);
    if (!Number.isFinite(low + high)) return [0, 1];
    const margin = 0.05 * (high - low || Math.abs(high) || 1);
    if (plot.top !== null) high = Math.min(high, plot.top); // an interval may pass what a value cannot
    if (plot.top !== null) low = Math.max(low, 0);
    return [plot.from_zero ? 0 : low - margin, high + margin];
  }
  function horizontal(plot, axis) {
    const title = { text: axis || plot.x.title, standoff: 8, font: { size: 12.5 } };
    const shared = { title, fixedrange: true, linecolor: ink, ticks: "outside", tickcolor: ink, showgrid: false, zeroline: false };
    if (axis) return { ...shared, rangemode: "tozero" };
    const places = plot.x.logarithmic ? plot.x.ticks.map(Math.log10) : plot.x.ticks;
    const first = Math.min(...places), last = Math.max(...places);
    const margin = plot.x.logarithmic ? 0.06 * (last - first) : 0.4;
    const type = plot.x.logarithmic ? "log" : "linear";
    return { ...shared, type, tickvals: plot.x.ticks, ticktext: plot.x.labels, range: [first - margin, last + margin] };
  }
  function plotly() {
    if (!window.Plotly) {
      const script = document.createElement("script");
      script.textContent = document.getElementById("plotly").textContent;
      document.head.append(script); // which runs it at once
    }
    return window.Plotly;
  }
  function draw(element) {
    const plot = data.plots[element.dataset.plot];
    const choice = Object.fromEntries(all("select", element).map((select) => [select.dataset.choice, select.value]));
    const shown = (panel) => panel.traces.filter((trace) => !hidden.has(trace.arm) && (trace.column === null || trace.column === choice.column));
    const common = range(plot, plot.panels.flatMap(shown));
    const rope = plot.rope === null ? [] : [{ type: "rect", xref: "paper", x0: 0, x1: 1, y0: -plot.rope, y1: plot.rope, fillcolor: "#8a877f", opacity: 0.22, line: { width: 0 }, layer: "below" }];
    const zero = plot.rope === null ? { zeroline: false } : { zeroline: true, zerolinecolor: ink, zerolinewidth: 1 };
    const near = choice.scale === "2"; // what lies further from 0 is cut off at the frame
    const span = (panel) => (near ? [-data.near_ropes * plot.rope, data.near_ropes * plot.rope] : choice.scale === "1" ? range(plot, shown(panel)) : common);
    all(".canvas", element).forEach((canvas, i) => {
      const traces = shown(plot.panels[i]).flatMap((trace) => line(plot, trace, choice.axis ? trace.x[choice.axis] : trace.x, Boolean(choice.axis), near));
      const layout = {
        showlegend: false, hovermode: "closest", dragmode: false, shapes: rope, paper_bgcolor: "#fff", plot_bgcolor: "#fff",
        margin: { l: 58, r: 14, t: 10, b: 48 }, font: { family: sans, size: 12.5, color: ink },
        hoverlabel: { bgcolor: "#fff", align: "left", font: { family: sans, size: 12, color: ink } }, xaxis: horizontal(plot, choice.axis),
        yaxis: { title: { text: plot.y_title, standoff: 10, font: { size: 12.5 } }, range: span(plot.panels[i]), fixedrange: true, gridcolor: grid, ...zero },
      };
      plotly().react(canvas, traces, layout, plain);
    });
    element.classList.add("drawn");
  }

  document.addEventListener("click", (event) => {
    const heading = event.target.closest("thead th"), entry = event.target.closest("[data-toggle]");
    if (heading && event.target.closest("button")) sort(heading);
    else if (entry) show(entry.dataset.toggle, hidden.has(entry.dataset.toggle));
    else if (event.target.id === "show-all") { hidden.clear(); filter(); }
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("#filter input")) show(event.target.value, event.target.checked);
    else if (event.target.matches("select")) draw(event.target.closest("figure"));
  });
  // Reading plotly.js takes longer than all the rest, so it waits until the page is painted and answers.
  window.addEventListener("load", () => requestAnimationFrame(() => setTimeout(() => {
    const seen = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
      seen.unobserve(entry.target);
      draw(entry.target);
    }), { rootMargin: "400px" });
    all("figure.plot").forEach((element) => seen.observe(element));
    plotly();
  })));
  window.addEventListener("beforeprint", () => {
    all("details").forEach((details) => { details.open = true; });
    all("figure.plot:not(.drawn)").forEach(draw);
  });
})();
