/**
 * Decode the binary frame of /ws, version 1; the layout stands in supervisor/api/frame.py.
 * Pure: no DOM, no socket. Refuses a frame of another version instead of guessing at it.
 */

export const QUALITIES = Object.freeze(
  ["good", "stale", "lost", "failed_sensor", "manual", "substituted", "unknown"]);
export const LINKS = Object.freeze(["ok", "late", "lost", "unknown_map", "wrong_device"]);

const HEADER_BYTES = 40;
const BLOCK_BYTES = 8;

/**
 * @typedef {Object} Block
 * @property {number} profile 1 substation, 2 pump station
 * @property {number} devices
 * @property {number} points
 * @property {Float32Array} values devices x points, NaN = no reading
 * @property {Float32Array} age_s
 * @property {Uint8Array} quality index into QUALITIES
 * @property {Uint8Array} link index into LINKS
 */
/**
 * @typedef {Object} Frame
 * @property {boolean} simulated
 * @property {number} sequence
 * @property {number} utc_s
 * @property {number} speed
 * @property {number} alarmsVersion
 * @property {number} ordersVersion
 * @property {number} subscription
 * @property {number} unacknowledged
 * @property {[number, number, number]} active by priority 1, 2, 3
 * @property {Block[]} blocks
 */

/**
 * @param {ArrayBuffer} buffer
 * @returns {Frame}
 */
export function decode(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < HEADER_BYTES || view.getUint8(0) !== 0x54 || view.getUint8(1) !== 0x56) {
    throw new Error("not a frame of this system");
  }
  if (view.getUint8(2) !== 1) {
    throw new Error(`frame version ${view.getUint8(2)}; this page reads version 1: reload it`);
  }
  const count = view.getUint16(30, true);
  /** @type {Block[]} */
  const blocks = [];
  let at = HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    const profile = view.getUint8(at);
    const devices = view.getUint16(at + 2, true);
    const points = view.getUint16(at + 4, true);
    at += BLOCK_BYTES;
    const cells = devices * points;
    const values = new Float32Array(buffer, at, cells);
    const age_s = new Float32Array(buffer, at + 4 * cells, devices);
    at += 4 * (cells + devices);
    const quality = new Uint8Array(buffer, at, cells);
    const link = new Uint8Array(buffer, at + cells, devices);
    at += cells + devices;
    at += (4 - at % 4) % 4;
    blocks.push({ profile, devices, points, values, age_s, quality, link });
  }
  return {
    simulated: (view.getUint8(3) & 1) === 1,
    sequence: view.getUint32(4, true),
    utc_s: view.getFloat64(8, true),
    speed: view.getFloat32(16, true),
    alarmsVersion: view.getUint32(20, true),
    ordersVersion: view.getUint32(24, true),
    subscription: view.getUint16(28, true),
    unacknowledged: view.getUint16(32, true),
    active: [view.getUint16(34, true), view.getUint16(36, true), view.getUint16(38, true)],
    blocks,
  };
}
