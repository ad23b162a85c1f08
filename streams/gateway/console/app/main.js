/** The beginning: the shell, and in it the page that the URL names, loaded when it is first needed. */
import { html, render } from "./html.js";
import { Shell } from "./shell.js";

const root = document.getElementById("app");
if (root) {
  root.replaceChildren();
  render(html`<${Shell} />`, root);
}
