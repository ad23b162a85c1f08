/** Letting letters be tried again: as they are or edited, dry or in earnest; and what became of it. */
import { useEffect, useRef, useState } from "../../vendor/hooks.js";
import { newKey, post, sentence } from "../api.js";
import { html } from "../html.js";
import { useLive } from "../reading.js";
import { Failed } from "../states.js";
import { shown } from "../text.js";
import { count, counted, exact } from "../words.js";

const LOOK_MS = 2_000;

/** @param {any} before @param {any} after @returns {Record<string, any>} What turns one into the other, as RFC 7386 says it. */
export function difference(before, after) {
  /** @type {Record<string, any>} */
  const changes = {};
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (!(name in after)) changes[name] = null;
    else if (JSON.stringify(before[name]) !== JSON.stringify(after[name])) changes[name] = after[name];
  }
  return changes;
}

/**
 * @param {{about: {letters?: string[], like?: string, putAsideUntil?: string}, many: number, said: any, onAsked: () => void}} props
 *   `said` is what a record says, for editing a copy of it; null: it is not to be edited.
 */
export function RedriveForm({ about, many, said, onAsked }) {
  const before = said ? JSON.stringify(said, null, 2) : "";
  const [edits, setEdits] = useState(false);
  const [text, setText] = useState(before);
  const [rate, setRate] = useState("200");
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const [asked, setAsked] = useState("");
  const key = useRef(newKey());
  const busy = useRef(false);
  useEffect(() => setText(before), [before]);

  /** @param {boolean} dry */
  async function ask(dry) {
    if (busy.current) return;
    busy.current = true;
    setError(null);
    setAsked("");
    try {
      const edit = edits ? difference(said, JSON.parse(text)) : null;
      if (edit && Object.keys(edit).length === 0) throw new Error("Nothing of it is changed");
      await post("/api/v2/redrives", { ...about, recordsPerSecond: Number(rate), dry, edit }, key.current);
      setAsked(dry ? "The dry run was asked for; what it finds stands below." : "It was asked for; how it goes stands below.");
      onAsked();
      key.current = newKey();
    } catch (failure) {
      setError(failure instanceof SyntaxError ? new Error("The copy is no JSON: " + failure.message) : failure);
    }
    busy.current = false;
  }

  return html`<form class="redrive" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
    ${said &&
    html`<label class="check"
      ><input type="checkbox" checked=${edits} onChange=${(/** @type {any} */ event) => setEdits(event.currentTarget.checked)} />
      Edit ${many === 1 ? "a copy" : "copies, each in the same way"}</label
    >`}
    ${edits &&
    html`<label
        >What ${many === 1 ? "it says" : "they say"}, as JSON
        <textarea class="code" rows="8" spellcheck=${false} value=${text} onInput=${(/** @type {any} */ event) => setText(event.currentTarget.value)}></textarea>
      </label>
      <p class="muted">Fields that you change are changed in ${many === 1 ? "the copy" : "every copy"}. Whose it is stays as it is, and it passes ingress again.</p>`}
    <div class="filters">
      <label
        >Records a second
        <input type="number" min="1" max="1000" required value=${rate} onInput=${(/** @type {any} */ event) => setRate(event.currentTarget.value)} />
      </label>
      <button type="button" onClick=${() => ask(true)}>Dry run</button>
      <button type="button" class="primary" onClick=${() => ask(false)}>Try ${many === 1 ? "it" : counted(many, "letter")} again</button>
    </div>
    ${error ? html`<p class="tone-bad" role="alert">${sentence(error)}</p>` : html`<p role="status">${asked}</p>`}
  </form>`;
}

/** @param {{moved: number}} props What redrives were asked for, and how they go; read again when `moved` changes. */
export function Redrives({ moved }) {
  const { value, error, again } = useLive("/api/v2/redrives?limit=10", LOOK_MS, moved);
  if (!value) return error ? html`<${Failed} error=${error} again=${again} />` : null;
  if (value.redrives.length === 0) return html`<p class="muted">Nothing was tried again yet.</p>`;
  return html`<ol class="redrives">
    ${value.redrives.map((/** @type {any} */ one) => html`<li key=${one.id}><${Redrive} one=${one} /></li>`)}
  </ol>`;
}

/** @param {{one: any}} props */
function Redrive({ one }) {
  const about = one.group ? `${one.group.code} on ${one.group.topic}: ${one.group.reason}` : counted(one.letters, "letter");
  const done = one.dry ? "would pass" : one.edited ? "tried again, edited" : "tried again";
  return html`<p>
      <strong>${one.dry ? "Dry run" : "Redrive"}</strong> of ${shown(about)}, asked for by ${shown(one.operator)}
      <time datetime=${one.askedAt} title=${exact(one.askedAt)}> at ${new Date(one.askedAt).toLocaleTimeString()}</time>.
      <span class=${one.status === "running" ? "tone-info" : ""}>${one.status === "running" ? " It runs." : " It has ended."}</span>
    </p>
    <ul>
      <li class="tone-ok">${count(one.redriven)} ${done}</li>
      ${one.redrivenBefore > 0 && html`<li>${count(one.redrivenBefore)} had been tried again before</li>`}
      ${one.kept.map(
        (/** @type {any} */ kept) => html`<li key=${kept.reason} class="tone-bad">
          ${count(kept.letters)} not: ${shown(kept.reason)}${kept.example && html` (<a href=${"/dead-letters?letter=" + kept.example}>one of them</a>)`}
        </li>`,
      )}
      ${one.more && html`<li>There are more letters than one redrive takes: ask again for those.</li>`}
    </ul>`;
}
