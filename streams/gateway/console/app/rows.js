/**
 * A table of any length of which only the rows in view are elements.
 *
 * Rows have one height, which the style sheet sets (--row-height), so where a row is follows from its number. The row
 * that has the focus stays an element wherever one scrolls, and is known by its key: an update never loses the focus.
 */
import { useEffect, useLayoutEffect, useRef, useState } from "../vendor/hooks.js";
import { html, use } from "./html.js";

/** Rows beyond what is in view, above and below. */
const MARGIN = 8;

/** @param {HTMLElement} body @returns {number} Pixels. */
function heightOfRow(body) {
  const probe = body.querySelector(".row-probe");
  return probe instanceof HTMLElement ? Math.max(20, probe.getBoundingClientRect().height) : 44;
}

/**
 * @param {HTMLElement} body
 * @param {number} height
 * @returns {[number, number]} The first and the last row in view.
 */
function inView(body, height) {
  const top = body.getBoundingClientRect().top;
  const first = Math.max(0, Math.floor(-top / height));
  const last = Math.max(0, Math.ceil((innerHeight - top) / height));
  return [first, last];
}

/**
 * @param {{
 *   label: string,
 *   name: string,
 *   columns: Array<{id: string, head: any, sort?: "ascending" | "descending" | "none"}>,
 *   rows: import("./windowed.js").Windowed<any>,
 *   keyOf: (row: any) => string,
 *   cells: (row: any, index: number) => any[],
 *   selected?: string,
 *   onView?: (first: number, last: number) => void,
 * }} props
 *   `selected` is a key, or its beginning; `cells` returns a cell for each column; the first link or button within a row is what gets the focus.
 */
export function Rows({ label, name, columns, rows, keyOf, cells, selected, onView }) {
  use(rows.version);
  const body = useRef(/** @type {HTMLDivElement | null} */ (null));
  const [view, setView] = useState({ first: 0, last: 30, height: 44 });
  /** The row that has the focus, or is to get it: by key, and by its number where it was last. */
  const held = useRef(/** @type {{key: string, index: number, wanted: boolean} | null} */ (null));
  const length = rows.length;

  useLayoutEffect(() => {
    let waiting = 0;
    const look = () => {
      waiting = 0;
      if (!body.current) return;
      const height = heightOfRow(body.current);
      const [first, last] = inView(body.current, height);
      setView((before) =>
        before.first === first && before.last === last && before.height === height ? before : { first, last, height },
      );
    };
    const soon = () => {
      if (!waiting) waiting = requestAnimationFrame(look);
    };
    look();
    addEventListener("scroll", soon, { passive: true });
    addEventListener("resize", soon);
    return () => {
      cancelAnimationFrame(waiting);
      removeEventListener("scroll", soon);
      removeEventListener("resize", soon);
    };
  }, []);

  useEffect(() => {
    rows.want(view.first - MARGIN, view.last + MARGIN);
    onView?.(view.first, view.last);
  }, [view, length, rows]);

  if (held.current) {
    const now = rows.find((row) => keyOf(row) === held.current?.key);
    if (now >= 0) held.current.index = now;
    else if (held.current.index >= length) held.current.index = Math.max(0, length - 1);
  }
  useLayoutEffect(() => {
    const wish = held.current;
    if (!wish || !body.current) return;
    const row = body.current.querySelector(`[data-index="${wish.index}"]`);
    const had = row?.contains(document.activeElement);
    // The row that had the focus may be gone; the one in its place gets it.
    if ((wish.wanted || document.activeElement === document.body) && row && !had) {
      const target = row.querySelector("a[href], button");
      if (target instanceof HTMLElement) {
        target.focus({ preventScroll: true });
        wish.wanted = false;
      }
    }
  });

  /** @param {FocusEvent} event */
  function onFocus(event) {
    const row = event.target instanceof Element ? event.target.closest("[data-index]") : null;
    if (!(row instanceof HTMLElement)) return;
    const index = Number(row.dataset.index);
    const shown = rows.row(index);
    held.current = { key: shown ? keyOf(shown) : "", index, wanted: false };
    reveal(index);
  }

  /** @param {FocusEvent} event */
  function onBlur(event) {
    const left = event.target;
    const to = event.relatedTarget;
    if (to && !body.current?.contains(/** @type {Node} */ (to))) held.current = null;
    // Without a new place either somebody clicked beside, or the element went away, and its row keeps the focus.
    queueMicrotask(() => {
      if (left instanceof Node && left.isConnected && document.activeElement === document.body) held.current = null;
    });
  }

  /** @param {number} index Scroll just so far that the row is in view, below the table's head. */
  function reveal(index) {
    if (!body.current) return;
    const top = body.current.getBoundingClientRect().top + index * view.height;
    const head = body.current.parentElement?.querySelector(".rows-head")?.getBoundingClientRect().height ?? 0;
    if (top < head) scrollBy(0, top - head);
    else if (top + view.height > innerHeight) scrollBy(0, top + view.height - innerHeight);
  }

  /** @param {number} index */
  function moveTo(index) {
    const to = Math.max(0, Math.min(length - 1, index));
    const row = rows.row(to);
    held.current = { key: row ? keyOf(row) : "", index: to, wanted: true };
    reveal(to);
    setView((before) => ({ ...before }));
  }

  /** @param {KeyboardEvent} event */
  function onKeyDown(event) {
    if (!held.current || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, view.last - view.first - 2);
    const { index } = held.current;
    /** @type {Record<string, number>} */
    const moves = {
      ArrowDown: index + 1,
      ArrowUp: index - 1,
      PageDown: index + page,
      PageUp: index - page,
      Home: 0,
      End: length - 1,
    };
    const to = moves[event.key];
    if (to === undefined) return;
    event.preventDefault();
    moveTo(to);
  }

  const numbers = new Set();
  for (let index = Math.max(0, view.first - MARGIN); index <= view.last + MARGIN && index < length; index += 1) {
    numbers.add(index);
  }
  if (held.current && held.current.index < length) numbers.add(held.current.index);
  const shown = [...numbers].sort((one, other) => one - other);
  return html`<div
    class=${"rows rows-" + name}
    role="table"
    aria-label=${label}
    aria-rowcount=${rows.complete ? length + 1 : (rows.total ?? -2) + 1}
    aria-busy=${rows.loading}
  >
    <div class="rows-head" role="rowgroup">
      <div class="row" role="row" aria-rowindex="1">
        ${columns.map(
          (column) =>
            html`<div key=${column.id} class=${"cell cell-" + column.id} role="columnheader" aria-sort=${column.sort}>${column.head}</div>`,
        )}
      </div>
    </div>
    <div
      class="rows-body"
      role="rowgroup"
      ref=${body}
      style=${{ height: `${length * view.height}px` }}
      onFocusIn=${onFocus}
      onFocusOut=${onBlur}
      onKeyDown=${onKeyDown}
    >
      <div class="row-probe" role="presentation" aria-hidden="true"></div>
      ${shown.map((index) => {
        const row = rows.row(index);
        const key = row ? keyOf(row) : `place-${index}`;
        return html`<div
          key=${key}
          class=${"row row-data" + (selected && key.startsWith(selected) ? " row-selected" : "")}
          role="row"
          aria-rowindex=${index + 2}
          data-index=${index}
          style=${{ transform: `translateY(${index * view.height}px)` }}
        >
          ${row
            ? columns.map(
                (column, number) =>
                  html`<div key=${column.id} class=${"cell cell-" + column.id} role="cell">${cells(row, index)[number]}</div>`,
              )
            : html`<div class="cell cell-empty" role="cell">…</div>`}
        </div>`;
      })}
    </div>
  </div>`;
}
