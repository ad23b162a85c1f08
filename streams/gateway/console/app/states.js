/** What is shown in the place of data: not there yet, none, not to be had, old. */
import { html } from "./html.js";
import { Problem, sentence } from "./api.js";

/** @param {{what: string}} props */
export function Loading({ what }) {
  return html`<p class="state" role="status">Loading ${what} …</p>`;
}

/** @param {{title: string, children?: any}} props */
export function Empty({ title, children }) {
  return html`<div class="state"><h2>${title}</h2>${children}</div>`;
}

/**
 * What went wrong, and what to do.
 * @param {{error: unknown, again?: () => void}} props
 */
export function Failed({ error, again }) {
  const status = error instanceof Problem ? error.status : -1;
  const title =
    status === 403 ? "Your login may not see this" : status === 404 ? "There is nothing here" : "This could not be loaded";
  const advice =
    status === 403
      ? "A token with the scope that is named can; cartrita tokens create makes one."
      : status === 404
        ? "It may be somebody else's, or the address has a mistake in it."
        : "";
  return html`<div class="state state-bad" role="alert">
    <h2>${title}</h2>
    <p>${sentence(error)} ${advice}</p>
    ${again && status !== 404 && html`<button type="button" onClick=${again}>Try again</button>`}
  </div>`;
}

/** Nobody is logged in. */
export function LoggedOut() {
  return html`<div class="state">
    <h1>This browser is not logged in</h1>
    <p>On the machine that runs Cartrita, <code>cartrita login</code> prints a link. Open it here; it is good once, for ten minutes.</p>
    <p><button type="button" onClick=${() => location.reload()}>I have opened it</button></p>
  </div>`;
}
