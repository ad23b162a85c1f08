/** Views of a list that are kept under a name in this browser, and the list as a file. Loaded after the list shows. */
import { useState } from "../vendor/hooks.js";
import { get, queryOf, sentence } from "./api.js";
import { html, use } from "./html.js";
import { shown } from "./text.js";
import { place } from "./url.js";
import { counted } from "./words.js";

const KEPT = "cartrita.views";
const ROWS_MAX = 10_000;
const PAGE = 200;
const COLUMNS = ["sessionId", "title", "status", "userId", "messages", "turns", "tokensUsed", "dollarsUsed", "budgetTokens", "openedAt", "lastActivity", "endedAt", "importedFrom", "importedAt"];

/** @returns {Array<{name: string, url: string}>} Kept views that lead into the console. */
function kept() {
  try {
    const read = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
    return read.filter((/** @type {any} */ one) => typeof one?.name === "string" && /^\/(?!\/)/.test(one?.url));
  } catch {
    return [];
  }
}

/** @param {unknown} value @returns {string} One field of RFC 4180; what a spreadsheet would calculate is text. */
function field(value) {
  const text = value === null || value === undefined ? "" : String(value);
  const harmless = /^[=+\-@\t\r]/.test(text) && typeof value === "string" ? "'" + text : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

/** @param {any[]} rows @returns {string} */
export function csv(rows) {
  return [COLUMNS, ...rows.map((row) => COLUMNS.map((name) => row[name]))].map((line) => line.map(field).join(",") + "\r\n").join("");
}

/** @param {string} text @param {string} name */
function save(text, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

/** @param {{asked: Record<string, string | number | string[] | undefined>}} props What the list asks the gateway for. */
export function Views({ asked }) {
  const { query } = use(place);
  const [views, setViews] = useState(kept);
  const [name, setName] = useState("");
  const [told, setTold] = useState("");

  /** @param {Array<{name: string, url: string}>} now */
  function keep(now) {
    localStorage.setItem(KEPT, JSON.stringify(now));
    setViews(now);
  }
  async function download() {
    try {
      /** @type {any[]} */
      const rows = [];
      let before = "";
      do {
        setTold(`${counted(rows.length, "session")} …`);
        const page = await get("/api/v2/sessions" + queryOf({ ...asked, before, limit: PAGE }));
        rows.push(...page.sessions);
        before = page.next ?? "";
      } while (before && rows.length < ROWS_MAX);
      save(csv(rows), "sessions.csv");
      setTold(`${counted(rows.length, "session")} saved${before ? "; there are more, which a search or filter narrows down" : ""}.`);
    } catch (error) {
      setTold(sentence(error));
    }
  }
  return html`<details class="views">
    <summary>Views and export</summary>
    <form
      class="filters"
      onSubmit=${(/** @type {Event} */ event) => {
        event.preventDefault();
        if (!name.trim()) return;
        const text = query.toString();
        keep([...views.filter((one) => one.name !== name.trim()), { name: name.trim(), url: "/" + (text ? "?" + text : "") }]);
        setName("");
      }}
    >
      <label>Keep this view as<input value=${name} maxlength="60" onInput=${(/** @type {any} */ event) => setName(event.currentTarget.value)} /></label>
      <button type="submit">Keep it</button>
      <button type="button" onClick=${download}>Save the list as a file</button>
      <p role="status">${told}</p>
    </form>
    <ul class="redrives">
      ${views.map(
        (one) => html`<li key=${one.name}>
          <a href=${one.url}>${shown(one.name)}</a>
          <button type="button" onClick=${() => keep(views.filter((other) => other !== one))}>Forget ${shown(one.name)}</button>
        </li>`,
      )}
    </ul>
  </details>`;
}
