// The time series chart, drawn as SVG: traces with gaps, axes, legend, read-out, limit lines, marked ranges.

import { plotsOf, timeSpan, timeTicks, valueSpan, valueTicks } from "./chart_model.js";
import { watchSize } from "./containers.js";
import { attribute, make, plain, setText, svg } from "./dom.js";
import { formatDate, shortest } from "./format.js";
import { renderer } from "./tree.js";

const LEFT = 62;
const RIGHT = 14;
const BOTTOM = 26;
const GAP = 14;
const COLOURS = 6;
const DASHES = ["", "7 4", "2 3", "10 3 2 3", "4 2", "1 4"];

const colour = (trace) => trace.color || `var(--chart-${(trace.number % COLOURS) + 1})`;
const dash = (trace) => trace.dash || DASHES[trace.number % DASHES.length];
const rounded = (value) => shortest(Number(value.toPrecision(5)));

class Chart {
  constructor(component) {
    this.component = component;
    this.title = make("h3", { class: "chart-title" });
    this.legend = make("ul", { class: "chart-legend" });
    this.drawing = svg("svg", { class: "chart-drawing", role: "img" });
    this.readout = make("div", { class: "chart-readout", "aria-live": "polite", hidden: true });
    this.nothing = make("p", { class: "chart-empty" }, "No data in this time range");
    this.area = make("div", { class: "chart-area", tabindex: 0, role: "group" }, this.drawing, this.readout, this.nothing);
    this.root = make("div", { class: "chart" }, this.title, this.area, this.legend);
    this.size = { width: 0, height: 0 };
    this.cursor = null;
    this.close = watchSize(this.area, ({ width, height }) => {
      this.size = { width, height };
      this.draw();
    });
    this.area.addEventListener("pointermove", (event) => this.point(event.clientX - this.area.getBoundingClientRect().left));
    this.area.addEventListener("pointerleave", () => this.read(null));
    this.area.addEventListener("blur", () => this.read(null));
    this.area.addEventListener("keydown", (event) => this.key(event));
  }

  update(changed) {
    if (changed && [...changed].every((key) => !key.startsWith("props."))) return;
    const { props } = this.component;
    this.plots = plotsOf(props);
    this.span = timeSpan(props, this.plots);
    this.title.hidden = !props.title?.text || props.title.visible === false;
    setText(this.title, props.title?.text);
    this.showLegend(props.legend ?? {});
    this.describe();
    this.draw();
  }

  get traces() {
    return this.plots.flatMap((plot) => plot.traces);
  }

  showLegend(legend) {
    this.legend.hidden = legend.visible === false || this.traces.length === 0;
    const entries = this.traces.map((trace) => {
      const sample = svg("svg", { width: 26, height: 10, "aria-hidden": "true" });
      if (trace.type === "scatter") sample.append(svg("circle", { cx: 13, cy: 5, r: 4, fill: colour(trace) }));
      else sample.append(svg("line", { x1: 1, x2: 25, y1: 5, y2: 5, stroke: colour(trace), "stroke-width": 2.5, "stroke-dasharray": dash(trace) }));
      return make("li", {}, sample, trace.name);
    });
    this.legend.replaceChildren(...entries);
  }

  /** What somebody hears who cannot see the lines. */
  describe() {
    const parts = this.traces.map((trace) => {
      const known = trace.points.filter((point) => point.v !== null);
      const last = known.at(-1);
      if (!last) return `${trace.name}: no data`;
      const values = known.map((point) => point.v);
      const span = `between ${rounded(values.reduce((a, b) => Math.min(a, b)))} and ${rounded(values.reduce((a, b) => Math.max(a, b)))}`;
      return `${trace.name}: last ${rounded(last.v)} at ${formatDate(last.t, "HH:mm:ss")}, ${span}`;
    });
    const limits = this.plots.flatMap((plot) => plot.limits.map((one) => `${one.label || "limit"} ${rounded(one.value)}`));
    const title = plain(this.component.props.title?.text) || this.component.spokenName;
    const text = `${title}. ${[...parts, ...limits].join("; ") || "No data"}.`;
    attribute(this.drawing, "aria-label", text);
    attribute(this.area, "aria-label", `${title}: arrow keys read values`);
  }

  draw() {
    const { width, height } = this.size;
    this.nothing.hidden = this.span !== null;
    if (width < 40 || height < 40 || !this.plots) return;
    attribute(this.drawing, "viewBox", `0 0 ${width} ${height}`);
    this.drawing.replaceChildren();
    if (!this.span) return;
    const inner = width - LEFT - RIGHT;
    this.x = (t) => LEFT + ((t - this.span.from) / (this.span.to - this.span.from)) * inner;
    const whole = height - BOTTOM - GAP * (this.plots.length - 1) - 8;
    const weights = this.plots.reduce((sum, plot) => sum + plot.weight, 0);
    let top = 8;
    for (const plot of this.plots) {
      const tall = Math.max(20, (whole * plot.weight) / weights);
      this.drawPlot(plot, top, tall, width);
      top += tall + GAP;
    }
    this.drawTimes(height - BOTTOM, width);
    this.line = svg("line", { class: "chart-cursor", y1: 8, y2: height - BOTTOM, visibility: "hidden" });
    this.drawing.append(this.line);
    if (this.cursor !== null) this.read(this.cursor);
  }

  drawTimes(bottom, width) {
    const { ticks, pattern } = timeTicks(this.span, Math.max(2, Math.floor((width - LEFT) / 90)));
    for (const t of ticks) {
      this.drawing.append(
        svg("line", { class: "chart-grid", x1: this.x(t), x2: this.x(t), y1: 8, y2: bottom }),
        svg("text", { class: "chart-label", x: this.x(t), y: bottom + 18, "text-anchor": "middle" }, formatDate(t, pattern)),
      );
    }
  }

  drawPlot(plot, top, tall, width) {
    const span = valueSpan(plot);
    const y = (v) => top + tall - ((v - span.low) / (span.high - span.low || 1)) * tall;
    const group = svg("g");
    const clip = svg("svg", { x: LEFT, y: top, width: Math.max(1, width - LEFT - RIGHT), height: tall, viewBox: `${LEFT} ${top} ${Math.max(1, width - LEFT - RIGHT)} ${tall}` });
    for (const mark of plot.marks) clip.append(...this.mark(mark, top, tall));
    for (const value of valueTicks(span, Math.max(2, Math.floor(tall / 40)))) {
      group.append(
        svg("line", { class: "chart-grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
        svg("text", { class: "chart-label", x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, rounded(value)),
      );
    }
    const name = plain(plot.axis.label?.text ?? plot.axis.label);
    if (name) {
      const middle = top + tall / 2;
      group.append(svg("text", { class: "chart-label", x: 13, y: middle, "text-anchor": "middle", transform: `rotate(-90 13 ${middle})` }, name));
    }
    for (const limit of plot.limits) {
      const stroke = limit.color || "var(--warning)";
      clip.append(svg("line", { class: "chart-limit", x1: LEFT, x2: width - RIGHT, y1: y(limit.value), y2: y(limit.value), stroke }));
    }
    for (const trace of plot.traces) clip.append(...this.trace(trace, y, top + tall));
    for (const limit of plot.limits) {
      clip.append(svg("text", { class: "chart-label", x: width - RIGHT - 4, y: y(limit.value) - 5, "text-anchor": "end" }, limit.label));
    }
    group.append(svg("rect", { class: "chart-frame", x: LEFT, y: top, width: Math.max(1, width - LEFT - RIGHT), height: tall }), clip);
    this.drawing.append(group);
  }

  mark(mark, top, tall) {
    const from = this.x(mark.from);
    const wide = Math.max(2, this.x(mark.to) - from);
    const fill = mark.color || "var(--warning)";
    return [
      svg("rect", { class: "chart-mark", x: from, y: top, width: wide, height: tall, fill }),
      svg("line", { x1: from, x2: from, y1: top, y2: top + tall, stroke: fill, "stroke-dasharray": "3 3" }),
      svg("text", { class: "chart-label", x: from + 5, y: top + 14 }, mark.label),
    ];
  }

  /** One path; where data is null the line is broken, and a lone point is a dot. */
  trace(trace, y, floor) {
    if (trace.type === "scatter") {
      return trace.points.filter((p) => p.v !== null).map((p) => svg("circle", { class: "chart-dot", cx: this.x(p.t), cy: y(p.v), r: trace.radius + 1, fill: colour(trace) }));
    }
    if (trace.type === "bar") {
      return trace.points.filter((p) => p.v !== null).map((p) => svg("rect", { x: this.x(p.t) - 2, y: y(p.v), width: 4, height: Math.max(0, floor - y(p.v)), fill: colour(trace) }));
    }
    const runs = [[]];
    for (const point of trace.points) {
      if (point.v === null) runs.push([]);
      else runs.at(-1).push(point);
    }
    const found = [];
    for (const run of runs.filter((one) => one.length)) {
      const at = (p) => `${this.x(p.t).toFixed(1)} ${y(p.v).toFixed(1)}`;
      const path = run.map((p, i) => (i === 0 ? `M${at(p)}` : trace.step ? `H${this.x(p.t).toFixed(1)}V${y(p.v).toFixed(1)}` : `L${at(p)}`)).join("");
      if (run.length === 1) found.push(svg("circle", { cx: this.x(run[0].t), cy: y(run[0].v), r: 2.5, fill: colour(trace) }));
      if (trace.type === "area") {
        found.push(svg("path", { class: "chart-fill", d: `${path}L${this.x(run.at(-1).t)} ${floor}L${this.x(run[0].t)} ${floor}Z`, fill: colour(trace) }));
      }
      found.push(svg("path", { class: "chart-line", d: path, stroke: colour(trace), "stroke-width": trace.width, "stroke-dasharray": dash(trace) }));
    }
    return found;
  }

  moments() {
    return [...new Set(this.traces.flatMap((trace) => trace.points.map((point) => point.t)))].sort((a, b) => a - b);
  }

  point(offset) {
    if (!this.span || !this.x) return;
    const inner = this.size.width - LEFT - RIGHT;
    const wanted = this.span.from + ((offset - LEFT) / inner) * (this.span.to - this.span.from);
    const all = this.moments();
    if (all.length) this.read(all.reduce((best, t) => (Math.abs(t - wanted) < Math.abs(best - wanted) ? t : best)));
  }

  key(event) {
    const all = this.span ? this.moments() : [];
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape" && this.cursor !== null) {
      event.preventDefault();
      this.read(null);
    } else if (step && all.length) {
      event.preventDefault();
      const at = this.cursor === null ? all.length : all.indexOf(this.cursor); // begins at the newest
      this.read(all[Math.max(0, Math.min(all.length - 1, at + step))]);
    }
  }

  /** Show the values at a moment; null takes the read-out away. */
  read(t) {
    this.cursor = t;
    this.readout.hidden = t === null;
    this.line?.setAttribute("visibility", t === null ? "hidden" : "visible");
    if (t === null || !this.line) return;
    const x = this.x(t);
    attribute(this.line, "x1", x);
    attribute(this.line, "x2", x);
    const lines = this.traces.flatMap((trace) => {
      const point = trace.points.find((one) => one.t === t);
      return point && point.v !== null ? [make("div", {}, `${trace.name}: ${rounded(point.v)}`)] : [];
    });
    this.readout.replaceChildren(make("strong", {}, formatDate(t, "YYYY-MM-DD HH:mm:ss")), ...lines);
    const right = x > this.size.width / 2;
    this.readout.style.left = right ? "" : `${x + 10}px`;
    this.readout.style.right = right ? `${this.size.width - x + 10}px` : "";
  }
}

renderer("ia.chart.timeseries", (component) => {
  const chart = new Chart(component);
  return { root: chart.root, update: (changed) => chart.update(changed), close: chart.close };
});
