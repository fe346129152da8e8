// What a time series chart shows, worked out of Perspective's properties: traces, axes, limits, marks.

import { plain } from "./dom.js";
import { toDate } from "./format.js";

/** Rows of a series as [{t, values}], columns in the order given; the first column is the time. */
function table(data) {
  const set = data?.dataset ?? data;
  let names = [];
  let rows = [];
  if (Array.isArray(set) && set.length) {
    const keys = new Set(set.flatMap((row) => Object.keys(row ?? {})));
    names = [...(keys.has("t_stamp") ? ["t_stamp"] : []), ...[...keys].filter((key) => key !== "t_stamp")];
    rows = set.map((row) => names.map((name) => row?.[name]));
  } else if (Array.isArray(set?.columns)) {
    names = set.columns.map((column) => (typeof column === "object" ? column.name : column));
    rows = set.rows ?? [];
  }
  const points = rows.map((row) => ({ t: toDate(row[0])?.getTime(), values: row.slice(1) })).filter((point) => point.t !== undefined);
  points.sort((one, other) => one.t - other.t);
  return { columns: names.slice(1), points };
}

/** What the trend says about one of its columns, from an array of {key, …} or an object by key. */
function columnSettings(trend, key) {
  const { columns } = trend;
  if (Array.isArray(columns)) return columns.find((one) => one?.key === key || one?.column === key) ?? null;
  return columns?.[key] ?? null;
}

const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);

/** Plots from top to bottom, each with its traces, value axis, limit lines and marked ranges. */
export function plotsOf(props) {
  const series = (Array.isArray(props.series) ? props.series : []).filter((one) => one && one.visible !== false);
  const given = (Array.isArray(props.plots) ? props.plots : []).filter((plot) => plot && plot.visible !== false);
  const plots = given.length ? given : [{ trends: series.map((one) => ({ series: one.name })) }];
  let count = 0;
  return plots.map((plot) => {
    const traces = [];
    const limits = [...lines(plot.baselines)];
    for (const trend of plot.trends ?? []) {
      const source = series.find((one) => one.name === trend?.series);
      if (!source || trend.visible === false) continue;
      limits.push(...lines(trend.baselines));
      const { columns, points } = table(source.data);
      columns.forEach((key, index) => {
        const own = columnSettings(trend, key) ?? {};
        const listed = Array.isArray(trend.columns) && trend.columns.length > 0;
        if (own.visible === false || (listed && !columnSettings(trend, key))) return;
        const merged = { ...trend, ...own };
        const stroke = merged.stroke ?? {};
        traces.push({
          number: count++,
          name: plain(own.name ?? own.label ?? (columns.length > 1 ? key : source.name)),
          type: merged.type ?? "line",
          color: plain(merged.color ?? stroke.color ?? (typeof stroke === "string" ? stroke : "")),
          width: Number(stroke.width ?? merged.width ?? 2) || 2,
          dash: plain(stroke.dashArray ?? merged.dashArray),
          step: ["step", "stepAfter", "curveStepAfter"].includes(merged.interpolation),
          radius: number(merged.radius) ?? 3,
          points: points.map((point) => ({ t: point.t, v: number(point.values[index]) })),
        });
      });
    }
    return { weight: Number(plot.relativeWeight) || 1, traces, limits, marks: ranges(plot.markers), axis: plot.axes?.[0] ?? {} };
  });
}

function lines(given) {
  return (Array.isArray(given) ? given : [])
    .map((one) => ({ value: number(one?.value), label: plain(one?.label?.text ?? one?.label), color: plain(one?.color) }))
    .filter((one) => one.value !== null);
}

/** Moments and spans worth marking: {time} or {startDate, endDate}, each with a label and a colour. */
function ranges(given) {
  return (Array.isArray(given) ? given : []).flatMap((one) => {
    const from = toDate(one?.startDate ?? one?.start ?? one?.time ?? one?.value)?.getTime();
    const to = toDate(one?.endDate ?? one?.end)?.getTime() ?? from;
    return from === undefined ? [] : [{ from, to, label: plain(one.label?.text ?? one.label), color: plain(one.color) }];
  });
}

/** The time axis: as the property says, else as far as the data reaches; null when there is nothing. */
export function timeSpan(props, plots) {
  const wanted = props.timeRange ?? {};
  const times = plots.flatMap((plot) => plot.traces.flatMap((trace) => trace.points.map((point) => point.t)));
  const from = toDate(wanted.startDate)?.getTime() ?? times.reduce((one, other) => Math.min(one, other), Infinity);
  const to = toDate(wanted.endDate)?.getTime() ?? times.reduce((one, other) => Math.max(one, other), -Infinity);
  if (!Number.isFinite(from) || !Number.isFinite(to)) return null;
  return to > from ? { from, to } : { from: from - 30000, to: to + 30000 };
}

/** The value axis: a range that holds every trace and limit line, with a little air. */
export function valueSpan(plot) {
  const range = plot.axis.range ?? {};
  const values = [...plot.traces.flatMap((trace) => trace.points.map((point) => point.v)), ...plot.limits.map((one) => one.value)].filter((v) => v !== null);
  let low = values.reduce((one, other) => Math.min(one, other), Infinity);
  let high = values.reduce((one, other) => Math.max(one, other), -Infinity);
  if (!Number.isFinite(low)) [low, high] = [0, 1];
  const air = (high - low) * 0.06 || Math.abs(high) * 0.05 || 1;
  const least = number(range.min ?? plot.axis.min);
  const most = number(range.max ?? plot.axis.max);
  return { low: least ?? low - air, high: most ?? high + air };
}

/** Round steps from low to high, about ``count`` of them. */
export function valueTicks({ low, high }, count) {
  const raw = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= raw) ?? raw;
  const ticks = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) ticks.push(Number(value.toPrecision(12)));
  return ticks;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [1, 2, 5, 10, 15, 30].map((n) => n * SECOND)
  .concat([1, 2, 5, 10, 15, 30].map((n) => n * MINUTE), [1, 2, 3, 6, 12].map((n) => n * HOUR), [1, 2, 7, 14, 30, 90, 365].map((n) => n * DAY));

/** Full moments of local time on the axis and how to write them. */
export function timeTicks({ from, to }, count) {
  const step = STEPS.find((one) => one >= (to - from) / Math.max(1, count)) ?? STEPS.at(-1);
  const shift = new Date(from).getTimezoneOffset() * MINUTE;
  const ticks = [];
  for (let t = Math.ceil((from - shift) / step) * step + shift; t <= to; t += step) ticks.push(t);
  return { ticks, pattern: step >= DAY ? "MMM D" : step >= MINUTE ? "HH:mm" : "HH:mm:ss" };
}
