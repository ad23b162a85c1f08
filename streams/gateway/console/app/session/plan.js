/** The plan: every task of the session, what each waits for, and how it stands. */
import { sentence } from "../api.js";
import { html } from "../html.js";
import { useAnswer } from "../reading.js";
import { Empty, Failed, Loading } from "../states.js";
import { shown } from "../text.js";
import { urlWith } from "../url.js";
import { count } from "../words.js";
import { Graph } from "./graph.js";
import { TaskStatus } from "./task_status.js";

/** @param {{base: string, moved: number}} props */
export function Plan({ base, moved }) {
  const { value, error, again } = useAnswer(base + "/tasks", moved);
  if (!value) return error ? html`<${Failed} error=${error} again=${again} />` : html`<${Loading} what="the plan" />`;
  const turns = turnsOf(value.tasks);
  return html`<section aria-label="Plan" class="plan">
    ${error ? html`<p class="stale" role="status">The plan could not be read again: ${sentence(error)}</p>` : null}
    ${turns.length === 0 && html`<${Empty} title="There is no plan yet"><p>The first message makes one.</p><//>`}
    ${turns.map(
      ({ root, parts }, number) => html`<div key=${root.id} class="turn">
        <h2>Turn ${count(turns.length - number)}: ${shown(root.intent)}</h2>
        <p class="facts"><${TaskStatus} status=${root.status} /> ${root.error && html`<span class="tone-bad">${shown(root.error)}</span>`}</p>
        ${parts.length > 0 ? html`<${Graph} tasks=${parts} /><${Tasks} tasks=${parts} />` : html`<p class="muted">No tasks yet.</p>`}
      </div>`,
    )}
  </section>`;
}

/** @param {{tasks: any[]}} props */
function Tasks({ tasks }) {
  const number = new Map(tasks.map((task, index) => [task.id, index + 1]));
  return html`<ol class="tasks">
    ${tasks.map((task) => {
      const after = task.after.map((/** @type {string} */ id) => number.get(id)).filter(Boolean);
      return html`<li key=${task.id}>
        <div class="task-head"><a href=${urlWith({ tab: "events", search: task.id })}>${shown(task.intent)}</a></div>
        <p class="facts">
          <${TaskStatus} status=${task.status} />
          ${task.agent && html`<span>${shown(task.agent)}</span>`}
          <span>${count(task.actualTokens ?? 0)} of ${count(task.budgetTokens ?? 0)} tokens</span>
          ${after.length > 0 && html`<span>after ${after.join(", ")}</span>`}
          ${task.retries > 0 && html`<span>tried ${count(task.retries + 1)} times</span>`}
          ${task.error && html`<span class="tone-bad">${shown(task.error)}</span>`}
        </p>
      </li>`;
    })}
  </ol>`;
}

/** @param {any[]} tasks @returns {Array<{root: any, parts: any[]}>} The newest turn first. */
function turnsOf(tasks) {
  const known = new Map(tasks.map((task) => [task.id, task]));
  /** @param {any} task @returns {any} */
  const rootOf = (task) => {
    let now = task;
    for (let steps = 0; steps < 50 && now.parentId && known.has(now.parentId); steps += 1) now = known.get(now.parentId);
    return now;
  };
  /** @type {Map<string, {root: any, parts: any[]}>} */
  const turns = new Map();
  for (const task of tasks) {
    const root = rootOf(task);
    const turn = turns.get(root.id) ?? { root, parts: [] };
    if (task !== root) turn.parts.push(task);
    turns.set(root.id, turn);
  }
  return [...turns.values()].reverse();
}
