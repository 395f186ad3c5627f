/**
 * The one connection to /ws: subscribe to what this page shows, keep the newest frame, notice when ticks stop.
 * It refuses to call anything live by itself: no frame for STOPPED_AFTER_S, or a clock that stands still that
 * long, and `stopped` says which.
 */
import { decode, LINKS, QUALITIES } from "./frame.js";
import { leave } from "./api.js";

export const STOPPED_AFTER_S = 5;
const RECONNECT_FIRST_MS = 500;
const RECONNECT_MOST_MS = 8000;
const CLOSE_SESSION_ENDED = 4401;

/**
 * @typedef {{devices?: string[], points: string[]}} Part
 * @typedef {Record<string, Part>} Subscription by profile
 * @typedef {Object} Reading
 * @property {number | null} value
 * @property {string} quality
 * @property {number} age_s
 */

export class Live {
  /** @param {import("./site.js").Site} site */
  constructor(site) {
    this.site = site;
    /** @type {import("./frame.js").Frame | null} */
    this.frame = null;
    /** "" while live, else "no_frames" or "time_stands" */
    this.stopped = "connecting";
    this.lastFrameAt = performance.now();
    this.timeMovedAt = performance.now();
    /** @type {Set<() => void>} */
    this.listeners = new Set();
    this.number = 0;
    /** @type {Subscription} */
    this.subscription = {};
    /** @type {Map<number, {profile: string, rows: Map<string, number>, ids: string[], columns: Map<string, number>}>} */
    this.layout = new Map();
    this.retryMs = RECONNECT_FIRST_MS;
    /** @type {WebSocket | null} */
    this.socket = null;
    setInterval(() => this.watch(), 500);
  }

  /** @param {() => void} listener called after each frame and when `stopped` changes */
  onFrame(listener) {
    this.listeners.add(listener);
  }

  /** @param {Subscription} subscription */
  subscribe(subscription) {
    this.subscription = subscription;
    this.number = (this.number + 1) & 0xffff;
    this.layout = new Map();
    for (const [profile, part] of Object.entries(subscription)) {
      const ids = part.devices ?? this.site.idsOf(profile);
      this.layout.set(this.site.profileNumber(profile), {
        profile, ids,
        rows: new Map(ids.map((id, row) => [id, row])),
        columns: new Map(part.points.map((point, column) => [point, column])),
      });
    }
    if (!this.socket) this.connect();
    else if (this.socket.readyState === WebSocket.OPEN) this.announce();
  }

  connect() {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.retryMs = RECONNECT_FIRST_MS;
      this.announce();
    };
    socket.onmessage = (event) => {
      if (typeof event.data === "string") console.error("refused by the supervisor:", event.data);
      else this.take(event.data);
    };
    socket.onclose = (event) => {
      if (event.code === CLOSE_SESSION_ENDED) {
        leave();
        return;
      }
      setTimeout(() => this.connect(), this.retryMs);
      this.retryMs = Math.min(RECONNECT_MOST_MS, this.retryMs * 2);
    };
  }

  announce() {
    this.socket?.send(JSON.stringify({ subscribe: { number: this.number, profiles: this.subscription } }));
  }

  /** @param {ArrayBuffer} data */
  take(data) {
    const frame = decode(data);
    if (frame.subscription !== this.number) return; // of the page shown before
    const now = performance.now();
    if (!this.frame || frame.utc_s !== this.frame.utc_s) this.timeMovedAt = now;
    this.lastFrameAt = now;
    this.frame = frame;
    this.watch(true);
  }

  /** @param {boolean} [tell] */
  watch(tell = false) {
    const now = performance.now();
    const before = this.stopped;
    if (now - this.lastFrameAt > STOPPED_AFTER_S * 1000) this.stopped = "no_frames";
    else if (!this.frame) this.stopped = "connecting";
    else if (now - this.timeMovedAt > STOPPED_AFTER_S * 1000) this.stopped = "time_stands";
    else this.stopped = "";
    if (tell || before !== this.stopped) for (const listener of this.listeners) listener();
  }

  /** Seconds since the last frame arrived. */
  frameAge() {
    return (performance.now() - this.lastFrameAt) / 1000;
  }

  /** @param {string} profile */
  blockOf(profile) {
    const number = this.site.profileNumber(profile);
    const layout = this.layout.get(number);
    const block = this.frame?.blocks.find((candidate) => candidate.profile === number);
    return layout && block ? { layout, block } : null;
  }

  /**
   * @param {string} deviceId @param {string} point
   * @returns {Reading}
   */
  reading(deviceId, point) {
    const device = this.site.device(deviceId);
    const found = device && this.blockOf(device.profile);
    const row = found?.layout.rows.get(deviceId);
    const column = found?.layout.columns.get(point);
    if (!found || row === undefined || column === undefined) return { value: null, quality: "unknown", age_s: NaN };
    const at = row * found.block.points + column;
    const value = found.block.values[at];
    return {
      value: Number.isNaN(value) ? null : value,
      quality: QUALITIES[found.block.quality[at]] ?? "unknown",
      age_s: found.block.age_s[row],
    };
  }

  /** @param {string} deviceId */
  link(deviceId) {
    const device = this.site.device(deviceId);
    const found = device && this.blockOf(device.profile);
    const row = found?.layout.rows.get(deviceId);
    return found && row !== undefined ? LINKS[found.block.link[row]] ?? "lost" : "lost";
  }
}
