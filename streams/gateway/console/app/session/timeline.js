/** One timeline of all that happened in a session: by windows, filtered by the gateway, with causes. */
import { useEffect, useRef, useState } from "../../vendor/hooks.js";
import { get, queryOf, sentence } from "../api.js";
import { html, use } from "../html.js";
import { Rows } from "../rows.js";
import { Search } from "../search.js";
import { Empty, Failed, Loading } from "../states.js";
import { shown } from "../text.js";
import { place, setQuery, urlWith } from "../url.js";
import { Windowed } from "../windowed.js";
import { clock, clockMs, counted, exact } from "../words.js";
import { EventDetail } from "./event.js";

const PAGE = 100;
const COLUMNS = [
  { id: "time", head: "Time" },
  { id: "type", head: "Event" },
  { id: "label", head: "What it says" },
  { id: "who", head: "Who" },
  { id: "sequence", head: "No." },
];

/**
 * @param {string} base
 * @param {{search: string, type: string, direction: string}} wanted
 * @param {(types: Record<string, number>) => void} onTypes
 */
function listOf(base, wanted, onTypes) {
  return new Windowed(async (mark, first, stop) => {
    const query = queryOf({
      after: mark,
      limit: PAGE,
      search: wanted.search,
      type: wanted.type,
      direction: wanted.direction,
      count: first ? "true" : "",
    });
    const page = await get(base + "/timeline" + query, stop);
    if (!page.types) return { rows: page.events, next: page.next };
    onTypes(page.types);
    const total = Object.values(page.types).reduce((sum, many) => sum + many, 0);
    return { rows: page.events, next: page.next, total };
  }, PAGE);
}

/** @param {{base: string, id: string, moved: number}} props */
export function Timeline({ base, id, moved }) {
  const { query } = use(place);
  const wanted = {
    search: query.get("search") ?? "",
    type: query.get("type") ?? "",
    direction: query.get("direction") === "ascending" ? "ascending" : "descending",
  };
  const question = JSON.stringify(wanted);
  const selected = query.get("event") ?? "";
  /** Types that there are at all, whatever is looked at now. */
  const [types, setTypes] = useState(/** @type {Record<string, number>} */ ({}));
  const learn = (/** @type {Record<string, number>} */ told) => setTypes((before) => ({ ...before, ...told }));
  const [list, setList] = useState(() => listOf(base, wanted, learn));
  const before = useRef(question);
  const view = useRef([0, 0]);

  useEffect(() => {
    if (before.current === question) return;
    before.current = question;
    list.end();
    setList(listOf(base, wanted, learn));
  }, [question]);
  useEffect(() => () => list.end(), [list]);
  useEffect(() => {
    if (list.at) list.refresh(view.current[0], view.current[1]);
  }, [moved]);

  use(list.version);
  return html`<section aria-label="Events" class="timeline">
    <form class="filters" role="search" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
      <${Search} value=${wanted.search} hint="What events say, or an id" />
      <label
        >Type
        <select value=${wanted.type} onChange=${(/** @type {any} */ event) => setQuery({ type: event.currentTarget.value })}>
          <option value="">All</option>
          ${Object.keys({ ...types, ...(wanted.type ? { [wanted.type]: 0 } : {}) })
            .sort()
            .map((type) => html`<option key=${type} value=${type}>${type}</option>`)}
        </select>
      </label>
      <label
        >Order
        <select value=${wanted.direction} onChange=${(/** @type {any} */ event) => setQuery({ direction: event.currentTarget.value === "ascending" ? "ascending" : "" })}>
          <option value="descending">Newest first</option>
          <option value="ascending">Oldest first</option>
        </select>
      </label>
      <p class="tally" role="status">${list.total === null ? "" : counted(list.total, "event")}</p>
    </form>
    ${list.error && list.length > 0
      ? html`<p class="stale" role="status">The events could not be read again: ${sentence(list.error)} They are as of ${clock(list.at)}.</p>`
      : null}
    <div class=${"timeline-parts" + (selected ? " timeline-open" : "")}>
      <div class="timeline-list">
        ${list.length > 0
          ? html`<${Rows}
              name="events"
              label="Events of the session"
              columns=${COLUMNS}
              rows=${list}
              selected=${selected}
              keyOf=${(/** @type {any} */ one) => one.id + one.topic}
              cells=${(/** @type {any} */ one) => cellsOf(one, one.id === selected)}
              onView=${(/** @type {number} */ first, /** @type {number} */ last) => {
                view.current = [first, last];
              }}
            />`
          : list.error
            ? html`<${Failed} error=${list.error} again=${() => list.begin()} />`
            : list.at
              ? html`<${Empty} title=${wanted.search || wanted.type ? "No event is like that" : "Nothing happened yet"}>
                  ${(wanted.search || wanted.type) && html`<p><a href=${urlWith({ search: "", type: "" })}>Show all events</a></p>`}
                <//>`
              : html`<${Loading} what="the events" />`}
      </div>
      ${selected && html`<${EventDetail} key=${selected} base=${base} session=${id} id=${selected} />`}
    </div>
  </section>`;
}

/** @param {any} one @param {boolean} isSelected */
function cellsOf(one, isSelected) {
  return [
    html`<time datetime=${one.occurredAt} title=${exact(one.occurredAt)}>${clockMs(one.occurredAt)}</time>`,
    html`<a href=${urlWith({ event: isSelected ? "" : one.id, why: "" })} aria-current=${isSelected ? "true" : undefined}>${one.type}</a>`,
    html`<span title=${shown(one.label)}>${shown(one.label)}</span>`,
    shown(one.tool ?? one.agent ?? one.producer),
    one.sequence || "",
  ];
}
