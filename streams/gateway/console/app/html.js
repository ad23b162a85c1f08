/** How elements are written: tagged templates, which never become markup by themselves. */
import { h, render } from "../vendor/preact.js";
import { useEffect, useRef, useState } from "../vendor/hooks.js";
import htm from "../vendor/htm.js";

/** @type {(strings: TemplateStringsArray, ...values: any[]) => any} */
export const html = htm.bind(h);
export { render };

/**
 * The value of a signal, whose changes show the component again.
 * @template T
 * @param {import("../vendor/signals-core.js").Signal<T>} signal
 * @returns {T}
 */
export function use(signal) {
  const [, again] = useState(0);
  const seen = useRef(signal.value);
  seen.current = signal.value;
  useEffect(
    () =>
      signal.subscribe((value) => {
        if (value !== seen.current) again((times) => times + 1);
      }),
    [signal],
  );
  return signal.value;
}
