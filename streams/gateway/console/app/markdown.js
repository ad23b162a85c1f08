/**
 * Markdown of models, as elements: what it says is shown, and it loads nothing, hides nothing and runs nothing.
 *
 * Of images only their words and hosts show; a link tells its true host behind its text, and opens outside; all text
 * goes through `shown`. What is not understood stays text.
 */
import { html } from "./html.js";
import { shown } from "./text.js";

const DEPTH_MAX = 12;
/** Of headings: what the page, its parts and each message have. */
const LEVEL_ABOVE = 3;
const INLINE =
  /(`+)([^`]|[^`][\s\S]*?[^`])\1(?!`)|!\[([^\]]*)\]\(([^()\s]*)[^)]*\)|\[([^\]]+)\]\(([^()\s]+)[^)]*\)|\*\*(?=\S)([\s\S]+?)\*\*|(?<![\w*])\*(?=\S)([^*\n]+)\*(?!\w)|(?<!\w)_(?=\S)([^_\n]+)_(?!\w)|(https?:\/\/[^\s<>"'`()\[\]]+[^\s<>"'`()\[\].,;:!?])/;

/** The level of the heading before: no level is left out, whatever the text does. */
let level = LEVEL_ABOVE;

/** @param {{text: string}} props */
export function Markdown({ text }) {
  level = LEVEL_ABOVE;
  return html`<div class="markdown">${blocks(text.split(/\r\n?|\n/), 0)}</div>`;
}

/** @param {string[]} lines @param {number} depth @returns {any[]} */
function blocks(lines, depth) {
  if (depth > DEPTH_MAX) return [html`<p>${shown(lines.join("\n"))}</p>`];
  const told = [];
  let at = 0;
  while (at < lines.length) {
    const [element, next] = block(lines, at, depth);
    if (element) told.push(element);
    at = next;
  }
  return told;
}

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+-]*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const RULE = /^ {0,3}(?:(?:-\s*){3,}|(?:\*\s*){3,}|(?:_\s*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^(\s*)(?:[-*+]|(\d{1,9})[.)])\s+/;
const TABLE_RULE = /^ {0,3}\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;

/** @param {string[]} lines @param {number} at @param {number} depth @returns {[any, number]} An element, and what follows. */
function block(lines, at, depth) {
  const line = lines[at];
  if (!line.trim()) return [null, at + 1];
  const fence = FENCE.exec(line);
  if (fence) return fenced(lines, at, fence[1]);
  const heading = HEADING.exec(line);
  if (heading) {
    level = Math.min(6, level + 1, LEVEL_ABOVE + heading[1].length);
    return [html`<${"h" + level}>${inline(heading[2], depth)}<//>`, at + 1];
  }
  if (RULE.test(line)) return [html`<hr />`, at + 1];
  if (QUOTE.test(line)) {
    const end = endOf(lines, at, (one) => QUOTE.test(one));
    const inner = lines.slice(at, end).map((one) => one.replace(QUOTE, ""));
    return [html`<blockquote>${blocks(inner, depth + 1)}</blockquote>`, end];
  }
  if (ITEM.test(line)) return list(lines, at, depth);
  if (line.includes("|") && at + 1 < lines.length && TABLE_RULE.test(lines[at + 1])) return table(lines, at, depth);
  const end = endOf(lines, at, (one, index) => index === at || isText(one));
  return [html`<p>${inline(lines.slice(at, end).join("\n"), depth)}</p>`, end];
}

/** @param {string} line */
function isText(line) {
  return Boolean(line.trim()) && ![FENCE, HEADING, RULE, QUOTE, ITEM].some((pattern) => pattern.test(line));
}

/**
 * @param {string[]} lines
 * @param {number} at
 * @param {(line: string, index: number) => boolean} belongs
 * @returns {number}
 */
function endOf(lines, at, belongs) {
  let end = at;
  while (end < lines.length && belongs(lines[end], end)) end += 1;
  return end;
}

/** @param {string[]} lines @param {number} at @param {string} fence @returns {[any, number]} */
function fenced(lines, at, fence) {
  const end = endOf(lines, at + 1, (one) => !(one.trim().startsWith(fence) && !one.trim().replaceAll(fence[0], "")));
  return [html`<pre tabindex="0"><code>${shown(lines.slice(at + 1, end).join("\n"))}</code></pre>`, end + 1];
}

/** @param {string[]} lines @param {number} at @param {number} depth @returns {[any, number]} */
function list(lines, at, depth) {
  const first = /** @type {RegExpExecArray} */ (ITEM.exec(lines[at]));
  const indent = first[1].length;
  const ordered = first[2] !== undefined;
  const items = [];
  let now = at;
  while (now < lines.length) {
    const item = ITEM.exec(lines[now]);
    if (!item || item[1].length > indent + 1 || (item[2] !== undefined) !== ordered || item[1].length < indent) break;
    const end = endOf(
      lines,
      now,
      (one, index) => index === now || (one.trim() ? /^\s/.test(one) && (ITEM.exec(one)?.[1].length ?? 9) > indent : index + 1 < lines.length && /^\s+\S/.test(lines[index + 1])),
    );
    const inner = lines.slice(now, end);
    inner[0] = inner[0].slice(item[0].length);
    const rest = inner.slice(1).map((one) => one.slice(Math.min(item[0].length, one.length - one.trimStart().length)));
    const simple = rest.length === 0;
    items.push(html`<li>${simple ? inline(inner[0], depth) : blocks([inner[0], ...rest], depth + 1)}</li>`);
    now = end;
  }
  const start = ordered ? Number(first[2]) : undefined;
  return [ordered ? html`<ol start=${start}>${items}</ol>` : html`<ul>${items}</ul>`, Math.max(now, at + 1)];
}

/** @param {string} line @returns {string[]} */
function cellsOf(line) {
  return line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

/** @param {string[]} lines @param {number} at @param {number} depth @returns {[any, number]} */
function table(lines, at, depth) {
  const end = endOf(lines, at, (one) => Boolean(one.trim()) && one.includes("|"));
  const heads = cellsOf(lines[at]);
  const rows = lines.slice(at + 2, end).map(cellsOf);
  return [
    html`<div class="scroll" tabindex="0" role="group" aria-label="Table">
      <table>
        <thead>
          <tr>${heads.map((cell) => html`<th scope="col">${inline(cell, depth)}</th>`)}</tr>
        </thead>
        <tbody>
          ${rows.map((row) => html`<tr>${heads.map((_, index) => html`<td>${inline(row[index] ?? "", depth)}</td>`)}</tr>`)}
        </tbody>
      </table>
    </div>`,
    Math.max(end, at + 2),
  ];
}

/** @param {string} text @param {number} depth @returns {any[]} */
function inline(text, depth) {
  const told = [];
  let rest = text;
  while (rest) {
    const found = depth > DEPTH_MAX ? null : INLINE.exec(rest);
    if (!found) {
      told.push(shown(rest));
      break;
    }
    if (found.index) told.push(shown(rest.slice(0, found.index)));
    told.push(piece(found, depth + 1));
    rest = rest.slice(found.index + found[0].length);
  }
  return told;
}

/** @param {RegExpExecArray} found @param {number} depth */
function piece(found, depth) {
  const [whole, , code, alt, source, label, target, strong, starred, scored, bare] = found;
  if (code !== undefined) return html`<code>${shown(code.trim())}</code>`;
  if (alt !== undefined) return html`<span class="tag">image not loaded: ${shown(alt || "no description")} (${hostOf(source) ?? "no address"})</span>`;
  if (label !== undefined) return link(target, inline(label, depth), whole);
  if (strong !== undefined) return html`<strong>${inline(strong, depth)}</strong>`;
  if (starred !== undefined || scored !== undefined) return html`<em>${inline(starred ?? scored, depth)}</em>`;
  return link(bare, null, whole);
}

/** @param {string} address @returns {string | null} The host as it is asked for, in ASCII; null: it is no such address. */
export function hostOf(address) {
  try {
    const url = new URL(address);
    return url.protocol === "https:" || url.protocol === "http:" ? url.host : null;
  } catch {
    return null;
  }
}

/** @param {string} address @param {any[] | null} label @param {string} whole What stood there. */
function link(address, label, whole) {
  const host = hostOf(address);
  if (host === null) return shown(whole);
  const href = new URL(address).href;
  return html`<a href=${href} target="_blank" rel="noopener noreferrer nofollow">${label ?? href}</a>${" "}<span class="host">(${host})</span>`;
}
