/**
 * Alarm priorities as colour, shape and digit together: square 1, triangle 2, circle 3. One place, so that
 * map, table and lists cannot disagree.
 */
import { s } from "./dom.js";
import { t } from "./strings.js";

const SHAPES = {
  1: "M2 2 H18 V18 H2 Z",
  2: "M10 1 L19.2 18.5 H0.8 Z",
  3: "M10 1.5 A8.5 8.5 0 1 1 9.99 1.5 Z",
};

/**
 * @param {number} priority 1, 2 or 3
 * @param {{small?: boolean}} [options]
 */
export function alarmSymbol(priority, options = {}) {
  const p = /** @type {1 | 2 | 3} */ (Math.min(3, Math.max(1, priority)));
  return s("svg", {
    class: `symbol p${p}${options.small ? " small" : ""}`, viewBox: "0 0 20 20", role: "img",
    "aria-label": t("alarm.priority", { priority: p }),
  }, s("path", { class: "shape", d: SHAPES[p] }), s("text", { x: 10, y: p === 2 ? 16.4 : 14.4 }, String(p)));
}

/**
 * The same on a canvas.
 * @param {CanvasRenderingContext2D} g
 * @param {number} priority @param {number} x @param {number} y @param {number} size
 * @param {Record<string, string>} colours
 */
export function drawAlarm(g, priority, x, y, size, colours) {
  const r = size / 2;
  g.beginPath();
  if (priority === 1) g.rect(x - r, y - r, size, size);
  else if (priority === 2) {
    g.moveTo(x, y - r * 1.15);
    g.lineTo(x + r * 1.15, y + r);
    g.lineTo(x - r * 1.15, y + r);
    g.closePath();
  } else g.arc(x, y, r, 0, 2 * Math.PI);
  g.fillStyle = colours[`p${priority}`];
  g.fill();
  g.lineWidth = 1.4;
  g.strokeStyle = colours.edge;
  g.stroke();
  g.fillStyle = colours[`on-p${priority}`];
  g.font = `700 ${Math.round(size * 0.66)}px "DejaVu Sans", sans-serif`;
  g.textAlign = "center";
  g.textBaseline = "middle";
  g.fillText(String(priority), x, y + (priority === 2 ? r * 0.32 : size * 0.04));
}

/** Colours of the palette in force, by variable name without the dashes. */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  /** @type {Record<string, string>} */
  const colours = {};
  for (const name of ["ground", "panel", "raised", "sunken", "line", "line-strong", "text", "text-muted", "text-live",
    "pipe", "mark", "band", "select", "p1", "on-p1", "p2", "on-p2", "p3", "on-p3", "edge", "stale", "hatch"]) {
    colours[name] = style.getPropertyValue(`--${name}`).trim();
  }
  return colours;
}
