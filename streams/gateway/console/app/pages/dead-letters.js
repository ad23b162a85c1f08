/** Records that were put aside: grouped, looked into, and tried again. */
import { useEffect, useRef, useState } from "../../vendor/hooks.js";
import { get, queryOf, sentence } from "../api.js";
import { Heading } from "../heading.js";
import { html, use } from "../html.js";
import { Bytes } from "../letters/bytes.js";
import { RedriveForm, Redrives } from "../letters/redrive.js";
import { useAnswer } from "../reading.js";
import { Rows } from "../rows.js";
import { Empty, Failed, Loading } from "../states.js";
import { shown, shownJson } from "../text.js";
import { place, urlWith } from "../url.js";
import { Windowed } from "../windowed.js";
import { Ago, count, counted, exact } from "../words.js";

const PAGE = 100;
const NO_GROUP = { code: "", topic: "", reason: "", schemaId: "", letter: "" };

export default function DeadLetters() {
  const { query } = use(place);
  const letter = query.get("letter");
  const isGroup = query.has("reason");
  const [moved, setMoved] = useState(0);
  const asked = () => setMoved((before) => before + 1);
  return html`
    <${Heading} text="Dead letters" />
    ${letter || isGroup ? html`<p><a href="/dead-letters">All groups</a></p>` : null}
    ${letter
      ? html`<${Letter} key=${letter} id=${letter} onAsked=${asked} />`
      : isGroup
        ? html`<${Group} key=${query.toString()} query=${query} moved=${moved} onAsked=${asked} />`
        : html`<${Groups} moved=${moved} />`}
    <section aria-labelledby="redrives-heading">
      <h2 id="redrives-heading">Tried again</h2>
      <${Redrives} moved=${moved} />
    </section>
  `;
}

/** @param {{moved: number}} props */
function Groups({ moved }) {
  const { value, error, again } = useAnswer("/api/v2/dead-letters/groups", moved);
  if (!value) return error ? html`<${Failed} error=${error} again=${again} />` : html`<${Loading} what="the groups" />`;
  if (value.groups.length === 0) {
    return html`<${Empty} title="Nothing was put aside"><p>A record that cannot be used shows here, with its bytes, its place and the reason.</p><//>`;
  }
  const now = Date.now();
  return html`
    <form class="filters" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
      <button type="button" onClick=${again}>Read again</button>
      <p class="tally" role="status">${counted(sum(value.groups), "letter")} in ${counted(value.groups.length, "group")}</p>
    </form>
    ${error ? html`<p class="stale" role="status">It could not be read again: ${sentence(error)}</p>` : null}
    <div class="scroll" tabindex="0" role="group" aria-label="Groups">
      <table class="costs">
        <caption class="visually-hidden">Dead letters by code, topic, schema and reason</caption>
        <thead>
          <tr>
            <th scope="col">Reason</th>
            <th scope="col">Code</th>
            <th scope="col">Topic</th>
            <th scope="col">Schema</th>
            <th scope="col" class="number">Letters</th>
            <th scope="col" class="number">Tried again</th>
            <th scope="col">Last</th>
          </tr>
        </thead>
        <tbody>
          ${value.groups.map(
            (/** @type {any} */ one) => html`<tr key=${keyOf(one)}>
              <th scope="row"><a href=${urlOf(one)}>${shown(one.reason)}</a></th>
              <td>${one.code}</td>
              <td>${shown(one.topic)}</td>
              <td>${one.schemaId ?? html`<span class="muted">none</span>`}</td>
              <td class="number">${count(one.letters)}</td>
              <td class="number">${count(one.redriven)}</td>
              <td><${Ago} at=${one.lastAt} now=${now} /> ago</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
    ${value.truncated && html`<p class="muted">There are more groups; these have most letters that were not tried again.</p>`}
  `;
}

/** @param {any[]} groups @returns {number} */
function sum(groups) {
  return groups.reduce((total, one) => total + one.letters, 0);
}

/** @param {any} group @returns {string} */
function keyOf(group) {
  return JSON.stringify([group.code, group.topic, group.schemaId, group.reason]);
}

/** @param {any} group @returns {string} */
function urlOf(group) {
  const { code, topic, reason, schemaId } = group;
  return urlWith({ ...NO_GROUP, code, topic, reason, schemaId: schemaId === null ? "" : String(schemaId) });
}

/** @param {{query: URLSearchParams, moved: number, onAsked: () => void}} props */
function Group({ query, moved, onAsked }) {
  const of = { code: query.get("code") ?? "", topic: query.get("topic") ?? "", reason: query.get("reason") ?? "", schemaId: query.get("schemaId") ?? "" };
  const { value, error, again } = useAnswer("/api/v2/dead-letters/groups", moved);
  const [list] = useState(
    () =>
      new Windowed(async (mark, _first, stop) => {
        const page = await get("/api/v2/dead-letters" + queryOf({ ...of, before: mark, limit: PAGE }), stop);
        return { rows: page.letters, next: page.next };
      }, PAGE),
  );
  useEffect(() => () => list.end(), [list]);
  use(list.version);
  const group = value?.groups.find((/** @type {any} */ one) => keyOf(one) === keyOf({ ...of, schemaId: of.schemaId === "" ? null : Number(of.schemaId) }));
  const newest = useAnswer(group ? "/api/v2/dead-letters/" + group.example : "/api/v2/me");
  const left = group ? group.letters - group.redriven : 0;
  // What stands above the letters comes first, or they would move under the pointer of whoever clicks on one.
  const isWhole = useRef(false);
  if (error || (value && (left === 0 || newest.error || newest.value?.id === group?.example))) isWhole.current = true;
  const now = Date.now();
  return html`
    <h2>${shown(of.reason)}</h2>
    <p>
      <code>${of.code}</code> on <code>${shown(of.topic)}</code>${of.schemaId && html`, schema ${of.schemaId}`}.
      ${group && html` ${counted(group.letters, "letter")}, of which ${count(group.redriven)} were tried again.`}
    </p>
    ${error ? html`<${Failed} error=${error} again=${again} />` : null}
    ${isWhole.current && left > 0 && html`<${RedriveForm} about=${{ like: group.example, putAsideUntil: group.lastAt }} many=${left} said=${newest.value?.editable ? newest.value.event.body : null} onAsked=${onAsked} />`}
    ${isWhole.current && list.length > 0
      ? html`<${Rows}
          name="letters"
          label="Letters"
          columns=${[
            { id: "place", head: "Record" },
            { id: "reason", head: "Reason" },
            { id: "user", head: "User" },
            { id: "again", head: "Tried again" },
            { id: "at", head: "Put aside" },
          ]}
          rows=${list}
          keyOf=${(/** @type {any} */ one) => one.id}
          cells=${(/** @type {any} */ one) => [
            html`<a href=${"/dead-letters?letter=" + one.id}>${one.topic}/${one.partition}/${one.offset}</a>`,
            html`<span title=${shown(one.reason)}>${shown(one.reason)}</span>`,
            shown(one.userId),
            one.redrivenAt ? html`<${Ago} at=${one.redrivenAt} now=${now} /><span class="unit"> ago</span>` : html`<span class="muted">no</span>`,
            html`<${Ago} at=${one.putAsideAt} now=${now} /><span class="unit"> ago</span>`,
          ]}
        />`
      : list.error
        ? html`<${Failed} error=${list.error} again=${() => list.begin()} />`
        : isWhole.current && list.at
          ? html`<${Empty} title="There is no such letter" />`
          : html`<${Loading} what="the letters" />`}
  `;
}

/** @param {{id: string, onAsked: () => void}} props */
function Letter({ id, onAsked }) {
  const { value, error, again } = useAnswer("/api/v2/dead-letters/" + encodeURIComponent(id));
  if (!value) return error ? html`<${Failed} error=${error} again=${again} />` : html`<${Loading} what="the letter" />`;
  return html`<article>
    <h2>${shown(value.reason)}</h2>
    <dl class="facts-list">
      <dt>Code</dt>
      <dd><code>${value.code}</code></dd>
      <dt>Record</dt>
      <dd><code>${shown(value.topic)}/${value.partition}/${value.offset}</code></dd>
      <dt>Put aside</dt>
      <dd><time datetime=${value.putAsideAt}>${exact(value.putAsideAt)}</time>, by ${shown(value.shell)}</dd>
      <dt>Session</dt>
      <dd>${value.sessionId ? html`<a href=${"/sessions/" + value.sessionId}>${value.sessionId}</a>` : "not known"}</dd>
      <dt>Tried again</dt>
      <dd>${value.redrivenAt ? exact(value.redrivenAt) : "no"}</dd>
    </dl>
    ${value.redrivenAt
      ? html`<p class="muted">A letter is tried again once. If its record was put aside once more, that is a letter of its own.</p>`
      : html`<${RedriveForm} about=${{ letters: [value.id] }} many=${1} said=${value.editable ? value.event.body : null} onAsked=${onAsked} />`}
    <h3>What it says</h3>
    ${value.event
      ? html`<pre class="code" tabindex="0" role="group" aria-label="What it says">${shownJson(value.event)}</pre>`
      : html`<p class="tone-bad">It cannot be read: ${shown(value.unreadable)}. It can only go back as it was, once it can.</p>`}
    <${Bytes} name="Key" base64=${value.keyBase64} />
    <${Bytes} name="Value" base64=${value.valueBase64} />
    ${value.headers.map((/** @type {any} */ one, /** @type {number} */ at) => html`<${Bytes} key=${at} name=${"Header " + shown(one.name)} base64=${one.base64} />`)}
  </article>`;
}
