/** One event: what it says, what caused it, why, what came of it, and a fork from here. */
import { useRef, useState } from "../../vendor/hooks.js";
import { may, newKey, post, sentence } from "../api.js";
import { html, use } from "../html.js";
import { useAnswer } from "../reading.js";
import { Failed, Loading } from "../states.js";
import { shown, shownJson } from "../text.js";
import { go, place, urlWith } from "../url.js";
import { exact } from "../words.js";

/** Longer payloads are shown in part first. */
const PAYLOAD_CHARACTERS = 20_000;

/** @param {{base: string, session: string, id: string}} props */
export function EventDetail({ base, session, id }) {
  const { value: event, error, again } = useAnswer(`${base}/events/${id}`);
  const why = use(place).query.get("why") ?? "";
  if (!event) {
    return html`<aside class="event" aria-label="The event">
      ${error ? html`<${Failed} error=${error} again=${again} />` : html`<${Loading} what="the event" />`}
    </aside>`;
  }
  return html`<aside class="event" aria-labelledby="event-head">
    <div class="page-head">
      <h2 id="event-head">${event.type}</h2>
      <a href=${urlWith({ event: "", why: "" })}>Close</a>
    </div>
    <dl class="facts-list">
      <dt>When</dt>
      <dd><time datetime=${event.occurredAt}>${exact(event.occurredAt)}</time> (${event.occurredAt})</dd>
      <dt>By</dt>
      <dd>${shown(event.producer)}${event.userId ? ` for ${shown(event.userId)}` : ""}</dd>
      <dt>Cause</dt>
      <dd>${event.causationId ? html`<${EventLink} id=${event.causationId} />` : "none: it came from outside"}</dd>
      ${event.evidenceIds.length > 0 &&
      html`<dt>Rests on</dt>
        <dd>${event.evidenceIds.map((/** @type {string} */ one) => html`<${EventLink} key=${one} id=${one} /> `)}</dd>`}
      <dt>Id</dt>
      <dd><code>${event.id}</code></dd>
      <dt>Place</dt>
      <dd><code>${event.topic}/${event.partition}/${event.offset}</code>${event.sequence ? `, number ${event.sequence} of the session` : ""}</dd>
    </dl>
    <div class="acts">
      <${WhyButton} on=${why} to="causes" name="Why?" />
      <${WhyButton} on=${why} to="effects" name="What came of it?" />
      ${may("send") && html`<${Fork} base=${base} at=${event.id} />`}
    </div>
    ${(why === "causes" || why === "effects") && html`<${Trace} key=${why} id=${id} session=${session} effects=${why === "effects"} />`}
    <h3>What it says</h3>
    <${Payload} body=${event.body} />
    ${Object.values(event.versions).some(Boolean) &&
    html`<details><summary>Configuration that decided</summary><pre tabindex="0"><code>${shownJson(event.versions)}</code></pre></details>`}
  </aside>`;
}

/** @param {{id: string}} props */
function EventLink({ id }) {
  return html`<a href=${urlWith({ event: id, why: "" })}><code>${id.slice(0, 8)}</code></a>`;
}

/** @param {{on: string, to: string, name: string}} props */
function WhyButton({ on, to, name }) {
  return html`<button type="button" aria-pressed=${on === to} onClick=${() => go(urlWith({ why: on === to ? "" : to }))}>${name}</button>`;
}

/** @param {{body: Record<string, unknown>}} props */
function Payload({ body }) {
  const [whole, setWhole] = useState(false);
  const text = shownJson(readable(body));
  const isLong = text.length > PAYLOAD_CHARACTERS;
  return html`<pre tabindex="0"><code>${isLong && !whole ? text.slice(0, PAYLOAD_CHARACTERS) : text}</code></pre>
    ${isLong &&
    !whole &&
    html`<p>These are the first ${PAYLOAD_CHARACTERS.toLocaleString()} of ${text.length.toLocaleString()} characters.
      <button type="button" onClick=${() => setWhole(true)}>Show all</button></p>`}`;
}

/** @param {Record<string, unknown>} body @returns {Record<string, unknown>} JSON within texts is shown as what it holds. */
function readable(body) {
  return Object.fromEntries(
    Object.entries(body).map(([name, value]) => {
      if (!name.endsWith("_json") || typeof value !== "string") return [name, value];
      try {
        return [name, JSON.parse(value)];
      } catch {
        return [name, value];
      }
    }),
  );
}

/** @param {{id: string, session: string, effects: boolean}} props */
function Trace({ id, session, effects }) {
  const { value: trace, error, again } = useAnswer(`/api/v2/events/${id}/trace?limit=300` + (effects ? "&effects=true" : ""));
  const title = effects ? "What came of it" : "Why it happened";
  if (!trace) return error ? html`<${Failed} error=${error} again=${again} />` : html`<${Loading} what="the trace" />`;
  return html`<section aria-label=${title}>
    <h3>${title}</h3>
    ${trace.events.length === 1 && html`<p class="muted">${effects ? "Nothing yet." : "Nothing: it came from outside."}</p>`}
    <ol class="trace">
      ${trace.events.map(
        (/** @type {any} */ one) => html`<li key=${one.id} style=${{ marginLeft: `${Math.min(one.depth, 12) * 0.875}rem` }}>
          <span class="muted">${one.link === "start" ? "" : effects ? "then " : one.link === "evidence" ? "resting on " : "because of "}</span>
          <a href=${one.sessionId && one.sessionId !== session ? `/sessions/${one.sessionId}?tab=events&event=${one.id}` : urlWith({ event: one.id, why: "" })}
            >${one.type}</a
          >
          ${" "}${shown(one.label)}
          ${one.missing.length > 0 && html`<span class="muted"> (what it names further is not told here)</span>`}
        </li>`,
      )}
    </ol>
    ${trace.truncated && html`<p class="muted">There are more; these are the nearest.</p>`}
  </section>`;
}

/**
 * Go on from here in a new session.
 * @param {{base: string, at: string}} props
 */
function Fork({ base, at }) {
  const [open, setOpen] = useState(false);
  const [message, setMessage] = useState("");
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const [busy, setBusy] = useState(false);
  const key = useRef(newKey());
  async function fork() {
    if (busy) return;
    setBusy(true);
    setError(null);
    try {
      const opened = await post(`${base}/fork`, { at, message: message.trim() || null }, key.current);
      go("/sessions/" + opened.sessionId);
    } catch (failure) {
      setError(failure);
      key.current = newKey();
      setBusy(false);
    }
  }
  return html`<button type="button" aria-expanded=${open} onClick=${() => setOpen(!open)}>Fork from here …</button>
    ${open &&
    html`<form
      class="fork"
      onSubmit=${(/** @type {Event} */ event) => {
        event.preventDefault();
        fork();
      }}
    >
      <label for="fork-message">What to ask there instead; empty: what was in progress goes on</label>
      <textarea id="fork-message" rows="2" value=${message} onInput=${(/** @type {any} */ event) => setMessage(event.currentTarget.value)}></textarea>
      <p class="muted">A new session, with a budget of its own and no approvals, that has this one's past up to here.</p>
      <button type="submit" class="primary" aria-disabled=${busy}>Fork</button>
      ${error ? html`<p class="tone-bad" role="alert">${sentence(error)}</p>` : null}
    </form>`}`;
}
