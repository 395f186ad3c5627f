/**
 * The words of the page, in the language of the session. They stand in the page itself, so the first
 * paint needs no second request. A missing key shows itself in brackets; a test keeps that from shipping.
 */

/** @type {{language: string, strings: Record<string, string>}} */
const catalogue = JSON.parse(document.getElementById("strings")?.textContent ?? '{"language":"en","strings":{}}');

export const language = catalogue.language;

/**
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 * @returns {string}
 */
export function t(key, values = {}) {
  const text = catalogue.strings[key];
  if (text === undefined) return `[${key}]`;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/**
 * The text of a key that data brought (an alarm kind, an error code), or what to show without one.
 * @param {string} key
 * @param {string} otherwise
 * @param {Record<string, string | number>} [values]
 */
export function known(key, otherwise, values = {}) {
  return key in catalogue.strings ? t(key, values) : otherwise;
}
