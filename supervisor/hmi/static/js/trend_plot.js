/**
 * Readings over time: the mean as a line inside its band from smallest to largest, one scale for each unit,
 * times in the zone of the screen. It never joins a gap: where nothing was read, nothing is drawn.
 */
import uPlot from "../vendor/uPlot.esm.js";
import { get } from "./api.js";
import * as format from "./format.js";
import { h, s } from "./dom.js";
import { t } from "./strings.js";

const PENS = 6;
const SHORTER_H = [1, 3, 6, 12];
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 2], [1, 2]];

/** @typedef {{device: string, point: string}} Pen */
/** @typedef {{utc_s: number[], min: (number | null)[], mean: (number | null)[], max: (number | null)[]}} Column */

/**
 * A piece of the pen's own line, for a legend. @param {number} pen
 */
export function penLine(pen) {
  return h("span", { class: "pen-line" }, s("svg", { viewBox: "0 0 34 10", width: 34, height: 10, "aria-hidden": "true" },
    s("path", { d: "M0 5 H34", class: `pen-${pen + 1}`, "stroke-dasharray": DASHES[pen].join(" ") || null })));
}

export class TrendPlot {
  /**
   * @param {HTMLElement} element
   * @param {import("./site.js").Site} site
   * @param {{compact?: boolean, onCursor?: (texts: string[] | null, time: string) => void}} [options]
   */
  constructor(element, site, options = {}) {
    this.element = element;
    this.site = site;
    this.options = options;
    /** @type {Pen[]} */
    this.pens = [];
    this.start_s = 0;
    this.end_s = 0;
    /** @type {uPlot | null} */
    this.plot = null;
    /** @type {Column[]} */
    this.data = [];
    this.asked = 0;
    this.hours = 24;
    /** Whether a young history is drawn over a shorter span than asked for. */
    this.fitsYoung = Boolean(options.compact);
    this.failed = "";
    new ResizeObserver(() => this.resize()).observe(element);
    window.addEventListener("toplovod:palette", () => this.build());
    window.addEventListener("toplovod:zone", () => this.build());
  }

  /** @param {Pen[]} pens */
  setPens(pens) {
    this.pens = pens.slice(0, PENS);
    this.data = [];
  }

  /**
   * Fetch and draw the span. Of several calls in flight only the newest one is drawn.
   * @param {number} start_s @param {number} end_s
   */
  async load(start_s, end_s) {
    const mine = ++this.asked;
    try {
      let answers = await this.fetch(start_s, end_s);
      this.hours = (end_s - start_s) / 3600;
      if (this.fitsYoung) {
        const shorter = shorterSpan(answers, start_s, end_s);
        if (shorter < this.hours) {
          // asked for again: thinned to a day's bins, an hour would be ten points
          this.hours = shorter;
          start_s = end_s - shorter * 3600;
          answers = await this.fetch(start_s, end_s);
        }
      }
      if (mine !== this.asked) return;
      this.data = answers.map(withGaps);
      this.failed = "";
    } catch (error) {
      if (mine !== this.asked) return;
      this.failed = error instanceof Error ? error.message : String(error);
    }
    this.start_s = start_s;
    this.end_s = end_s;
    this.build();
  }

  /** @param {number} start_s @param {number} end_s @returns {Promise<Column[]>} */
  fetch(start_s, end_s) {
    const points = Math.max(100, Math.min(1500, Math.floor(this.element.clientWidth / 2)));
    const range = `start=${encodeURIComponent(iso(start_s))}&end=${encodeURIComponent(iso(end_s))}&points=${points}`;
    return Promise.all(this.pens.map((pen) =>
      get(`/history/${encodeURIComponent(pen.device)}/${encodeURIComponent(pen.point)}?${range}`)));
  }

  /** @param {number} pen */
  colour(pen) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--pen-${pen + 1}`).trim();
  }

  build() {
    this.plot?.destroy();
    this.plot = null;
    const style = getComputedStyle(document.documentElement);
    /** @param {string} name */
    const colour = (name) => style.getPropertyValue(name).trim();
    const units = [...new Set(this.pens.map((pen) => this.site.point(pen.point).unit))];
    /** @type {uPlot.Series[]} */
    const series = [{}];
    /** @type {uPlot.Band[]} */
    const bands = [];
    /** @type {uPlot.AlignedData[]} */
    const tables = [];
    this.pens.forEach((pen, index) => {
      const scale = this.site.point(pen.point).unit || "1";
      const stroke = this.colour(index);
      const at = series.length;
      series.push({ scale, stroke: "transparent", width: 0, points: { show: false } });
      series.push({ scale, stroke: "transparent", width: 0, points: { show: false } });
      series.push({
        scale, stroke, width: this.options.compact ? 1.5 : 2, dash: DASHES[index], points: { show: false }, label: t(`point.${pen.point}`),
      });
      bands.push({ series: [at + 1, at], fill: stroke + "38" });
      const found = this.data[index];
      tables.push(/** @type {any} */ (found ? [found.utc_s, found.min, found.max, found.mean] : [[], [], [], []]));
    });
    const joined = tables.length ? uPlot.join(tables, tables.map((table) => table.map(() => 2))) : [[]];
    const decimals = units.map((unit) => Math.max(...this.pens.filter((pen) => this.site.point(pen.point).unit === unit)
      .map((pen) => this.site.point(pen.point).decimals), 0));
    /** @type {uPlot.Axis[]} */
    const axes = [{
      stroke: colour("--text-muted"), grid: { stroke: colour("--line"), width: 0.5 }, ticks: { stroke: colour("--line") },
      font: '12px "DejaVu Sans", sans-serif', space: 70, size: this.element.clientHeight > 160 ? 46 : 30,
      values: (_, splits) => splits.map((at, index) => {
        const time = format.shortTime(at);
        return this.element.clientHeight > 160 && (time === "00:00" || index === 0) ? `${time}\n${format.calendarDay(at).split(" ").slice(1, 3).join(" ")}` : time;
      }),
    }];
    units.forEach((unit, index) => axes.push({
      scale: unit || "1", side: index === 0 ? 3 : 1, stroke: colour("--text-muted"), size: 58,
      label: unit, labelSize: 18, labelFont: '12px "DejaVu Sans", sans-serif', font: '12px "DejaVu Sans", sans-serif',
      grid: { show: index === 0, stroke: colour("--line"), width: 0.5 }, ticks: { stroke: colour("--line") },
      values: (_, splits) => splits.map((at) => {
        const step = splits.length > 1 ? Math.abs(splits[1] - splits[0]) : 1;
        return format.number(at, decimalsOf(step));
      }),
    }));
    /** @type {uPlot.Options} */
    const options = {
      width: Math.max(200, this.element.clientWidth), height: Math.max(80, this.element.clientHeight),
      series, bands, axes, legend: { show: false }, ms: 1e-3, tzDate: (at) => uPlot.tzDate(new Date(at * 1000), format.zoneName()),
      padding: [8, units.length > 1 ? 8 : 20, 0, 0], // without a second scale the newest time needs room for its half
      cursor: { drag: { x: false, y: false }, points: { show: true, size: 6 } },
      scales: {
        x: { time: true, range: () => [this.start_s, this.end_s] },
        ...Object.fromEntries(units.map((unit, index) => [unit || "1", {
          range: (/** @type {uPlot} */ _, /** @type {number | null} */ low, /** @type {number | null} */ high) =>
            sensibleRange(low, high, decimals[index]),
        }])),
      },
      hooks: {
        setCursor: [(plot) => {
          const at = plot.cursor.idx;
          if (!this.options.onCursor) return;
          if (at === null || at === undefined || (plot.cursor.left ?? -1) < 0) {
            this.options.onCursor(null, "");
            return;
          }
          const texts = this.pens.map((pen, index) => {
            const column = plot.data[3 * index + 3];
            const value = nearest(column, at);
            const point = this.site.point(pen.point);
            return `${format.number(value, point.decimals)} ${point.unit}`;
          });
          this.options.onCursor(texts, format.dayTime(plot.data[0][at]));
        }],
      },
    };
    this.element.replaceChildren();
    this.plot = new uPlot(options, /** @type {uPlot.AlignedData} */ (joined), this.element);
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (this.plot && width > 50 && height > 50) this.plot.setSize({ width, height });
  }
}

/**
 * Put an empty sample where nothing was read for much longer than usual, so that no line crosses it.
 * @param {Column} answer
 * @returns {Column}
 */
function withGaps(answer) {
  const { utc_s } = answer;
  const steps = utc_s.slice(1).map((at, index) => at - utc_s[index]).sort((a, b) => a - b);
  const usual = steps[Math.floor(steps.length / 2)] ?? 0;
  const longest = Math.max(60, 4 * usual);
  /** @type {typeof answer} */
  const gapped = { utc_s: [], min: [], mean: [], max: [] };
  utc_s.forEach((at, index) => {
    if (index > 0 && at - utc_s[index - 1] > longest) {
      gapped.utc_s.push(utc_s[index - 1] + usual);
      for (const key of /** @type {const} */ (["min", "mean", "max"])) gapped[key].push(null);
    }
    gapped.utc_s.push(at);
    for (const key of /** @type {const} */ (["min", "mean", "max"])) gapped[key].push(answer[key][index]);
  });
  return gapped;
}

/**
 * A young history fills a shorter span, in hours; the page says which, so that nobody takes it for a day.
 * @param {Column[]} columns @param {number} start_s @param {number} end_s
 */
function shorterSpan(columns, start_s, end_s) {
  const first = Math.min(...columns.map((column) => column.utc_s[0] ?? Infinity));
  const asked_h = (end_s - start_s) / 3600;
  if (!Number.isFinite(first)) return asked_h;
  return Math.min(asked_h, SHORTER_H.find((hours) => hours >= (end_s - first) / 3600) ?? asked_h);
}

/** How many decimals a step of an axis needs: 2.5 needs one. @param {number} step */
function decimalsOf(step) {
  for (let decimals = 0; decimals < 3; decimals++) {
    const scaled = step * 10 ** decimals;
    if (Math.abs(scaled - Math.round(scaled)) < 1e-6 * scaled) return decimals;
  }
  return 3;
}

/** @param {number} utc_s */
function iso(utc_s) {
  return new Date(utc_s * 1000).toISOString();
}

/**
 * The value at the cursor, or the last one before it: columns of different pens do not share times.
 * @param {any} column @param {number} at
 */
function nearest(column, at) {
  for (let i = at; i >= 0 && at - i < 40; i--) if (column[i] !== null && column[i] !== undefined) return column[i];
  return null;
}

/**
 * Never so fine that noise fills the screen: at least ten of the smallest shown step.
 * @param {number | null} low @param {number | null} high @param {number} decimals
 * @returns {[number, number]}
 */
function sensibleRange(low, high, decimals) {
  if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  const least = 10 * 10 ** -decimals;
  const middle = (low + high) / 2;
  const half = Math.max((high - low) * 0.56, least / 2);
  return [middle - half, middle + half];
}
