/**
 * Rows of which only some are here: fetched by pages as they come into view, forgotten when they are far away.
 *
 * A page begins behind a mark that the page before has told, so rows in the middle stay where they are however many
 * new ones come at the beginning. A page that is forgotten keeps its mark and its size, and is fetched again by it.
 */
import { signal } from "../vendor/signals-core.js";

/** So many pages before and behind what is in view are kept. */
const KEPT = 4;

/**
 * @template T
 * @typedef {object} Page
 * @property {string} mark Behind which it begins; "" for the first one.
 * @property {T[] | null} rows null: forgotten, or not fetched yet.
 * @property {number} size How many rows it has, or had.
 * @property {boolean} old Whether it has to be fetched again before it is relied on.
 */

/**
 * @template T
 * @typedef {(mark: string, first: boolean, signal: AbortSignal) => Promise<{rows: T[], next: string | null, total?: number | null}>} Load
 */

/** @template T */
export class Windowed {
  /** @param {Load<T>} load @param {number} size Of a page; each but the last has so many rows. */
  constructor(load, size) {
    this._load = load;
    this._size = size;
    /** Raised with every change; whoever shows the rows reads it. */
    this.version = signal(0);
    /** @type {unknown} What the newest fetch failed with. */
    this.error = null;
    this.loading = false;
    /** @type {number | null} How many there are in all, if it was told. */
    this.total = null;
    /** When the newest fetch succeeded, in milliseconds since 1970. */
    this.at = 0;
    /** @type {Page<T>[]} */
    this._pages = [];
    this._ended = false;
    this._stop = new AbortController();
    /** @type {Map<number, Promise<void>>} */
    this._fetching = new Map();
    this.begin();
  }

  /** Forget everything, and begin anew. */
  begin() {
    this.end();
    this._stop = new AbortController();
    this._fetching = new Map();
    this._pages = [{ mark: "", rows: null, size: 0, old: true }];
    this._ended = false;
    this.error = null;
    this.total = null;
    this._fetch(0);
  }

  /** Fetch nothing more. */
  end() {
    this._stop.abort();
  }

  /** @returns {number} How many rows are known of. */
  get length() {
    return this._pages.reduce((sum, page) => sum + page.size, 0);
  }

  /** @returns {boolean} Whether there are no rows behind those that are known of. */
  get complete() {
    return this._ended;
  }

  /** @param {number} index @returns {T | null} null: it is not here. */
  row(index) {
    const page = this._pages[Math.floor(index / this._size)];
    return page?.rows?.[index % this._size] ?? null;
  }

  /** @param {(row: T) => boolean} wanted @returns {number} -1: no row that is here is. */
  find(wanted) {
    for (const [number, page] of this._pages.entries()) {
      const found = page.rows?.findIndex(wanted) ?? -1;
      if (found >= 0) return number * this._size + found;
    }
    return -1;
  }

  /** See that rows are here, and forget those that are far from them. @param {number} first @param {number} last */
  want(first, last) {
    const from = Math.max(0, Math.floor(first / this._size));
    const to = Math.min(this._pages.length - 1, Math.floor(last / this._size));
    for (let number = from; number <= to; number += 1) {
      const page = this._pages[number];
      if (page && (!page.rows || page.old)) this._fetch(number);
    }
    for (const [number, page] of this._pages.entries()) {
      if ((number < from - KEPT || number > to + KEPT) && page.rows) page.rows = null;
    }
  }

  /** Fetch again what is in view. @param {number} first @param {number} last @returns {Promise<void>} */
  async refresh(first, last) {
    const from = Math.max(0, Math.floor(first / this._size));
    const to = Math.min(this._pages.length - 1, Math.max(from, Math.floor(last / this._size)));
    for (let number = from; number <= to; number += 1) await this._fetch(number, true);
  }

  /** @param {number} number @param {boolean} [again] Even if it is being fetched. @returns {Promise<void>} */
  async _fetch(number, again = false) {
    const running = this._fetching.get(number);
    if (running) {
      await running;
      if (!again) return;
    }
    const stop = this._stop;
    const fetching = this._fetched(number, stop.signal).finally(() => {
      if (stop === this._stop) this._fetching.delete(number);
    });
    this._fetching.set(number, fetching);
    await fetching;
  }

  /** @param {number} number @param {AbortSignal} stop @returns {Promise<void>} */
  async _fetched(number, stop) {
    const page = this._pages[number];
    if (!page) return;
    this.loading = true;
    this._changed();
    try {
      const { rows, next, total } = await this._load(page.mark, number === 0, stop);
      if (stop.aborted) return;
      page.rows = rows;
      page.size = rows.length;
      page.old = false;
      this.error = null;
      this.at = Date.now();
      if (total !== undefined && total !== null) this.total = total;
      this._follow(number, next);
    } catch (error) {
      if (stop.aborted) return;
      this.error = error;
    }
    this.loading = false;
    this._changed();
  }

  /** Let the page behind one begin at its end. @param {number} number @param {string | null} next */
  _follow(number, next) {
    const following = this._pages[number + 1];
    if (next === null) {
      this._pages.length = number + 1;
      this._ended = true;
    } else if (!following) {
      this._pages.push({ mark: next, rows: null, size: 0, old: true });
      this._ended = false;
    } else if (following.mark !== next) {
      following.mark = next;
      for (const page of this._pages.slice(number + 1)) page.old = true;
    }
  }

  _changed() {
    this.version.value += 1;
  }
}
