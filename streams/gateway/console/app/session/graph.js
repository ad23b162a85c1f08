/** The tasks of a turn as a graph: what waits for what goes from left to right. The list below it says the same. */
import { html } from "../html.js";
import { shown } from "../text.js";
import { TASK_STATUSES } from "./task_status.js";

const WIDTH = 180;
const HEIGHT = 44;
const GAP_X = 40;
const GAP_Y = 14;
const TASKS_MAX = 60;

/** @param {{tasks: any[]}} props */
export function Graph({ tasks }) {
  if (tasks.length < 2 || tasks.length > TASKS_MAX) return null;
  const places = placesOf(tasks);
  const width = Math.max(...[...places.values()].map((at) => at.x)) + WIDTH + 2;
  const height = Math.max(...[...places.values()].map((at) => at.y)) + HEIGHT + 2;
  const arrows = tasks.flatMap((task) =>
    task.after.filter((/** @type {string} */ id) => places.has(id)).map((/** @type {string} */ id) => [id, task.id]),
  );
  return html`<div class="scroll graph" tabindex="0" role="group" aria-label="The tasks as a graph; the list below says the same">
    <svg width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} aria-hidden="true" focusable="false">
      ${arrows.map(([from, to]) => html`<path key=${from + to} class="graph-arrow" d=${pathOf(places.get(from), places.get(to))} />`)}
      ${tasks.map((task, index) => {
        const at = /** @type {{x: number, y: number}} */ (places.get(task.id));
        const told = TASK_STATUSES[task.status] ?? { sign: "?", word: task.status, tone: "" };
        return html`<g key=${task.id} class=${"graph-task tone-" + (told.tone || "none")} transform=${`translate(${at.x + 1} ${at.y + 1})`}>
          <rect width=${WIDTH} height=${HEIGHT} rx="6" />
          <text x="10" y="18">${index + 1}. ${short(shown(task.intent), 20)}</text>
          <text x="10" y="35" class="graph-status">${told.sign} ${told.word}${task.agent ? " · " + short(shown(task.agent), 14) : ""}</text>
        </g>`;
      })}
    </svg>
  </div>`;
}

/** @param {string} text @param {number} most */
function short(text, most) {
  const letters = [...text];
  return letters.length > most ? letters.slice(0, most - 1).join("") + "…" : text;
}

/** @param {any} from @param {any} to */
function pathOf(from, to) {
  const [x1, y1, x2, y2] = [from.x + WIDTH, from.y + HEIGHT / 2, to.x, to.y + HEIGHT / 2];
  const middle = (x1 + x2) / 2;
  return `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
}

/**
 * A task stands one column behind the last that it waits for.
 * @param {any[]} tasks
 * @returns {Map<string, {x: number, y: number}>}
 */
export function placesOf(tasks) {
  const known = new Map(tasks.map((task) => [task.id, task]));
  /** @type {Map<string, number>} */
  const columns = new Map();
  /** @param {any} task @param {Set<string>} above @returns {number} */
  const columnOf = (task, above) => {
    const found = columns.get(task.id);
    if (found !== undefined) return found;
    if (above.has(task.id)) return 0;
    const before = task.after.map((/** @type {string} */ id) => known.get(id)).filter(Boolean);
    const column = before.length ? 1 + Math.max(...before.map((/** @type {any} */ one) => columnOf(one, new Set([...above, task.id])))) : 0;
    columns.set(task.id, column);
    return column;
  };
  /** @type {number[]} */
  const used = [];
  const places = new Map();
  for (const task of tasks) {
    const column = columnOf(task, new Set());
    const row = used[column] ?? 0;
    used[column] = row + 1;
    places.set(task.id, { x: column * (WIDTH + GAP_X), y: row * (HEIGHT + GAP_Y) });
  }
  return places;
}
