/** A path that is no page. */
import { Heading } from "../heading.js";
import { html } from "../html.js";
import { Empty } from "../states.js";

export default function Nowhere() {
  return html`<${Heading} text="There is no such page" />
    <${Empty} title="The address may have a mistake in it"><p><a href="/">To the sessions</a></p><//>`;
}
