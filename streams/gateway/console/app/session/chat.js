/** The chat: what was said and answered, the answer that is being written, and a place to say something. */
import { useEffect, useRef, useState } from "../../vendor/hooks.js";
import { may, newKey, sentence } from "../api.js";
import { html, use } from "../html.js";
import { Markdown } from "../markdown.js";
import { Empty, Failed, Loading } from "../states.js";
import { shown } from "../text.js";
import { urlWith } from "../url.js";
import { clock, count, exact, money } from "../words.js";

/** Progress is announced no more often. */
const ANNOUNCE_MS = 5_000;

/** @param {{base: string, talk: import("./talk.js").Talk, isOver: boolean}} props */
export function Chat({ talk, isOver }) {
  const said = use(talk.said);
  const turn = use(talk.turn);
  const notes = use(talk.notes);
  const ready = use(talk.ready);
  const error = use(talk.error);
  return html`<section aria-label="Chat" class="chat-part">
    <h2 class="visually-hidden">Chat</h2>
    ${!ready && said.length === 0
      ? error
        ? html`<${Failed} error=${error} />`
        : html`<${Loading} what="what was said" />`
      : said.length === 0 && !turn
        ? html`<${Empty} title="Nothing was said yet"><p>What you write below becomes a plan, tasks and an answer.</p><//>`
        : html`<ol class="chat">
            ${said.map((one) => html`<li key=${one.id} class=${"said said-" + one.role}><${Message} one=${one} talk=${talk} /></li>`)}
            ${turn &&
            html`<li key="turn" class="said said-assistant said-coming" aria-busy="true">
              <p class="progress">${shown(turn.words)} …</p>
              ${turn.text && html`<${Markdown} text=${turn.text} />`}
            </li>`}
            ${notes.map(
              (note, index) => html`<li key=${"note" + index} class=${"note note-" + note.kind}>
                ${shown(note.text)} <time datetime=${note.at} title=${note.at ? exact(note.at) : ""}>${note.at ? clock(note.at) : ""}</time>
              </li>`,
            )}
          </ol>`}
    <${Announcer} words=${turn ? turn.words : ""} answers=${said.filter((one) => one.role === "assistant").length} />
    ${isOver
      ? html`<p class="muted">The session has ended; it takes no more messages. From the events one can go on in a fork of it.</p>`
      : may("send")
        ? html`<${Writer} talk=${talk} />`
        : html`<p class="muted">This login may read, and not send.</p>`}
  </section>`;
}

/** @param {{one: import("./talk.js").Said, talk: import("./talk.js").Talk}} props */
function Message({ one, talk }) {
  const isAnswer = one.role === "assistant";
  const from = one.importedFrom;
  return html`
    <div class="said-head">
      <h3>${isAnswer ? "Answer" : "Message"}</h3>
      <time datetime=${one.createdAt} title=${exact(one.createdAt)}>${from ? exact(one.createdAt) : clock(one.createdAt)}</time>
      ${from && html`<span class="tag" title=${one.importedAt ? `It came over on ${exact(one.importedAt)}` : ""}>from ${shown(from)}</span>`}
      ${isAnswer && one.complete === false && html`<span class="tone-warn">not all of it could be done</span>`}
      ${one.pending && !isAnswer && html`<span class="muted">queued</span>`}
    </div>
    ${isAnswer ? html`<${Markdown} text=${one.content} />` : html`<p class="plain">${shown(one.content)}</p>`}
    ${isAnswer &&
    !from &&
    html`<div class="said-foot">
      ${one.tokens !== undefined && html`<span>${count(one.tokens)} tokens</span>`}
      ${one.dollars !== undefined && html`<span>${money(one.dollars)}</span>`}
      ${one.model && html`<span>by ${shown(one.model)}</span>`}
      ${!one.pending && html`<a href=${urlWith({ tab: "events", event: one.id, why: "causes" })}>Why this answer?</a>`}
      ${!one.pending && may("send") && html`<${Judge} id=${one.id} talk=${talk} />`}
    </div>`}
  `;
}

/** @param {{id: string, talk: import("./talk.js").Talk}} props */
function Judge({ id, talk }) {
  const [given, setGiven] = useState("");
  const [error, setError] = useState(/** @type {unknown} */ (null));
  /** @param {"good" | "bad"} rating */
  async function give(rating) {
    try {
      await talk.judge(id, rating, "");
      setGiven(rating);
      setError(null);
    } catch (failure) {
      setError(failure);
    }
  }
  return html`<span class="judge" role="group" aria-label="What do you think of this answer?">
    <button type="button" aria-pressed=${given === "good"} onClick=${() => give("good")}>Good</button>
    <button type="button" aria-pressed=${given === "bad"} onClick=${() => give("bad")}>Bad</button>
    <span role="status">${error ? sentence(error) : given ? "Noted." : ""}</span>
  </span>`;
}

/** @param {{talk: import("./talk.js").Talk}} props */
function Writer({ talk }) {
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const key = useRef(newKey());
  const field = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  async function send() {
    const content = text.trim();
    if (!content || busy) return;
    setBusy(true);
    setError(null);
    try {
      await talk.say(content, key.current);
      key.current = newKey();
      setText("");
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
    field.current?.focus();
  }
  return html`<form
    class="writer"
    onSubmit=${(/** @type {Event} */ event) => {
      event.preventDefault();
      send();
    }}
  >
    <label for="say">Say something</label>
    <textarea
      id="say"
      ref=${field}
      rows="3"
      aria-describedby="say-how"
      value=${text}
      onInput=${(/** @type {any} */ event) => setText(event.currentTarget.value)}
      onKeyDown=${(/** @type {KeyboardEvent} */ event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
          event.preventDefault();
          send();
        }
      }}
    ></textarea>
    <div class="writer-foot">
      <button type="submit" class="primary" aria-disabled=${busy}>Send</button>
      <span id="say-how" class="muted">Ctrl and Enter send, too.</span>
      ${error ? html`<span class="tone-bad" role="alert">${sentence(error)} Your text is still here.</span>` : null}
    </div>
  </form>`;
}

/** Says politely, and not with every piece, how far it is. @param {{words: string, answers: number}} props */
function Announcer({ words, answers }) {
  const [told, setTold] = useState("");
  const saidAt = useRef(0);
  const before = useRef(answers);
  useEffect(() => {
    if (answers > before.current) setTold("The answer is there.");
    before.current = answers;
  }, [answers]);
  useEffect(() => {
    if (!words) return undefined;
    const waiting = setTimeout(
      () => {
        saidAt.current = Date.now();
        setTold(words);
      },
      Math.max(0, ANNOUNCE_MS - (Date.now() - saidAt.current)),
    );
    return () => clearTimeout(waiting);
  }, [words]);
  return html`<p class="visually-hidden" role="status">${told}</p>`;
}
