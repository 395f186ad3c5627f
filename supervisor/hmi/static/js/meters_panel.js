/**
 * The heat meters on a station's M-Bus, beside each other: what they tell, how old it is, and what is wrong
 * with them. They are asked for seldom, because their batteries count answers; so the age stands with them.
 */
import { h, setText } from "./dom.js";
import * as format from "./format.js";
import { ValueText } from "./indicator.js";
import { t } from "./strings.js";

const TOLD = ["energy_kwh", "volume_m3", "flow_m3_h", "heat_kw", "supply_temp_c", "return_temp_c"];
const ABOUT = ["age_s", "status_bits", "number_code", "question_count"];

export class MetersPanel {
  /** @param {HTMLElement} panel hidden while there is no meter @param {HTMLElement} table @param {import("./site.js").Site} site */
  constructor(panel, table, site) {
    this.panel = panel;
    this.bits = site.meterBits;
    const numbers = Array.from({ length: site.meters }, (_, place) => place + 1);
    this.heads = numbers.map((number) => h("th", { scope: "col", class: "number", hidden: true }, t("faceplate.meter", { number })));
    this.rows = [...TOLD, ...ABOUT].map((name) => {
      const cells = numbers.map((number) => {
        const value = new ValueText(site.point(`meter${number}_${name}`), "td");
        value.element.hidden = true;
        return value;
      });
      return { name, cells, element: h("tr", { "data-quantity": name }, h("td", {}, t(`meter.${name}`)), ...cells.map((cell) => cell.element)) };
    });
    table.replaceChildren(h("thead", {}, h("tr", {}, h("td", {}), ...this.heads)), h("tbody", {}, ...this.rows.map((row) => row.element)));
  }

  /** @param {(point: string) => import("./live.js").Reading} read */
  show(read) {
    const there = this.heads.map((_, place) => read(`meter${place + 1}_question_count`).quality !== "unknown");
    this.panel.hidden = !there.some(Boolean);
    this.heads.forEach((head, place) => { head.hidden = !there[place]; });
    for (const { name, cells } of this.rows) {
      cells.forEach((cell, place) => {
        cell.element.hidden = !there[place];
        if (!there[place]) return;
        const reading = read(`meter${place + 1}_${name}`);
        cell.show(reading);
        const said = this.said(name, reading);
        if (said === null) return;
        setText(cell.digits, said);
        setText(cell.unit, "");
      });
    }
  }

  /** Ages, numbers and states in words; null = as the number it is. @param {string} name @param {import("./live.js").Reading} reading */
  said(name, reading) {
    if (reading.value === null) return null;
    if (name === "number_code") return reading.value ? String(reading.value) : format.NO_VALUE;
    if (name === "age_s") return format.duration(reading.value + (Number.isFinite(reading.age_s) ? reading.age_s : 0));
    if (name !== "status_bits") return null;
    const value = reading.value;
    const found = this.bits.filter((_, bit) => (value >> bit) & 1);
    return found.length ? found.map((bit) => t(`meter.bit.${bit}`)).join(", ") : t("meter.bit.none");
  }
}
