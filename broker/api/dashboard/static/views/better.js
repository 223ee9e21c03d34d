// What the same work would have cost bought otherwise, and what the autopilot decided.

import { get } from "../api.js";
import { against, card, h, number, seconds, sentence, table, usd, when } from "../dom.js";

const RECENT_S = 600, WEEK_S = 7 * 86400;

export async function better(signal) {
  const [other, autopilot] = await Promise.all([get("/v1/counterfactual", { period: "7d", max_age_s: RECENT_S }, signal), get("/v1/autopilot", {}, signal)]);
  const found = other.counterfactuals.map((each) => card(`The last ${lasted(each)} of ${each.pool}, bought otherwise`, bought(each)));
  const decisions = autopilot.decisions.slice(0, 5);
  found.push(card(`Autopilot: ${autopilot.mode}`,
    autopilot.mode === "off" ? h("p", { class: "soft" }, "It changes nothing. ", h("code", {}, 'autopilot.mode = "dry-run"'), " in the configuration shows what it would do.") : null,
    decisions.length ? table("Decisions of the autopilot", [
      { head: "When", cell: (each) => when(each.at) },
      { head: "Pool", cell: (each) => each.pool },
      { head: "Nodes", number: true, cell: (each) => `${each.up} → ${each.nodes}` },
      { head: "Why", cell: (each) => each.reason },
    ], decisions) : null));
  return found;
}

// Of a broker whose first job ran later than that, since then.
function lasted({ since, until }) {
  const passed_s = (new Date(until) - new Date(since)) / 1000;
  return passed_s > WEEK_S - 60 ? "seven days" : seconds(passed_s);
}

function bought(each) {
  const paid = each.paid.nanodollars;
  const rows = [{ title: "as it was", cost: each.paid, note: `${number(each.node_hours)} node-hours of work, ${number(each.peak)} at the peak`, own: true }, ...each.alternatives];
  const ours = each.alternatives.find((row) => row.name === "policy");
  return [
    ours && paid && each.node_hours ? h("p", { class: "why" }, `The broker's policy would have paid ${usd(ours.cost)} for what cost ${usd(each.paid)}: ${against(ours.cost.nanodollars, paid)}.`) : null,
    table("What the same work would have cost", [
      { head: "Bought", header: true, cell: (row) => row.title },
      { head: "Cost", number: true, cell: (row) => usd(row.cost) },
      { head: "Against paid", number: true, cell: (row) => row.own ? "" : against(row.cost.nanodollars, paid) },
      { head: "Note", quiet: true, cell: (row) => h("small", { class: "note" }, row.note || (row.hindsight ? "needed to know what would come" : "")) },
    ], rows),
    each.regret ? h("p", { class: "soft" }, `Regret ${number(each.regret, 3)}: what was paid, divided by what it would have been with perfect hindsight.`) : null,
    each.notes.map((note) => h("p", { class: "soft" }, sentence(note))),
  ];
}

