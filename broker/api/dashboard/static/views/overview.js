// What runs, what it costs, how busy the pools are and will be, what would pay, and what would have been cheaper.

import { get } from "../api.js";
import { against, card, figure, h, number, percent, placed, refresh, seconds, several, state, table, usd } from "../dom.js";
import { ahead } from "./busy.js";
import { better } from "./better.js";
import { brief, planning } from "./plan.js";

const SOON_MS = 5000, LATER_MS = 60000, RARELY_MS = 600000;

export async function show(place, { live, signal }) {
  const advice = planning({ signal, draw: (found) => [brief(found, autopilot, null, h("p", {}, h("a", { href: "#/capacity" }, "The whole plan, and what if")))] });
  let autopilot;
  const now = h("div", { class: "stack" }), busy = h("div", { class: "stack" }), jobs = h("div", { class: "stack" }), other = h("div", { class: "stack" });
  place.append(h("h1", {}, "Overview"), now, advice.place, busy, jobs, other);
  // One after the other, so that what takes a while is not in the way of what is looked at first.
  await live(SOON_MS, async () => {
    const found = await present(signal);
    refresh(now, found.now);
    refresh(jobs, found.jobs);
  });
  await live(LATER_MS, () => ahead(busy, signal));
  await live(RARELY_MS, async () => refresh(other, await better(signal)));
  live(RARELY_MS, async () => {
    autopilot = await get("/v1/autopilot", {}, signal);
    await advice.make();
  });
}

async function present(signal) {
  const jobs = (query) => get("/v1/jobs", { limit: 8, collapse: true, ...query }, signal);
  const spend = (period) => get("/v1/spend", { period }, signal);
  const [status, month, before, byThen, { budgets }, { pools }, running, latest] = await Promise.all([
    get("/v1/status", {}, signal), spend("this month"), spend("last month"), spend(lastMonthUntil(new Date())),
    get("/v1/budgets", {}, signal), get("/v1/pools", {}, signal), jobs({ state: ["running", "starting"] }), jobs({}),
  ]);
  const count = (name) => status.counts[name] ?? 0, active = count("running") + count("starting");
  return {
    now: [
      card(null, h("dl", { class: "figures" },
        figure("Jobs running", number(active, 0), `${number(count("queued"), 0)} queued; so far ${number(count("succeeded"), 0)} succeeded, ${number(count("failed"), 0)} failed`),
        figure("GPUs busy", gpus(pools), `of those in nodes and containers that are up${emulated(pools)}`),
        figure("Spent this month", usd(month.total.total), compared(month, before, byThen)),
        figure("Of that, not for jobs", share(month), "boot, idle, cold starts, idle tails, heads"),
        budgets.length ? fullest(budgets) : figure("Budgets", "none", h("code", {}, "broker budget set")))),
      budgets.length ? card("Budgets", budgetTable(budgets)) : "",
    ],
    jobs: [
      h("div", { class: "cards" },
        h("div", { class: "stack" },
          card("Running now", runningTable(running.items), active > running.items.length ? h("p", {}, h("a", { href: "#/jobs?state=running" }, `All that run (${number(active, 0)})`)) : null),
          card("Pools", poolTable(pools))),
        card("Latest jobs", latestTable(latest.items), h("p", {}, h("a", { href: "#/jobs" }, "All jobs")))),
    ],
  };
}

// The days of the month before, up to the one of today's number, as a period in words.
function lastMonthUntil(now) {
  const first = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1, 1));
  const days = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 0)).getUTCDate();
  const month = first.toISOString().slice(0, 8), day = String(Math.min(now.getUTCDate(), days)).padStart(2, "0");
  return `${month}01..${month}${day}`;
}

function compared(month, before, byThen) {
  const [now, then, all] = [month, byThen, before].map((each) => each.total.total?.nanodollars ?? 0);
  const unpriced = month.total.unknown ? `; ${month.total.unknown} charges without a price` : "";
  if (!all) return `nothing last month${unpriced}`;
  return `${[against(now, then, "last month by this day"), `${usd(before.total.total)} in all of last month`].filter(Boolean).join("; ")}${unpriced}`;
}

function share(month) {
  const { overhead, total } = month.total;
  return overhead && total && total.nanodollars ? percent(overhead.nanodollars / total.nanodollars) : "–";
}

const used = (budget) => (budget.spent.nanodollars + budget.committed.nanodollars) / budget.limit.nanodollars;

function fullest(budgets) {
  const first = budgets.reduce((most, each) => (used(each) > used(most) ? each : most));
  return figure("Fullest budget", percent(used(first)), `${first.name}: ${usd(first.left)} left`);
}

function budgetTable(budgets) {
  return table("Budgets", [
    { head: "Budget", header: true, cell: (each) => [each.name, " ", h("small", {}, [each.user, each.pool, each.tag].filter(Boolean).join(", ") || "everything")] },
    { head: "Limit", number: true, cell: (each) => [usd(each.limit), h("small", {}, each.period === "total" ? " in all" : ` a ${each.period}`)] },
    { head: "Spent", number: true, cell: (each) => usd(each.spent) },
    { head: "Committed", number: true, cell: (each) => usd(each.committed) },
    { head: "Used", number: true, cell: (each) => percent(used(each)) },
    { head: "Full", quiet: true, cell: (each) => [h("meter", { min: 0, max: 1, high: 0.8, optimum: 0, value: Math.min(used(each), 1), "aria-label": `${each.name}: ${percent(used(each))} used` }), used(each) >= 1 ? [" ", state("problem"), ` then it ${each.action}s`] : null] },
  ], budgets);
}

function poolTable(pools) {
  return table("Pools", [
    { head: "Pool", header: true, cell: (pool) => [pool.name, " ", h("small", {}, pool.emulated && pool.unit.gpus ? `${pool.kind}, emulated GPUs` : pool.kind)] },
    { head: "Up", number: true, cell: (pool) => `${pool.units.length} of ${pool.max_units}` },
    { head: "GPUs busy", number: true, cell: (pool) => gpus([pool]) },
    { head: "Condition", quiet: true, cell: (pool) => pool.problem ? [state("problem"), " ", pool.problem] : state("ready") },
  ], pools, "No pool is configured.");
}

const sum = (pools, part) => pools.flatMap((pool) => pool.units).reduce((total, unit) => total + unit[part].gpus, 0);

function gpus(pools) {
  const all = sum(pools, "total");
  return all ? `${number(all - sum(pools, "free"))} of ${number(all)}` : "–";
}

// How many of those that are up are logical.
function emulated(pools) {
  const logical = sum(pools.filter((pool) => pool.emulated), "total");
  if (!logical) return "";
  return logical === sum(pools, "total") ? "; all are emulated" : `; ${number(logical)} are emulated`;
}

const name = { head: "Job", header: true, cell: (job) => h("a", { href: `#/job/${encodeURIComponent(job.id)}` }, job.name) };
const where = { head: "Pool", cell: (job) => job.kind === "array" ? several(job.tasks, "task") : placed(job.pool, job.emulated) };
const cost = { head: "Cost", number: true, cell: (job) => job.cost ? usd(job.cost) : "–" };

function runningTable(items) {
  const since = (job) => (job.started_at ? seconds((Date.now() - new Date(job.started_at)) / 1000) : "starts");
  return table("Running now", [
    name, { head: "User", cell: (job) => job.user }, where,
    { head: "For", number: true, cell: (job) => (job.kind === "array" ? "" : since(job)) }, cost,
  ], items, "Nothing runs now.");
}

function latestTable(items) {
  return table("Latest jobs", [name, { head: "State", cell: (job) => state(job.state) }, { ...where, spare: true }, cost], items, "No job yet: `broker submit echo hello` runs one.");
}
