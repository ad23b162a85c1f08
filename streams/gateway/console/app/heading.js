/** A page's heading: whoever has gone to the page hears and reads on from it, and the window is named by it. */
import { useEffect, useRef } from "../vendor/hooks.js";
import { html } from "./html.js";
import { place } from "./url.js";

/** @param {{text: string}} props */
export function Heading({ text }) {
  const heading = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    if (place.value.arrived) heading.current?.focus();
  }, []);
  useEffect(() => {
    document.title = `${text} · Cartrita`;
  }, [text]);
  return html`<h1 tabindex="-1" ref=${heading}>${text}</h1>`;
}
