/** A path that is no page. */
import { html } from "../html.js";
import { Empty } from "../states.js";

export default function Nowhere() {
  return html`<h1 tabindex="-1">There is no such page</h1>
    <${Empty} title="The address may have a mistake in it"><p><a href="/">To the sessions</a></p><//>`;
}
