// How busy pools were and will be, beside what is up and what pays.

import { get } from "../api.js";
import { LEAST_H, costs, seen } from "../capacity.js";
import { chart } from "../chart.js";
import { card, h, hour, percent, refresh, seconds, short } from "../dom.js";

const SHOWN_H = 48, FRESH_S = 3600, RECENT_S = 60;

// Shows them in a place; forecasts follow when they have come.
export async function ahead(place, signal) {
  const coming = get("/v1/forecast", { max_age_s: FRESH_S }, signal);
  coming.catch(() => null);  // what is wrong is said when it is waited for
  const [week, { pools }] = await Promise.all([get("/v1/demand", { period: "7d", max_age_s: RECENT_S }, signal), get("/v1/pools", {}, signal)]);
  const draw = (forecasts) => refresh(place, [
    h("div", { class: "cards" }, week.demands.filter((each) => each.busy.some((value) => value > 0)).sort(clustersFirst).map((demand) => picture({
      demand, pool: pools.find((each) => each.name === demand.pool), outlook: forecasts.find((each) => each.pool === demand.pool)?.outlook,
    }))),
  ]);
  if (!place.firstChild) draw([]);
  draw((await coming).forecasts);
}

const clustersFirst = (one, other) => (other.kind === "cluster") - (one.kind === "cluster");

function picture({ demand, pool, outlook }) {
  const gpus = pool.unit.gpus || 1, what = pool.unit.gpus ? "GPUs" : demand.kind === "cluster" ? "nodes" : "containers";
  const title = `${demand.pool}: busy ${pool.emulated && pool.unit.gpus ? "emulated " : ""}${what}`;
  const cluster = demand.kind === "cluster", known = seen(demand);
  const lines = cluster ? levels({ ...demand, busy: known.busy }, pool, gpus, known.hours) : [];
  const early = known.hours < LEAST_H, told = early ? null : outlook;  // of less than a day it would be a guess
  return card(title, busyChart(title, demand, told, lines, gpus),
    early ? h("p", { class: "soft" }, `Jobs have run here for ${seconds(known.hours * 3600)}: ${soon(cluster, what)}`) : null,
    told ? h("details", {}, h("summary", {}, "Why this forecast"), h("p", { class: "soft" }, told.reason)) : null);
}

function soon(cluster, what) {
  if (!cluster) return "what may come is drawn after a day.";
  return `what may come is drawn and how many ${what} pay is said after a day. Until then the autopilot, where it is on, follows what runs.`;
}

function levels(demand, pool, gpus, known_h) {
  const { usd_per_unit_hour: held, serverless_usd_per_unit_hour: serverless } = demand;
  const up = pool.units.length * gpus, found = [{ value: up, name: `${short(up)} up`, style: "three" }];
  if (held === null || serverless === null || known_h < LEAST_H) return found;
  const { best, breakeven } = costs(demand, { usd: held, serverless, growth: 0, staff: 0 });
  return [...found, { value: best.size * gpus, name: best.size ? `${short(best.size * gpus)} pay: busy over the breakeven of ${percent(breakeven)} of the last ${seconds(known_h * 3600)}` : `none pays: none is busy over the breakeven of ${percent(breakeven)}`, style: "four" }];
}

function busyChart(title, demand, outlook, lines, gpus) {
  const busy = demand.busy.slice(-Math.round((SHOWN_H * 3600) / demand.step_s)).map((value) => value * gpus);
  const from = new Date(demand.since).getTime() + (demand.busy.length - busy.length) * demand.step_s * 1000, at = busy.length;
  const series = [{ name: "was busy", kind: "area", style: "one", values: busy }, { kind: "line", style: "one", values: busy }];
  if (outlook) {
    const over = Math.floor((from + at * demand.step_s * 1000 - new Date(outlook.at)) / 1000 / outlook.step_s);  // steps of it that are past
    const level = (wanted) => outlook.quantiles[outlook.levels.findIndex((each) => Math.abs(each - wanted) < 1e-6)]?.slice(Math.max(over, 0)).map((value) => value * gpus);
    const [low, middle, high] = [0.05, 0.5, 0.95].map(level);
    if (low && high) series.push({ name: "90% band", kind: "band", style: "two", low, high, at });
    if (middle) series.push({ name: "forecast", kind: "line", style: "two", values: middle, at });
  }
  const x = (step) => hour(from + step * demand.step_s * 1000);
  return chart({ title: outlook ? `${title}, and the forecast` : title, series, x, y: short, lines, marks: [{ step: at, name: "now" }], rows: hours(busy, x) });
}

function hours(busy, x) {
  return {
    columns: [{ head: "Hour", header: true, cell: ({ step }) => x(step) }, { head: "Busy", number: true, cell: ({ value }) => short(value) }],
    values: busy.map((value, step) => ({ value, step })),
  };
}
