// What moves on the page: sorting of tables, hiding of an arm everywhere at once, opening of parts, and the plots, which are drawn
// when they come into view. Texts in the data for plotly are escaped already; all others are only compared, never written.
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
    redraw();
  }
  function show(arm, visible) {
    if (visible) hidden.delete(arm);
    else hidden.add(arm);
    filter();
  }

  // Parts that are folded away: a link to something inside opens them.
  function reveal(id) {
    const target = document.getElementById(id);
    for (let each = target; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
    if (target) target.scrollIntoView();
  }
  const parts = () => all("main details");
  function openAll(open) {
    parts().forEach((part) => { part.open = open; });
    document.getElementById("open-all").textContent = open ? "Close everything" : "Open everything";
  }

  // Plots.
  const plain = { displayModeBar: false, responsive: true, doubleClick: false, scrollZoom: false };
  const sans = getComputedStyle(document.querySelector(".summary")).fontFamily;
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const pick = (values, places) => places.map((place) => values[place]);
  // A vertical axis that is logarithmic beyond a value, in numbers that plotly can show side by side.
  function warp(plot, value) {
    const from = plot.log_beyond;
    return from === null || value === null || Math.abs(value) <= from ? value : Math.sign(value) * from * (1 + Math.log10(Math.abs(value) / from));
  }
  function traces(plot, trace, axis, bottom) {
    const mark = data.marks[trace.arm], color = css(mark.color), x = trace.x[axis];
    const [y, low, high] = [trace.y, trace.low, trace.high].map((values) => values.map((value) => warp(plot, value)));
    const size = plot.bands ? 0.6 * mark.size : mark.size;
    const marker = { symbol: mark.symbol, size, color: plot.bands ? color : css("paper"), line: { color, width: 1.6 } };
    const points = {
      type: "scatter", mode: "markers", x, y, text: trace.hover, hoverinfo: "text", cliponaxis: false, marker,
      ...(plot.axes[axis].lines && { mode: "lines+markers", line: { color, dash: mark.dash, width: mark.width } }),
    };
    const drawn = [points];
    const known = x.map((_, i) => i).filter((i) => low[i] !== null && high[i] !== null), back = [...known].reverse();
    if (plot.bands && known.length) {
      drawn.unshift({
        type: "scatter", mode: "lines", hoverinfo: "skip", line: { width: 0 }, fill: "toself", fillcolor: `${color}26`,
        x: [...pick(x, known), ...pick(x, back)], y: [...pick(high, known), ...pick(low, back)],
      });
    } else if (!plot.bands) {
      const away = (ends, sign) => ends.map((end, i) => (end === null ? 0 : sign * (end - y[i])));
      points.error_y = { type: "data", symmetric: false, array: away(high, 1), arrayminus: away(low, -1), color, thickness: 1.3, width: 3 };
    }
    if (trace.diverged.length) { // a ring around the point, or on the axis where no figure is left
      const ring = { symbol: "circle-open", size: 15, color: css("ink"), line: { color: css("ink"), width: 1.4 } };
      const lost = trace.diverged.filter((i) => y[i] === null), at = (places) => ({ x: pick(x, places), text: pick(trace.hover, places) });
      const shared = { type: "scatter", mode: "markers", hoverinfo: "text", cliponaxis: false };
      if (lost.length) drawn.push({ ...shared, ...at(lost), y: lost.map(() => bottom), marker });
      drawn.push({ ...shared, ...at(trace.diverged), y: trace.diverged.map((i) => y[i] ?? bottom), marker: ring });
    }
    return drawn;
  }
  function range(plot, shown) {
    const ends = shown.flatMap((trace) => [...trace.y, ...trace.low, ...trace.high]).filter((end) => end !== null);
    if (plot.rope !== null) ends.push(-plot.rope, plot.rope);
    if (plot.from_zero) ends.push(0);
    const warped = ends.map((end) => warp(plot, end));
    let low = Math.min(...warped), high = Math.max(...warped);
    if (!Number.isFinite(low + high)) return [0, 1];
    const room = (high - low || Math.abs(high) || 1) / 50, [least, most] = plot.limits; // for markers
    low = least === null ? low - 2.5 * room : Math.max(low - 2.5 * room, least - room);
    high = most === null ? high + 2.5 * room : Math.min(high + 2.5 * room, most + room);
    return [plot.from_zero ? 0 : low, high];
  }
  function horizontal(axis) {
    const title = { text: axis.title, standoff: 8, font: { size: 12.5 } }, ink = css("ink");
    const shared = { title, fixedrange: true, linecolor: ink, ticks: "outside", tickcolor: ink, showgrid: false, zeroline: false };
    if (axis.span === null) return { ...shared, rangemode: "tozero" };
    const span = axis.log ? axis.span.map(Math.log10) : axis.span;
    return { ...shared, type: axis.log ? "log" : "linear", tickvals: axis.ticks, ticktext: axis.labels, range: span };
  }
  function vertical(plot, span) {
    const zero = plot.zero_line ? { zeroline: true, zerolinecolor: css("ink"), zerolinewidth: 1 } : { zeroline: false };
    const shared = { title: { text: plot.y_title, standoff: 10, font: { size: 12.5 } }, range: span, fixedrange: true, gridcolor: css("faint"), ...zero };
    if (plot.log_beyond === null) return shared;
    const ticks = plot.y_ticks.filter((tick) => warp(plot, tick) >= span[0] && warp(plot, tick) <= span[1]);
    return { ...shared, tickvals: ticks.map((tick) => warp(plot, tick)), ticktext: ticks.map((tick) => String(tick).replace("-", "−")) };
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
    const axis = Number(choice.axis ?? 0);
    const panel = (section) => plot.panels.find((each) => each.section === section && (!choice.column || each.column === choice.column));
    const shown = plot.sections.map((section) => (panel(section)?.traces ?? []).filter((trace) => !hidden.has(trace.arm)));
    const common = range(plot, shown.flat()), ink = css("ink");
    const band = { type: "rect", xref: "paper", x0: 0, x1: 1, y0: -plot.rope, y1: plot.rope, fillcolor: css("band"), line: { width: 0 }, layer: "below" };
    all(".canvas", element).forEach((canvas, i) => {
      const span = choice.scale === "1" ? range(plot, shown[i]) : common;
      const layout = {
        showlegend: false, hovermode: "closest", dragmode: false, shapes: plot.rope === null ? [] : [band],
        paper_bgcolor: css("paper"), plot_bgcolor: css("paper"), margin: { l: 58, r: 14, t: 10, b: 48 }, font: { family: sans, size: 12.5, color: ink },
        hoverlabel: { bgcolor: css("paper"), bordercolor: css("edge"), align: "left", font: { family: sans, size: 12, color: ink } },
        xaxis: horizontal(plot.axes[axis]), yaxis: vertical(plot, span),
      };
      plotly().react(canvas, shown[i].flatMap((trace) => traces(plot, trace, axis, span[0])), layout, plain);
    });
    element.classList.add("drawn");
  }
  const seen = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
    seen.unobserve(entry.target);
    draw(entry.target);
  }), { rootMargin: "400px" });
  function redraw() { // what is folded away waits until it is opened
    all("figure.plot.drawn").forEach((element) => {
      if (!element.closest("details:not([open])")) return draw(element);
      element.classList.remove("drawn");
      seen.observe(element);
    });
  }

  document.addEventListener("click", (event) => {
    const heading = event.target.closest("thead th"), entry = event.target.closest("[data-toggle]"), link = event.target.closest("a[href^='#']");
    if (heading && event.target.closest("button")) sort(heading);
    else if (entry) show(entry.dataset.toggle, hidden.has(entry.dataset.toggle));
    else if (event.target.id === "show-all") { hidden.clear(); filter(); }
    else if (event.target.id === "open-all") openAll(parts().some((part) => !part.open));
    else if (link) reveal(link.hash.slice(1)); // also where the address has it already
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("#filter input")) show(event.target.value, event.target.checked);
    else if (event.target.matches("select")) draw(event.target.closest("figure"));
  });
  window.addEventListener("hashchange", () => reveal(location.hash.slice(1)));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  document.getElementById("open-all").hidden = false;
  if (location.hash) reveal(location.hash.slice(1));
  // Reading plotly.js takes longer than all the rest, so it waits until the page is painted and answers.
  window.addEventListener("load", () => requestAnimationFrame(() => setTimeout(() => {
    all("figure.plot").forEach((element) => seen.observe(element));
    plotly();
  })));
  // On paper everything is open, and black on white.
  let closed = [];
  window.addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printing");
    closed = parts().filter((part) => !part.open);
    closed.forEach((part) => { part.open = true; });
    all("figure.plot").forEach(draw);
  });
  window.addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    redraw();
    closed.forEach((part) => { part.open = false; });
  });
})();
