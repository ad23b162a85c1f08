/** Reading one answer of the API, and reading it again when something has moved. */
import { useEffect, useState } from "../vendor/hooks.js";
import { get } from "./api.js";

/**
 * @param {string} path
 * @param {number} [moved] Another number: it is read again; what there is stays until then.
 * @returns {{value: any, error: unknown, again: () => void}} `value` is null until there is one.
 */
export function useAnswer(path, moved = 0) {
  const [value, setValue] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const [tries, setTries] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    get(path, stop.signal).then(
      (answer) => {
        if (stop.signal.aborted) return;
        setValue(answer);
        setError(null);
      },
      (failure) => {
        if (!stop.signal.aborted) setError(failure);
      },
    );
    return () => stop.abort();
  }, [path, moved, tries]);
  return { value, error, again: () => setTries(tries + 1) };
}
