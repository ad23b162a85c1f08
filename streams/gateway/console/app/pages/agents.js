/** The agents and tools that workers have: what for, how they did, and what is held back of them. */
import { useRef, useState } from "../../vendor/hooks.js";
import { may, newKey, post, sentence } from "../api.js";
import { Heading } from "../heading.js";
import { html, use } from "../html.js";
import { useAnswer } from "../reading.js";
import { Failed, Loading } from "../states.js";
import { Withheld } from "./system.js";
import { Table } from "../table.js";
import { shown, shownJson } from "../text.js";
import { go, place, urlWith } from "../url.js";
import { Ago, count, counted, span } from "../words.js";

/** @type {Record<string, {sign: string, tone: string}>} */
const HEALTH = {
  ready: { sign: "✓", tone: "ok" },
  stopped: { sign: "✗", tone: "bad" },
  withheld: { sign: "!", tone: "warn" },
};

export default function Agents() {
  const { query } = use(place);
  const { value, error, again } = useAnswer("/api/v2/agents");
  const isTools = query.get("view") === "tools";
  const one = query.get("name");
  return html`
    <${Heading} text="Agents and tools" />
    <nav class="tabs" aria-label="What is listed">
      <ul>
        <li><a href=${urlWith({ view: "", name: "" })} aria-current=${isTools ? undefined : "page"}>Agents</a></li>
        <li><a href=${urlWith({ view: "tools", name: "" })} aria-current=${isTools ? "page" : undefined}>Tools</a></li>
      </ul>
    </nav>
    ${!value
      ? error
        ? html`<${Failed} error=${error} again=${again} />`
        : html`<${Loading} what="agents and tools" />`
      : isTools
        ? html`<${ToolList} value=${value} chosen=${one} />`
        : html`<${AgentList} agents=${value.agents} chosen=${one} />`}
  `;
}

/** @param {{used: any}} props Cells that tell how it did. */
function Used({ used }) {
  if (!used) return html`<td class="number muted" colspan="3">not used in 30 days</td>`;
  const share = Math.round((100 * (used.calls - used.failed)) / used.calls);
  return html`<td class="number">${count(used.calls)}</td>
    <td class=${"number" + (used.failed ? " tone-warn" : "")} title=${counted(used.failed, "failure")}>${share} %</td>
    <td class="number">${used.latencyMs === null ? "–" : used.latencyMs < 1000 ? `${Math.round(used.latencyMs)} ms` : span(used.latencyMs)}</td>`;
}

/** @param {{agents: any[], chosen: string | null}} props */
function AgentList({ agents, chosen }) {
  const agent = agents.find((one) => one.name === chosen);
  return html`
    ${agent && html`<${Agent} key=${agent.name} agent=${agent} />`}
    <${Table} name="Agents" heads=${["Agent", "Purpose", "Tools", "#Tasks", "#Succeeded", "#Took"]}>
      ${agents.map(
        (one) => html`<tr key=${one.name}>
          <th scope="row"><a href=${urlWith({ name: one.name })}>${shown(one.name)}</a></th>
          <td>${shown(one.purpose)}</td>
          <td>${one.tools.length === 0 ? html`<span class="muted">none</span>` : one.tools.map(shown).join(", ")}</td>
          <${Used} used=${one.used} />
        </tr>`,
      )}
    <//>
  `;
}

/** @param {{agent: any}} props */
function Agent({ agent }) {
  return html`<article class="redrive">
    <h2>${shown(agent.name)}</h2>
    <dl class="facts-list">
      <dt>Purpose</dt>
      <dd>${shown(agent.purpose)}</dd>
      <dt>Begins with</dt>
      <dd>a ${agent.tier} model</dd>
      <dt>Tools</dt>
      <dd>${agent.tools.map(shown).join(", ") || "none"}</dd>
      <dt>Prompt's version</dt>
      <dd><code>${agent.promptVersion}</code></dd>
    </dl>
    <details>
      <summary>Its prompt</summary>
      <pre class="code" tabindex="0" role="group" aria-label="Prompt">${shown(agent.prompt)}</pre>
    </details>
    ${agent.answerable && may("send") && html`<${Try} agent=${agent.name} />`}
  </article>`;
}

/** @param {{agent: string}} props Asks one agent alone, in a session of its own. */
function Try({ agent }) {
  const [text, setText] = useState("");
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const busy = useRef(false);
  const key = useRef(newKey());
  async function ask() {
    if (busy.current || !text.trim()) return;
    busy.current = true;
    setError(null);
    try {
      const opened = await post("/api/v2/sessions", { title: `Trying ${agent}` }, key.current);
      await post(`/api/v2/sessions/${opened.sessionId}/messages`, { content: text, agent }, key.current);
      go("/sessions/" + opened.sessionId);
    } catch (failure) {
      setError(failure);
      busy.current = false;
    }
  }
  return html`<form
    onSubmit=${(/** @type {Event} */ event) => {
      event.preventDefault();
      ask();
    }}
  >
    <label>Try it: what it is asked, without a plan<textarea rows="2" value=${text} onInput=${(/** @type {any} */ event) => setText(event.currentTarget.value)}></textarea></label>
    <button type="submit">Ask ${shown(agent)}</button>
    ${error ? html`<p class="tone-bad" role="alert">${sentence(error)}</p>` : null}
  </form>`;
}

/** @param {{value: any, chosen: string | null}} props */
function ToolList({ value, chosen }) {
  const tool = value.tools.find((/** @type {any} */ one) => one.name === chosen);
  return html`
    ${tool && html`<${Tool} key=${tool.name} tool=${tool} />`}
    <${Table} name="Tools" heads=${["Tool", "Health", "Level", "From", "#Calls", "#Succeeded", "#Took"]}>
      ${value.tools.map(
        (/** @type {any} */ one) => html`<tr key=${one.name}>
          <th scope="row"><a href=${urlWith({ name: one.name })}>${shown(one.name)}</a></th>
          <td class=${"tone-" + HEALTH[one.health].tone}><span class="sign" aria-hidden="true">${HEALTH[one.health].sign}</span> ${one.health}</td>
          <td>${one.safetyLevel}</td>
          <td>${one.server ? `server ${shown(one.server)}` : "here"}</td>
          <${Used} used=${one.used} />
        </tr>`,
      )}
    <//>
    <p><a class="line" href="/system">Stop tools, or start them again</a></p>
    <${Withheld} withheld=${value.withheld} />
  `;
}

/** @param {{tool: any}} props */
function Tool({ tool }) {
  return html`<article class="redrive">
    <h2>${shown(tool.name)}</h2>
    <p>${shown(tool.description)}</p>
    <dl class="facts-list">
      <dt>Version</dt>
      <dd><code>${shown(tool.version)}</code></dd>
      <dt>Level</dt>
      <dd>${tool.safetyLevel}</dd>
      <dt>Last used</dt>
      <dd>${tool.used ? html`<${Ago} at=${tool.used.lastAt} now=${Date.now()} /> ago` : "not in 30 days"}</dd>
      <dt>Try it</dt>
      <dd><code>cartrita tools try ${shown(tool.name)} '{…}'</code></dd>
    </dl>
    <details>
      <summary>Its parameters</summary>
      <pre class="code" tabindex="0" role="group" aria-label="Parameters">${shownJson(tool.parameters)}</pre>
    </details>
  </article>`;
}
