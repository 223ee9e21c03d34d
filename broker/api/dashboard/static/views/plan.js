// The broker's own plan: what to commit to, to hold and to leave to serverless. The broker makes it when it is asked for
// and keeps it; what was found last is shown with its time, also while a newer one is made.

import { Problem, get } from "../api.js";
import { against, card, figure, h, number, percent, refresh, roughly, sentence, state, table, terms, usd, when, words } from "../dom.js";
import { capacity } from "./planned.js";

const DAY_S = 86400;
const HERE = [422, 503];  // there is nothing to plan for, or too much is planned already: said in the place of the plan

// A place for the plan, and what fills it: `draw` makes its parts from what the broker found.
export function planning({ signal, gpu, draw }) {
  const answer = h("div", { class: "stack" }), doing = h("p", { class: "doing card", role: "status", hidden: true }), place = h("div", { class: "stack" }, doing, answer);
  const make = async (max_age_s) => {
    const stop = progress(doing);
    place.setAttribute("aria-busy", "true");
    try {
      const found = await get("/v1/plan", { gpu, max_age_s }, signal);
      refresh(answer, draw(found, again));
    } catch (error) {
      if (!(error instanceof Problem) || !HERE.includes(error.status)) throw error;
      refresh(answer, [card("What the plan recommends", h("p", { class: "soft" }, sentence(error.message)))]);
    } finally {
      stop();
      place.removeAttribute("aria-busy");
    }
  };
  const again = () => make(0).catch((error) => { if (error.name !== "AbortError") document.getElementById("notice").textContent = error.message; });
  return { place, make: () => make(DAY_S) };
}

// Says that it takes a while, and for how long it has; until it is stopped.
function progress(doing) {
  const begun = Date.now(), passed = h("span", { "aria-hidden": "true" });
  const tick = () => { passed.textContent = ` ${Math.round((Date.now() - begun) / 1000)} s.`; };
  tick();
  doing.replaceChildren("The plan is being made: a forecast, then the cheapest mix for it.", passed, " It goes on if you leave this page; the first after an installation takes longest.");
  const timer = setTimeout(() => { doing.hidden = false; }, 300), clock = setInterval(tick, 1000);
  return () => {
    clearTimeout(timer);
    clearInterval(clock);
    doing.hidden = true;
  };
}

// What it says in a few lines, and what the autopilot says beside it.
export function brief({ result, ...found }, autopilot, figures, ...more) {
  return card("What the plan recommends",
    h("p", { class: "why" }, result.lead), figures ?? null,
    h("ul", {}, result.what_to_do.map((line) => h("li", {}, line))),
    h("p", {}, result.how_sure),
    said(autopilot), made(result, found), more);
}

export function whole(found, autopilot, again, choose) {
  const { result } = found;
  return [
    brief(found, autopilot, h("dl", { class: "figures" }, result.figures.map((each) => figure(each.what, each.value))),
      h("div", { class: "row" }, models(found, choose), h("button", { type: "button", "aria-label": "Make the plan anew", onclick: again }, "Make it anew"))),
    result.by_model.length > 1 ? card("What to buy of each GPU model", ofModels(result)) : null,
    card(`What each way to buy would cost in ${number(result.hours / 24)} days`, options(result)),
    card("How many to hold, on which terms", held(found), capacity(found),
      h("p", { class: "soft" }, "Saved by one more: what the plan would cost less in this time if one more GPU of it could be had. Bought below: the price up to which the plan buys any of it, all other prices as they are",
        result.bought_below_in_parts ? ", if nodes came in parts." : ".")),
    card("What it takes for granted", h("ul", {}, result.assumptions.map((line) => h("li", {}, words(line)))),
      h("p", { class: "soft" }, "For other prices, limits and classes of jobs: ", h("code", {}, "broker plan"), ".")),
  ];
}

function made(result, { at, since, gpu, gpu_hours, left_out }) {
  const worked = (gpu ? [gpu] : Object.keys(gpu_hours)).map((model) => `${number(gpu_hours[model], 0)} GPU-hours of work on ${model}`);
  return [
    h("p", { class: "soft" }, "Made ", when(at), ` for the ${number(result.hours / 24)} days after it, from ${worked.join(", ")} since ${since.slice(0, 10)}.`),
    Object.entries(left_out).map(([model, why]) => h("p", { class: "soft" }, words(`Without the work on ${model}: ${why}.`))),
  ];
}

function models({ gpu, gpu_hours }, choose) {
  const names = Object.keys(gpu_hours);
  if (names.length < 2) return null;
  return [h("label", { for: "model" }, "Work on"), h("select", { id: "model", onchange: (event) => choose(event.target.value) },
    h("option", { value: "", selected: gpu === null }, "all GPU models"),
    names.map((name) => h("option", { value: name, selected: name === gpu }, `${name} alone, ${number(gpu_hours[name], 0)} GPU-hours`)))];
}

function ofModels({ by_model, together }) {
  return table("What to buy of each GPU model", [
    { head: "GPU", header: true, cell: (each) => each.gpu || "not named" },
    { head: "Commit to", number: true, cell: (each) => number(each.committed_gpus) },
    { head: "Hold, on average", number: true, cell: (each) => number(each.held_gpus) },
    { head: "Leave to serverless", number: true, cell: (each) => number(each.serverless_gpus) },
    { head: "GPU-hours of work", number: true, cell: (each) => number(each.work_gpu_hours, 0) },
    { head: "Cost", number: true, cell: (each) => roughly(each.cost_usd) },
  ], [...by_model, together]);
}

function options({ options: found }) {
  const plan = found[0].usd, most = Math.min(Math.max(...found.map((each) => each.between_usd?.[1] ?? each.usd)), 4 * plan);
  return table("What each way to buy would cost", [
    { head: "Bought", header: true, cell: (each) => each.title },
    { head: "Cost", number: true, cell: (each) => roughly(each.usd) },
    { head: "In nine of ten courses", number: true, cell: (each) => courses(each.between_usd) },
    { head: "Against the plan", number: true, cell: (each) => (each === found[0] ? "" : against(each.usd, plan)) },
    { head: "Picture", quiet: true, cell: (each) => bar(each, most) },
  ], found);
}

function courses(between) {
  if (!between) return "–";
  const [low, high] = between.map(roughly);
  return low === high ? low : `${low} to ${high}`;
}

function bar({ usd: value, between_usd: between }, most) {
  const x = (amount) => Math.min(amount / most, 1) * 196;
  return h("svg", { viewBox: "0 0 200 16", class: "chart inline", "aria-hidden": "true" },
    h("rect", { x: 0, y: 3, height: 10, width: x(value), class: "bar one" }),
    between ? h("line", { x1: x(between[0]), x2: x(between[1]), y1: 8, y2: 8, class: "spread" }) : null);
}

const KINDS = { committed: "commitment", cluster: "held", serverless: "serverless" };

function held({ result, ways }) {
  return table("How many to hold, on which terms", [
    { head: "Offer", header: true, cell: (way) => [way.name, h("br"), h("small", {}, [`${way.gpu}, `, way.kind === "committed" && way.prices.length ? terms(way.prices[0].tier) : KINDS[way.kind], way.node > 1 ? `, nodes of ${way.node} GPUs` : ""])] },
    { head: "$/GPU-hour", number: true, cell: (way) => usd(result.terms[way.name].usd_per_gpu_hour) },
    { head: "GPUs now", number: true, cell: (way) => (way.kind === "serverless" ? "as needed" : number(result.terms[way.name].now_gpus)) },
    { head: "On average", number: true, cell: (way) => number(result.terms[way.name].mean_gpus) },
    { head: "Busy", number: true, cell: (way) => (way.kind === "serverless" ? "" : percent(result.busy_share[way.name])) },
    { head: "Cost", number: true, cell: (way) => roughly(result.cost_by_offer_usd[way.name]) },
    { head: "Saved by one more", number: true, cell: (way) => (result.next_gpu_usd[way.name] > 0.005 ? roughly(result.next_gpu_usd[way.name]) : "nothing") },
    { head: "Bought below", number: true, cell: (way) => below(result.bought_below_usd, way.name) },
    { head: "Age of the price", cell: (way) => way.prices.map((each) => [`${number(each.age_days, 0)} days `, each.stale ? state("stale") : null]) },
  ], ways);
}

function below(turns, name) {
  if (!(name in turns)) return "–";
  return turns[name] === null ? "no price" : turns[name] === "any" ? "any price" : usd(turns[name]);
}

function said(autopilot) {
  const newest = [...new Map([...autopilot.decisions].reverse().map((each) => [each.pool, each])).values()];
  return [
    newest.map((each) => h("p", {}, `The autopilot wants ${each.nodes} of ${each.pool} now: ${each.reason} `, h("small", {}, when(each.at)))),
    autopilot.proposals.map((each) => h("p", {}, `The autopilot proposes a commitment for ${each.pool}: ${each.reason}. It saves ${usd(each.saved)} in ${each.days} days. The broker never buys one itself.`)),
  ];
}
