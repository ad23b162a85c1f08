/** What a session may use, has set aside for calls that are being made, and has used. */
import { html } from "../html.js";
import { count, money } from "../words.js";

/** @typedef {{granted: number, available: number, reserved: number, used: number}} Amounts */

/** @param {{balance: {tokens: Amounts, dollars: Amounts} | null}} props */
export function Budget({ balance }) {
  if (!balance || !balance.tokens.granted) return html`<p class="muted">No budget was granted yet.</p>`;
  return html`<div class="budgets">
    <${Gauge} name="Tokens" amounts=${balance.tokens} say=${count} />
    ${balance.dollars.granted > 0 && html`<${Gauge} name="Money" amounts=${balance.dollars} say=${money} />`}
  </div>`;
}

/** @param {{name: string, amounts: Amounts, say: (amount: number) => string}} props */
function Gauge({ name, amounts, say }) {
  const { granted, reserved, used } = amounts;
  const share = (/** @type {number} */ part) => `${Math.min(100, (100 * part) / granted)}%`;
  const left = Math.max(0, granted - used - reserved);
  const told = `${say(used)} used, ${say(reserved)} set aside, ${say(left)} of ${say(granted)} left`;
  const tone = left <= granted / 5 ? " gauge-low" : "";
  return html`<div class=${"gauge" + tone}>
    <span class="gauge-name">${name}</span>
    <span class="gauge-bar" aria-hidden="true">
      <span class="gauge-used" style=${{ width: share(used) }}></span>
      <span class="gauge-reserved" style=${{ width: share(reserved) }}></span>
    </span>
    <span class="gauge-told">${told}</span>
  </div>`;
}
