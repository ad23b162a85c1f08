/** One session: how it stands, what is said in it, its plan, and all that happened. */
import { useCallback, useEffect, useRef, useState } from "../../vendor/hooks.js";
import { get, may, newKey, post, sentence } from "../api.js";
import { Heading } from "../heading.js";
import { html, use } from "../html.js";
import { followSession } from "../live_session.js";
import { Budget } from "../session/budget.js";
import { Chat } from "../session/chat.js";
import { Plan } from "../session/plan.js";
import { Timeline } from "../session/timeline.js";
import { Talk } from "../session/talk.js";
import { Failed, Loading } from "../states.js";
import { shown } from "../text.js";
import { place, urlWith } from "../url.js";
import { Ago, Status, count, counted, money } from "../words.js";

const TABS = [
  { id: "", name: "Chat" },
  { id: "plan", name: "Plan" },
  { id: "events", name: "Events" },
];
const ENDED = new Set(["closed", "cancelled", "idle", "lease_refused"]);
/** After the last sign of a change what is shown is read again at these times, for rows come later than frames. */
const SETTLE_MS = [1_500, 5_000, 20_000];
const REFRESH_MS_MIN = 700;

/** @param {{id: string}} props */
export default function Session({ id }) {
  const base = `/api/v2/sessions/${id}`;
  const [standing, setStanding] = useState(/** @type {any} */ (null));
  const [balance, setBalance] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const [moved, setMoved] = useState(0);
  const [now, setNow] = useState(Date.now());
  const talk = useRef(/** @type {Talk | null} */ (null));
  talk.current ??= new Talk(base);
  const tab = use(place).query.get("tab") ?? "";

  const read = useCallback(async () => {
    try {
      const [status, amounts] = await Promise.all([get(base + "/status"), get(base + "/balance")]);
      setStanding(status);
      setBalance(amounts);
      setError(null);
    } catch (failure) {
      setError(failure);
    }
    setNow(Date.now());
    setMoved((times) => times + 1);
  }, [base]);

  useEffect(() => {
    const conversation = /** @type {Talk} */ (talk.current);
    let ended = false;
    let readAt = 0;
    /** @type {() => void} */
    let stop = () => {};
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let soon;
    /** @type {ReturnType<typeof setTimeout>[]} */
    let settling = [];
    const again = () => {
      soon = undefined;
      readAt = Date.now();
      read();
    };
    const change = () => {
      soon ??= setTimeout(again, Math.max(0, REFRESH_MS_MIN - (Date.now() - readAt)));
      settling.forEach(clearTimeout);
      settling = SETTLE_MS.map((wait) => setTimeout(again, wait));
    };
    (async () => {
      await read();
      const cursor = await conversation.begin();
      if (ended) return;
      // No frame follows of what happened since the first read, up to the cursor.
      again();
      stop = followSession(
        id,
        (frame) => {
          conversation.hear(frame);
          if (frame.type !== "delta") change();
        },
        cursor,
      );
    })().catch(setError);
    const ticking = setInterval(() => setNow(Date.now()), 5_000);
    return () => {
      ended = true;
      stop();
      conversation.end();
      clearTimeout(soon);
      settling.forEach(clearTimeout);
      clearInterval(ticking);
    };
  }, [id]);

  if (!standing) return error ? html`<${Failed} error=${error} again=${read} />` : html`<${Loading} what="the session" />`;
  const isOver = ENDED.has(standing.status);
  return html`
    <div class="page-head">
      <div>
        <${Heading} text=${standing.title ? shown(standing.title) : "Untitled session"} />
        <p class="facts">
          <${Status} status=${standing.quarantined ? "quarantined" : standing.status} />
          <span>${counted(standing.messages + standing.importedMessages, "message")}</span>
          <span>${money(standing.dollarsUsed)}</span>
          ${standing.userId && html`<span>for ${shown(standing.userId)}</span>`}
          ${standing.lastActivity && html`<span>active <${Ago} at=${standing.lastActivity} now=${now} /> ago</span>`}
          <span>id <code>${id}</code></span>
          ${standing.importedFrom &&
          html`<span>${count(standing.importedMessages)} of them came from ${shown(standing.importedFrom)} <${Ago} at=${standing.importedAt} now=${now} /> ago</span>`}
          ${standing.forkedFrom && html`<span>forked from <a href=${"/sessions/" + standing.forkedFrom}>${standing.forkedFrom.slice(0, 8)}</a></span>`}
        </p>
      </div>
      ${may("send") && !isOver && html`<${Ending} base=${base} done=${read} />`}
    </div>
    <${Budget} balance=${balance} />
    ${error ? html`<p class="stale" role="status">It could not be read again: ${sentence(error)}</p>` : null}
    <nav class="tabs" aria-label="Parts of the session">
      <ul>
        ${TABS.map(
          (one) => html`<li key=${one.id}>
            <a href=${urlWith({ tab: one.id, event: "", why: "" })} aria-current=${tab === one.id ? "page" : undefined}>${one.name}</a>
          </li>`,
        )}
      </ul>
    </nav>
    ${tab === "plan"
      ? html`<${Plan} base=${base} moved=${moved} />`
      : tab === "events"
        ? html`<${Timeline} base=${base} id=${id} moved=${moved} />`
        : html`<${Chat} base=${base} talk=${talk.current} isOver=${isOver} />`}
  `;
}

/**
 * Close and cancel; both say first what they do.
 * @param {{base: string, done: () => void}} props
 */
function Ending({ base, done }) {
  const [asked, setAsked] = useState("");
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const sure = useRef(/** @type {HTMLButtonElement | null} */ (null));
  const first = useRef(/** @type {HTMLButtonElement | null} */ (null));
  useEffect(() => {
    if (asked) sure.current?.focus();
  }, [asked]);
  async function act() {
    try {
      await post(`${base}/${asked}`, {}, newKey());
      setError(null);
      setAsked("");
      done();
    } catch (failure) {
      setError(failure);
    }
  }
  if (!asked) {
    return html`<div class="acts">
      <button type="button" ref=${first} onClick=${() => setAsked("close")}>Close …</button>
      <button type="button" onClick=${() => setAsked("cancel")}>Cancel …</button>
    </div>`;
  }
  return html`<div class="acts acts-asked" role="group" aria-label=${asked === "close" ? "Close the session" : "Cancel the session"}>
    <p>
      ${asked === "close"
        ? "Messages that were taken are answered; then it takes no more."
        : "What it does is stopped at once, and it takes no more. What was used is paid."}
    </p>
    <button type="button" ref=${sure} class=${asked === "cancel" ? "danger" : "primary"} onClick=${act}>
      ${asked === "close" ? "Close it" : "Cancel it"}
    </button>
    <button type="button" onClick=${() => setAsked("")}>Keep it</button>
    ${error ? html`<p class="tone-bad" role="alert">${sentence(error)}</p>` : null}
  </div>`;
}
