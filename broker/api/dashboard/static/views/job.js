// One job: what it does and costs, why it runs where it does, its output as it comes, and its history.

import { follow, get, post, rest } from "../api.js";
import { between, card, figure, gib, h, number, placed, seconds, sentence, state, table, usd, when } from "../dom.js";
import { output } from "../output.js";

const AGAIN_MS = 2000;

export async function show(place, { rest: [id], live, signal }) {
  const path = `/v1/jobs/${encodeURIComponent(id)}`;
  const head = h("div", { class: "stack" }), body = h("div", { class: "stack" });
  const first = await get(path, {}, signal);
  place.append(head);
  if (first.kind === "array") {
    await live(AGAIN_MS, async () => head.replaceChildren(...await array(await get(path, {}, signal), signal)));
    return;
  }
  const log = output();
  place.append(card("Output", log.element), body);
  let job = null;
  await live(AGAIN_MS, async () => {
    if (job?.ended && job.cost.complete) return;
    const now = await get(path, {}, signal);
    if (JSON.stringify(now) === JSON.stringify(job)) return;
    job = now;
    head.replaceChildren(...about(job));
    body.replaceChildren(...await behind(job, path, signal));
  });
  followed(`${path}/follow`, signal, log);
}

// To the job's end, however often the connection is lost: it goes on where it was, and what is shown already is not shown
// again. What is refused is said.
async function followed(path, signal, log) {
  const told = (kind, event) => (kind === "log" ? log.add(event) : log.found()), place = { id: "" };
  while (!signal.aborted) {
    try {
      if (await follow(path, signal, told, place)) return void log.end();
    } catch (error) {
      if (signal.aborted) return;
      if (error.status >= 400 && error.status < 500 && error.status !== 429) return void log.say(error.message);
    }
    log.say("The connection was lost; it is tried again.");
    await rest(AGAIN_MS, signal);
  }
}

// What an attempt and its job have in common is said once.
function saidOnce(changes) {
  let said = "";
  return changes.map((each) => {
    const again = each.reason === said;
    said = each.reason || said;
    return again ? { ...each, reason: "" } : each;
  });
}

function about(job) {
  const predicted = job.predicted ? `expected ${usd(job.predicted)}` : "no expectation";
  return [
    h("div", { class: "row" }, h("h1", {}, job.name), state(job.state), actions(job)),
    card(null,
      h("dl", { class: "figures" },
        figure("Cost", usd(job.cost), job.cost.complete ? predicted : `so far; ${predicted}`),
        figure("Pool", job.pool ?? "–", job.emulated ? "its GPUs are emulated" : ""),
        figure("Waited", between(job.submitted_at, job.started_at ?? job.ended_at ?? undefined), ""),
        figure("Ran", between(job.started_at, job.ended_at ?? undefined), job.exit_code === null ? "" : `exit code ${job.exit_code}`),
        figure("Asks for", job.gpus || "no GPU", job.num_nodes > 1 ? `on each of ${job.num_nodes} nodes` : "")),
      h("p", {}, h("code", {}, job.command)),
      h("p", { class: "soft" }, `${job.id} of ${job.user}, submitted `, when(job.submitted_at), ". ", job.started_at && !job.ended ? "" : sentence(job.reason),
        job.array_id ? [" Task ", String(job.array_index), " of ", h("a", { href: `#/job/${encodeURIComponent(job.array_id)}` }, job.array_id)] : null),
      Object.keys(job.tags).length ? h("p", { class: "soft" }, Object.entries(job.tags).map(([key, value]) => `${key}=${value}`).join(", ")) : null),
  ];
}

function actions(job) {
  const path = `/v1/jobs/${encodeURIComponent(job.id)}`;
  const act = (work) => async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    await work().catch((error) => { document.getElementById("notice").textContent = error.message; button.disabled = false; });
  };
  if (!job.ended) return h("button", { type: "button", class: "danger", disabled: job.cancel_requested, onclick: act(() => post(`${path}/cancel`)) }, job.cancel_requested ? "Being cancelled" : "Cancel");
  if (job.state === "succeeded") return null;
  return h("button", { type: "button", onclick: act(async () => { location.hash = `#/job/${(await post(`${path}/retry`)).id}`; }) }, "Run again");
}

async function behind(job, path, signal) {
  const why = await get(`${path}/explain`, {}, signal);
  return [
    card(job.ended || job.placement?.verdict === "run" ? "Why there" : "Why it waits", h("p", { class: "why" }, why.reason), why.flip ? h("p", {}, `Otherwise: ${why.flip}.`) : null,
      why.rejected.length ? h("ul", {}, why.rejected.map((line) => h("li", {}, line))) : null,
      why.warnings.map((line) => h("p", { class: "soft" }, sentence(line))), quotes(job.placement),
      why.actual.map((line) => h("p", {}, sentence(line)))),
    card("What it cost", charged(job.charged)), card("Attempts", attempts(job.made)),
    h("div", { class: "cards" }, card("History", job.changes.length ? null : h("p", { class: "soft" }, "It waits since it was submitted."), h("ol", { class: "history" }, saidOnce(job.changes).map((each) => h("li", {}, when(each.at), ` ${of(job, each.attempt_id)}${each.new}`, each.reason ? h("br") : null, h("span", { class: "soft" }, each.reason))))),
      card("What was submitted", h("pre", { class: "log", tabindex: "0" }, JSON.stringify(job.document, null, 2)))),
  ];
}

function of(job, attempt) {
  return attempt ? `attempt ${job.made.find((each) => each.id === attempt)?.number ?? attempt} ` : "";
}

function quotes(placement) {
  if (!placement) return null;
  const made = [placement.chosen, ...placement.others].filter(Boolean);
  return table("Quotes", [
    { head: "Pool", header: true, cell: (each) => placed(each.pool, each.emulated) },
    { head: "Adds to the bill", number: true, cell: (each) => usd(each.marginal) },
    { head: "With what is paid anyway", number: true, cell: (each) => usd(each.full) },
    { head: "Starts in", number: true, cell: (each) => seconds(each.start_in_s) },
    { head: "Ends in", number: true, cell: (each) => seconds(each.end_in_s) },
    { head: "Choice", quiet: true, cell: (each) => each === placement.chosen ? state("chosen") : "" },
  ], made, "No pool could take it.");
}

function charged(lines) {
  return table("Charges", [
    { head: "For", header: true, cell: (each) => [each.kind.replace("_", " "), each.book === "correction" ? h("small", {}, " by the provider's bill") : null] },
    { head: "Pool", cell: (each) => each.pool },
    { head: "From", spare: true, cell: (each) => when(each.started_at) },
    { head: "To", spare: true, cell: (each) => when(each.ended_at) },
    { head: "Cost", number: true, cell: (each) => [usd(each.amount), each.unknown && each.amount ? h("small", {}, ` and ${each.unknown} unknown`) : null] },
    { head: "Charges", number: true, spare: true, cell: (each) => number(each.count, 0) },
    { head: "Price", cell: (each) => each.prices.length ? each.prices.map(rate) : "unknown" },
  ], lines, "Nothing is charged yet.");
}

function rate(price) {
  const per = [[price.usd_per_hour, price.tier === "serverless" ? "GPU" : "node"], [price.usd_per_cpu_hour, "CPU"], [price.usd_per_gib_hour, "GiB"]];
  const parts = per.filter(([amount, what]) => Number(amount) || (what === "node" && amount));
  return h("div", { title: `${price.offer}, from ${price.source}, ${price.valid_from}` },
    parts.map(([amount, what], number) => [number ? " + " : "", `${usd(amount)}/h `, h("small", {}, `a ${what}`)]));
}

function attempts(made) {
  return table("Attempts", [
    { head: "No.", header: true, cell: (each) => String(each.number) },
    { head: "Pool", cell: (each) => each.pool },
    { head: "State", cell: (each) => state(each.state) },
    { head: "Held", spare: true, cell: (each) => h("span", { class: "whole" }, `${each.resources.gpus ? `${each.resources.gpus} ${each.emulated ? "emulated " : ""}${each.resources.gpu_model}, ` : ""}${each.resources.cpus} CPU${each.resources.cpus === 1 ? "" : "s"}, ${gib(each.resources.memory_bytes)}`) },
    { head: "Ran", number: true, cell: (each) => between(each.started_at, each.ended_at) },
    { head: "Why", quiet: true, cell: (each) => each.reason },
  ], made, "It has not been started yet.");
}

async function array(found, signal) {
  const tasks = await get("/v1/jobs", { array: found.id, limit: 200 }, signal);
  return [
    h("div", { class: "row" }, h("h1", {}, found.name), state(found.state), actions(found)),
    card(null, h("dl", { class: "figures" },
      figure("Tasks", String(found.tasks), Object.entries(found.counts).map(([name, count]) => `${count} ${name}`).join(", ")),
      figure("Cost", usd(found.cost), ""))),
    card("Tasks", table("Tasks", [
      { head: "Task", header: true, cell: (job) => h("a", { href: `#/job/${encodeURIComponent(job.id)}` }, job.id) },
      { head: "State", cell: (job) => state(job.state) },
      { head: "Pool", cell: (job) => placed(job.pool, job.emulated) },
      { head: "Ran", number: true, cell: (job) => between(job.started_at, job.ended_at) },
      { head: "Cost", number: true, cell: (job) => usd(job.cost) },
    ], tasks.items), tasks.next_cursor ? h("p", { class: "soft" }, "The newest 200 are shown.") : null),
  ];
}
