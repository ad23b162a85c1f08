/** A field that searches as one types; what is searched for stands in the URL. */
import { useEffect, useRef, useState } from "../vendor/hooks.js";
import { html } from "./html.js";
import { setQuery } from "./url.js";

const TYPING_MS = 250;

/** @param {{value: string, hint: string}} props `value` is what the URL says. */
export function Search({ value, hint }) {
  const [text, setText] = useState(value);
  const sent = useRef(value);
  useEffect(() => {
    // Somebody went back, or followed a link.
    if (value !== sent.current) setText(value);
    sent.current = value;
  }, [value]);
  useEffect(() => {
    if (text.trim() === sent.current) return undefined;
    const typing = setTimeout(() => {
      sent.current = text.trim();
      setQuery({ search: text.trim() }, { replace: true });
    }, TYPING_MS);
    return () => clearTimeout(typing);
  }, [text]);
  return html`<label class="search"
    >Search
    <input
      type="search"
      maxlength="200"
      value=${text}
      placeholder=${hint}
      onInput=${(/** @type {any} */ event) => setText(event.currentTarget.value)}
    />
  </label>`;
}
