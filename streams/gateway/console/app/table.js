/** A table of a few rows, which scrolls by itself where it is wider than the page. */
import { html } from "./html.js";

/** @param {{name: string, heads: string[], children?: any}} props A head that begins with # is of numbers. */
export function Table({ name, heads, children }) {
  return html`<div class="scroll" tabindex="0" role="group" aria-label=${name}>
    <table class="costs">
      <caption class="visually-hidden">${name}</caption>
      <thead>
        <tr>
          ${heads.map((head) => html`<th key=${head} scope="col" class=${head.startsWith("#") ? "number" : undefined}>${head.replace("#", "")}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${children}
      </tbody>
    </table>
  </div>`;
}
