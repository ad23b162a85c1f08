/** How numbers, times and states are told to people. */
import { html } from "./html.js";

const NUMBER = new Intl.NumberFormat(undefined);
const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** @param {number} value @returns {string} */
export function count(value) {
  return NUMBER.format(value);
}

/** @param {number} many @param {string} one @param {string} [more] @returns {string} "1 session", "12 sessions". */
export function counted(many, one, more = one + "s") {
  return `${count(many)} ${many === 1 ? one : more}`;
}

/** @param {number} dollars @returns {string} With as many digits as tell something. */
export function money(dollars) {
  if (dollars === 0) return "$0";
  if (dollars < 0.0001) return "< $0.0001";
  const digits = dollars >= 1 ? 2 : 4;
  return "$" + dollars.toLocaleString(undefined, { minimumFractionDigits: 2, maximumFractionDigits: digits });
}

/** @param {number} ms @returns {string} */
export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}

/** @param {string | number} when @returns {string} In the viewer's zone, with it. */
export function exact(when) {
  return EXACT.format(new Date(when));
}

/** @param {string | number} when @returns {string} */
export function clock(when) {
  return CLOCK.format(new Date(when));
}

/** @param {string} when @returns {string} 12:01:33.120, in the viewer's zone. */
export function clockMs(when) {
  const at = new Date(when);
  return `${CLOCK.format(at)}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

/**
 * How long ago something was; the exact time is at hand.
 * @param {{at: string | null, now: number}} props
 */
export function Ago({ at, now }) {
  if (!at) return html`<span class="muted">–</span>`;
  return html`<time datetime=${at} title=${exact(at)}>${span(now - Date.parse(at))}</time>`;
}

/** @type {Record<string, {sign: string, word: string, tone: string}>} */
export const STATUSES = {
  open: { sign: "○", word: "open", tone: "" },
  imported: { sign: "↧", word: "imported", tone: "" },
  queued: { sign: "○", word: "queued", tone: "" },
  running: { sign: "▶", word: "working", tone: "info" },
  waiting: { sign: "‖", word: "waits for a person", tone: "warn" },
  answered: { sign: "✓", word: "answered", tone: "ok" },
  unanswered: { sign: "✗", word: "no result", tone: "bad" },
  closed: { sign: "■", word: "closed", tone: "" },
  cancelled: { sign: "■", word: "cancelled", tone: "" },
  idle: { sign: "■", word: "ended, idle", tone: "" },
  lease_refused: { sign: "✗", word: "its account is empty", tone: "bad" },
  quarantined: { sign: "!", word: "quarantined", tone: "bad" },
};

/** @param {{status: string}} props A sign and words, so that colour tells nothing alone. */
export function Status({ status }) {
  const told = STATUSES[status] ?? { sign: "?", word: status, tone: "" };
  return html`<span class=${"status " + (told.tone && "tone-" + told.tone)}
    ><span class="sign" aria-hidden="true">${told.sign}</span> ${told.word}</span
  >`;
}
