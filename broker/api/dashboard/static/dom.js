// Elements, and how numbers and times are written. Text is only ever set as text, never as markup.

export function h(tag, attributes = {}, ...children) {
  const made = tag === "svg" || SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "value") made.value = value;
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...(tag === "pre" ? there(children) : there(children).map(tamed)));
  return made;
}

// Texts of others: nothing in them turns the direction of what stands beside them, and no word goes on without end. What is
// shown as it was written stands in `pre`.
const TURNS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, ENDLESS = /\S{200,}/g, KEPT = 60;

function tamed(child) {
  if (typeof child !== "string") return child;
  return child.replace(TURNS, "\ufffd").replace(ENDLESS, (word) => `${word.slice(0, KEPT)}…${word.slice(-KEPT)}`);
}

const there = (children) => children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

const SVG = new Set(["g", "path", "line", "rect", "circle", "text", "title", "desc"]);

// `number`: to the right; `quiet`: its head is for those who listen; `spare`: left out where there is no width for it.
export function table(caption, columns, rows, empty = "Nothing here yet.") {
  if (!rows.length) return h("p", { class: "soft" }, words(empty));
  const kind = (column) => [column.number && "number", column.spare && "spare"].filter(Boolean).join(" ") || null;
  const cell = (column, row) => h(column.header ? "th" : "td", { scope: column.header ? "row" : null, class: kind(column) }, column.cell(row) ?? "–");
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {},
      h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col", class: kind(column) }, column.quiet ? h("span", { class: "hidden" }, column.head) : column.head)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, columns.map((column) => cell(column, row)))))));
}

// New content in a place, for who reads there: the focus and what was opened stay.
export function refresh(place, made) {
  const active = place.contains(document.activeElement) ? document.activeElement : null;
  const same = ["href", "aria-label"].filter((name) => active?.hasAttribute(name)).map((name) => `[${name}="${CSS.escape(active.getAttribute(name))}"]`);
  const open = [...place.querySelectorAll("details")].map((each) => each.open);
  place.replaceChildren(...there(made));
  place.querySelectorAll("details").forEach((each, number) => { each.open = open[number] ?? false; });
  if (same.length) place.querySelector(same[0])?.focus({ preventScroll: true });
}

export function card(title, ...children) {
  return h("section", { class: "card" }, title ? h("h2", {}, title) : null, ...children);
}

export function figure(label, value, note) {
  return h("div", { class: "figure" }, h("dt", {}, label), h("dd", {}, value, note ? h("small", {}, note) : null));
}

export function state(name) {
  return h("span", { class: `state ${name}` }, name);
}

// Where something ran or may run, marked where the GPUs that it had or would have are logical.
export function placed(pool, emulated) {
  return emulated ? [pool, " ", h("small", { class: "whole" }, "(emulated)")] : pool;
}

export function several(count, what) {
  return `${number(count, 0)} ${what}${count === 1 ? "" : "s"}`;
}

// Dollars, as the command line has them: cents from one dollar on, below it the four digits that count.
export function usd(amount, least = 2) {
  if (amount === null || amount === undefined) return "unknown";
  const value = Number(typeof amount === "object" ? amount.usd : amount);
  if (amount && typeof amount === "object" && amount.usd === null) return "unknown";
  const size = Math.abs(value);
  const least_digits = Number.isInteger(value) && size >= 100 ? least : 2;
  const most = size > 0 && size < 1 ? Math.min(3 - Math.floor(Math.log10(size)), 20) : 2;
  const digits = { minimumFractionDigits: least_digits, maximumFractionDigits: most };
  return (value < 0 ? "−$" : "$") + size.toLocaleString("en-US", digits);
}

// Dollars of what is only expected: whole ones, with cents where they count.
export function roughly(value) {
  return usd(Math.abs(value) < 0.005 ? 0 : Math.abs(value) < 100 ? Math.round(value * 100) / 100 : Math.round(value), 0);
}

// Dollars on the scale of a picture.
export function dollars(value) {
  return `$${short(value)}`;
}

export function percent(share, digits = 0) {
  return share === null || share === undefined ? "–" : `${(share * 100).toFixed(digits)}%`;
}

export function number(value, digits = 1) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en-US", { maximumFractionDigits: digits });
}

// Three digits that count, however small.
export function short(value) {
  return value.toLocaleString("en-US", { maximumSignificantDigits: 3 });
}

// How much one amount is above or below another: in per cent, or as a multiple where that says more.
export function against(value, base, name = "") {
  if (!base) return "";
  const ratio = value / base;
  if (Math.abs(ratio - 1) < 0.005) return "the same";
  if (ratio > 3) return `${short(ratio)} times ${name || "as much"}`;
  return `${ratio >= 1 ? "+" : "−"}${percent(Math.abs(ratio - 1))}${name ? ` against ${name}` : ""}`;
}

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 0.0005) return "0 s";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 59.5) return `${value.toFixed(value < 9.95 ? 1 : 0)} s`;
  const whole = Math.round(value), minutes = Math.round(value / 60);
  if (whole < 3600) return parts(Math.floor(whole / 60), "min", whole % 60, "s");
  if (minutes < 1440) return parts(Math.floor(minutes / 60), "h", minutes % 60, "min");
  return `${(value / 86400).toFixed(1)} days`;
}

const parts = (much, unit, rest, small) => `${much} ${unit}${rest ? ` ${rest} ${small}` : ""}`;

export function when(iso) {
  if (!iso) return "–";
  const at = new Date(iso);
  return h("time", { datetime: iso, title: at.toISOString() }, at.toLocaleString("sv-SE", { dateStyle: "short", timeStyle: "medium" }));
}

// Words of the broker with what is to be typed as code.
export function words(text) {
  return text.split("`").map((part, number) => (number % 2 ? h("code", {}, part) : part));
}

// Words of the broker as a sentence.
export function sentence(words) {
  return words && `${words[0].toUpperCase()}${words.slice(1)}${/[.?!]$/.test(words) ? "" : "."}`;
}

export function between(from, until) {
  return from ? seconds((new Date(until ?? Date.now()) - new Date(from)) / 1000) : "–";
}

const HOUR = new Intl.DateTimeFormat("en-GB", { weekday: "short", hour: "2-digit", minute: "2-digit" });

// A moment of this week.
export function hour(at) {
  return HOUR.format(at).replace(",", "");
}

const TIERS = { commit_1y: "1-year commitment", commit_3y: "3-year commitment", on_demand: "on demand" };

// On which terms an offer is bought.
export function terms(tier) {
  return TIERS[tier] ?? tier;
}

export function gib(bytes) {
  return `${number(bytes / 2 ** 30)} GiB`;
}
