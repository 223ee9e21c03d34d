// Addresses after the # → views. A view shows itself in an element, and stops when its signal is aborted.

import { Problem, hadToken, keepToken, takeToken } from "./api.js";
import { h } from "./dom.js";
import { themeButton } from "./theme.js";

const VIEWS = {
  "": () => import("./views/overview.js"),
  jobs: () => import("./views/jobs.js"),
  job: () => import("./views/job.js"),
  capacity: () => import("./views/capacity.js"),
  spend: () => import("./views/spend.js"),
  prices: () => import("./views/prices.js"),
};
const AGAIN_MS = 3000;

const content = document.getElementById("content");
let leaving = new AbortController();

async function show(moved) {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  quiet();
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/").map(decoded);
  const load = Object.hasOwn(VIEWS, name) ? VIEWS[name] : null;
  mark(name === "job" ? "jobs" : name);
  if (!load) {
    content.replaceChildren(h("h1", {}, "There is no such page"), h("p", {}, h("a", { href: "#/" }, "Overview")));
    return;
  }
  const view = await load();
  if (signal.aborted) return;
  const place = h("div", { class: "view", "aria-busy": "true" });
  content.replaceChildren(place);
  if (moved) content.focus({ preventScroll: true });
  scrollTo(0, 0);
  await attempt(() => view.show(place, { rest, query: new URLSearchParams(query), signal, live: live(signal) }), signal);
  place.removeAttribute("aria-busy");
  document.title = `${place.querySelector("h1")?.textContent ?? ""} · gpu-broker`;
}

// A part of an address; one that can't be read stands as it is.
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

// Does something again and again while the page is looked at, until the view is left; never twice at once.
const live = (signal) => async (every_ms, work) => {
  let timer, busy = false;
  const again = async () => {
    if (busy || signal.aborted) return;
    clearTimeout(timer);
    busy = true;
    if (!document.hidden) await attempt(work, signal);
    busy = false;
    if (!signal.aborted) timer = setTimeout(again, every_ms);
  };
  document.addEventListener("visibilitychange", () => document.hidden || again(), { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  await again();
};

async function attempt(work, signal) {
  try {
    await work();
    if (!signal.aborted) say(work, "");
  } catch (error) {
    if (error.name === "AbortError" || signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    if (error.needsToken) askForToken();
    else say(work, error.message);
    if (error.status === 0) setTimeout(() => signal.aborted || content.textContent || show(false), AGAIN_MS);
  }
}

// What is wrong now, said once however many parts of a view it concerns.
const wrong = new Map();

function say(work, text) {
  wrong.set(work, text);
  const said = [...new Set(wrong.values())].filter(Boolean).join(" ");
  const notice = document.getElementById("notice");
  if (notice.textContent !== said) notice.textContent = said;
}

function askForToken() {
  const before = hadToken();
  leaving.abort();
  quiet();
  const field = h("input", { id: "token", type: "password", autocomplete: "off", required: true, spellcheck: "false" });
  const enter = (event) => {
    event.preventDefault();
    keepToken(field.value);
    show(true);
  };
  content.replaceChildren(h("form", { class: "card narrow", onsubmit: enter },
    h("h1", {}, "This broker asks for its token"),
    before ? h("p", { role: "alert" }, "The one that this page had is not good, or no longer: a broker that was started anew has another.") : null,
    h("p", {}, h("code", {}, "broker dashboard"), " opens this page with it. Or paste it here; it is in the file ", h("code", {}, "token"), " in the broker's state folder."),
    h("label", { for: "token" }, "Token"), field, h("button", { type: "submit" }, "Enter")));
  field.focus();
}

function quiet() {
  wrong.clear();
  document.getElementById("notice").textContent = "";
}

function mark(name) {
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

takeToken();
themeButton(document.getElementById("theme"));
addEventListener("hashchange", () => show(true));
show(false);
