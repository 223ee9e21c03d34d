// What the plan recommends: what to hold by the last week's work, what the autopilot wants, and commitments that would pay.

import { costs } from "../capacity.js";
import { card, h, percent, usd, when } from "../dom.js";

// week: demand of pools over the last week.
export function plan(week, pools, autopilot, more) {
  const up = (name) => pools.find((each) => each.name === name).units.length;
  const words = week.demands
    .filter((each) => each.kind === "cluster" && each.busy.some((value) => value > 0))
    .map((each) => recommended(each, up(each.pool)));
  if (!words.length && !autopilot.proposals.length) return null;
  return card("What the plan recommends", words, wanted(autopilot), autopilot.proposals.map(proposed), more ?? null);
}

function recommended(demand, up) {
  const { usd_per_unit_hour: held, serverless_usd_per_unit_hour: serverless, pool } = demand;
  if (held === null || serverless === null) return h("p", { class: "why" }, `${pool}: the price of a node, or of its work on serverless, is not known.`);
  const { best, breakeven, sizes, peak, span_h: hours } = costs(demand, { usd: held, serverless, growth: 0, staff: 0 });
  const now = sizes[Math.min(up, peak)].total + Math.max(up - peak, 0) * held * hours;
  const saved = (than, words) => (than - best.total > 0.005 * than ? `${cents(than - best.total)} less than ${words}` : null);
  const less = [
    best.size === up ? null : saved(now, up ? `with the ${up} that ${up === 1 ? "is" : "are"} up` : "with none, as now"),
    best.size ? saved(sizes[0].total, "all of it on serverless") : null,
  ].filter(Boolean);
  return h("p", { class: "why" },
    h("strong", {}, `${pool}: hold ${best.size ? `${best.size} node${best.size === 1 ? "" : "s"}` : "none"}${best.size === up ? ", as now" : ""}.`),
    ` A node pays when it is busy for more than ${percent(breakeven)} of the time. Work like the last week's then costs ${cents(best.total)} a week`,
    less.length ? `: ${less.join(", ")}.` : ".");
}

const cents = (value) => usd(Math.round(value * 100) / 100);

function wanted(autopilot) {
  const newest = [...new Map([...autopilot.decisions].reverse().map((each) => [each.pool, each])).values()];
  return newest.map((each) => h("p", {}, `The autopilot wants ${each.nodes} of ${each.pool} now: ${each.reason} `, h("small", {}, when(each.at))));
}

function proposed(each) {
  return h("p", {}, `A commitment would pay for ${each.pool}: ${each.reason}. It saves ${usd(each.saved)} in ${each.days} days. The broker never buys one itself.`);
}
