/** How a task stands, in a sign and a word. */
import { html } from "../html.js";

/** @type {Record<string, {sign: string, word: string, tone: string}>} */
export const TASK_STATUSES = {
  pending: { sign: "○", word: "waits", tone: "" },
  running: { sign: "▶", word: "running", tone: "info" },
  complete: { sign: "✓", word: "done", tone: "ok" },
  failed: { sign: "✗", word: "failed", tone: "bad" },
  pruned: { sign: "–", word: "dropped", tone: "warn" },
  aborted: { sign: "■", word: "stopped", tone: "" },
};

/** @param {{status: string}} props */
export function TaskStatus({ status }) {
  const told = TASK_STATUSES[status] ?? { sign: "?", word: status, tone: "" };
  return html`<span class=${"status " + (told.tone && "tone-" + told.tone)}><span class="sign" aria-hidden="true">${told.sign}</span> ${told.word}</span>`;
}
