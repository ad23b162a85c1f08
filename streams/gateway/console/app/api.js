/** The gateway's API: each answer, or a problem in a sentence. */
import { signal } from "../vendor/signals-core.js";

/** What went wrong with a request; `status` 0: the gateway did not answer. */
export class Problem extends Error {
  /** @param {number} status @param {string} detail @param {string} [code] */
  constructor(status, detail, code = "") {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/**
 * @typedef {object} Me
 * @property {string} tenant
 * @property {string | null} user
 * @property {string[]} scopes
 */

/** @type {import("../vendor/signals-core.js").Signal<Me | null>} Who is logged in; null: nobody, or not known yet. */
export const me = signal(null);
/** Whether the gateway said that nobody is logged in. */
export const loggedOut = signal(false);

/** @param {string} scope @returns {boolean} What is hidden by this is refused by the gateway, too. */
export function may(scope) {
  return me.value?.scopes.includes(scope) ?? false;
}

const TIMEOUT_MS = 20_000;

/**
 * Ask the gateway.
 * @param {string} method
 * @param {string} path
 * @param {{body?: unknown, key?: string, signal?: AbortSignal}} [more]
 *   `key` is that of idempotency: whoever asks again under it asks once.
 * @returns {Promise<any>}
 */
async function ask(method, path, { body, key, signal: stop } = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  let answer;
  let told;
  try {
    answer = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      signal: stop ? AbortSignal.any([stop, limit]) : limit,
    });
    told = await answer.json().catch(() => null);
  } catch (error) {
    if (stop?.aborted) throw error;
    throw new Problem(0, "The gateway does not answer.");
  }
  if (answer.ok && told !== null) return told;
  if (answer.status === 401) loggedOut.value = true;
  throw new Problem(answer.status, told?.detail ?? `The gateway answered ${answer.status}.`, told?.code ?? "");
}

/** @param {string} path @param {AbortSignal} [signal] @returns {Promise<any>} */
export function get(path, signal) {
  return ask("GET", path, { signal });
}

/** @param {string} path @param {unknown} body @param {string} [key] @returns {Promise<any>} */
export function post(path, body, key) {
  return ask("POST", path, { body, key });
}

/** @param {Record<string, string | number | string[] | undefined>} values @returns {string} A query, or "". */
export function queryOf(values) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== "") query.append(name, String(one));
    }
  }
  const text = query.toString();
  return text ? "?" + text : "";
}

/** Learn who is logged in. */
export async function identify() {
  me.value = await get("/api/v2/me");
  loggedOut.value = false;
}

/** @returns {string} A new key of idempotency. */
export function newKey() {
  return crypto.randomUUID();
}

/** @param {unknown} error @returns {string} */
export function sentence(error) {
  const text = error instanceof Error ? error.message : String(error);
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
