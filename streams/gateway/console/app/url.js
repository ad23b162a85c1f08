/** Where one is: filters, order and selection stand in the URL, so that it can be kept, shared and gone back to. */
import { signal } from "../vendor/signals-core.js";

/**
 * @typedef {object} Place
 * @property {string} path
 * @property {URLSearchParams} query
 * @property {boolean} arrived Whether another page was gone to, whose heading takes the focus.
 */

/** @type {import("../vendor/signals-core.js").Signal<Place>} */
export const place = signal(here(false));

/** @param {boolean} arrived @returns {Place} */
function here(arrived) {
  return { path: location.pathname, query: new URLSearchParams(location.search), arrived };
}

/** Go to a page of the console. @param {string} url */
export function go(url) {
  const before = location.pathname;
  history.pushState(null, "", url);
  place.value = here(location.pathname !== before);
  if (place.value.arrived) scrollTo(0, 0);
}

/**
 * Change some of the query; an empty value leaves its name out.
 * @param {Record<string, string>} changes
 * @param {{replace?: boolean}} [how] With `replace` the step back skips it, as for each letter of a search.
 */
export function setQuery(changes, { replace = false } = {}) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const text = query.toString();
  const url = location.pathname + (text ? "?" + text : "");
  if (url === location.pathname + location.search) return;
  if (replace) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
  place.value = here(false);
}

/** @param {Record<string, string>} changes @returns {string} The URL of this page with some of its query changed. */
export function urlWith(changes) {
  const query = new URLSearchParams(place.value.query);
  for (const [name, value] of Object.entries(changes)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const text = query.toString();
  return place.value.path + (text ? "?" + text : "");
}

addEventListener("popstate", () => {
  place.value = here(true);
});

// Links within the console change the place and load nothing anew.
document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  if (!(link instanceof HTMLAnchorElement) || link.target || link.origin !== location.origin) return;
  if (link.hash && link.pathname === location.pathname) return;
  event.preventDefault();
  go(link.pathname + link.search);
});
