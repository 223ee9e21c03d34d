// What GPUs cost today, and how busy one must be for holding it to pay.

import { get } from "../api.js";
import { chart } from "../chart.js";
import { card, dollars, h, percent, state, table, terms, usd, words } from "../dom.js";

export async function show(place, { query, signal }) {
  const { offers, day } = await get("/v1/prices", {}, signal);
  const models = [...new Set(offers.filter((each) => each.tier !== "serverless").map((each) => each.gpu_model))].sort();
  const gpu = query.get("gpu") ?? (models.includes("H100") ? "H100" : models[0]);
  const choose = (event) => { location.hash = `#/prices?${new URLSearchParams({ gpu: event.target.value })}`; };
  const answer = h("div", { class: "stack" }), shown = offers.filter((each) => each.gpu_model === gpu);
  place.append(
    h("h1", {}, "Prices and breakeven"),
    h("div", { class: "row" }, h("label", { for: "gpu" }, "GPU"),
      h("select", { id: "gpu", onchange: choose }, models.map((model) => h("option", { value: model, selected: model === gpu }, model)))),
    card(`${gpu}: when holding one pays`, conditions(gpu, answer, signal), answer),
    card(`${gpu}: all offers on ${day}`, list(shown), shown.some((each) => each.stale) ? h("p", { class: "soft" }, words("A stale price may have changed since: `broker prices refresh` asks providers for today's.")) : null));
}

function conditions(gpu, answer, signal) {
  const wanted = { gpu, job_s: 600, cold_start_s: 0, idle_tail_s: 0, ops_share: 0 };
  let asked = 0;
  const refresh = async () => {
    const mine = ++asked;
    try {
      const found = await get("/v1/breakeven", wanted, signal);
      if (mine === asked) answer.replaceChildren(...answered(found));
    } catch (error) {
      if (error.name !== "AbortError") answer.replaceChildren(h("p", { class: "soft" }, error.message));
    }
  };
  const slider = (name, label, marks, written) => {
    const shown = h("output", { for: name }, written(wanted[name]));
    const moved = (event) => { wanted[name] = marks[event.target.value]; shown.textContent = written(wanted[name]); refresh(); };
    return h("div", {}, h("label", { for: name }, label, shown),
      h("input", { id: name, type: "range", min: 0, max: marks.length - 1, step: 1, value: marks.indexOf(wanted[name]), oninput: moved }));
  };
  const time = (value) => (value < 60 ? `${value} s` : value < 3600 ? `${value / 60} min` : `${value / 3600} h`);
  refresh();
  return h("div", { class: "sliders" },
    slider("job_s", "A job works for", [10, 30, 60, 300, 600, 1800, 3600, 21600, 86400], time),
    slider("cold_start_s", "Cold start before it", [0, 2, 5, 10, 20, 30, 60, 120], time),
    slider("idle_tail_s", "Idle tail after it", [0, 2, 10, 30, 60, 120, 300, 600], time),
    slider("ops_share", "Staff and tools, of the price", [0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1], percent));
}

function answered(found) {
  const sold = found.pairs[0].serverless, pairs = found.pairs.filter((pair) => pair.serverless.offer === (preferred(found.pairs) ?? sold.offer));
  const against = pairs[0].serverless, bought = Number(pairs[0].bought_usd_per_hour);
  const cheapest = pairs.reduce((best, pair) => (pair.utilization < best.utilization ? pair : best));
  const held = Number(cheapest.held_usd_per_hour), shares = Array.from({ length: 101 }, (_, share) => share / 100);
  return [
    h("p", { class: "why" }, cheapest.utilization > 1
      ? `Holding never pays against ${against.provider}: even always busy, the cheapest costs more.`
      : `Above ${percent(cheapest.utilization)} busy, ${cheapest.cluster.provider} ${terms(cheapest.cluster.tier)} at ${usd(held)} an hour costs less than ${against.provider} at ${usd(bought)} per hour of work.`),
    chart({
      title: "Cost of an hour by how busy the GPU is",
      series: [{ name: `${against.provider}, bought`, kind: "line", style: "two", values: shares.map((share) => share * bought) }, { name: `${cheapest.cluster.provider}, held`, kind: "line", style: "one", values: shares.map(() => held) }],
      marks: cheapest.utilization <= 1 ? [{ step: cheapest.utilization * 100 + 0.5, name: `breakeven at ${percent(cheapest.utilization)}` }] : [],
      x: (step) => `${step}%`, y: dollars, full: true }),
    table(`Breakevens against ${against.provider}`, [
      { head: "Held", header: true, cell: (pair) => [`${pair.cluster.provider} ${pair.cluster.sku} `, h("small", {}, terms(pair.cluster.tier))] },
      { head: "$/GPU-hour", number: true, cell: (pair) => usd(pair.held_usd_per_hour) },
      { head: `Against ${against.provider}`, number: true, cell: (pair) => (pair.utilization > 1 ? "never pays" : `above ${percent(pair.utilization)}`) },
      { head: "Age of prices", quiet: true, cell: (pair) => (pair.cluster.stale ? state("stale") : "") },
    ], pairs),
    against.stale ? h("p", { class: "soft" }, state("stale"), ` The price of ${against.provider}, which they are all held against, is ${against.age_days} days old.`) : null,
  ];
}

const preferred = (pairs) => pairs.find((pair) => pair.serverless.provider === "modal")?.serverless.offer;

function list(offers) {
  return table("Offers", [
    { head: "Offer", header: true, cell: (each) => [`${each.provider} ${each.sku}${each.gpu_count > 1 ? `, ${each.gpu_count} GPUs` : ""} `, h("small", {}, terms(each.tier))] },
    { head: "Region", spare: true, cell: (each) => each.region || "everywhere" },
    { head: "$/GPU-hour", number: true, cell: (each) => usd(each.usd_per_gpu_hour) },
    { head: "Since", spare: true, cell: (each) => each.valid_from },
    { head: "Age", number: true, spare: true, cell: (each) => `${each.age_days} days` },
    { head: "Condition", quiet: true, cell: (each) => (each.stale ? state("stale") : "") },
  ], offers, "No offer has it.");
}
