/**
 * Talk to /api/v1: JSON, the session's cookie, the CSRF header on every write, and refusals as one kind of
 * error. A session that has ended leads to the login page and back.
 */
import { t } from "./strings.js";

/**
 * @typedef {Object} RefusalBody
 * @property {string} code
 * @property {string} message
 * @property {string} what_now
 * @property {boolean} changed
 * @property {string} [detail] the service's own sentence, in English
 */

export class Refusal extends Error {
  /** @param {number} status @param {RefusalBody} body */
  constructor(status, body) {
    super(body.message);
    this.status = status;
    this.code = body.code;
    this.whatNow = body.what_now;
    this.changed = body.changed;
    this.detail = body.detail ?? "";
  }
}

const csrf = document.documentElement.dataset.csrf ?? "";

/**
 * @param {string} method
 * @param {string} path below /api/v1
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
export async function call(method, path, body) {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(`/api/v1${path}`, {
      method,
      headers: {
        Accept: "application/json",
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...(method === "GET" ? {} : { "X-Toplovod-CSRF": csrf }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch {
    throw new Refusal(0, {
      code: "no_connection", message: t("error.no_connection"), what_now: t("error.no_connection.now"), changed: false,
    });
  }
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  if (response.status === 401) leave();
  throw new Refusal(response.status, answer ?? {
    code: "unreadable_answer", message: t("error.unreadable_answer", { status: response.status }),
    what_now: t("error.unreadable_answer.now"), changed: false,
  });
}

/** @param {string} path */
export const get = (path) => call("GET", path);
/** @param {string} path @param {unknown} body */
export const post = (path, body) => call("POST", path, body);
/** @param {string} path @param {unknown} body */
export const put = (path, body) => call("PUT", path, body);

/** The session has ended: say so on the login page, and come back to this page afterwards. */
export function leave() {
  const here = location.pathname + location.search;
  location.assign(`/login?ended=1&next=${encodeURIComponent(here)}`);
}
