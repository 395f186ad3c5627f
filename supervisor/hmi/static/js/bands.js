/**
 * The normal band and the scale of each reading, so that a number is seen where it belongs and not read
 * digit by digit. Bands follow the limits in force at that house; those without a limit of their own have none.
 */

/**
 * @typedef {Object} Band
 * @property {[number, number]} scale
 * @property {[number, number] | null} normal
 * @property {number | null} target the setpoint the loop follows, or the limit in force
 */

const FOLLOWS_WITHIN_K = 3; // own estimate: the loop's wander around its setpoint, from hil limits on overshoot
const EXCHANGER_NEEDS_K = 3; // own estimate: grade of the primary above the wanted secondary
// design indoor 20 degC (reference/domain.md 4.2) less the thermostat's kelvin; upper end EN 16798-1 category II
const ROOM_BAND_C = /** @type {[number, number]} */ ([19, 24]);
const LEAST_DP_BAR = 0.3; // shown when the site names no limit; the alarm record is what counts

/**
 * @param {import("./site.js").Device} device
 * @param {string} point
 * @param {(point: string) => number | null} value the device's own readings
 * @param {import("./site.js").Site} site
 * @returns {Band | null}
 */
export function bandOf(device, point, value, site) {
  const limits = device.limits;
  const station = site.devices.find((candidate) => candidate.profile === "pump_station");
  const plant = station?.limits ?? {};
  const hottest = plant.plant_supply_temp_maximum_c ?? 110;
  const highest_dp = plant.plant_dp_maximum_bar ?? 6;
  switch (point) {
    case "outdoor_temp_c":
      return { scale: [-20, 35], normal: null, target: null };
    case "primary_supply_temp_c": {
      const wanted = value("secondary_supply_temp_effective_c");
      return { scale: [20, hottest + 10], normal: wanted === null ? null : [wanted + EXCHANGER_NEEDS_K, hottest], target: null };
    }
    case "primary_return_temp_c": {
      const limit = value("primary_return_limit_effective_c") ?? limits.return_limit_temp_c ?? null;
      return { scale: [10, 80], normal: limit === null ? null : [10, limit], target: limit };
    }
    case "secondary_supply_temp_c": {
      const wanted = value("secondary_supply_temp_effective_c");
      return {
        scale: [10, (limits.supply_temp_maximum_c ?? 80) + 10],
        normal: wanted === null ? null : [wanted - FOLLOWS_WITHIN_K, wanted + FOLLOWS_WITHIN_K], target: wanted,
      };
    }
    case "secondary_return_temp_c":
      return { scale: [10, (limits.supply_temp_maximum_c ?? 80) + 10], normal: null, target: null };
    case "room_temp_c":
      return { scale: [10, 30], normal: ROOM_BAND_C, target: null };
    case "primary_dp_bar":
      return { scale: [0, highest_dp], normal: [site.leastDpBar ?? LEAST_DP_BAR, highest_dp], target: null };
    case "primary_flow_m3_h": {
      const contract = limits.contract_flow_limit_m3_h ?? null;
      const limit = value("primary_flow_limit_effective_m3_h") ?? contract;
      return { scale: [0, 1.15 * (contract ?? limit ?? 20)], normal: limit === null ? null : [0, limit], target: limit };
    }
    case "primary_heat_kw": {
      const contract = limits.contract_flow_limit_m3_h;
      // 45 K at the contract flow: 1.163 kWh per m3 and K
      return { scale: [0, contract ? Math.ceil(contract * 45 * 1.163) : 100], normal: null, target: null };
    }
    case "valve_position_out_pct": // where it stands is no fault; what it fails to reach shows in the temperature
      return { scale: [0, 100], normal: null, target: null };
    case "plant_supply_temp_c": {
      const wanted = value("plant_supply_temp_effective_c");
      return {
        scale: [30, hottest + 15], normal: wanted === null ? null : [wanted - FOLLOWS_WITHIN_K, wanted + FOLLOWS_WITHIN_K],
        target: wanted,
      };
    }
    case "plant_return_temp_c":
      return { scale: [10, 90], normal: null, target: null };
    case "plant_dp_bar": {
      const wanted = value("plant_dp_effective_bar");
      const low = limits.plant_dp_minimum_bar;
      return {
        scale: [0, highest_dp * 1.1], normal: low === undefined ? null : [low, highest_dp], target: wanted,
      };
    }
    case "pump_speed_out_pct":
      return { scale: [0, 100], normal: [5, 95], target: null };
    case "plant_flow_m3_h":
      return { scale: [0, 50], normal: null, target: null };
    case "plant_heat_kw":
      return { scale: [0, 2000], normal: null, target: null };
    case "deficit_used_kh": {
      const budget = value("deficit_budget_kh") ?? device.deficit_budget_kh ?? 40;
      return { scale: [0, Math.max(1, budget)], normal: [0, 0.8 * budget], target: null };
    }
    default:
      return null;
  }
}
