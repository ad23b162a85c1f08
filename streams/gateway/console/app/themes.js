/** Which theme is shown: what the system asks for, or what somebody chose. */
import { signal } from "../vendor/signals-core.js";

const KEY = "cartrita.theme";
/** @type {ReadonlyArray<{id: string, name: string}>} */
export const THEMES = [
  { id: "", name: "As the system" },
  { id: "light", name: "Light" },
  { id: "dark", name: "Dark" },
  { id: "high-contrast", name: "High contrast" },
];

/** The chosen theme's id; "" for what the system asks for. */
export const chosen = signal(stored());

/** @returns {string} */
function stored() {
  try {
    const kept = localStorage.getItem(KEY) ?? "";
    return THEMES.some((theme) => theme.id === kept) ? kept : "";
  } catch {
    return "";
  }
}

/** @param {string} id */
export function choose(id) {
  chosen.value = id;
  try {
    if (id) localStorage.setItem(KEY, id);
    else localStorage.removeItem(KEY);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
  show();
}

function show() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const contrast = matchMedia("(prefers-contrast: more)").matches;
  document.documentElement.dataset.theme =
    chosen.value || (contrast ? "high-contrast" : dark ? "dark" : "light");
}

for (const query of ["(prefers-color-scheme: dark)", "(prefers-contrast: more)"]) {
  matchMedia(query).addEventListener("change", show);
}
