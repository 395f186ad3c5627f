/**
 * A house station or the heat plant as a drawing in greys, with the readings where they are measured. The
 * drawing never moves: only numbers, the valve's number and the pump's fill change.
 */
import { s, setText } from "./dom.js";
import * as format from "./format.js";
import { t } from "./strings.js";

/** @type {Record<string, {view: string, readings: [string, number, number][]}>} x, y of the right edge of each plate */
const LAYOUT = {
  substation: {
    view: "0 0 620 258",
    readings: [
      ["primary_supply_temp_c", 118, 50], ["primary_return_temp_c", 118, 222], ["primary_dp_bar", 118, 140],
      ["primary_flow_m3_h", 264, 222], ["valve_position_out_pct", 264, 140],
      ["secondary_supply_temp_c", 488, 50], ["secondary_return_temp_c", 488, 222], ["room_temp_c", 520, 140],
    ],
  },
  pump_station: {
    view: "0 0 620 258",
    readings: [
      ["plant_supply_temp_c", 600, 50], ["plant_return_temp_c", 600, 222], ["plant_dp_bar", 600, 140],
      ["plant_flow_m3_h", 400, 50], ["pump_speed_out_pct", 340, 236], ["plant_heat_kw", 158, 150],
    ],
  },
};

export class Mimic {
  /** @param {"substation" | "pump_station"} profile @param {import("./site.js").Site} site */
  constructor(profile, site) {
    this.site = site;
    const layout = LAYOUT[profile];
    this.element = s("svg", { class: "mimic", viewBox: layout.view, role: "img", "aria-label": t(`mimic.${profile}`) });
    this.element.append(...(profile === "substation" ? substation() : plant()));
    this.pump = this.element.querySelector(".pump");
    /** @type {Map<string, SVGElement>} */
    this.readings = new Map();
    for (const [point, x, y] of layout.readings) {
      const text = s("text", { class: "reading", x: x - 6, y: y + 5 });
      this.readings.set(point, text);
      this.element.append(s("rect", { class: "plate", x: x - 104, y: y - 13, width: 104, height: 25 }), text);
    }
  }

  /** @param {(point: string) => import("./live.js").Reading} read */
  show(read) {
    for (const [name, element] of this.readings) {
      const point = this.site.point(name);
      const reading = read(name);
      // the mark takes the unit's place: the plate holds both no more than the eye needs both
      const behind = reading.quality === "good" ? point.unit : t(`quality.${reading.quality}.mark`);
      setText(element, `${format.number(reading.value, point.decimals)} ${behind}`);
      element.classList.toggle("bad", reading.quality !== "good");
    }
    const on = this.readings.has("pump_speed_out_pct") ? (read("pump_speed_out_pct").value ?? 0) > 0
      : read("secondary_pump_out_number").value === 1;
    this.pump?.classList.toggle("running", on);
  }
}

/** @param {number} x @param {number} y @param {string} key @param {string} [anchor] */
function caption(x, y, key, anchor = "start") {
  return s("text", { x, y, "text-anchor": anchor }, t(key));
}

function substation() {
  return [
    s("path", { class: "pipe", d: "M0 90 H320" }), s("path", { class: "pipe", d: "M320 190 H0" }),
    s("path", { class: "pipe", d: "M370 90 H578 V112" }), s("path", { class: "pipe", d: "M578 168 V190 H370" }),
    // exchanger
    s("rect", { class: "equipment", x: 318, y: 72, width: 54, height: 136 }),
    s("path", { d: "M318 208 L372 72", stroke: "var(--line-strong)", "stroke-width": 2 }),
    // control valve
    s("path", { d: "M212 90 V66", stroke: "var(--line-strong)", "stroke-width": 2 }),
    s("path", { class: "equipment", d: "M194 76 L194 104 L230 76 L230 104 Z" }),
    s("rect", { class: "equipment", x: 201, y: 48, width: 22, height: 18 }),
    // circulation pump
    s("circle", { class: "equipment pump", cx: 532, cy: 90, r: 16 }),
    s("path", { d: "M524 80 L545 90 L524 100 Z", fill: "var(--mark)" }),
    // radiator
    s("rect", { class: "vessel", x: 544, y: 112, width: 68, height: 56 }),
    ...[556, 568, 580, 592, 602].map((x) => s("path", { d: `M${x} 118 V162`, stroke: "var(--line-strong)", "stroke-width": 2 })),
    caption(14, 30, "mimic.primary_supply"), caption(14, 252, "mimic.primary_return"),
    caption(384, 30, "mimic.secondary_supply"), caption(384, 252, "mimic.secondary_return"),
    caption(416, 120, "mimic.room"), caption(14, 120, "mimic.dp"), caption(160, 252, "mimic.flow"),
  ];
}

function plant() {
  return [
    s("path", { class: "pipe", d: "M190 90 H620" }), s("path", { class: "pipe", d: "M620 190 H190" }),
    s("rect", { class: "vessel", x: 30, y: 72, width: 160, height: 136 }),
    s("circle", { class: "equipment pump", cx: 288, cy: 190, r: 19 }),
    s("path", { d: "M297 177 L271 190 L297 203 Z", fill: "var(--mark)" }),
    caption(110, 104, "mimic.heat_source", "middle"), caption(296, 30, "mimic.flow"),
    caption(600, 30, "mimic.plant_supply", "end"), caption(600, 252, "mimic.plant_return", "end"), caption(600, 120, "mimic.dp", "end"),
  ];
}
