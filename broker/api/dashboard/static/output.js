// Output of a job as text, both streams as they come. Only the end is kept, so that a long log can't fill the page.

import { h } from "./dom.js";

const MOST_SHOWN = 200000, PIECE = 8000;

export function output() {
  const text = h("pre", { class: "log", tabindex: "0", role: "log", "aria-label": "Output" }), note = h("p", { class: "soft" }, "Nothing written yet.");
  const decoders = {}, seen = {};
  let size = 0, cut = false;

  // The part of an event that is not shown yet: a connection that was lost begins again with the first.
  function fresh({ attempt, stream, data, next_offset: next }) {
    const key = `${attempt} ${stream}`, bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
    const known = Math.max((seen[key] ?? 0) - (next - bytes.length), 0);
    seen[key] = Math.max(seen[key] ?? 0, next);
    return (decoders[key] ??= new TextDecoder()).decode(bytes.subarray(known), { stream: true });
  }

  function append(stream, written) {
    const last = text.lastChild;
    if (last?.className === stream && last.textContent.length < PIECE) last.firstChild.appendData(written);
    else text.appendChild(h("span", { class: stream })).append(written);
  }

  function trim() {
    while (size > MOST_SHOWN) {
      const first = text.firstChild.firstChild, over = Math.min(size - MOST_SHOWN, first.length);
      first.deleteData(0, over);
      if (!first.length) text.firstChild.remove();
      size -= over;
      cut = true;
    }
  }

  function say(words) {
    note.textContent = words;
    note.hidden = !words;
  }

  let ended = false;
  const nothing = () => (ended ? "It wrote nothing." : "Nothing written yet.");
  const found = () => say(cut ? "Only the end is shown; `broker logs` has all." : size ? "" : nothing());

  return {
    element: h("div", {}, note, text),
    found,
    say,
    end() {
      ended = true;
      found();
    },
    add(event) {
      const written = fresh(event), atEnd = text.scrollHeight - text.scrollTop - text.clientHeight < 40;
      if (written) append(event.stream, written);
      size += written.length;
      trim();
      found();
      if (atEnd) text.scrollTop = text.scrollHeight;
    },
  };
}
