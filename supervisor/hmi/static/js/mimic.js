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
    view: "0 0 620 250",
    readings: [
      ["primary_supply_temp_c", 118, 62], ["primary_return_temp_c", 118, 206], ["primary_dp_bar", 118, 134],
      ["primary_flow_m3_h", 262, 206], ["valve_position_out_pct", 246, 100],
      ["secondary_supply_temp_c", 470, 62], ["secondary_return_temp_c", 470, 206], ["room_temp_c", 604, 150],
    ],
  },
  pump_station: {
    view: "0 0 620 250",
    readings: [
      ["plant_supply_temp_c", 590, 62], ["plant_return_temp_c", 590, 206], ["plant_dp_bar", 590, 134],
      ["plant_flow_m3_h", 330, 62], ["pump_speed_out_pct", 330, 232], ["plant_heat_kw", 150, 150],
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
      const mark = reading.quality === "good" ? "" : ` ${t(`quality.${reading.quality}.mark`)}`;
      setText(element, `${format.number(reading.value, point.decimals)} ${point.unit}${mark}`);
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
    s("path", { class: "pipe", d: "M0 84 H330" }), s("path", { class: "pipe", d: "M330 184 H0" }),
    s("path", { class: "pipe", d: "M360 84 H560 V104" }), s("path", { class: "pipe", d: "M560 164 V184 H360" }),
    // exchanger
    s("rect", { class: "equipment", x: 318, y: 66, width: 54, height: 136 }),
    s("path", { d: "M318 202 L372 66", stroke: "var(--line-strong)", "stroke-width": 2 }),
    // control valve
    s("path", { class: "equipment", d: "M176 72 L176 96 L204 72 L204 96 Z" }),
    s("path", { d: "M190 84 V66", stroke: "var(--line-strong)", "stroke-width": 2 }),
    s("rect", { class: "equipment", x: 180, y: 50, width: 20, height: 16 }),
    // circulation pump
    s("circle", { class: "equipment pump", cx: 510, cy: 84, r: 15 }),
    s("path", { d: "M503 75 L522 84 L503 93 Z", fill: "var(--mark)" }),
    // radiator
    s("rect", { class: "vessel", x: 530, y: 104, width: 60, height: 60 }),
    ...[542, 554, 566, 578].map((x) => s("path", { d: `M${x} 110 V158`, stroke: "var(--line-strong)", "stroke-width": 2 })),
    caption(14, 40, "mimic.primary_supply"), caption(14, 240, "mimic.primary_return"),
    caption(366, 40, "mimic.secondary_supply"), caption(366, 240, "mimic.secondary_return"),
    caption(604, 124, "mimic.room", "end"), caption(14, 112, "mimic.dp"),
  ];
}

function plant() {
  return [
    s("path", { class: "pipe", d: "M190 84 H620" }), s("path", { class: "pipe", d: "M620 184 H190" }),
    s("rect", { class: "vessel", x: 30, y: 66, width: 160, height: 136 }),
    s("circle", { class: "equipment pump", cx: 278, cy: 184, r: 18 }),
    s("path", { d: "M286 172 L262 184 L286 196 Z", fill: "var(--mark)" }),
    caption(110, 100, "mimic.heat_source", "middle"),
    caption(486, 40, "mimic.plant_supply"), caption(486, 240, "mimic.plant_return"), caption(486, 112, "mimic.dp"),
  ];
}
