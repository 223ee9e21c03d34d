// How many units to hold: the plan for what may come; of what ran, demand, its load-duration curve against the breakeven, and what each size would have cost.

import { get } from "../api.js";
import { LEAST_H, costs, loadDuration, seen, soBusy } from "../capacity.js";
import { chart } from "../chart.js";
import { against, card, dollars, figure, h, number, percent, placed, seconds, short, table, usd, when } from "../dom.js";
import { planning, whole } from "./plan.js";

const RECENT_S = 60, RARELY_MS = 600000;
const PERIODS = { "24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days" };

export async function show(place, { query, live, signal }) {
  const period = query.get("period") in PERIODS ? query.get("period") : "7d", gpu = query.get("gpu") ?? "";
  const choose = (name) => (value) => { location.hash = `#/capacity?${new URLSearchParams({ period, ...(gpu && { gpu }), [name]: value })}`; };
  const autopilot = await get("/v1/autopilot", {}, signal);
  const advice = planning({ signal, gpu, draw: (found, again) => whole(found, autopilot, again, choose("gpu")) });
  place.append(h("h1", {}, "Capacity"), advice.place);
  live(RARELY_MS, advice.make);
  await whatIf(place, period, choose("period"), signal);
}

// What ran, at other prices, with more of it or less.
async function whatIf(place, period, choose, signal) {
  const [past, { pools }] = await Promise.all([get("/v1/demand", { period, max_age_s: RECENT_S }, signal), get("/v1/pools", {}, signal)]);
  const logical = new Set(pools.filter((pool) => pool.emulated && pool.unit.gpus).map((pool) => pool.name));
  const named = (pool) => placed(pool, logical.has(pool));
  place.append(
    h("h2", { class: "part" }, "What if"),
    h("div", { class: "row" }, h("label", { for: "period" }, "With hindsight, what ran in the last"),
      h("select", { id: "period", onchange: (event) => choose(event.target.value) }, Object.entries(PERIODS).map(([value, label]) => h("option", { value, selected: value === period }, label)))));
  const clusters = past.demands.filter((each) => each.kind === "cluster");
  const late = past.demands.find((each) => each.seen_since > each.since);
  if (late) place.append(h("p", { class: "soft" }, "The first job began ", when(late.seen_since), ": the time before is not counted."));
  place.append(...clusters.map((each) => card([named(each.pool), ": how many nodes would have paid"], asked(each))));
  if (!clusters.length) place.append(card(null, h("p", { class: "soft" }, "No cluster is configured: there is nothing to hold.")));
  const { accounts } = await get("/v1/accuracy", { period }, signal);  // takes longer than what is asked first
  place.append(...accounts.map(happened).filter((each) => each.days.length).map((each) => account(each, named(each.pool))));
}

// The question, where enough has been seen to answer it.
function asked(demand) {
  const { hours, busy } = seen(demand);
  if (!busy.some((value) => value > 0)) return h("p", { class: "soft" }, "Nothing ran in this time.");
  if (hours < LEAST_H && demand.seen_since > demand.since) return h("p", { class: "soft" }, `Jobs have run here for ${seconds(hours * 3600)}: how many nodes pay is said after a day.`);
  return question(demand);
}

function question(demand) {
  const terms = { usd: demand.usd_per_unit_hour ?? 1, serverless: demand.serverless_usd_per_unit_hour ?? 2, growth: 0, staff: 0 };
  const answer = h("div", { class: "stack", "aria-live": "polite" });
  const refresh = () => answer.replaceChildren(...answered(demand, costs({ ...demand, busy: seen(demand).busy }, terms)));
  const slider = (name, label, least, most, step, written) => {
    const id = `${demand.pool}-${name}`, shown = h("output", { for: id }, written(terms[name]));
    const moved = (event) => { terms[name] = Number(event.target.value); shown.textContent = written(terms[name]); refresh(); };
    return h("div", {}, h("label", { for: id }, label, shown), h("input", { id, type: "range", min: least, max: most, step, value: terms[name], oninput: moved }));
  };
  const rate = (value) => `${usd(value)}/h`;
  refresh();
  return [
    demand.usd_per_unit_hour === null || demand.serverless_usd_per_unit_hour === null ? h("p", { class: "soft" }, "The price of a node, or of its work on serverless, is not known: move the sliders to what you pay.") : null,
    h("div", { class: "sliders" },
      slider("usd", "A node", 0, top(terms.usd), top(terms.usd) / 200, rate),
      slider("serverless", "Its work on serverless", 0.001, top(terms.serverless), top(terms.serverless) / 200, rate),
      slider("growth", "Growth of the work", -0.9, 4, 0.05, (value) => `${value > 0 ? "+" : ""}${percent(value)}`),
      slider("staff", "Staff and tools, of the node's price", 0, 1, 0.01, percent)),
    answer,
  ];
}

const top = (value) => 3 * value;

function answered(demand, found) {
  const { best, sizes, shares, peak, breakeven, grown, work } = found;
  const none = sizes[0], all = sizes[peak], x = (step) => `${step}%`;
  const saved = none.total ? 1 - best.total / none.total : 0;
  return [
    h("p", { class: "why" }, said(best.size, shares, breakeven)),
    h("dl", { class: "figures" },
      figure("All serverless", usd(none.total), `${number(work)} node-hours of work`),
      figure(`${best.size} held, the rest serverless`, usd(best.total), saved > 0.0005 ? `saves ${percent(saved)} of all serverless` : "the same"),
      figure(`A cluster for the peak (${peak})`, usd(all.total), against(all.total, none.total, "all serverless")),
      figure("Breakeven", percent(breakeven), "busy share above which a node pays")),
    h("div", { class: "cards" },
      h("div", {}, h("h3", {}, "Load-duration curve: busy nodes by share of the time"), chart({
        title: `Busy nodes of ${demand.pool}, from the busiest moment to the quietest, and how many are so busy`,
        series: [{ name: "busy nodes", kind: "area", style: "one", values: loadDuration(grown) }, { kind: "line", style: "one", values: loadDuration(grown) },
          { name: "nodes that are at least so busy", kind: "step", style: "four", values: soBusy(shares) }],
        marks: breakeven < 1 ? [{ step: breakeven * 100, name: `breakeven at ${percent(breakeven)} of the time` }] : [],
        x, y: short })),
      h("div", {}, h("h3", {}, "Cost by nodes held"), chart({
        title: "Cost by the number of nodes held",
        series: [
          { name: "held", kind: "bars", style: "one", values: sizes.map((each) => each.held), told: (step) => `${step} held: ${usd(sizes[step].held)}` },
          { name: "serverless", kind: "bars", style: "two", values: sizes.map((each) => each.bought), low: sizes.map((each) => each.held), high: sizes.map((each) => each.total), told: (step) => `beyond ${step}: ${usd(sizes[step].bought)}` },
        ],
        x: String, y: dollars,
        rows: { columns: [
          { head: "Nodes", header: true, cell: (each) => String(each.size) },
          { head: "Held", number: true, cell: (each) => usd(each.held) },
          { head: "Serverless", number: true, cell: (each) => usd(each.bought) },
          { head: "Together", number: true, cell: (each) => usd(each.total) }], values: sizes } }))),
  ];
}

function said(size, shares, breakeven) {
  const busy = (unit) => `node ${unit} would have been busy for ${percent(shares[unit - 1])} of the time`;
  const more = size < shares.length ? busy(size + 1) : "there was no work for one more";
  if (size === 0) return `It would have been best to hold none: ${more}, and pays above ${percent(breakeven)}.`;
  return `It would have been best to hold ${size}: ${busy(size)}, over the breakeven of ${percent(breakeven)}; ${more}.`;
}

// Without the days on which nothing ran, was paid or was forecast.
function happened({ pool, days }) {
  return { pool, days: days.filter((day) => day.busy > 0 || day.paid || day.forecast !== null || day.planned !== null) };
}

function account({ pool, days }, name) {
  const value = (each) => (each === null ? "–" : number(each, 2));
  return card([name, ": plan against actual"], table(`Plan against actual of ${pool}`, [
    { head: "Day", header: true, cell: (day) => day.day },
    { head: "Busy", number: true, cell: (day) => value(day.busy) },
    { head: "Peak", number: true, cell: (day) => value(day.peak) },
    { head: "Forecast", number: true, cell: (day) => value(day.forecast) },
    { head: "90% band", number: true, cell: (day) => (day.low === null ? "–" : `${value(day.low)} to ${value(day.high)}`) },
    { head: "Planned", number: true, cell: (day) => value(day.planned) },
    { head: "Best", number: true, cell: (day) => value(day.best_size) },
    { head: "Error cost", number: true, cell: (day) => (day.error_cost ? usd(day.error_cost) : "–") },
    { head: "Paid", number: true, cell: (day) => (day.paid ? usd(day.paid) : "–") },
    { head: "Note", quiet: true, cell: (day) => h("small", { class: "note" }, day.note) },
  ], [...days].reverse()),
  h("p", { class: "soft" }, "Nodes, or containers of a serverless pool, on average over the day; the peak is that of the busiest hour. Planned: what the autopilot wanted. Best: what would have been best to hold all day. Error cost: what holding the size that the forecast said would have cost more than that."));
}
