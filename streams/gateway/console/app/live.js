/** Staying connected: what the gateway tells as it happens, and what is shown while it does not. */
import { signal } from "../vendor/signals-core.js";

/** A connection that said nothing for so long is taken for dead; the gateway says something every five seconds. */
const SILENCE_MS = 16_000;
const RETRY_MS_MIN = 250;
const RETRY_MS_MAX = 1_200;

/**
 * @typedef {object} Standing
 * @property {"none" | "connecting" | "live" | "lost" | "resting"} state none: the page follows nothing.
 * @property {number} since Milliseconds since 1970.
 */

/** @type {import("../vendor/signals-core.js").Signal<Standing>} How the page's own connection stands. */
export const standing = signal({ state: "none", since: Date.now() });

/** @param {Standing["state"]} state */
export function stands(state) {
  if (standing.value.state !== state) standing.value = { state, since: Date.now() };
}

/**
 * Keep a connection as long as the page is visible: with growing pauses after each loss, each a little random, so
 * that not every page returns at once.
 * @param {(life: {alive: () => void, heard: () => void, lost: () => void}) => () => void} open
 *   Opens one, and returns what closes it. `alive` is called once it stands, `heard` with each sign of life, and
 *   `lost` when it is no more.
 * @returns {() => void} Ends it for good.
 */
export function keep(open) {
  let tries = 0;
  let ended = false;
  /** @type {(() => void) | null} */
  let close = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let waiting;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let watching;

  function start() {
    clearTimeout(waiting);
    if (ended || close || document.hidden) return;
    if (standing.value.state !== "lost") stands("connecting");
    let over = false;
    const lost = () => {
      if (over) return;
      over = true;
      stop();
      stands("lost");
      tries += 1;
      const pause = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(tries, 8));
      waiting = setTimeout(start, pause * (0.5 + Math.random() / 2));
    };
    const heard = () => {
      clearTimeout(watching);
      watching = setTimeout(lost, SILENCE_MS);
    };
    heard();
    close = open({
      alive: () => {
        tries = 0;
        stands("live");
        heard();
      },
      heard,
      lost,
    });
  }

  function stop() {
    clearTimeout(watching);
    close?.();
    close = null;
  }

  function onVisibility() {
    if (document.hidden) {
      clearTimeout(waiting);
      stop();
      stands("resting");
    } else {
      tries = 0;
      start();
    }
  }

  document.addEventListener("visibilitychange", onVisibility);
  addEventListener("online", start);
  start();
  return () => {
    ended = true;
    clearTimeout(waiting);
    stop();
    stands("none");
    document.removeEventListener("visibilitychange", onVisibility);
    removeEventListener("online", start);
  };
}

/**
 * Follow the changes of all sessions that one may see.
 * @param {{onConnected: () => void, onChanged: () => void}} told
 *   `onConnected` too when the connection is back: what changed meanwhile was not told.
 * @returns {() => void} Ends it.
 */
export function followChanges({ onConnected, onChanged }) {
  return keep(({ alive, heard, lost }) => {
    const source = new EventSource("/api/v2/sessions/changes");
    source.onopen = () => {
      alive();
      onConnected();
    };
    source.onerror = lost;
    source.onmessage = (event) => {
      const told = parsed(event.data);
      if (told.type === "closed") lost();
      else heard();
      if (told.type === "changed") onChanged();
    };
    return () => source.close();
  });
}

/** @param {string} text @returns {any} What a message says; an empty object for one that cannot be read. */
export function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}
