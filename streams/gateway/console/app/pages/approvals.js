/** What waits for a person: calls to be approved, and calls of which somebody has to find out what became of them. */
import { useEffect, useRef, useState } from "../../vendor/hooks.js";
import { post, queryOf, sentence } from "../api.js";
import { Heading } from "../heading.js";
import { html } from "../html.js";
import { useAnswer, useLive } from "../reading.js";
import { Empty, Failed, Loading } from "../states.js";
import { shown } from "../text.js";
import { Ago, counted, exact, span } from "../words.js";

const READ_MS = 2_000;
/** A text longer than this is folded, and must be opened before anything is decided. */
const FOLDED_CHARACTERS = 2_000;

export default function Approvals() {
  const approvals = useLive("/api/v2/approvals?limit=100", READ_MS);
  const outcomes = useLive("/api/v2/outcomes?limit=100", READ_MS);
  const [told, setTold] = useState("");
  const [done, setDone] = useState(/** @type {Record<string, boolean>} */ ({}));

  /** @param {string} id @param {string} words What was decided; the next card has the focus. */
  function decided(id, words) {
    setTold(words);
    setDone((before) => ({ ...before, [id]: true }));
    const cards = [...document.querySelectorAll("[data-card]")];
    const at = cards.findIndex((card) => card instanceof HTMLElement && card.dataset.card === id);
    const next = cards[at + 1] ?? cards[at - 1] ?? document.querySelector("h1");
    if (next instanceof HTMLElement) next.focus();
  }

  const { value, error, again } = approvals;
  const waits = value?.approvals.filter((/** @type {any} */ one) => !done[one.approvalId]) ?? [];
  const asked = outcomes.value?.outcomes.filter((/** @type {any} */ one) => !done[one.callId]) ?? [];
  return html`
    <${Heading} text="Approvals" />
    <p class="tally" role="status">
      ${value ? `${counted(waits.length, "call")} to decide, ${counted(asked.length, "outcome")} to find out. ` : ""}${told}
    </p>
    ${value && error ? html`<p class="stale" role="status">It could not be read again: ${sentence(error)}</p>` : null}
    ${!value
      ? error
        ? html`<${Failed} error=${error} again=${again} />`
        : html`<${Loading} what="what waits" />`
      : waits.length + asked.length === 0
        ? html`<${Empty} title="Nothing waits for a person"><p>Calls that a rule of the policy has a person decide about show here.</p><//>`
        : html`<p class="muted">With a card in focus: <kbd>A</kbd> approves, <kbd>D</kbd> denies, <kbd>E</kbd> edits, and <kbd>Enter</kbd> confirms; <kbd>↓</kbd> and <kbd>↑</kbd> go on and back.</p>`}
    ${waits.map((/** @type {any} */ one) => html`<${Request} key=${one.approvalId} one=${one} onDecided=${decided} />`)}
    ${asked.map((/** @type {any} */ one) => html`<${Question} key=${one.callId} one=${one} onDecided=${decided} />`)}
  `;
}

/** @param {KeyboardEvent} event @param {Record<string, () => void>} acts By key; only where nothing is typed. */
function onKeys(event, acts) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target !== event.currentTarget) return;
  const cards = [...document.querySelectorAll("[data-card]")];
  const at = cards.indexOf(/** @type {Element} */ (event.currentTarget));
  /** @param {number} to */
  const go = (to) => cards[to] instanceof HTMLElement && /** @type {HTMLElement} */ (cards[to]).focus();
  const act = { arrowdown: () => go(at + 1), arrowup: () => go(at - 1), ...acts }[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act();
}

/** @param {{expiresAt: string}} props */
function Expiry({ expiresAt }) {
  const left = Date.parse(expiresAt) - Date.now();
  return html`<time datetime=${expiresAt} title=${exact(expiresAt)} class=${left < 300_000 ? "tone-bad" : ""}>${left > 0 ? `in ${span(left)}` : "it has expired"}</time>`;
}

/** @param {{name: string, text: string, open: boolean, onOpen: () => void}} props A text whole, or folded until somebody opens it. */
function Long({ name, text, open, onOpen }) {
  return html`<pre class="code" tabindex="0" role="group" aria-label=${name}>${shown(open ? text : text.slice(0, FOLDED_CHARACTERS))}</pre>
    ${!open &&
    html`<p class="tone-warn">
      Only the first ${FOLDED_CHARACTERS} of ${text.length} characters are shown.
      <button type="button" onClick=${onOpen}>Show all of it</button>
    </p>`}`;
}

/** @param {{one: any, onDecided: (id: string, words: string) => void}} props */
function Request({ one, onDecided }) {
  const [asks, setAsks] = useState("");
  const [open, setOpen] = useState(one.shown.length <= FOLDED_CHARACTERS && one.arguments.length <= FOLDED_CHARACTERS);
  const [reason, setReason] = useState("");
  const [edit, setEdit] = useState(one.arguments);
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const busy = useRef(false);
  const confirm = useRef(/** @type {HTMLElement | null} */ (null));
  const url = `/api/v2/sessions/${one.sessionId}/approvals/${one.approvalId}`;
  useEffect(() => confirm.current?.focus(), [asks]);

  /** @param {string} what */
  function begin(what) {
    setError(what !== "deny" && !open ? new Error("Show all of it first") : null);
    if (what === "deny" || open) setAsks(what);
  }
  async function act() {
    if (busy.current) return;
    busy.current = true;
    setError(null);
    const about = { digest: one.digest, reason: reason || null };
    try {
      if (asks === "edit") await post(url + "/edit", { ...about, arguments: edit });
      else await post(url, { ...about, approved: asks === "approve" });
      onDecided(one.approvalId, `${one.tool}: ${{ approve: "approved", deny: "denied", edit: "edited" }[asks]}.`);
    } catch (failure) {
      setError(failure);
      busy.current = false;
    }
  }
  return html`<article
    class="redrive"
    tabindex="0"
    data-card=${one.approvalId}
    aria-label=${`${one.agent} wants to call ${one.tool}`}
    onKeyDown=${(/** @type {KeyboardEvent} */ event) => onKeys(event, { a: () => begin("approve"), d: () => begin("deny"), e: () => begin("edit") })}
  >
    <h2>${shown(one.agent)} wants to call ${shown(one.tool)}</h2>
    <dl class="facts-list">
      <dt>Why you are asked</dt>
      <dd>${shown(one.reason)}${one.askedAgain && html` <strong class="tone-warn">Asked again: ${shown(one.askedAgain)}</strong>`}</dd>
      <dt>For</dt>
      <dd>${shown(one.userId)}, in <a href=${"/sessions/" + one.sessionId}>this session</a></dd>
      <dt>Asked</dt>
      <dd><${Ago} at=${one.askedAt} now=${Date.now()} /> ago</dd>
      <dt>Expires</dt>
      <dd><${Expiry} expiresAt=${one.expiresAt} />; then the call is refused</dd>
      <dt>Who may decide</dt>
      <dd>${one.approvers.map(shown).join(", ") || "every approver of the tenant"}${one.fourEyes && ", but not whose session it is"}</dd>
    </dl>
    <h3>What would run, once</h3>
    <${Long} name="Arguments" text=${one.arguments} open=${open} onOpen=${() => setOpen(true)} />
    ${one.shown !== one.arguments && one.shown && html`<${Long} name="The request as it is bound" text=${one.shown} open=${open} onOpen=${() => setOpen(true)} />`}
    <${Past} tool=${one.tool} agent=${one.agent} />
    ${asks === "edit" &&
    html`<label>Arguments in their place, as JSON; the call is asked about anew<textarea class="code" rows="6" spellcheck=${false} ref=${confirm} value=${edit} onInput=${(/** @type {any} */ event) => setEdit(event.currentTarget.value)}></textarea></label>`}
    ${asks && html`<label>Why, for the record<input value=${reason} maxlength="2000" onInput=${(/** @type {any} */ event) => setReason(event.currentTarget.value)} /></label>`}
    <div class="filters">
      ${asks
        ? html`<button type="button" class="primary" ref=${asks === "edit" ? undefined : confirm} onClick=${act}>${{ approve: "Approve this call, once", deny: "Deny it", edit: "Ask with these arguments" }[asks]}</button>
            <button type="button" onClick=${() => setAsks("")}>Back</button>`
        : html`<button type="button" onClick=${() => begin("approve")}>Approve …</button>
            <button type="button" onClick=${() => begin("deny")}>Deny …</button>
            <button type="button" onClick=${() => begin("edit")}>Edit …</button>`}
    </div>
    ${error ? html`<p class="tone-bad" role="alert">${sentence(error)}</p>` : null}
  </article>`;
}

/** @param {{tool: string, agent: string}} props What was decided about calls of this tool before. */
function Past({ tool, agent }) {
  const { value } = useAnswer("/api/v2/approvals/past" + queryOf({ tool, limit: 5 }));
  if (!value) return null;
  if (value.past.length === 0) return html`<p class="muted">Nobody has decided about a call of ${shown(tool)} yet.</p>`;
  return html`<details>
    <summary>${counted(value.past.length, "decision")} about calls of ${shown(tool)}, the newest ${shown(value.past[0].end)} by ${shown(value.past[0].approver || "nobody")}</summary>
    <ul>
      ${value.past.map(
        (/** @type {any} */ one) => html`<li key=${one.approvalId}>
          <strong>${one.end}</strong> by ${shown(one.approver || "nobody")}, <${Ago} at=${one.at} now=${Date.now()} /> ago${one.agent !== agent && html`, asked by ${shown(one.agent)}`}: <code>${shown(one.arguments.slice(0, 200))}</code>${one.reason && html` (${shown(one.reason)})`}
        </li>`,
      )}
    </ul>
  </details>`;
}

/** @param {{one: any, onDecided: (id: string, words: string) => void}} props A call of which nobody knows whether it was carried out. */
function Question({ one, onDecided }) {
  const [result, setResult] = useState("");
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const [sure, setSure] = useState(/** @type {boolean | null} */ (null));
  const confirm = useRef(/** @type {HTMLElement | null} */ (null));
  const busy = useRef(false);
  useEffect(() => confirm.current?.focus(), [sure]);
  async function tell() {
    if (busy.current) return;
    busy.current = true;
    setError(null);
    try {
      await post(`/api/v2/sessions/${one.sessionId}/outcomes/${one.callId}`, { carriedOut: sure, result: sure && result ? result : null });
      onDecided(one.callId, `${one.tool}: ${sure ? "it was carried out" : "it was not carried out"}.`);
    } catch (failure) {
      setError(failure);
      busy.current = false;
    }
  }
  return html`<article
    class="redrive"
    tabindex="0"
    data-card=${one.callId}
    aria-label=${`Was ${one.tool} carried out?`}
    onKeyDown=${(/** @type {KeyboardEvent} */ event) => onKeys(event, { y: () => setSure(true), n: () => setSure(false) })}
  >
    <h2>Was this call of ${shown(one.tool)} carried out?</h2>
    <p>Nobody knows, and it is not repeated: ${shown(one.message)} (${one.kind}). Find out at the other side, and tell it. <kbd>Y</kbd> and <kbd>N</kbd> begin.</p>
    <dl class="facts-list">
      <dt>For</dt>
      <dd>${shown(one.userId)}, in <a href=${"/sessions/" + one.sessionId}>this session</a></dd>
      <dt>Key of idempotency</dt>
      <dd><code>${shown(one.idempotencyKey)}</code></dd>
      <dt>Expires</dt>
      <dd><${Expiry} expiresAt=${one.expiresAt} />; then its task ends without it</dd>
    </dl>
    <pre class="code" tabindex="0" role="group" aria-label="Arguments">${shown(one.arguments)}</pre>
    ${sure && html`<label>What it gave, as far as is known<input value=${result} maxlength="20000" onInput=${(/** @type {any} */ event) => setResult(event.currentTarget.value)} /></label>`}
    <div class="filters">
      ${sure === null
        ? html`<button type="button" onClick=${() => setSure(true)}>It was …</button><button type="button" onClick=${() => setSure(false)}>It was not …</button>`
        : html`<button type="button" class="primary" ref=${confirm} onClick=${tell}>${sure ? "Yes, it was carried out" : "No, it was not carried out"}</button>
            <button type="button" onClick=${() => setSure(null)}>Back</button>`}
    </div>
    ${error ? html`<p class="tone-bad" role="alert">${sentence(error)}</p>` : null}
  </article>`;
}
