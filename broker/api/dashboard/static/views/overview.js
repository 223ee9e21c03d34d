// What runs, what it costs, how busy the pools are and will be, and what would be cheaper.

import { get } from "../api.js";
import { costs } from "../capacity.js";
import { chart } from "../chart.js";
import { against, card, figure, h, hour, number, percent, short, state, table, usd, when } from "../dom.js";

const SOON_MS = 5000, LATER_MS = 60000;

export async function show(place, { live, signal }) {
  const now = h("div", { class: "stack" }), busy = h("div", { class: "cards" }), advice = h("div", { class: "stack" });
  place.append(h("h1", {}, "Overview"), now, busy, advice);
  await Promise.all([
    live(SOON_MS, async () => now.replaceChildren(...await present(signal))),
    live(LATER_MS, async () => busy.replaceChildren(...await ahead(signal))),
    live(LATER_MS, async () => advice.replaceChildren(...await better(signal))),
  ]);
}

async function present(signal) {
  const [status, month, before, { budgets }, pools, jobs] = await Promise.all([
    get("/v1/status", {}, signal),
    get("/v1/spend", { period: "this month" }, signal),
    get("/v1/spend", { period: "last month" }, signal),
    get("/v1/budgets", {}, signal),
    get("/v1/pools", {}, signal),
    get("/v1/jobs", { limit: 8, collapse: true }, signal),
  ]);
  const count = (name) => status.counts[name] ?? 0;
  const figures = h("dl", { class: "figures" },
    figure("Running", number(count("running") + count("starting"), 0), `${number(count("queued"), 0)} queued`),
    figure("Succeeded", number(count("succeeded"), 0), `${number(count("failed"), 0)} failed, ${number(count("cancelled"), 0)} cancelled`),
    figure("Spent this month", usd(month.total.total), spentNote(month, before)),
    figure("Of it not for jobs", share(month), "boot, idle, cold starts, idle tails"));
  return [
    card(null, figures),
    budgets.length ? card("Budgets", budgetTable(budgets)) : "",
    h("div", { class: "cards" }, card("Pools", poolTable(pools.pools)), card("Latest jobs", jobTable(jobs.items), h("p", {}, h("a", { href: "#/jobs" }, "All jobs")))),
  ];
}

function spentNote(month, before) {
  const unknown = month.total.unknown ? `; ${month.total.unknown} charges without a price` : "";
  return `last month ${usd(before.total.total)}${unknown}`;
}

function share(month) {
  const { overhead, total } = month.total;
  return overhead && total && total.nanodollars ? percent(overhead.nanodollars / total.nanodollars) : "–";
}

function budgetTable(budgets) {
  const share = (each) => (each.spent.nanodollars + each.committed.nanodollars) / each.limit.nanodollars;
  return table("Budgets", [
    { head: "Budget", header: true, cell: (each) => [each.name, " ", h("small", {}, [each.user, each.pool, each.tag].filter(Boolean).join(", ") || "everything")] },
    { head: "Limit", number: true, cell: (each) => [usd(each.limit), h("small", {}, each.period === "total" ? " in all" : ` a ${each.period}`)] },
    { head: "Spent", number: true, cell: (each) => usd(each.spent) },
    { head: "Committed", number: true, cell: (each) => usd(each.committed) },
    { head: "Used", number: true, cell: (each) => percent(share(each)) },
    { head: "Full", quiet: true, cell: (each) => [h("meter", { min: 0, max: 1, high: 0.8, optimum: 0, value: Math.min(share(each), 1), "aria-label": `${each.name}: ${percent(share(each))} used` }), share(each) >= 1 ? [" ", state("problem"), ` then it ${each.action}s`] : null] },
  ], budgets);
}

function poolTable(pools) {
  return table("Pools", [
    { head: "Pool", header: true, cell: (pool) => [pool.name, " ", h("small", {}, pool.kind)] },
    { head: "Up", number: true, cell: (pool) => `${pool.units.length} of ${pool.max_units}` },
    { head: "GPUs busy", number: true, cell: gpus },
    { head: "Condition", quiet: true, cell: (pool) => pool.problem ? [state("problem"), " ", pool.problem] : state("ready") },
  ], pools, "No pool is configured.");
}

function gpus(pool) {
  const sum = (part) => pool.units.reduce((total, unit) => total + unit[part].gpus, 0);
  return sum("total") ? `${number(sum("total") - sum("free"))} of ${number(sum("total"))}` : "–";
}

function jobTable(items) {
  return table("Latest jobs", [
    { head: "Job", header: true, cell: (job) => h("a", { href: `#/job/${encodeURIComponent(job.id)}` }, job.name) },
    { head: "State", cell: (job) => state(job.state) },
    { head: "Pool", cell: (job) => job.kind === "array" ? `${job.tasks} tasks` : job.pool },
    { head: "Cost", number: true, cell: (job) => job.cost ? usd(job.cost) : "–" },
  ], items, "No job yet: `broker submit echo hello` runs one.");
}

async function ahead(signal) {
  const [past, week, coming, { pools }] = await Promise.all([
    get("/v1/demand", { period: "48h" }, signal), get("/v1/demand", { period: "7d" }, signal),
    get("/v1/forecast", {}, signal), get("/v1/pools", {}, signal)]);
  const of = (list, name) => list.find((each) => (each.pool ?? each.name) === name);
  return past.demands.filter((each) => each.busy.some((value) => value > 0)).map((each) => {
    const lines = each.kind === "cluster" ? levels(of(week.demands, each.pool), of(pools, each.pool)) : [];
    const title = `${each.pool}: busy ${each.kind === "cluster" ? "nodes" : "containers"}`;
    return card(title, busyChart(each, of(coming.forecasts, each.pool)?.outlook, lines));
  });
}

// What is up, and what a week like the last one is worth holding.
function levels(week, pool) {
  const { usd_per_unit_hour: held, serverless_usd_per_unit_hour: serverless } = week;
  const found = [{ value: pool.units.length, name: `${pool.units.length} up`, style: "three" }];
  if (held === null || serverless === null) return found;
  const { best, breakeven } = costs(week, { usd: held, serverless, growth: 0, staff: 0 });
  return [...found, { value: best.size, name: `${best.size} would pay: busy over ${percent(breakeven)} of the week`, style: "four" }];
}

function busyChart(past, outlook, lines) {
  const hourly = regrouped(past, 3600);
  const level = (wanted) => outlook.quantiles[outlook.levels.findIndex((each) => Math.abs(each - wanted) < 1e-6)];
  const from = new Date(past.since).getTime(), at = hourly.length;
  const label = (step) => hour(from + step * 3600e3);
  const series = [{ name: "was busy", kind: "area", style: "one", values: hourly }, { kind: "line", style: "one", values: hourly }];
  if (outlook) {
    const [low, middle, high] = [0.05, 0.5, 0.95].map(level);
    if (low && high) series.push({ name: "90 % band", kind: "band", style: "two", low, high, at });
    if (middle) series.push({ name: "forecast", kind: "line", style: "two", values: middle, at });
  }
  const picture = chart({ title: `Busy units of ${past.pool} over time, and the forecast`, series, x: label, y: short, lines, marks: [{ step: at, name: "now" }] });
  return [picture, outlook ? h("p", { class: "soft" }, outlook.reason) : null];
}

function regrouped({ busy, step_s }, wide_s) {
  const each = Math.max(Math.round(wide_s / step_s), 1);
  const groups = [];
  for (let end = busy.length; end > 0; end -= each) {
    const part = busy.slice(Math.max(end - each, 0), end);
    groups.unshift(part.reduce((sum, value) => sum + value, 0) / part.length);
  }
  return groups;
}

async function better(signal) {
  const [other, autopilot] = await Promise.all([get("/v1/counterfactual", { period: "7d" }, signal), get("/v1/autopilot", {}, signal)]);
  const found = other.counterfactuals.map((each) => card(`The last seven days of ${each.pool}, bought otherwise`, bought(each)));
  const proposals = autopilot.proposals.map((each) => h("li", {}, `${each.pool}: ${each.reason} (saves ${usd(each.saved)} in ${each.days} days)`));
  const decisions = autopilot.decisions.slice(0, 5);
  found.push(card(`Autopilot: ${autopilot.mode}`,
    autopilot.mode === "off" ? h("p", { class: "soft" }, "It changes nothing. ", h("code", {}, 'autopilot.mode = "dry-run"'), " in the configuration shows what it would do.") : null,
    decisions.length ? table("Decisions of the autopilot", [
      { head: "When", cell: (each) => when(each.at) },
      { head: "Pool", cell: (each) => each.pool },
      { head: "Nodes", number: true, cell: (each) => `${each.up} → ${each.nodes}` },
      { head: "Why", cell: (each) => each.reason },
    ], decisions) : null,
    proposals.length ? [h("h3", {}, "Commitments that would pay"), h("ul", {}, proposals)] : null));
  return found;
}

function bought(each) {
  const paid = each.paid.nanodollars;
  const rows = [{ title: "as it was", cost: each.paid, note: `${number(each.node_hours)} node-hours of work, ${number(each.peak)} at the peak`, own: true }, ...each.alternatives];
  const ours = each.alternatives.find((row) => row.name === "policy");
  return [
    ours && paid ? h("p", { class: "why" }, `The broker's policy would have paid ${usd(ours.cost)} for what cost ${usd(each.paid)}: ${against(ours.cost.nanodollars, paid)}.`) : null,
    table("What the same work would have cost", [
      { head: "Bought", header: true, cell: (row) => row.title },
      { head: "Cost", number: true, cell: (row) => usd(row.cost) },
      { head: "Against paid", number: true, cell: (row) => row.own ? "" : against(row.cost.nanodollars, paid) },
      { head: "Note", quiet: true, cell: (row) => h("small", {}, row.note || (row.hindsight ? "needed to know what would come" : "")) },
    ], rows),
    each.regret ? h("p", { class: "soft" }, `Regret ${number(each.regret, 3)}: what was paid over what perfect hindsight would have.`) : null,
    each.notes.map((note) => h("p", { class: "soft" }, note)),
  ];
}

