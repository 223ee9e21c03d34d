// The broker's API with its token. What goes wrong arrives as a Problem, which says what in the broker's own words.

const KEY = "broker-token";

export class Problem extends Error {
  constructor(status, document) {
    super(document.detail);
    this.status = status;
    this.needsToken = status === 401 || document.type === "urn:gpu-broker:too-many-failures";
    this.problems = document.problems ?? [];
  }
}

// A token after the # of an address never leaves the browser; it is kept for this tab and taken out of the address.
export function takeToken() {
  const given = location.hash.match(/^#token=([\w-]+)$/);
  if (!given) return;
  sessionStorage.setItem(KEY, given[1]);
  history.replaceState(null, "", `${location.pathname}#/`);
}

export function keepToken(token) {
  sessionStorage.setItem(KEY, token.trim());
}

export function hadToken() {
  return sessionStorage.getItem(KEY) !== null;
}

async function call(method, path, { query = {}, body, signal, after } = {}) {
  const pairs = Object.entries(query).flatMap(([name, value]) => [value].flat().map((each) => [name, each]));
  const given = pairs.filter(([, value]) => value !== undefined && value !== null && value !== "");
  const address = given.length ? `${path}?${new URLSearchParams(given)}` : path;
  const token = sessionStorage.getItem(KEY);
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  if (after) headers["Last-Event-ID"] = after;
  let answer;
  try {
    answer = await fetch(address, { method, headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "The broker does not answer. `broker up` starts it; this page then goes on by itself." });
  }
  if (answer.ok) return answer;
  throw new Problem(answer.status, await answer.json().catch(() => ({ detail: `The broker answered ${answer.status}.` })));
}

export async function get(path, query, signal) {
  return (await call("GET", path, { query, signal })).json();
}

export async function post(path, body = {}) {
  return (await call("POST", path, { body })).json();
}

export async function download(path, query, name) {
  const data = await (await call("GET", path, { query })).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(data);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

// Server-sent events with a token, which EventSource can't send. Says whether the last of them was an end. `place.id` is
// that of the last event: a stream that is asked for again goes on behind it.
export async function follow(path, signal, told, place) {
  const answer = await call("GET", path, { signal, after: place.id });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let kept = "", last = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return last === "end";
    const events = (kept + value).split("\n\n");
    kept = events.pop();
    for (const event of events) {
      const { event: kind, data, id } = Object.fromEntries(event.split("\n").map((line) => line.split(/: ([^]*)/, 2)));
      if (!kind) continue; // a sign of life
      told(kind, JSON.parse(data));
      last = kind;
      place.id = id ?? place.id;
    }
  }
}

// Some time, or until the view is left.
export function rest(ms, signal) {
  return new Promise((done) => {
    const over = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", over);
      done();
    };
    const timer = setTimeout(over, ms);
    signal.addEventListener("abort", over);
  });
}
