// What was spent: by day in a picture, by whatever is asked for in a table, and as a file.

import { download, get } from "../api.js";
import { chart } from "../chart.js";
import { card, dollars, figure, h, number, percent, sentence, table, usd } from "../dom.js";

const PERIODS = ["today", "7d", "this month", "last month", "30d", "this year", "all"];
const COLUMNS = ["pool", "user", "project", "name", "job", "kind", "day"];

export async function show(place, { query, signal }) {
  const period = query.get("period") ?? "this month", by = query.get("by") ?? "pool", tag = query.get("tag") ?? "", project = query.get("project") ?? "";
  const wanted = { period, project, by: by === "tag" ? `tag:${tag || "team"}` : by };
  const [rows, days, { projects }] = await Promise.all([
    get("/v1/spend", wanted, signal), get("/v1/spend", { period, project, by: "day" }, signal), get("/v1/projects", {}, signal),
  ]);
  const { total } = rows;
  place.append(
    h("h1", {}, "Spend"), card(null, filters({ period, by, tag, project }, wanted, projects.map((each) => each.name))),
    card(null, h("dl", { class: "figures" },
      figure("Spent", usd(total.total), total.unknown ? `and ${total.unknown} charges without a known price` : "all of it at a known price"),
      figure("For jobs", usd(total.job), "the time in which they ran"),
      figure("Idle and overhead", usd(total.overhead), part(total)),
      figure("Expected for these jobs", total.predicted ? usd(total.predicted) : "–", "when they were placed, where it was known"))),
    card("By day", days.rows.length ? byDay(days.rows) : h("p", { class: "soft" }, "Nothing was spent in this time.")),
    card(`By ${by === "tag" ? `tag ${tag || "team"}` : by}`, spent(rows)));
}

function part({ total, overhead }) {
  return total && overhead && total.nanodollars ? `${percent(overhead.nanodollars / total.nanodollars)}: boot, idle, cold starts, idle tails, heads` : "boot, idle, cold starts, idle tails, heads";
}

function filters({ period, by, tag, project }, wanted, projects) {
  const choose = (event) => {
    event.preventDefault();
    location.hash = `#/spend?${new URLSearchParams([...new FormData(event.currentTarget.closest("form"))].filter(([, value]) => value))}`;
  };
  const choice = (name, label, values, now) => h("div", {}, h("label", { for: name }, label),
    h("select", { id: name, name, onchange: choose }, values.map((value) => h("option", { value, selected: value === now }, value || "all"))));
  const save = (format, name) => () => download("/v1/spend", { ...wanted, format }, name);
  return h("form", { class: "bar", onsubmit: choose },
    choice("period", "Period", PERIODS, period), choice("by", "By", [...COLUMNS, "tag"], by),
    projects.length > 1 ? choice("project", "Project", ["", ...projects], project) : null,
    by === "tag" ? h("div", {}, h("label", { for: "tag" }, "Tag"), h("input", { id: "tag", name: "tag", value: tag || "team", size: 12 })) : null,
    h("button", { type: "button", onclick: save("csv", "spend.csv") }, "Save as CSV"), h("button", { type: "button", onclick: save("focus", "focus.csv"), title: "FinOps Open Cost and Usage Specification: the charges themselves, for cost tools" }, "Save as FOCUS"));
}

function byDay(rows) {
  const value = (amount) => (amount ? Number(amount.usd) : 0);
  const jobs = rows.map((row) => value(row.job)), besides = rows.map((row) => value(row.overhead));
  return chart({
    title: "Spend by day",
    series: [
      { name: "jobs", kind: "bars", style: "one", values: jobs, told: (step) => `${rows[step].group.day}: ${usd(rows[step].job)} for jobs` },
      { name: "idle and overhead", kind: "bars", style: "three", values: besides, low: jobs, high: jobs.map((each, step) => each + besides[step]), told: (step) => `${rows[step].group.day}: ${usd(rows[step].overhead)} idle and overhead` },
    ],
    x: (step) => rows[step].group.day.slice(5), y: dollars, full: true,
    rows: { columns: columns("day", rows), values: rows },
  });
}

const columns = (name, rows) => [
  { head: sentence(name.replace(":", " ")).slice(0, -1), header: true, cell: (row) => (name === "job" && row.group.job ? h("a", { href: `#/job/${encodeURIComponent(row.group.job)}` }, row.group.job) : row.group[name] || "(none)") },
  { head: "Jobs", number: true, spare: true, cell: (row) => usd(row.job) },
  { head: "Idle and overhead", number: true, spare: true, cell: (row) => usd(row.overhead) },
  { head: "Total", number: true, cell: (row) => usd(row.total) },
  { head: "Expected", number: true, cell: (row) => (row.predicted ? usd(row.predicted) : "–") },
  ...(rows.some((row) => row.unknown) ? [{ head: "Charges without a price", number: true, cell: (row) => number(row.unknown, 0) }] : []),
];

function spent(found) {
  return table("Spend", columns(found.by[0], found.rows), found.rows, "Nothing was spent in this time.");
}
