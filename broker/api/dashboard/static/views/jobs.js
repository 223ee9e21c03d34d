// Jobs, newest first, filtered by what stands in the address.

import { get } from "../api.js";
import { between, card, h, placed, refresh, several, state, table, usd, when } from "../dom.js";

const STATES = ["queued", "starting", "running", "succeeded", "failed", "cancelled"];
const AGAIN_MS = 3000, PAGE = 50;

export async function show(place, { query, live, signal }) {
  const list = h("div", {}), cursor = query.get("cursor") ?? "";
  const wanted = { state: query.getAll("state"), name: query.get("name"), user: query.get("user"), project: query.get("project"), pool: query.get("pool"), tag: query.get("tag"), cursor };
  const [pools, projects] = await Promise.all([get("/v1/pools", {}, signal), get("/v1/projects", {}, signal)]);
  place.append(h("h1", {}, "Jobs"), card(null, filters(query, pools.pools, projects.projects)), card(null, list));
  await live(AGAIN_MS, async () => {
    const page = await get("/v1/jobs", { ...wanted, limit: PAGE, collapse: true }, signal);
    refresh(list, [jobs(page.items, query.size > 0), pages(query, page.next_cursor)]);
  });
}

function filters(query, pools, projects) {
  const choose = (event) => {
    event.preventDefault();
    const given = [...new FormData(event.currentTarget.closest("form"))].filter(([, value]) => value);
    location.hash = `#/jobs?${new URLSearchParams(given)}`;
  };
  const option = (name, value, label) => h("option", { value, selected: query.get(name) === value }, label ?? value);
  const choice = (name, label, values) => h("div", {}, h("label", { for: name }, label),
    h("select", { id: name, name, onchange: choose }, option(name, "", "all"), values.map((value) => option(name, value))));
  const text = (name, label, hint) => h("div", {}, h("label", { for: name }, label), h("input", { id: name, name, value: query.get(name) ?? "", placeholder: hint, size: 14 }));
  return h("form", { class: "bar", onsubmit: choose, role: "search" },
    choice("state", "State", STATES), choice("pool", "Pool", pools.map((pool) => pool.name)),
    projects.length > 1 ? choice("project", "Project", projects.map((project) => project.name)) : null,
    text("name", "Name", "train"), text("user", "User", "mia"), text("tag", "Tag", "team=vision"), h("button", { type: "submit" }, "Filter"));
}

function jobs(items, filtered) {
  return table("Jobs", [
    { head: "Job", header: true, cell: (job) => [h("a", { href: `#/job/${encodeURIComponent(job.id)}` }, job.name), h("br"), h("small", {}, job.id)] },
    { head: "State", cell: (job) => state(job.state) },
    { head: "User", spare: true, cell: (job) => [job.user, job.project && job.project !== "default" ? [h("br"), h("small", {}, job.project)] : null] },
    { head: "GPUs", spare: true, cell: gpus },
    { head: "Pool", spare: true, cell: (job) => job.kind === "array" ? counts(job) : placed(job.pool, job.emulated) },
    { head: "Submitted", spare: true, cell: (job) => when(job.submitted_at) },
    { head: "Ran", number: true, spare: true, cell: (job) => job.kind === "array" ? "" : between(job.started_at, job.ended_at) },
    { head: "Cost", number: true, cell: (job) => job.cost ? usd(job.cost) : "" },
  ], items, filtered ? "No job matches." : "No job yet: `broker submit echo hello` runs one.");
}

function gpus(job) {
  if (job.kind === "array") return several(job.tasks, "task");
  if (!job.gpus) return "–";
  return job.gpus + (job.num_nodes > 1 ? ` × ${job.num_nodes}` : "");
}

function counts(job) {
  return Object.entries(job.counts).map(([name, count]) => `${count} ${name}`).join(", ");
}

function pages(query, next) {
  const to = (cursor) => {
    const changed = new URLSearchParams(query);
    if (cursor) changed.set("cursor", cursor);
    else changed.delete("cursor");
    return `#/jobs?${changed}`;
  };
  return h("p", { class: "row" }, query.get("cursor") ? h("a", { href: to("") }, "Newest") : null, next ? h("a", { href: to(next) }, "Older") : null);
}
