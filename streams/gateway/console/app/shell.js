/** What is around every page: where one can go, how the connection stands, and the theme. */
import { useEffect } from "../vendor/hooks.js";
import { signal } from "../vendor/signals-core.js";
import { html, use } from "./html.js";
import { identify, loggedOut, may, me } from "./api.js";
import { standing } from "./live.js";
import { Failed, Loading, LoggedOut } from "./states.js";
import { THEMES, choose, chosen } from "./themes.js";
import { place } from "./url.js";

/** @type {ReadonlyArray<{path: string, name: string, file: string, scope?: string}>} */
const PAGES = [
  { path: "/", name: "Sessions", file: "./pages/sessions.js" },
  { path: "/approvals", name: "Approvals", file: "./pages/approvals.js", scope: "approve" },
  { path: "/cost", name: "Cost", file: "./pages/cost.js" },
  { path: "/questions", name: "Questions", file: "./pages/questions.js" },
  { path: "/schedules", name: "Schedules", file: "./pages/schedules.js" },
  { path: "/dead-letters", name: "Dead letters", file: "./pages/dead-letters.js", scope: "administer" },
  { path: "/agents", name: "Agents", file: "./pages/agents.js", scope: "administer" },
  { path: "/system", name: "System", file: "./pages/system.js", scope: "administer" },
];

/** @param {string} path @returns {{file: string, id?: string}} Which page a path is. */
function pageOf(path) {
  const session = /^\/sessions\/([0-9a-fA-F-]{36})$/.exec(path);
  if (session) return { file: "./pages/session.js", id: session[1] };
  const page = PAGES.find((one) => one.path === (path === "/sessions" ? "/" : path));
  return { file: page?.file ?? "./pages/nowhere.js" };
}

/** @type {import("../vendor/signals-core.js").Signal<Record<string, any>>} Pages that are loaded, by their file. */
const loaded = signal({});
/** @type {import("../vendor/signals-core.js").Signal<unknown>} */
const failure = signal(null);

/** @param {string} file */
async function load(file) {
  failure.value = null;
  try {
    const page = await import(file);
    loaded.value = { ...loaded.value, [file]: page.default };
  } catch (error) {
    failure.value = error;
  }
}

async function begin() {
  failure.value = null;
  try {
    await identify();
  } catch (error) {
    if (!loggedOut.value) failure.value = error;
  }
}

export function Shell() {
  const { path } = use(place);
  const page = pageOf(path);
  const Page = use(loaded)[page.file];
  const failed = use(failure);
  const known = use(me);
  const isOut = use(loggedOut);
  useEffect(() => {
    begin();
  }, []);
  useEffect(() => {
    if (!Page) load(page.file);
  }, [page.file]);
  return html`
    <a class="skip" href="#main">Skip to the content</a>
    <header class="top">
      <a class="brand" href="/">Cartrita</a>
      <nav aria-label="Pages">
        <ul>
          ${PAGES.filter((page) => !page.scope || (known && may(page.scope))).map(
            (link) => html`<li key=${link.path}>
              <a href=${link.path} aria-current=${path === link.path ? "page" : undefined}>${link.name}</a>
            </li>`,
          )}
        </ul>
      </nav>
      <div class="top-end">
        <${Connection} />
        <${Themes} />
      </div>
    </header>
    <${Interruption} />
    <main id="main" tabindex="-1">
      ${isOut
        ? html`<${LoggedOut} />`
        : failed
          ? html`<${Failed} error=${failed} again=${() => begin().then(() => load(page.file))} />`
          : Page && known
            ? html`<${Page} key=${page.id ?? page.file} id=${page.id} />`
            : html`<${Loading} what="the page" />`}
    </main>
  `;
}

const STANDINGS = {
  connecting: { sign: "○", words: "connecting" },
  live: { sign: "●", words: "live" },
  lost: { sign: "✗", words: "not connected" },
  resting: { sign: "○", words: "resting" },
};

function Connection() {
  const { state } = use(standing);
  if (state === "none") return null;
  const { sign, words } = STANDINGS[state];
  return html`<p class=${"connection connection-" + state} role="status">
    <span aria-hidden="true">${sign}</span> <span class="visually-hidden">The connection: </span><span>${words}</span>
  </p>`;
}

/** Says, as long as nothing comes, that what is shown is old, and how old. */
function Interruption() {
  const { state, since: began } = use(standing);
  if (use(loggedOut) || state !== "lost") return null;
  const since = new Date(began);
  return html`<div class="interruption" role="status">
    <strong>The gateway does not answer.</strong> What you see is as of
    <time datetime=${since.toISOString()}>${since.toLocaleTimeString()}</time>. Trying again by itself …
  </div>`;
}

function Themes() {
  return html`<label class="theme"
    ><span class="visually-hidden">Theme</span>
    <select value=${use(chosen)} onChange=${(/** @type {any} */ event) => choose(event.currentTarget.value)}>
      ${THEMES.map((theme) => html`<option key=${theme.id} value=${theme.id}>${theme.name}</option>`)}
    </select>
  </label>`;
}
