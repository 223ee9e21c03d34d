// Light, dark, or as the system has it; remembered in this browser.

const KEY = "broker-theme";
const NEXT = { system: "light", light: "dark", dark: "system" };
const SIGN = { system: "◐", light: "☀", dark: "☾" };

export function themeButton(button) {
  const apply = (name) => {
    if (name === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    button.textContent = SIGN[name];
    button.setAttribute("aria-label", `Colours: ${name}. Change`);
    localStorage.setItem(KEY, name);
  };
  const kept = localStorage.getItem(KEY);
  let now = kept in NEXT ? kept : "system";
  apply(now);
  button.addEventListener("click", () => apply(now = NEXT[now]));
}
