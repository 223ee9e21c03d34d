// What a plan holds over its time beside what is needed, as a picture.

import { chart } from "../chart.js";
import { h, number, short } from "../dom.js";

const STYLE = { committed: "four", cluster: "one", serverless: "two" }, DAY_H = 24, LITTLE = 1e-6;

export function capacity({ result, ways, at }) {
  const days = inDays(result.period_hours);
  const used = ways.filter((way) => result.gpus_by_period[way.name].some((gpus) => gpus > LITTLE));
  let under = days.map(() => 0);
  const series = used.map((way) => {
    const values = days.map((parts) => mean(parts, result.gpus_by_period[way.name])), low = under;
    under = under.map((below, day) => below + values[day]);
    return { name: way.name, kind: "bars", style: STYLE[way.kind], values, low, high: under, told: (day) => `${way.name}: ${number(values[day])} GPUs on average` };
  });
  const needed = days.map((parts) => Object.values(result.demand_gpus).reduce((sum, gpus) => sum + mean(parts, gpus), 0));
  const date = (day) => new Date(new Date(at).getTime() + day * DAY_H * 3600000).toISOString().slice(5, 10);
  if (!days.length) return null;
  return [h("h3", {}, "GPUs by day, on average over what may come"), chart({
    title: "GPUs that the plan holds and buys by day, and those needed", full: true, x: date, y: short,
    series: [...series, { name: "needed", kind: "line", style: "ink", values: needed }],
    rows: { columns: [
      { head: "Day", header: true, cell: (day) => date(day) },
      ...series.map((each) => ({ head: each.name, number: true, cell: (day) => number(each.values[day], 2) })),
      { head: "Needed", number: true, cell: (day) => number(needed[day], 2) }], values: days.map((_, day) => day) },
  })];
}

// Of each day, the periods in it with their hours.
function inDays(hours) {
  const days = [];
  let begun = 0;
  hours.forEach((length, period) => {
    for (let left = length; left > LITTLE;) {
      const day = Math.floor(begun / DAY_H + LITTLE), part = Math.min(left, (day + 1) * DAY_H - begun);
      (days[day] ??= []).push({ period, hours: part });
      begun += part;
      left -= part;
    }
  });
  return days;
}

function mean(parts, values) {
  const total = parts.reduce((sum, part) => sum + part.hours, 0);
  return parts.reduce((sum, part) => sum + part.hours * values[part.period], 0) / total;
}
