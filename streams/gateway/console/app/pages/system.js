/** How the deployment stands: its parts, topics and lag, what is stopped or put aside, and which policy decides. */
import { useState } from "../../vendor/hooks.js";
import { post, sentence } from "../api.js";
import { Heading } from "../heading.js";
import { html, use } from "../html.js";
import { useLive } from "../reading.js";
import { Failed, Loading } from "../states.js";
import { Storage } from "../system/storage.js";
import { Table } from "../table.js";
import { shown } from "../text.js";
import { place, urlWith } from "../url.js";
import { Ago, count, counted } from "../words.js";

const READ_MS = 5_000;
/** @type {Record<string, {sign: string, tone: string, word: string}>} */
const STATES = {
  working: { sign: "✓", tone: "ok", word: "working" },
  changing: { sign: "○", tone: "warn", word: "partitions are being handed over" },
  nobody: { sign: "✗", tone: "bad", word: "no process" },
};

export default function System() {
  const isStorage = use(place).query.get("view") === "storage";
  return isStorage
    ? html`<${Heading} text="System" />
        <${Tabs} isStorage=${true} />
        <${Storage} />`
    : html`<${Standing} />`;
}

/** @param {{isStorage: boolean}} props */
function Tabs({ isStorage }) {
  return html`<nav class="tabs" aria-label="What is told">
    <ul>
      <li><a href=${urlWith({ view: "" })} aria-current=${isStorage ? undefined : "page"}>How it stands</a></li>
      <li><a href=${urlWith({ view: "storage" })} aria-current=${isStorage ? "page" : undefined}>Storage</a></li>
    </ul>
  </nav>`;
}

function Standing() {
  const [paused, setPaused] = useState(false);
  const { value, error, again } = useLive("/api/v2/system", paused ? 0 : READ_MS);
  return html`
    <div class="page-head">
      <${Heading} text="System" />
      <button type="button" aria-pressed=${paused} onClick=${() => setPaused(!paused)}>${paused ? "Resume updates" : "Pause updates"}</button>
    </div>
    <${Tabs} isStorage=${false} />
    ${value && error ? html`<p class="stale" role="status">It could not be read again: ${sentence(error)}</p>` : null}
    ${!value
      ? error
        ? html`<${Failed} error=${error} again=${again} />`
        : html`<${Loading} what="how the deployment stands" />`
      : html`<${Whole} value=${value} onActed=${again} />`}
  `;
}

/** @param {{value: any, onActed: () => void}} props */
function Whole({ value, onActed }) {
  const away = Object.entries(value.components).filter(([, state]) => state !== "connected");
  return html`
    <p>
      Cartrita ${value.version}.
      ${away.length === 0 ? " The gateway reaches all that it needs." : html`<strong class="tone-bad"> Not reached: ${away.map(([name]) => name).join(", ")}.</strong>`}
    </p>
    <${Stops} stops=${value.stops} onActed=${onActed} />
    <${Parts} parts=${value.parts} />
    <${Quarantined} sessions=${value.quarantined} />
    <${Withheld} withheld=${value.withheld} />
    <${Policy} rules=${value.policy} configuration=${value.configuration} />
    <${Topics} topics=${value.topics} />
  `;
}

/** @param {{stops: any[], onActed: () => void}} props The switch: everything at once, or by name. */
function Stops({ stops, onActed }) {
  const [name, setName] = useState("");
  const [reason, setReason] = useState("");
  const [sure, setSure] = useState(false);
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const [told, setTold] = useState("");
  const every = stops.some((one) => one.name === "*");

  /** @param {string} of @param {boolean} stopped */
  async function act(of, stopped) {
    setError(null);
    setTold("");
    setSure(false);
    try {
      await post("/api/v2/tools/stops", { name: of, stopped, reason: reason || null });
      setTold(`${stopped ? "Stopped" : "Started"}: ${of === "*" ? "every tool" : of}. Workers hear of it within a moment.`);
      setTimeout(onActed, 1_000);
    } catch (failure) {
      setError(failure);
    }
  }
  return html`<section aria-labelledby="stops-heading" class="redrive">
    <h2 id="stops-heading">Stopped tools</h2>
    ${stops.length === 0
      ? html`<p>No tool is stopped.</p>`
      : html`<ul class="redrives">
          ${stops.map(
            (one) => html`<li key=${one.name}>
              <strong class="tone-bad">${one.name === "*" ? "Every tool" : shown(one.name)}</strong>, by ${shown(one.operator)}, <${Ago} at=${one.since} now=${Date.now()} /> ago${one.reason && html`: ${shown(one.reason)}`}
              <button type="button" onClick=${() => act(one.name, false)}>Start ${one.name === "*" ? "every tool" : shown(one.name)} again</button>
            </li>`,
          )}
        </ul>`}
    <div class="filters">
      <label>A tool or a server<input value=${name} maxlength="100" onInput=${(/** @type {any} */ event) => setName(event.currentTarget.value.trim())} /></label>
      <label>Why, for the record; agents are told<input value=${reason} maxlength="2000" onInput=${(/** @type {any} */ event) => setReason(event.currentTarget.value)} /></label>
      <button type="button" aria-disabled=${!name} onClick=${() => name && act(name, true)}>Stop it</button>
      ${!every &&
      (sure
        ? html`<button type="button" class="primary" onClick=${() => act("*", true)}>Yes, stop every tool</button>
            <button type="button" onClick=${() => setSure(false)}>No</button>`
        : html`<button type="button" onClick=${() => setSure(true)}>Stop every tool …</button>`)}
    </div>
    ${error ? html`<p class="tone-bad" role="alert">${sentence(error)}</p>` : html`<p role="status">${told}</p>`}
  </section>`;
}

/** @param {{parts: any[]}} props */
function Parts({ parts }) {
  return html`<h2>Parts</h2>
    <${Table} name="Parts of the deployment" heads=${["Part", "State", "Processes", "#Not dealt with"]}>
      ${parts.map((one) => {
        const state = STATES[one.state] ?? STATES.nobody;
        return html`<tr key=${one.name}>
          <th scope="row">${one.name}</th>
          <td class=${"tone-" + state.tone}><span class="sign" aria-hidden="true">${state.sign}</span> ${state.word}</td>
          <td>${one.processes.length === 0 ? html`<span class="muted">none</span>` : one.processes.map((/** @type {any} */ process) => `${process.name} on ${process.host}`).join(", ")}</td>
          <td class="number" title=${one.lags.map((/** @type {any} */ lag) => `${lag.topic}: ${count(lag.records)}`).join("\n")}>${count(one.lag)}</td>
        </tr>`;
      })}
    <//>`;
}

/** @param {{sessions: any[]}} props */
function Quarantined({ sessions }) {
  return html`<h2>Quarantined sessions</h2>
    ${sessions.length === 0
      ? html`<p>There are none.</p>`
      : html`<ul>
            ${sessions.map((one) => html`<li key=${one.sessionId}><a class="line" href=${"/sessions/" + one.sessionId}>${shown(one.title ?? "Untitled")}</a> of ${shown(one.userId ?? "")}</li>`)}
          </ul>
          <p><a href="/dead-letters">Their inputs are dead letters</a>, and can be tried again once the cause is mended.</p>`}`;
}

/** @param {{withheld: any[]}} props */
export function Withheld({ withheld }) {
  return html`<h2>Withheld of servers</h2>
    ${withheld.length === 0
      ? html`<p>Every server offers what a person accepted.</p>`
      : html`<ul class="redrives">
          ${withheld.map(
            (one) => html`<li key=${one.server + " " + one.tenant}>
              <strong>${shown(one.server)}</strong>, tenant ${shown(one.tenant)}, <${Ago} at=${one.since} now=${Date.now()} /> ago
              ${one.programChanged && html`<p class="tone-bad">Its program is not the one that was accepted.</p>`}
              <dl class="facts-list">
                ${["added", "removed", "changed", "renamed", "unusable"].map(
                  (kind) => one[kind].length > 0 && html`<dt>${kind}</dt><dd>${one[kind].map(shown).join(", ")}</dd>`,
                )}
              </dl>
              <p>Look at it and decide by <code>cartrita tools show ${shown(one.server)}</code> and <code>cartrita tools accept ${shown(one.server)}</code>.</p>
            </li>`,
          )}
        </ul>`}`;
}

/** @param {{rules: any[], configuration: any[]}} props */
function Policy({ rules, configuration }) {
  const now = Date.now();
  return html`<h2>In force</h2>
    <${Table} name="Configuration in force" heads=${["Part", "Content", "Published"]}>
      ${configuration.map(
        (one) => html`<tr key=${one.kind}>
          <th scope="row">${one.kind}</th>
          <td><code>${one.hash}</code></td>
          <td><${Ago} at=${one.since} now=${now} /> ago</td>
        </tr>`,
      )}
    <//>
    <h3>Policy: ${counted(rules.length, "rule")}, the first that fits decides</h3>
    <ol>
      ${rules.map((one, at) => html`<li key=${at}>${shown(one.name)}: <strong>${one.decision}</strong></li>`)}
    </ol>`;
}

/** @param {{topics: any[]}} props */
function Topics({ topics }) {
  return html`<h2>Topics</h2>
    <${Table} name="Topics" heads=${["Topic", "#Partitions", "#Records"]}>
      ${topics.map(
        (one) => html`<tr key=${one.name}>
          <th scope="row">${one.name}</th>
          <td class="number">${one.partitions}</td>
          <td class="number">${count(one.records)}</td>
        </tr>`,
      )}
    <//>`;
}
