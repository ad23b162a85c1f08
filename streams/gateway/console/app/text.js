/**
 * Text of others, shown so that it cannot pass for another: what is invisible, turns the direction or looks like a
 * Latin letter within a Latin word is shown by its number.
 */

// Controls, directions, joiners and other characters that nobody sees; line ends and tabs stay.
const UNSEEN =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]|[\u{e0000}-\u{e0fff}]|[\u{1d173}-\u{1d17a}]/gu;
const WORD = /[\p{L}\p{M}\p{N}_]+/gu;
const LATIN = /\p{Script=Latin}/u;
// Scripts with letters that look like Latin ones; of Greek only these do.
const ALIKE = /[\p{Script=Cyrillic}\p{Script=Armenian}\p{Script=Cherokee}\p{Script=Lisu}ΑΒΕΖΗΙΚΜΝΟΡΤΥΧινορυχ\uff21-\uff3a\uff41-\uff5a]|[\u{1d400}-\u{1d7ff}]/gu;

/** @param {string} character @returns {string} ⟨U+202E⟩ */
function numbered(character) {
  const code = character.codePointAt(0) ?? 0;
  return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

// Joiners belong to emoji, and to the spelling of scripts whose letters join.
const JOINER = /[\u200c\u200d]/;
const JOINED =
  "Arabic Syriac Mongolian Devanagari Bengali Gurmukhi Gujarati Oriya Tamil Telugu Kannada Malayalam Sinhala Khmer"
    .replace(/\w+/g, "\\p{Script=$&}")
    .replaceAll(" ", "") + "\\p{Extended_Pictographic}";
const JOINS_BEFORE = new RegExp(`^[${JOINED}\\p{Emoji}\\p{Emoji_Modifier}\\ufe0f]$`, "u");
const JOINS_BEHIND = new RegExp(`^[${JOINED}]`, "u");

/** @param {string} character @param {number} at @param {string} text @returns {string} */
function seen(character, at, text) {
  const isSpelling =
    JOINER.test(character) &&
    JOINS_BEFORE.test([...text.slice(Math.max(0, at - 2), at)].at(-1) ?? "") &&
    JOINS_BEHIND.test(text.slice(at + 1, at + 3));
  return isSpelling ? character : numbered(character);
}

/** @param {string} text @returns {string} */
export function shown(text) {
  return text
    .replace(UNSEEN, seen)
    .replace(WORD, (word) => (LATIN.test(word) ? word.replace(ALIKE, numbered) : word));
}

/** @param {unknown} value @returns {string} JSON with two spaces, whose texts are shown as above. */
export function shownJson(value) {
  return shown(JSON.stringify(value, null, 2) ?? "");
}
