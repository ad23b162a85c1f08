/** What was charged, and for what. */
import { queryOf, sentence } from "../api.js";
import { Heading } from "../heading.js";
import { html, use } from "../html.js";
import { Period, sinceOf } from "../period.js";
import { useAnswer } from "../reading.js";
import { Empty, Failed, Loading } from "../states.js";
import { shown } from "../text.js";
import { place, urlWith } from "../url.js";
import { count, counted, money } from "../words.js";

const BY = [
  { id: "day", name: "Day" },
  { id: "session", name: "Session" },
  { id: "agent", name: "Agent" },
  { id: "model", name: "Model" },
  { id: "tool", name: "Tool" },
];

export default function Cost() {
  const { query } = use(place);
  const by = BY.find((one) => one.id === query.get("by")) ?? BY[0];
  const since = sinceOf(query);
  const isSaved = query.get("view") === "saved";
  const { value, error, again } = useAnswer(isSaved ? "/api/v2/costs/fixed" + queryOf({ since }) : "/api/v2/costs" + queryOf({ by: by.id, since, limit: 200 }));
  // The answer of another view stays until the one that is asked for has come.
  const isHere = value && isSaved === "fixedDollars" in value;
  return html`
    <${Heading} text="Cost" />
    <nav class="tabs" aria-label="By what it is summed up">
      <ul>
        ${BY.map(
          (one) => html`<li key=${one.id}>
            <a href=${urlWith({ view: "", by: one.id === "day" ? "" : one.id })} aria-current=${one === by && !isSaved ? "page" : undefined}>By ${one.name.toLowerCase()}</a>
          </li>`,
        )}
        <li><a href=${urlWith({ view: "saved", by: "" })} aria-current=${isSaved ? "page" : undefined}>What routing saved</a></li>
      </ul>
    </nav>
    <form class="filters" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
      <${Period} query=${query} />
      <button type="button" onClick=${again}>Read again</button>
      ${isHere && html`<p class="tally" role="status">${isSaved ? saved(value) : summed(value.costs)}</p>`}
    </form>
    ${isHere && error ? html`<p class="stale" role="status">It could not be read again: ${sentence(error)}</p>` : null}
    ${!isHere
      ? error
        ? html`<${Failed} error=${error} again=${again} />`
        : html`<${Loading} what="the costs" />`
      : value.costs.length === 0
        ? html`<${Empty} title="Nothing was charged in this time"><p>Each model and tool call that costs something shows here once it is settled.</p><//>`
        : isSaved
          ? html`<${Saved} value=${value} />`
          : html`<${Table} by=${by} costs=${value.costs} />`}
    ${isHere && value.truncated && html`<p class="muted">There are more; these are the largest.</p>`}
  `;
}

/** @param {any[]} costs */
function summed(costs) {
  const tokens = costs.reduce((sum, one) => sum + one.tokens, 0);
  const dollars = costs.reduce((sum, one) => sum + one.dollars, 0);
  return `${money(dollars)}, ${counted(tokens, "token")}`;
}

/** @param {{by: {id: string, name: string}, costs: any[]}} props */
function Table({ by, costs }) {
  // Local models cost nothing; then tokens say how much it was.
  const inMoney = costs.some((one) => one.dollars > 0);
  const amount = (/** @type {any} */ one) => (inMoney ? one.dollars : one.tokens);
  const most = Math.max(...costs.map(amount)) || 1;
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Costs">
    <table class="costs">
      <caption class="visually-hidden">Costs by ${by.name.toLowerCase()}</caption>
      <thead>
        <tr>
          <th scope="col">${by.name}</th>
          <th scope="col" class="number">Cost</th>
          <th scope="col" class="number">Tokens</th>
          <th scope="col" class="number">Calls</th>
        </tr>
      </thead>
      <tbody>
        ${costs.map(
          (one) => html`<tr key=${one.key}>
            <th scope="row">
              ${by.id === "session" ? html`<a href=${"/sessions/" + one.key}>${shown(one.title ?? "Calls of a client")}</a>` : shown(one.key || (by.id === "tool" ? "calls of models" : "none"))}
              <span class="costs-bar" aria-hidden="true"><span style=${{ width: `${(100 * amount(one)) / most}%` }}></span></span>
            </th>
            <td class="number">${money(one.dollars)}</td>
            <td class="number">${count(one.tokens)}</td>
            <td class="number">${count(one.calls)}</td>
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** @param {any} value @returns {string} */
function saved(value) {
  const than = `${money(value.dollars)} as routed, ${money(value.fixedDollars)} with ${value.model} for all`;
  if (value.shareSaved === null) return than;
  const share = Math.round(100 * Math.abs(value.shareSaved));
  return `${than}: ${share} % ${value.shareSaved < 0 ? "more" : "less"}`;
}

/** @param {{value: any}} props */
function Saved({ value }) {
  return html`<p class="muted">
      The answered calls of planned sessions, and what the same tokens would cost with one model for all, both at today's prices. What another model would
      have written is not known.
    </p>
    <div class="scroll" tabindex="0" role="group" aria-label="Costs">
      <table class="costs">
        <caption class="visually-hidden">Calls as they were routed, beside one model for all</caption>
        <thead>
          <tr>
            <th scope="col">Agent</th>
            <th scope="col">Model</th>
            <th scope="col">Because of</th>
            <th scope="col" class="number">Calls</th>
            <th scope="col" class="number">As routed</th>
            <th scope="col" class="number">With ${shown(value.model)}</th>
          </tr>
        </thead>
        <tbody>
          ${value.costs.map(
            (/** @type {any} */ one) => html`<tr key=${JSON.stringify([one.agent, one.model, one.cause])}>
              <th scope="row">${shown(one.agent)}</th>
              <td>${shown(one.model)}</td>
              <td>${one.cause ? shown(one.cause) : html`<span class="muted">not told</span>`}</td>
              <td class="number">${count(one.calls)}</td>
              <td class="number">${one.dollars === null ? html`<span class="muted">no price</span>` : money(one.dollars)}</td>
              <td class="number">${money(one.fixedDollars)}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
}
