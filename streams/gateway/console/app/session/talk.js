/** What is said in a session: what the log has, and what is just being said, until the log has it. */
import { signal } from "../../vendor/signals-core.js";
import { get, newKey, post } from "../api.js";

/**
 * @typedef {object} Said
 * @property {string} id
 * @property {"user" | "assistant"} role
 * @property {string} content
 * @property {string} createdAt
 * @property {boolean} [complete]
 * @property {string} [replyTo]
 * @property {string} [model]
 * @property {number} [tokens]
 * @property {number} [dollars]
 * @property {string | null} [importedFrom] Name of the V1 in which it was said.
 * @property {string | null} [importedAt] When it came over.
 * @property {boolean} [pending] Whether the log does not have it yet.
 */
/** @typedef {{messageId: string, words: string, text: string, call: string}} Turn A turn under way, and the answer so far. */
/** @typedef {{kind: string, text: string, at: string, approvalId?: string}} Note */

const PAGE = 200;
const AGAIN_MS = 400;
const AGAIN_MAX = 25;
/** @type {Record<string, string>} */
const STAGES = {
  plan: "Making a plan",
  critique: "Looking the plan over",
  execute: "Working on its tasks",
  synthesize: "Writing the answer",
};

export class Talk {
  /** @param {string} base The session's path in the API. */
  constructor(base) {
    this._base = base;
    /** @type {import("../../vendor/signals-core.js").Signal<Said[]>} */
    this.said = signal([]);
    /** @type {import("../../vendor/signals-core.js").Signal<Turn | null>} */
    this.turn = signal(null);
    /** @type {import("../../vendor/signals-core.js").Signal<Note[]>} What is neither a message nor an answer. */
    this.notes = signal([]);
    this.ready = signal(false);
    /** @type {import("../../vendor/signals-core.js").Signal<unknown>} */
    this.error = signal(null);
    this._mark = "";
    /** @type {Said[]} */
    this._known = [];
    /** @type {Said[]} */
    this._pending = [];
    this._ended = false;
    this._painting = 0;
    /** @type {Turn | null} */
    this._next = null;
  }

  /** Read what was said. @returns {Promise<string>} The cursor from which to follow. */
  async begin() {
    // First where it stands, then what was said: so nothing falls between.
    const { events } = await get(`${this._base}/timeline?limit=1&type=TurnStarted&type=AnswerGiven&type=SessionEnded`);
    await this._read();
    this.ready.value = true;
    const [newest] = events;
    if (!newest) return "";
    return String(newest.type === "TurnStarted" ? newest.sequence - 1 : newest.sequence);
  }

  end() {
    this._ended = true;
    cancelAnimationFrame(this._painting);
  }

  /** Say something. @param {string} content @param {string} key Of idempotency: the same for each try. */
  async say(content, key) {
    const { messageId } = await post(`${this._base}/messages`, { content }, key);
    this._pending.push({ id: messageId, role: "user", content, createdAt: new Date().toISOString(), pending: true });
    this._show();
  }

  /** Say what one thinks of an answer. @param {string} answerId @param {"good" | "bad"} rating @param {string} comment */
  async judge(answerId, rating, comment) {
    await post(`${this._base}/feedback`, { answerId, rating, comment: comment || null }, newKey());
  }

  /** Take in what the session tells. @param {any} frame */
  hear(frame) {
    const turn = this._next ?? this.turn.value;
    switch (frame.type) {
      case "turn_started":
        this._set({ messageId: frame.messageId, words: "Taken up", text: "", call: "" });
        this._readUntil(frame.messageId);
        break;
      case "progress":
        this._set({ ...(turn ?? { messageId: "", text: "", call: "" }), words: wordsOf(frame) });
        break;
      case "delta": {
        // Another attempt begins anew.
        const call = `${frame.callId}.${frame.attempt}`;
        const before = turn?.call === call ? turn.text : "";
        this._set({ messageId: turn?.messageId ?? "", words: STAGES.synthesize, text: before + frame.text, call });
        break;
      }
      case "answer":
        this._pending.push({
          id: "answer to " + frame.messageId,
          role: "assistant",
          content: frame.text,
          createdAt: frame.timestamp,
          complete: frame.complete,
          replyTo: frame.messageId,
          model: frame.model,
          tokens: frame.tokens,
          dollars: frame.costNanodollars / 1e9,
          pending: true,
        });
        this._set(null);
        this._show();
        this._readUntil(frame.messageId, true);
        break;
      case "approval_requested":
        this._note({ kind: "approval", text: `The tool ${frame.tool} waits for a person: ${frame.reason ?? ""}`, at: frame.timestamp, approvalId: frame.approvalId });
        break;
      case "error":
      case "notice":
        this._note({ kind: frame.type, text: frame.message, at: frame.timestamp });
        break;
      case "session_ended":
        this._set(null);
        this._note({ kind: "ended", text: `The session ended: ${frame.reason}.`, at: frame.timestamp });
        break;
    }
  }

  /** Show a turn with the next frame that is painted, however many pieces came until then. @param {Turn | null} turn */
  _set(turn) {
    this._next = turn;
    if (turn === null) {
      cancelAnimationFrame(this._painting);
      this._painting = 0;
      this.turn.value = null;
    } else if (!this._painting) {
      this._painting = requestAnimationFrame(() => {
        this._painting = 0;
        this.turn.value = this._next;
      });
    }
  }

  /** @param {Note} note */
  _note(note) {
    this.notes.value = [...this.notes.value, note];
  }

  async _read() {
    for (;;) {
      const query = `?limit=${PAGE}` + (this._mark ? `&after=${this._mark}` : "");
      const page = await get(`${this._base}/messages${query}`);
      // Without a mark of its end the last page is read again.
      const known = new Set(this._known.map((one) => one.id));
      this._known.push(...page.messages.filter((/** @type {Said} */ one) => !known.has(one.id)));
      this._show();
      if (page.next === null) return;
      this._mark = page.next;
    }
  }

  /**
   * Read until the log's copy has a message, or its answer; it comes a moment behind what is told live.
   * @param {string} messageId
   * @param {boolean} [answered]
   */
  async _readUntil(messageId, answered = false) {
    for (let times = 0; times < AGAIN_MAX && !this._ended; times += 1) {
      try {
        await this._read();
        this.error.value = null;
      } catch (failure) {
        this.error.value = failure;
      }
      const isThere = this._known.some((one) => (answered ? one.replyTo === messageId : one.id === messageId));
      if (isThere) return;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }

  _show() {
    const ids = new Set(this._known.map((one) => one.id));
    const answered = new Set(this._known.map((one) => one.replyTo).filter(Boolean));
    this._pending = this._pending.filter((one) => !(one.role === "user" ? ids.has(one.id) : answered.has(one.replyTo)));
    this.said.value = [...this._known, ...this._pending];
  }
}

/** @param {any} frame @returns {string} */
function wordsOf(frame) {
  const stage = STAGES[frame.stage] ?? frame.stage;
  const tasks = frame.tasksTotal > 0 ? ` (${frame.tasksDone} of ${frame.tasksTotal} done)` : "";
  return stage + tasks + (frame.detail ? `: ${frame.detail}` : "");
}
