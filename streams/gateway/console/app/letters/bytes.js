/** Bytes as people read them: by sixteen, in hexadecimal and as text. */
import { html } from "../html.js";
import { count } from "../words.js";

const SHOWN_MAX = 2048;

/** @param {string | null} base64 @returns {Uint8Array | null} */
function bytesOf(base64) {
  return base64 === null ? null : Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** @param {Uint8Array} bytes @returns {string} */
function dump(bytes) {
  const lines = [];
  for (let at = 0; at < Math.min(bytes.length, SHOWN_MAX); at += 16) {
    const part = [...bytes.subarray(at, at + 16)];
    const digits = part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = part.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${digits.padEnd(47)}  ${text}`);
  }
  return lines.join("\n");
}

/** @param {{name: string, base64: string | null}} props */
export function Bytes({ name, base64 }) {
  const bytes = bytesOf(base64);
  if (!bytes) return html`<p>${name}: <span class="muted">none</span></p>`;
  const rest = bytes.length > SHOWN_MAX ? `, of which the first ${count(SHOWN_MAX)} are shown` : "";
  return html`<h3>${name}</h3>
    <p class="muted">${count(bytes.length)} bytes${rest}</p>
    <pre class="code" tabindex="0" role="group" aria-label=${name + " as bytes"}>${dump(bytes)}</pre>`;
}
