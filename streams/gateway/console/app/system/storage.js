/** What topics and tables take, and how fast they grow. */
import { sentence } from "../api.js";
import { html } from "../html.js";
import { useAnswer } from "../reading.js";
import { Failed, Loading } from "../states.js";
import { Table } from "../table.js";
import { shown } from "../text.js";
import { count, exact } from "../words.js";

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/** @param {number | null} bytes @returns {any} With three digits at most; what nobody knows is told as such. */
function size(bytes) {
  if (bytes === null) return html`<span class="muted">not known</span>`;
  let unit = 0;
  let value = bytes;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toLocaleString(undefined, { maximumSignificantDigits: 3 })} ${UNITS[unit]}`;
}

export function Storage() {
  const { value, error, again } = useAnswer("/api/v2/storage");
  if (!value) return error ? html`<${Failed} error=${error} again=${again} />` : html`<${Loading} what="what is stored" />`;
  const topics = [...value.topics].sort((one, other) => other.bytesOfReplicas - one.bytesOfReplicas);
  return html`
    <form class="filters" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
      <button type="button" onClick=${again}>Read again</button>
      <p class="tally" role="status">Kafka ${size(value.logBytesOfReplicas)}, Postgres ${size(value.databaseBytes)}</p>
    </form>
    ${error ? html`<p class="stale" role="status">It could not be read again: ${sentence(error)}</p>` : null}
    <p>
      ${value.logBytesADay === null && value.databaseBytesADay === null
        ? "The log is too young to tell how fast it grows."
        : html`A day adds ${size(value.logBytesADay)} to Kafka, all copies, and ${size(value.databaseBytesADay)} to Postgres, as the log's own times since
          ${" "}${exact(value.measuredSince)} tell.`}
      ${" "}<code>cartrita storage prune</code> says what may go.
    </p>
    <h2>Topics</h2>
    <${Table} name="Topics" heads=${["Topic", "Kept", "#Records", "#All copies", "#A day"]}>
      ${topics.map(
        (one) => html`<tr key=${one.name}>
          <th scope="row">${shown(one.name)}</th>
          <td>${one.kept}</td>
          <td class="number">${count(one.records)}</td>
          <td class="number">${size(one.bytesOfReplicas)}</td>
          <td class="number">${size(one.bytesADay)}</td>
        </tr>`,
      )}
    <//>
    <h2>Tables</h2>
    <${Table} name="Tables" heads=${["Table", "From", "#Rows, about", "#Dead rows", "#Indexes", "#In all"]}>
      ${value.tables.map(
        (/** @type {any} */ one) => html`<tr key=${one.name}>
          <th scope="row">${shown(one.name)}</th>
          <td>${one.origin}</td>
          <td class="number">${one.rows === null ? html`<span class="muted">not known</span>` : count(one.rows)}</td>
          <td class="number">${count(one.deadRows)}</td>
          <td class="number">${size(one.indexBytes)}</td>
          <td class="number">${size(one.bytes)}</td>
        </tr>`,
      )}
    <//>
  `;
}
