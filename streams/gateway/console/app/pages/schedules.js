/** What is said by the clock: when it is due next, what became of the last times, and pause and resume. */
import { useRef, useState } from "../../vendor/hooks.js";
import { may, newKey, post, sentence } from "../api.js";
import { Heading } from "../heading.js";
import { html, use } from "../html.js";
import { useLive } from "../reading.js";
import { Empty, Failed, Loading } from "../states.js";
import { Table } from "../table.js";
import { shown } from "../text.js";
import { place, urlWith } from "../url.js";
import { count, counted, exact, money, span } from "../words.js";

const LOOK_MS = 5_000;
/** Rows come a moment behind what was asked. */
const SETTLE_MS = [500, 1_500, 4_000];

/** @type {Record<string, {sign: string, word: string, tone: string}>} */
const STANDS = {
  active: { sign: "▶", word: "active", tone: "ok" },
  paused: { sign: "‖", word: "paused", tone: "warn" },
  ended: { sign: "■", word: "ended", tone: "" },
  deleted: { sign: "■", word: "deleted", tone: "" },
};
/** @type {Record<string, {sign: string, word: string, tone: string}>} */
const OUTCOMES = {
  running: { sign: "▶", word: "is worked on", tone: "info" },
  answered: { sign: "✓", word: "answered", tone: "ok" },
  incomplete: { sign: "!", word: "answered in part", tone: "warn" },
  failed: { sign: "✗", word: "failed", tone: "bad" },
  refused: { sign: "✗", word: "refused", tone: "bad" },
  ended: { sign: "✗", word: "its session ended", tone: "bad" },
  unseen: { sign: "?", word: "no end was seen", tone: "warn" },
  skipped: { sign: "–", word: "skipped", tone: "warn" },
};

export default function Schedules() {
  const { query } = use(place);
  const [moved, setMoved] = useState(0);
  const { value, error, again } = useLive("/api/v2/schedules", LOOK_MS, moved);
  const changed = () => SETTLE_MS.forEach((wait) => setTimeout(() => setMoved((times) => times + 1), wait));
  const chosen = query.get("schedule");
  return html`
    <${Heading} text="Schedules" />
    ${value && error ? html`<p class="stale" role="status">It could not be read again: ${sentence(error)}</p>` : null}
    ${!value
      ? error
        ? html`<${Failed} error=${error} again=${again} />`
        : html`<${Loading} what="the schedules" />`
      : value.schedules.length === 0
        ? html`<${Empty} title="Nothing is said by the clock">
            <p><code>cartrita schedule create</code> has something said by a cron expression, every so often, or once.</p>
          <//>`
        : html`
            ${chosen && html`<${Detail} key=${chosen} id=${chosen} moved=${moved} />`}
            <${Table} name="Schedules" heads=${["Schedule", "When", "Due next", "Last five", "Stands", "#Begun", "#Skipped", "Acts"]}>
              ${value.schedules.map((/** @type {any} */ one) => html`<${Row} key=${one.scheduleId} one=${one} changed=${changed} />`)}
            <//>
          `}
  `;
}

/** @param {{one: any, changed: () => void}} props */
function Row({ one, changed }) {
  return html`<tr>
    <th scope="row"><a href=${urlWith({ schedule: one.scheduleId })}>${shown(one.name)}</a> <span class="muted">for ${shown(one.userId)}</span></th>
    <td>${when(one)}</td>
    <td>${one.nextAt ? html`<${At} at=${one.nextAt} /> <span class="muted">${soon(one.nextAt)}</span>` : html`<span class="muted">not, as it stands</span>`}</td>
    <td>${one.lastOutcomes.length === 0 ? html`<span class="muted">none yet</span>` : one.lastOutcomes.map((/** @type {string} */ outcome, /** @type {number} */ at) => html`<${Mark} key=${at} told=${OUTCOMES[outcome]} word=${outcome} brief />`)}</td>
    <td><${Mark} told=${STANDS[one.status]} word=${one.status} /></td>
    <td class="number">${count(one.fired)}</td>
    <td class=${"number" + (one.skipped ? " tone-warn" : "")}>${count(one.skipped)}</td>
    <td>${may("send") && (one.status === "active" || one.status === "paused") ? html`<${Turn} one=${one} changed=${changed} />` : html`<span class="muted">–</span>`}</td>
  </tr>`;
}

/** @param {{told: {sign: string, word: string, tone: string} | undefined, word: string, brief?: boolean}} props A sign with its word, which may be for readers alone. */
function Mark({ told, word, brief = false }) {
  const { sign, word: words, tone } = told ?? { sign: "?", word, tone: "" };
  return html`<span class=${"status " + (tone && "tone-" + tone)} title=${words}
    ><span class="sign" aria-hidden="true">${sign}</span> <span class=${brief ? "visually-hidden" : ""}>${words}</span></span
  >`;
}

/** @param {{one: any, changed: () => void}} props Pauses what is active, and resumes what is paused. */
function Turn({ one, changed }) {
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const busy = useRef(false);
  const act = one.status === "active" ? "pause" : "resume";
  async function turn() {
    if (busy.current) return;
    busy.current = true;
    try {
      await post(`/api/v2/schedules/${one.scheduleId}/${act}`, {}, newKey());
      setError(null);
      changed();
    } catch (failure) {
      setError(failure);
    }
    busy.current = false;
  }
  return html`<button type="button" aria-label=${`${act === "pause" ? "Pause" : "Resume"} ${shown(one.name)}`} onClick=${turn}>${act === "pause" ? "Pause" : "Resume"}</button>
    ${error ? html`<p class="tone-bad" role="alert">${sentence(error)}</p>` : null}`;
}

/** @param {{id: string, moved: number}} props */
function Detail({ id, moved }) {
  const { value, error, again } = useLive(`/api/v2/schedules/${id}?limit=50`, LOOK_MS, moved);
  if (!value) return error ? html`<${Failed} error=${error} again=${again} />` : html`<${Loading} what="the schedule" />`;
  const { schedule: one, latest } = value;
  return html`<article class="redrive">
    <h2>${shown(one.name)}</h2>
    <dl class="facts-list">
      <dt>Says</dt>
      <dd>${shown(one.content)}${one.agent && ` (to ${shown(one.agent)})`}</dd>
      <dt>When</dt>
      <dd>${when(one)}</dd>
      <dt>Where</dt>
      <dd>
        ${one.sessionId
          ? html`in <a href=${"/sessions/" + one.sessionId}>one session</a> that was there`
          : one.oneSession
            ? "in one session, which goes on"
            : "each time in a session of its own"}
      </dd>
      <dt>Budget</dt>
      <dd>${budget(one)}</dd>
      <dt>Missed</dt>
      <dd>${missed(one)}</dd>
      <dt>Overlap</dt>
      <dd>${one.ifRunning === "skip" ? "while one is worked on, the next is skipped" : "the next begins beside one that is worked on"}</dd>
      <dt>Created</dt>
      <dd>by ${shown(one.createdBy)}, <${At} at=${one.createdAt} /></dd>
      ${one.reason && html`<dt>Last changed</dt>
        <dd>by ${shown(one.changedBy)}: ${shown(one.reason)}</dd>`}
    </dl>
    ${latest.length === 0
      ? html`<p class="muted">It was not due yet.</p>`
      : html`<${Table} name="What became of it" heads=${["Due", "What became of it", "Session"]}>
          ${latest.map(
            (/** @type {any} */ firing) => html`<tr key=${firing.dueAt + firing.outcome}>
              <th scope="row"><${At} at=${firing.dueAt} /></th>
              <td>
                <${Mark} told=${OUTCOMES[firing.outcome]} word=${firing.outcome} /> ${firing.missed && "made up for "}${firing.count > 1 && counted(firing.count, "time")}
                ${firing.detail && html`<span class="muted">${shown(firing.detail)}</span>`}
              </td>
              <td>${firing.sessionId ? html`<a href=${"/sessions/" + firing.sessionId}>${firing.sessionId.slice(0, 8)}</a>` : html`<span class="muted">none</span>`}</td>
            </tr>`,
          )}
        <//>`}
    <p><a href=${urlWith({ schedule: "" })}>Close</a></p>
  </article>`;
}

/** @param {{at: string}} props */
function At({ at }) {
  return html`<time datetime=${at}>${exact(at)}</time>`;
}

/** @param {string} at @returns {string} */
function soon(at) {
  const left = Date.parse(at) - Date.now();
  return left > 0 ? `in ${span(left)}` : "now";
}

/** @param {any} one @returns {any} */
function when(one) {
  if (one.cron) return html`<code>${shown(one.cron)}</code> ${shown(one.zone)}`;
  if (one.everySeconds) return `every ${span(one.everySeconds * 1_000)}`;
  return html`once, <${At} at=${one.at} />`;
}

/** @param {any} one @returns {string} */
function budget(one) {
  const told = [one.budgetTokens !== null && counted(one.budgetTokens, "token"), one.budgetDollars !== null && money(one.budgetDollars)].filter(Boolean);
  return told.length > 0 ? told.join(", ") : "as configured for every session";
}

/** @param {any} one @returns {string} */
function missed(one) {
  const late = `later than ${span(one.lateSeconds * 1_000)}`;
  if (one.missed === "last") return `of what is ${late} the latest is made up for`;
  if (one.missed === "all") return `of what is ${late} the newest ${count(one.missedMax)} are made up for`;
  return `what is ${late} is skipped`;
}
