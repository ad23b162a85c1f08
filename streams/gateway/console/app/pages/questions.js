/** Ready questions about how agents, tools, budgets and rules did, each answered of what one may see. */
import { queryOf, sentence } from "../api.js";
import { Heading } from "../heading.js";
import { html, use } from "../html.js";
import { Period, sinceOf } from "../period.js";
import { useAnswer } from "../reading.js";
import { Empty, Failed, Loading } from "../states.js";
import { shown } from "../text.js";
import { place, urlWith } from "../url.js";
import { counted } from "../words.js";

const ROWS_MAX = 200;

export default function Questions() {
  const { query } = use(place);
  const { value, error, again } = useAnswer("/api/v2/questions");
  if (!value) {
    return html`<${Heading} text="Questions" />
      ${error ? html`<${Failed} error=${error} again=${again} />` : html`<${Loading} what="the questions" />`}`;
  }
  const asked = value.questions.find((/** @type {any} */ one) => one.name === query.get("ask")) ?? value.questions[0];
  return html`
    <${Heading} text="Questions" />
    <nav class="tabs" aria-label="What is asked">
      <ul>
        ${value.questions.map(
          (/** @type {any} */ one) => html`<li key=${one.name}>
            <a href=${urlWith({ ask: one.name })} aria-current=${one === asked ? "page" : undefined}>${titleOf(one.name)}</a>
          </li>`,
        )}
      </ul>
    </nav>
    <${Answer} key=${asked.name} asked=${asked} query=${query} />
  `;
}

/** @param {string} name As a view is named. @returns {string} */
function titleOf(name) {
  const words = name.replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
}

/** @param {{asked: any, query: URLSearchParams}} props */
function Answer({ asked, query }) {
  const { value, error, again } = useAnswer(`/api/v2/questions/${asked.name}` + queryOf({ since: sinceOf(query), limit: ROWS_MAX }));
  const [question, ...counts] = asked.question.split(/(?<=\?) /);
  return html`
    <h2>${question}</h2>
    ${counts.length > 0 && html`<p class="muted">${counts.join(" ")}</p>`}
    <form class="filters" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
      <${Period} query=${query} />
      <button type="button" onClick=${again}>Read again</button>
      ${value && html`<p class="tally" role="status">${counted(value.rows.length, "row")}</p>`}
    </form>
    ${value && error ? html`<p class="stale" role="status">It could not be read again: ${sentence(error)}</p>` : null}
    ${!value
      ? error
        ? html`<${Failed} error=${error} again=${again} />`
        : html`<${Loading} what="the answer" />`
      : value.rows.length === 0
        ? html`<${Empty} title="Nothing to tell of in this time" />`
        : html`<${Rows} value=${value} />`}
    ${value?.truncated && html`<p class="muted">There are more rows; <code>cartrita ask ${asked.name}</code> tells all.</p>`}
    <details>
      <summary>What the columns mean</summary>
      <dl class="facts-list">
        ${asked.columns.map(
          (/** @type {any} */ one) => html`<dt key=${one.name + "?"}><code>${one.name}</code></dt>
            <dd key=${one.name}>${one.meaning}</dd>`,
        )}
      </dl>
    </details>
  `;
}

/** @param {{value: any}} props What needs a look stands first. */
function Rows({ value }) {
  const columns = value.question.columns;
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Answer">
    <table class="costs">
      <caption class="visually-hidden">${value.question.question}</caption>
      <thead>
        <tr>
          ${columns.map((/** @type {any} */ one) => html`<th key=${one.name} scope="col" title=${one.meaning} class=${isNumber(one) ? "number" : ""}>${one.name.replaceAll("_", " ")}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${value.rows.map(
          (/** @type {any[]} */ row, /** @type {number} */ at) => html`<tr key=${at}>
            ${row.map((cell, column) => html`<td key=${column} class=${isNumber(columns[column]) ? "number" : ""}>${told(cell)}</td>`)}
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** @param {any} column @returns {boolean} */
function isNumber(column) {
  return /^(bigint|integer|numeric|double|real|smallint)/.test(column.type);
}

/** @param {number | string | null} cell */
function told(cell) {
  if (cell === null) return html`<span class="muted">–</span>`;
  if (typeof cell === "number") return cell.toLocaleString("en", { maximumSignificantDigits: Number.isInteger(cell) ? 21 : 4 });
  return shown(cell);
}
