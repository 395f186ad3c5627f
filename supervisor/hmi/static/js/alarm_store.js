/**
 * The alarms in hand, fetched when a frame says that the list has changed. It sorts; it never filters, so
 * that no page can lose one.
 */
import { get } from "./api.js";

/**
 * @typedef {Object} Alarm
 * @property {string} id
 * @property {string} device a device, an area, or empty for the supervisor itself
 * @property {string} where its name for people
 * @property {string} area
 * @property {string} kind
 * @property {number} priority
 * @property {string} state
 * @property {boolean} unacknowledged
 * @property {boolean} active still true, or gone and waiting to be acknowledged
 * @property {number} since_s
 * @property {string} text
 * @property {string} action
 * @property {string} consequence
 * @property {number | null} respond_within_s
 * @property {string | null} cause_id
 * @property {string[]} children
 * @property {number | null} shelved_until_s
 * @property {string} shelved_by
 * @property {string} shelve_reason
 */

const REFETCH_MS = 1000;

export class AlarmStore {
  /** @param {import("./live.js").Live} live */
  constructor(live) {
    this.live = live;
    /** @type {Alarm[]} */
    this.alarms = [];
    /** @type {Alarm[]} those that no other alarm explains: what an operator counts */
    this.roots = [];
    /** @type {Alarm[]} set aside by a person */
    this.shelved = [];
    /** @type {any} the load on the operator */
    this.kpis = {};
    /** @type {Map<string, Alarm>} by device: the worst */
    this.worst = new Map();
    this.version = -1;
    this.failed = false;
    /** @type {Set<() => void>} */
    this.listeners = new Set();
    this.busy = false;
    this.notBefore = 0;
    live.onFrame(() => this.check());
  }

  /** @param {() => void} listener */
  onChange(listener) {
    this.listeners.add(listener);
  }

  check() {
    const wanted = this.live.frame?.alarmsVersion ?? -1;
    if (wanted !== this.version && !this.busy && performance.now() >= this.notBefore) void this.fetch(wanted);
  }

  /** @param {number} [version] */
  async fetch(version = this.version) {
    this.busy = true;
    this.notBefore = performance.now() + REFETCH_MS;
    try {
      const answer = await get("/alarms?shelved=true");
      /** @type {Alarm[]} */
      const all = answer.alarms;
      this.kpis = answer.kpis;
      this.shelved = all.filter((alarm) => alarm.state === "shelved");
      this.alarms = all.filter((alarm) => alarm.state !== "shelved");
      this.alarms.sort((a, b) =>
        Number(b.unacknowledged) - Number(a.unacknowledged) || a.priority - b.priority || b.since_s - a.since_s || a.id.localeCompare(b.id));
      this.roots = this.alarms.filter((alarm) => !alarm.cause_id);
      this.worst = new Map();
      for (const alarm of this.alarms) {
        const known = this.worst.get(alarm.device);
        if (!known || alarm.priority < known.priority) this.worst.set(alarm.device, alarm);
      }
      this.version = version;
      this.failed = false;
    } catch {
      this.failed = true; // the version stays, so the next frame asks again
    } finally {
      this.busy = false;
    }
    for (const listener of this.listeners) listener();
  }

  /** @param {string} id */
  byId(id) {
    return this.alarms.find((alarm) => alarm.id === id);
  }

  /** The alarm at the root of this one; itself where it is the cause. @param {Alarm} alarm */
  causeOf(alarm) {
    let cause = alarm;
    for (let steps = 0; cause.cause_id && steps < 8; steps++) {
      const next = this.byId(cause.cause_id);
      if (!next) break;
      cause = next;
    }
    return cause;
  }
}
