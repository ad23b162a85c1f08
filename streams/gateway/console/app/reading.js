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
  return { value, error, again: () => setTries((before) => before + 1) };
}

/**
 * Read one answer again and again: a while after the last one has come or failed, however long it took; not while
 * nobody sees the page, and at once when it is seen again.
 * @param {string} path
 * @param {number} pauseMs 0: not for now.
 * @param {number} [moved] As for `useAnswer`.
 */
export function useLive(path, pauseMs, moved = 0) {
  const { value, error, again } = useAnswer(path, moved);
  useEffect(() => {
    if (!pauseMs || !(value || error)) return undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let waiting;
    let due = false;
    const look = () => {
      due = document.hidden;
      if (!due) again();
    };
    const onVisibility = () => {
      if (due) look();
    };
    waiting = setTimeout(look, pauseMs);
    document.addEventListener("visibilitychange", onVisibility);
    return () => {
      clearTimeout(waiting);
      document.removeEventListener("visibilitychange", onVisibility);
    };
  }, [value, error, pauseMs]);
  return { value, error, again };
}
