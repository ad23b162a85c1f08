/** The list of sessions: live, by windows, searched and sorted by the gateway. */
import { useEffect, useRef, useState } from "../../vendor/hooks.js";
import { get, may, newKey, post, queryOf, sentence } from "../api.js";
import { Heading } from "../heading.js";
import { html, use } from "../html.js";
import { followChanges, standing } from "../live.js";
import { Rows } from "../rows.js";
import { Search } from "../search.js";
import { Empty, Failed, Loading } from "../states.js";
import { shown } from "../text.js";
import { go, place, setQuery, urlWith } from "../url.js";
import { Windowed } from "../windowed.js";
import { Ago, STATUSES, Status, clock, count, counted, exact, money } from "../words.js";

const PAGE = 100;
/** The list is read again no sooner than this after it was read. */
const REFRESH_MS_MIN = 900;
/** @type {Record<string, {name: string, statuses: string[]}>} */
const CHOICES = {
  "": { name: "All", statuses: [] },
  working: { name: "Working", statuses: ["open", "running"] },
  attention: { name: "In need of somebody", statuses: ["waiting", "unanswered", "lease_refused"] },
  ...Object.fromEntries(
    ["waiting", "answered", "unanswered", "closed", "cancelled", "idle", "lease_refused", "imported"].map((status) => [
      status,
      { name: capital(STATUSES[status].word), statuses: [status] },
    ]),
  ),
};
/** @type {ReadonlyArray<{id: string, name: string, sort?: string}>} */
const COLUMNS = [
  { id: "title", name: "Session" },
  { id: "status", name: "Status" },
  { id: "user", name: "User" },
  { id: "messages", name: "Messages" },
  { id: "tokens", name: "Tokens", sort: "tokens" },
  { id: "cost", name: "Cost", sort: "cost" },
  { id: "activity", name: "Last active", sort: "activity" },
  { id: "opened", name: "Age", sort: "opened" },
];

/** @param {string} text */
function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** @returns {{search: string, status: string, sort: string, direction: string}} What the URL asks for. */
function useAsked() {
  const { query } = use(place);
  const status = query.get("status") ?? "";
  const sort = query.get("sort") ?? "opened";
  return {
    search: query.get("search") ?? "",
    status: status in CHOICES ? status : "",
    sort: COLUMNS.some((column) => column.sort === sort) ? sort : "opened",
    direction: query.get("direction") === "ascending" ? "ascending" : "descending",
  };
}

/** @param {ReturnType<typeof useAsked>} wanted */
function askedOf({ search, status, sort, direction }) {
  return { search, status: CHOICES[status].statuses, sort, direction };
}

/** @param {ReturnType<typeof useAsked>} wanted */
function listOf(wanted) {
  return new Windowed(async (mark, first, stop) => {
    const query = queryOf({ ...askedOf(wanted), before: mark, limit: PAGE, count: first ? "true" : "" });
    const page = await get("/api/v2/sessions" + query, stop);
    return { rows: page.sessions, next: page.next, total: page.total };
  }, PAGE);
}

export default function Sessions() {
  const wanted = useAsked();
  const question = JSON.stringify(wanted);
  const [list, setList] = useState(() => listOf(wanted));
  const question_before = useRef(question);
  const [paused, setPaused] = useState(false);
  const [waiting, setWaiting] = useState(0);
  const [now, setNow] = useState(Date.now());
  const view = useRef([0, 0]);

  useEffect(() => {
    if (question_before.current === question) return;
    question_before.current = question;
    list.end();
    setWaiting(0);
    setList(listOf(wanted));
    scrollTo(0, 0);
  }, [question]);
  useEffect(() => {
    const ticking = setInterval(() => setNow(Date.now()), 5_000);
    return () => clearInterval(ticking);
  }, []);
  const shows = useRef({ list, paused });
  shows.current = { list, paused };
  useEffect(() => {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let planned;
    const refresh = () => {
      planned = undefined;
      setNow(Date.now());
      shows.current.list.refresh(view.current[0], view.current[1]);
    };
    const soon = () => {
      planned ??= setTimeout(refresh, Math.max(0, REFRESH_MS_MIN - (Date.now() - shows.current.list.at)));
    };
    const end = followChanges({
      onConnected: () => {
        // The first page is on its way already.
        if (shows.current.list.at && !shows.current.paused) soon();
      },
      onChanged: () => {
        if (shows.current.paused) setWaiting((before) => before + 1);
        else soon();
      },
    });
    return () => {
      clearTimeout(planned);
      end();
    };
  }, []);
  useEffect(() => {
    if (!paused && list.at) list.refresh(view.current[0], view.current[1]);
  }, [paused]);
  useEffect(() => () => list.end(), [list]);

  const [Views, setViews] = useState(/** @type {any} */ (null));
  useEffect(() => {
    if (list.at && !Views) import("../views.js").then((loaded) => setViews(() => loaded.Views));
  });

  use(list.version);
  const { state } = use(standing);
  return html`
    <div class="page-head">
      <${Heading} text="Sessions" />
      ${may("send") && html`<${NewSession} />`}
    </div>
    <form class="filters" role="search" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
      <${Search} value=${wanted.search} hint="Title, answer, user or id" />
      <label
        >Status
        <select value=${wanted.status} onChange=${(/** @type {any} */ event) => setQuery({ status: event.currentTarget.value })}>
          ${Object.entries(CHOICES).map(([id, choice]) => html`<option key=${id} value=${id}>${choice.name}</option>`)}
        </select>
      </label>
      <button
        type="button"
        aria-pressed=${paused}
        onClick=${() => {
          setPaused(!paused);
          setWaiting(0);
        }}
      >
        ${paused ? "Resume updates" : "Pause updates"}
      </button>
      <p class="tally" role="status">${tally(list, wanted)}</p>
      ${paused &&
      html`<p class="muted">Paused${waiting > 0 ? "; there is news" : ""}.</p>`}
    </form>
    ${Views && html`<${Views} asked=${askedOf(wanted)} />`}
    ${list.error && list.length > 0
      ? html`<p class="stale" role="status">
          The list could not be read again: ${sentence(list.error)} It is as of ${clock(list.at)}.
          <button type="button" onClick=${() => list.refresh(view.current[0], view.current[1])}>Try again</button>
        </p>`
      : null}
    ${list.length > 0
      ? html`<${Rows}
          name="sessions"
          label="Sessions"
          columns=${heads(wanted)}
          rows=${list}
          keyOf=${(/** @type {any} */ one) => one.sessionId}
          cells=${(/** @type {any} */ one) => cellsOf(one, now)}
          onView=${(/** @type {number} */ first, /** @type {number} */ last) => {
            view.current = [first, last];
          }}
        />`
      : list.error
        ? state !== "lost" && html`<${Failed} error=${list.error} again=${() => list.begin()} />`
        : list.at
          ? html`<${None} filtered=${Boolean(wanted.search || wanted.status)} />`
          : html`<${Loading} what="the sessions" />`}
    ${list.length > 0 && !list.complete && html`<p class="muted rows-more">Scroll on for more.</p>`}
  `;
}

/** @param {Windowed<any>} list @param {{search: string, status: string}} wanted */
function tally(list, wanted) {
  if (list.total === null) return "";
  const total = list.complete ? Math.min(list.length, list.total) : list.total;
  return counted(total, "session") + (wanted.search || wanted.status ? " found" : "");
}

/** @param {{filtered: boolean}} props */
function None({ filtered }) {
  if (filtered) {
    return html`<${Empty} title="No session is like that">
      <p><a href="/">Show all sessions</a></p>
    <//>`;
  }
  return html`<${Empty} title="There are no sessions yet">
    <p>
      Begin one above, or from a shell: <code>cartrita send --follow "How do dead letters work?"</code>. Whatever asks by
      HTTP, a WebSocket or an OpenAI client shows here, too.
    </p>
  <//>`;
}

/** @param {{sort: string, direction: string}} wanted */
function heads(wanted) {
  return COLUMNS.map(({ id, name, sort }) => {
    if (!sort) return { id, head: name };
    const isBy = wanted.sort === sort;
    // Age counts from when a session was opened, so the newest first is the youngest first.
    const descending = isBy && wanted.direction === "descending";
    const next = descending ? "ascending" : "";
    const url = urlWith({ sort: sort === "opened" ? "" : sort, direction: next });
    const arrow = isBy ? (descending ? "↓" : "↑") : "";
    return {
      id,
      sort: /** @type {"ascending" | "descending" | "none"} */ (isBy ? wanted.direction : "none"),
      head: html`<a href=${url} title=${"Sort by " + name.toLowerCase()}>${name} <span aria-hidden="true">${arrow}</span></a>`,
    };
  });
}

/** @param {any} one @param {number} now */
function cellsOf(one, now) {
  const title = one.title ? shown(one.title) : "Untitled";
  const messages = one.messages + one.importedMessages;
  const budget = one.budgetTokens ? ` of ${count(one.budgetTokens)}` : "";
  return [
    html`<a href=${"/sessions/" + one.sessionId} title=${title}>${title}</a>${one.forkedFrom
        ? html` <span class="tag">fork</span>`
        : null}${one.importedFrom
        ? html` <span class="tag" title=${cameOver(one)}>from ${shown(one.importedFrom)}</span>`
        : null}`,
    html`<${Status} status=${one.quarantined ? "quarantined" : one.status} />`,
    shown(one.userId ?? ""),
    html`${count(messages)}<span class="unit"> ${messages === 1 ? "message" : "messages"}</span>`,
    html`<span title=${count(one.tokensUsed) + budget + " tokens"}>${count(one.tokensUsed)}<span class="unit"> tokens</span></span>`,
    html`<span>${money(one.dollarsUsed)}</span>`,
    html`<${Ago} at=${one.lastActivity} now=${now} /><span class="unit"> ago</span>`,
    html`<${Ago} at=${one.openedAt} now=${now} /><span class="unit"> old</span>`,
  ];
}

/** @param {any} one @returns {string} */
function cameOver(one) {
  const at = one.importedAt ? ` on ${exact(one.importedAt)}` : "";
  return `${counted(one.importedMessages, "message")} came over from ${shown(one.importedFrom)}${at}`;
}

function NewSession() {
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const [busy, setBusy] = useState(false);
  const key = useRef(newKey());
  async function open() {
    setBusy(true);
    setError(null);
    try {
      const opened = await post("/api/v2/sessions", {}, key.current);
      go("/sessions/" + opened.sessionId);
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  }
  return html`<div>
    <button type="button" class="primary" aria-disabled=${busy} onClick=${() => !busy && open()}>New session</button>
    ${error ? html`<p class="tone-bad" role="alert">${sentence(error)}</p>` : null}
  </div>`;
}
