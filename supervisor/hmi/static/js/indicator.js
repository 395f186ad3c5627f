/**
 * A reading as an operator needs it: the name, the needle in its normal band, the number with its unit and
 * the mark of its quality. A value that is not live has a hollow needle, a hatched number, a mark and an age.
 */
import { bandOf } from "./bands.js";
import { h, s, setText } from "./dom.js";
import * as format from "./format.js";
import { t } from "./strings.js";

const WIDTH = 300;
const HEIGHT = 18;

/** Qualities with a mark; the age is told only where it is what is wrong. */
const AGED = new Set(["stale", "lost"]);

/** A value with unit and quality, to be placed in any text. */
export class ValueText {
  /** @param {import("./site.js").Point} point @param {string} [tag] */
  constructor(point, tag = "span") {
    this.point = point;
    this.digits = h("span", { class: "digits" });
    this.unit = h("span", { class: "unit" }, point.unit ? ` ${point.unit}` : "");
    this.mark = h("span", { class: "mark", hidden: true });
    this.element = h(tag, { class: "value" }, this.digits, this.unit, this.mark);
  }

  /** @param {import("./live.js").Reading} reading @param {boolean} [outside] */
  show(reading, outside = false) {
    setText(this.digits, valueText(this.point, reading.value));
    const className = `value ${reading.quality}${outside ? " outside" : ""}`;
    if (this.element.className !== className) this.element.className = className;
    const good = reading.quality === "good";
    this.mark.hidden = good;
    if (!good) {
      let mark = t(`quality.${reading.quality}.mark`);
      if (AGED.has(reading.quality) && Number.isFinite(reading.age_s)) mark += ` ${format.duration(reading.age_s)}`;
      setText(this.mark, mark);
      this.element.title = t(`quality.${reading.quality}`);
    } else if (this.element.title) this.element.title = "";
  }
}

/** @param {import("./site.js").Point} point @param {number | null} value */
export function valueText(point, value) {
  if (value !== null && (point.name.endsWith("_number") || point.name.endsWith("_bits"))) {
    const word = t(`value.${point.name}.${value}`);
    if (!word.startsWith("[")) return word;
  }
  return format.number(value, point.decimals);
}

export class Indicator {
  /** @param {import("./site.js").Device} device @param {import("./site.js").Site} site @param {string} point @param {string} [label] */
  constructor(device, site, point, label) {
    this.device = device;
    this.site = site;
    this.name = point;
    this.value = new ValueText(site.point(point));
    this.range = s("rect", { class: "range", x: 0.5, y: 5.5, width: WIDTH - 1, height: 7 });
    this.band = s("rect", { class: "band", y: 6, height: 6, x: 0, width: 0 });
    this.target = s("path", { class: "target", d: "" });
    this.needle = s("path", { class: "needle", d: "" });
    this.scale = s("svg", { class: "scale", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      this.range, this.band, this.target, this.needle);
    this.label = h("span", { class: "name" }, label ?? t(`point.${point}`));
    this.element = h("div", { class: "indicator", title: t(`point.${point}`) }, this.label, this.scale, this.value.element);
  }

  /** @param {(point: string) => import("./live.js").Reading} read */
  show(read) {
    const reading = read(this.name);
    const band = bandOf(this.device, this.name, (point) => read(point).value, this.site);
    const outside = band?.normal != null && reading.value !== null && reading.quality === "good"
      && (reading.value < band.normal[0] || reading.value > band.normal[1]);
    this.value.show(reading, outside);
    this.scale.classList.toggle("hollow", reading.quality !== "good");
    if (!band) {
      this.scale.style.visibility = "hidden";
      return;
    }
    const [low, high] = band.scale;
    /** @param {number} value */
    const x = (value) => Math.min(WIDTH - 1, Math.max(1, ((value - low) / (high - low)) * WIDTH));
    if (band.normal) {
      const from = x(band.normal[0]);
      this.band.setAttribute("x", from.toFixed(1));
      this.band.setAttribute("width", Math.max(0, x(band.normal[1]) - from).toFixed(1));
    } else this.band.setAttribute("width", "0");
    this.target.setAttribute("d", band.target === null ? "" : `M${x(band.target).toFixed(1)} 1 V17`);
    this.needle.setAttribute("d", reading.value === null ? ""
      : needlePath(x(reading.value)));
  }
}

/** @param {number} x */
function needlePath(x) {
  return `M${(x - 5).toFixed(1)} 0 H${(x + 5).toFixed(1)} L${x.toFixed(1)} 12 Z`;
}
