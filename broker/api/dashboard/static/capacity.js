// What busy units cost when so many are held and the rest is bought by the second: the question of the capacity page.

export const LEAST_H = 24;  // of work that must have been seen before it says how much pays

// Of demand, what was busy since the first job of all began: before it, nothing could be.
export function seen({ since, seen_since, busy, step_s }) {
  const begin = new Date(since).getTime(), unseen_s = Math.max((new Date(seen_since) - begin) / 1000, 0);
  return { busy: busy.slice(Math.min(Math.floor(unseen_s / step_s), busy.length - 1)), hours: (busy.length * step_s - unseen_s) / 3600 };
}

// terms: usd (of a held unit per hour), serverless (of a bought unit-hour), growth and staff as shares.
export function costs({ busy, step_s }, terms) {
  const grown = busy.map((value) => value * (1 + terms.growth));
  const hours = step_s / 3600, held = terms.usd * (1 + terms.staff);
  const peak = Math.ceil(Math.max(...grown, 0) - 1e-9);
  const sizes = Array.from({ length: peak + 1 }, (_, size) => {
    const beyond = grown.reduce((sum, value) => sum + Math.max(value - size, 0), 0) * hours;
    return { size, held: size * held * hours * grown.length, bought: beyond * terms.serverless };
  });
  for (const each of sizes) each.total = each.held + each.bought;
  // How busy each unit would be if work went to the first that is free.
  const shares = Array.from({ length: peak }, (_, unit) => grown.reduce((sum, value) => sum + Math.min(Math.max(value - unit, 0), 1), 0) / grown.length);
  const best = sizes.reduce((found, each) => (each.total < found.total ? each : found), sizes[0]);
  return { sizes, shares, best, peak, breakeven: held / terms.serverless, grown, span_h: hours * grown.length, work: hours * grown.reduce((sum, value) => sum + value, 0) };
}

// Busy units from the busiest moment to the least busy.
export function loadDuration(grown, count = 100) {
  const sorted = [...grown].sort((a, b) => b - a);
  return Array.from({ length: count }, (_, step) => sorted[Math.min(Math.floor(((step + 0.5) / count) * sorted.length), sorted.length - 1)] ?? 0);
}

// How many units would be busy for at least each share of the time.
export function soBusy(shares, count = 100) {
  return Array.from({ length: count }, (_, step) => shares.filter((share) => share >= (step + 0.5) / count).length);
}
