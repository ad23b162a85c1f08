/** The time that a page tells of: chosen by whoever reads it, and kept in the URL. */
import { html } from "./html.js";
import { setQuery } from "./url.js";

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const DAYS_USUAL = 30;
/** By what the URL says. */
const PERIODS = [
  { id: "1", name: "One day", days: 1 },
  { id: "7", name: "7 days", days: 7 },
  { id: "", name: "30 days", days: DAYS_USUAL },
  { id: "365", name: "A year", days: 365 },
];

/** @param {URLSearchParams} query @returns {string} The beginning, to the hour, so that going back and forth asks the same. */
export function sinceOf(query) {
  const days = PERIODS.find((one) => one.id === (query.get("days") ?? ""))?.days ?? DAYS_USUAL;
  return new Date(Math.floor((Date.now() - days * DAY_MS) / HOUR_MS) * HOUR_MS).toISOString();
}

/** @param {{query: URLSearchParams}} props */
export function Period({ query }) {
  return html`<label
    >The last
    <select value=${query.get("days") ?? ""} onChange=${(/** @type {any} */ event) => setQuery({ days: event.currentTarget.value })}>
      ${PERIODS.map((one) => html`<option key=${one.id} value=${one.id}>${one.name}</option>`)}
    </select>
  </label>`;
}
