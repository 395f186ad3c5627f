/** What the site file and the register map say, as the screens need it: devices, points, units, the map's lines. */
import { get } from "./api.js";

/**
 * @typedef {Object} Point
 * @property {string} name
 * @property {string} unit
 * @property {number} decimals
 * @property {number} low
 * @property {number} high
 * @property {string} access
 * @property {string} space
 * @property {boolean} live read in every cycle
 * @property {boolean} kept in history
 */
/** @typedef {{setpoint: string, effective: string, owner: string, seconds_left: string}} Lease */
/** @typedef {{number: number, points: Point[], leases: Lease[]}} Profile */
/**
 * @typedef {Object} Device
 * @property {string} id
 * @property {string} name
 * @property {string} profile
 * @property {string} area
 * @property {number} priority
 * @property {number} x_m
 * @property {number} y_m
 * @property {Record<string, number>} limits
 * @property {number | null} deficit_budget_kh
 */

export class Site {
  /** @param {any} data the answer of GET /api/v1/site */
  constructor(data) {
    /** @type {string} */
    this.name = data.name;
    /** @type {{id: string, name: string}[]} */
    this.areas = data.areas;
    /** @type {Record<string, Profile>} */
    this.profiles = data.profiles;
    /** @type {Device[]} */
    this.devices = data.devices;
    /** @type {number[][]} x0, y0, x1, y1 in m, inner diameter in m */
    this.lines = data.map.lines;
    /** @type {string[]} */
    this.leaseOwners = data.lease_owners;
    /** @type {number | null} the least differential pressure a house may have, from the alarm records */
    this.leastDpBar = data.least_dp_bar;
    /** @type {string[]} */
    this.alarmBits = data.alarm_bits;
    /** @type {string[]} */
    this.meterBits = data.meter_bits;
    /** @type {number} as many as a station may have */
    this.meters = data.meters;
    this.byId = new Map(this.devices.map((device) => [device.id, device]));
    /** @type {Map<string, Point>} */
    this.points = new Map();
    for (const profile of Object.values(this.profiles)) {
      for (const point of profile.points) this.points.set(point.name, point);
    }
  }

  /** @param {string} id */
  device(id) {
    return this.byId.get(id);
  }

  /** @param {string} profile */
  idsOf(profile) {
    return this.devices.filter((device) => device.profile === profile).map((device) => device.id);
  }

  /** @param {string} profile */
  profileNumber(profile) {
    return this.profiles[profile]?.number ?? 0;
  }

  /** @param {string} name @returns {Point} */
  point(name) {
    const point = this.points.get(name);
    if (!point) throw new Error(`the register map has no ${name}`);
    return point;
  }

  /** @param {string} id */
  areaName(id) {
    return this.areas.find((area) => area.id === id)?.name ?? id;
  }
}

export async function loadSite() {
  return new Site(await get("/site"));
}
