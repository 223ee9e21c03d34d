// Pictures of numbers over time, as SVG in the page's own colours, each with a table of its numbers for who can't see it.

import { h, table } from "./dom.js";

const HEIGHT = 220, LEFT = 52, RIGHT = 20, TOP = 10, BOTTOM = 26, NARROW = 640;

// A round number of at least `most`, and the marks up to it.
export function scale(most) {
  if (!(most > 0)) return { top: 1, marks: [0, 1] };
  const unit = 10 ** Math.floor(Math.log10(most));
  const step = [0.2, 0.25, 0.5, 1, 2].map((each) => each * unit).find((each) => most / each <= 5) ?? 2 * unit;
  const count = Math.ceil(most / step - 1e-9);
  return { top: count * step, marks: Array.from({ length: count + 1 }, (_, mark) => mark * step) };
}

// series: { name, kind: "line" | "area" | "band" | "step" | "bars", values, low, high, style, at }; x: labels of steps.
export function chart({ title, series, x, y, marks = [], lines = [], rows, full = false }) {
  const wide = innerWidth < NARROW ? 400 : full ? 1160 : 720;  // a picture is as wide as its place: its letters must stay readable
  const steps = Math.max(...series.map((each) => (each.at ?? 0) + (each.values ?? each.high).length));
  const most = Math.max(...series.flatMap((each) => each.high ?? each.values), ...lines.map((line) => line.value), 0);
  const { top, marks: levels } = scale(most);
  const left = (step) => LEFT + (step / steps) * (wide - LEFT - RIGHT);
  const up = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
  const picture = h("svg", { viewBox: `0 0 ${wide} ${HEIGHT}`, role: "img", "aria-label": title, class: "chart", preserveAspectRatio: "xMidYMid meet" },
    levels.map((level) => [
      h("line", { x1: LEFT, x2: wide - RIGHT, y1: up(level), y2: up(level), class: "grid" }),
      h("text", { x: LEFT - 6, y: up(level) + 4, class: "mark end" }, y(level)),
    ]),
    ticks(steps, wide / 90).map((step) => h("text", { x: left(step + 0.5), y: HEIGHT - 8, class: "mark middle" }, x(step))),
    series.map((each) => DRAW[each.kind](each, left, up)),
    marks.map((mark) => h("line", { x1: left(mark.step), x2: left(mark.step), y1: TOP, y2: HEIGHT - BOTTOM, class: "now" }, h("title", {}, mark.name))),
    lines.map((line) => h("line", { x1: LEFT, x2: wide - RIGHT, y1: up(line.value), y2: up(line.value), class: `level ${line.style}` })));
  const legend = h("ul", { class: "legend", "aria-hidden": "true" },
    series.filter((each) => each.name).map((each) => h("li", { class: each.style }, each.name)),
    [...lines, ...marks].map((each) => h("li", { class: `dashed ${each.style ?? ""}` }, each.name)));
  return h("figure", { class: full ? "full" : null }, picture, legend, rows ? h("details", {}, h("summary", {}, "Numbers"), table(title, rows.columns, rows.values)) : null);
}

function ticks(steps, most) {
  const every = [1, 2, 5, 6, 10, 12, 20, 24, 50, 100].find((each) => steps / each <= most) ?? Math.ceil(steps / most);
  return Array.from({ length: Math.ceil(steps / every) }, (_, mark) => mark * every);
}

const points = (values, at, left, up) => values.map((value, step) => `${left(at + step + 0.5).toFixed(1)} ${up(value).toFixed(1)}`);

const DRAW = {
  line: (each, left, up) => h("path", { d: `M${points(each.values, each.at ?? 0, left, up).join("L")}`, class: `line ${each.style}` }),
  area: (each, left, up) => {
    const at = each.at ?? 0;
    const over = points(each.values, at, left, up);
    return h("path", { d: `M${left(at + 0.5)} ${up(0)}L${over.join("L")}L${left(at + each.values.length - 0.5)} ${up(0)}Z`, class: `area ${each.style}` });
  },
  band: (each, left, up) => {
    const at = each.at ?? 0;
    const edge = [...points(each.high, at, left, up), ...points(each.low, at, left, up).reverse()];
    return h("path", { d: `M${edge.join("L")}Z`, class: `band ${each.style}` });
  },
  step: (each, left, up) => {
    const at = each.at ?? 0;
    const edge = each.values.flatMap((value, step) => [`${left(at + step)} ${up(value)}`, `${left(at + step + 1)} ${up(value)}`]);
    return h("path", { d: `M${edge.join("L")}`, class: `line ${each.style}` });
  },
  bars: (each, left, up) => each.values.map((value, step) => {
    const under = each.low?.[step] ?? 0;
    const wide = left(1) - left(0);
    return h("rect", { x: left(step) + wide * 0.12, width: wide * 0.76, y: up(under + value), height: Math.max(up(under) - up(under + value), 0), class: `bar ${each.style}` },
      h("title", {}, each.told?.(step) ?? ""));
  }),
};
