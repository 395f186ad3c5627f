/**
 * The whole network on one canvas: pipes grey, houses grey, a colour only where an alarm is in hand. It draws
 * what it is told and reports what was selected; it fetches nothing.
 *
 * Two layers: pipes are drawn once per view, houses once per frame, so 5 000 houses cost one sweep of arcs.
 */
import { drawAlarm, palette } from "./symbols.js";

const HOUSE_PX = 13;
const HIT_PX = 16;
const FIT_MARGIN_PX = 46;

/**
 * @typedef {Object} Spot
 * @property {string} id
 * @property {string} name
 * @property {number} x_m
 * @property {number} y_m
 * @property {boolean} plant
 * @property {number} shade 0 to 1, NaN = no live value
 * @property {string} quality
 * @property {boolean} ordered under a remote order
 * @property {number} alarm priority 1 to 3, 0 = none
 * @property {boolean} unacknowledged
 * @property {boolean} index the worst-placed house
 */

export class MapView {
  /**
   * @param {HTMLElement} frame
   * @param {number[][]} lines
   * @param {{select: (id: string) => void, open: (id: string) => void}} on
   */
  constructor(frame, lines, on) {
    this.frame = frame;
    this.lines = lines;
    this.on = on;
    this.pipes = document.createElement("canvas");
    this.houses = document.createElement("canvas");
    frame.append(this.pipes, this.houses);
    /** @type {Spot[]} */
    this.spots = [];
    this.selected = "";
    this.scale = 1; // px per m
    this.left_m = 0;
    this.top_m = 0;
    this.moved = false; // a person's own view outlives a change of the window; the whole town is fitted anew
    this.colours = palette();
    this.blink = false;
    new ResizeObserver(() => this.resize()).observe(frame);
    window.addEventListener("toplovod:palette", () => {
      this.colours = palette();
      this.drawPipes();
      this.drawHouses();
    });
    this.listen();
  }

  listen() {
    const canvas = this.houses;
    let dragging = false;
    let moved = 0;
    canvas.addEventListener("pointerdown", (event) => {
      dragging = true;
      moved = 0;
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!dragging) return;
      moved += Math.abs(event.movementX) + Math.abs(event.movementY);
      this.pan(event.movementX, event.movementY);
    });
    canvas.addEventListener("pointerup", (event) => {
      dragging = false;
      if (moved < 5) {
        const hit = this.hit(event.offsetX, event.offsetY);
        if (hit) this.on.select(hit.id);
      }
    });
    canvas.addEventListener("dblclick", (event) => {
      const hit = this.hit(event.offsetX, event.offsetY);
      if (hit) this.on.open(hit.id);
    });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.offsetX, event.offsetY);
    }, { passive: false });
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.frame;
    const ratio = window.devicePixelRatio || 1;
    for (const canvas of [this.pipes, this.houses]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.getContext("2d")?.setTransform(ratio, 0, 0, ratio, 0, 0);
    }
    if (!this.moved) this.fit();
    this.drawPipes();
    this.drawHouses();
  }

  /** Show everything. */
  fit() {
    const { clientWidth: width, clientHeight: height } = this.frame;
    if (!width || !this.spots.length) return;
    const xs = [...this.spots.map((spot) => spot.x_m), ...this.lines.flatMap((line) => [line[0], line[2]])];
    const ys = [...this.spots.map((spot) => spot.y_m), ...this.lines.flatMap((line) => [line[1], line[3]])];
    const x0 = xs.reduce((a, b) => Math.min(a, b)), x1 = xs.reduce((a, b) => Math.max(a, b));
    const y0 = ys.reduce((a, b) => Math.min(a, b)), y1 = ys.reduce((a, b) => Math.max(a, b));
    const margin = FIT_MARGIN_PX;
    this.scale = Math.min((width - 2 * margin) / Math.max(1, x1 - x0), (height - 2 * margin) / Math.max(1, y1 - y0));
    this.left_m = (x0 + x1) / 2 - width / 2 / this.scale;
    this.top_m = (y0 + y1) / 2 + height / 2 / this.scale;
    this.moved = false;
    this.drawPipes();
    this.drawHouses();
  }

  /** @param {number} dx @param {number} dy in px */
  pan(dx, dy) {
    this.moved = true;
    this.left_m -= dx / this.scale;
    this.top_m += dy / this.scale;
    this.drawPipes();
    this.drawHouses();
  }

  /** @param {number} factor @param {number} [x] @param {number} [y] */
  zoom(factor, x = this.frame.clientWidth / 2, y = this.frame.clientHeight / 2) {
    this.moved = true;
    const x_m = this.left_m + x / this.scale;
    const y_m = this.top_m - y / this.scale;
    this.scale = Math.min(40, Math.max(0.02, this.scale * factor));
    this.left_m = x_m - x / this.scale;
    this.top_m = y_m + y / this.scale;
    this.drawPipes();
    this.drawHouses();
  }

  /** @param {number} x_m */
  x(x_m) {
    return (x_m - this.left_m) * this.scale;
  }

  /** @param {number} y_m */
  y(y_m) {
    return (this.top_m - y_m) * this.scale;
  }

  /** @param {number} x @param {number} y */
  hit(x, y) {
    let best = null;
    let nearest = HIT_PX;
    for (const spot of this.spots) {
      const distance = Math.hypot(this.x(spot.x_m) - x, this.y(spot.y_m) - y);
      if (distance < nearest) [best, nearest] = [spot, distance];
    }
    return best;
  }

  /**
   * The nearest neighbour of the selected spot in a direction, for the arrow keys.
   * @param {number} dx @param {number} dy screen directions, -1, 0 or 1
   */
  neighbour(dx, dy) {
    const from = this.spots.find((spot) => spot.id === this.selected);
    if (!from) return this.spots[0] ?? null;
    let best = null;
    let least = Infinity;
    for (const spot of this.spots) {
      if (spot === from) continue;
      const x = (spot.x_m - from.x_m) * dx - (spot.y_m - from.y_m) * dy; // along the direction
      const across = Math.abs((spot.x_m - from.x_m) * dy) + Math.abs((spot.y_m - from.y_m) * dx);
      if (x <= 0 || across > 2 * x) continue;
      const cost = x + 2 * across;
      if (cost < least) [best, least] = [spot, cost];
    }
    return best;
  }

  /** Bring the selected spot into sight. */
  reveal() {
    const spot = this.spots.find((candidate) => candidate.id === this.selected);
    if (!spot) return;
    const x = this.x(spot.x_m), y = this.y(spot.y_m);
    const margin = FIT_MARGIN_PX - 1; // where the whole town is shown, everybody is in sight
    const dx = x < margin ? margin - x : x > this.frame.clientWidth - margin ? this.frame.clientWidth - margin - x : 0;
    const dy = y < margin ? margin - y : y > this.frame.clientHeight - margin ? this.frame.clientHeight - margin - y : 0;
    if (dx || dy) this.pan(dx, dy);
  }

  drawPipes() {
    const g = this.pipes.getContext("2d");
    if (!g) return;
    g.clearRect(0, 0, this.frame.clientWidth, this.frame.clientHeight);
    g.strokeStyle = this.colours.pipe;
    g.lineCap = "round";
    for (const [x0, y0, x1, y1, diameter_m] of this.lines) {
      // 25 mm is a service pipe, 200 mm a main: 1.2 to 5 px, so the trunk can be followed by eye
      g.lineWidth = Math.min(5.5, 1.1 + 22 * diameter_m);
      g.beginPath();
      g.moveTo(this.x(x0), this.y(y0));
      g.lineTo(this.x(x1), this.y(y1));
      g.stroke();
    }
  }

  drawHouses() {
    const g = this.houses.getContext("2d");
    if (!g) return;
    const { clientWidth: width, clientHeight: height } = this.frame;
    g.clearRect(0, 0, width, height);
    const c = this.colours;
    /** @type {Spot[]} */
    const alarmed = [];
    for (const spot of this.spots) {
      const x = this.x(spot.x_m), y = this.y(spot.y_m);
      if (x < -30 || y < -30 || x > width + 30 || y > height + 30) continue;
      if (spot.plant) this.drawPlant(g, spot, x, y);
      else this.drawHouse(g, spot, x, y);
      if (spot.id === this.selected) {
        g.strokeStyle = c.select;
        g.lineWidth = 3;
        g.strokeRect(x - HOUSE_PX, y - HOUSE_PX, 2 * HOUSE_PX, 2 * HOUSE_PX);
      }
      if (spot.alarm) alarmed.push(spot);
    }
    for (const spot of alarmed) {
      const x = this.x(spot.x_m), y = this.y(spot.y_m);
      // blinking is for the unacknowledged alone; the shape stays, the fill comes and goes
      g.globalAlpha = spot.unacknowledged && this.blink ? 0.35 : 1;
      drawAlarm(g, spot.alarm, x + 11, y - 11, 18, c);
      g.globalAlpha = 1;
    }
    this.drawLabels(g, width, height);
  }

  /**
   * Names where there is room, the important ones first; one that would cover another or a house is left out.
   * @param {CanvasRenderingContext2D} g @param {number} width @param {number} height
   */
  drawLabels(g, width, height) {
    /** @type {number[][]} */
    const taken = [];
    const inSight = this.spots.filter((spot) => {
      const x = this.x(spot.x_m), y = this.y(spot.y_m);
      return x > -20 && y > -20 && x < width + 20 && y < height + 20;
    });
    if (inSight.length > 400) {
      // too many to read: the important ones alone
      for (const spot of inSight) if (this.rank(spot) < 4) this.label(g, spot, this.x(spot.x_m), this.y(spot.y_m), taken);
      return;
    }
    for (const spot of inSight) taken.push([this.x(spot.x_m) - 9, this.y(spot.y_m) - 9, this.x(spot.x_m) + 9, this.y(spot.y_m) + 9]);
    for (const spot of [...inSight].sort((a, b) => this.rank(a) - this.rank(b))) {
      this.label(g, spot, this.x(spot.x_m), this.y(spot.y_m), taken);
    }
  }

  /** @param {Spot} spot */
  rank(spot) {
    return spot.id === this.selected ? 0 : spot.alarm ? 1 : spot.plant ? 2 : spot.index ? 3 : 4;
  }

  /** @param {CanvasRenderingContext2D} g @param {Spot} spot @param {number} x @param {number} y */
  drawHouse(g, spot, x, y) {
    const c = this.colours;
    const half = HOUSE_PX / 2;
    const live = spot.quality === "good" && !Number.isNaN(spot.shade);
    g.fillStyle = c.panel;
    g.fillRect(x - half, y - half, HOUSE_PX, HOUSE_PX);
    if (live) {
      // a column that fills with the value: read by length, not by shade
      const filled = Math.max(1, spot.shade * (HOUSE_PX - 2));
      g.fillStyle = c["line-strong"];
      g.fillRect(x - half + 1, y + half - 1 - filled, HOUSE_PX - 2, filled);
      g.setLineDash([]);
    } else {
      g.save();
      g.beginPath();
      g.rect(x - half, y - half, HOUSE_PX, HOUSE_PX);
      g.clip();
      g.strokeStyle = c.stale;
      g.lineWidth = 1;
      g.beginPath();
      for (let i = -HOUSE_PX; i <= HOUSE_PX; i += 4) {
        g.moveTo(x - half + i, y + half);
        g.lineTo(x - half + i + HOUSE_PX, y - half);
      }
      g.stroke();
      g.restore();
      g.setLineDash([2, 2]);
    }
    g.strokeStyle = live ? c["line-strong"] : c.stale;
    g.lineWidth = 1.3;
    g.strokeRect(x - half, y - half, HOUSE_PX, HOUSE_PX);
    g.setLineDash([]);
    if (spot.ordered) {
      g.fillStyle = c.mark;
      g.fillRect(x - half, y + half + 2.5, HOUSE_PX, 2.5);
    }
    if (spot.index) {
      g.strokeStyle = c.mark;
      g.lineWidth = 1.6;
      g.beginPath();
      g.arc(x, y, HOUSE_PX, 0, 2 * Math.PI);
      g.stroke();
    }
  }

  /** @param {CanvasRenderingContext2D} g @param {Spot} spot @param {number} x @param {number} y */
  drawPlant(g, spot, x, y) {
    const c = this.colours;
    g.fillStyle = c.panel;
    g.strokeStyle = c.mark;
    g.lineWidth = 2;
    g.setLineDash(spot.quality === "good" ? [] : [3, 3]);
    g.beginPath();
    g.arc(x, y, 13, 0, 2 * Math.PI);
    g.fill();
    g.stroke();
    g.setLineDash([]);
    g.beginPath(); // the pump's triangle
    g.moveTo(x - 6, y - 8);
    g.lineTo(x + 11, y);
    g.lineTo(x - 6, y + 8);
    g.closePath();
    g.fillStyle = c["line-strong"];
    g.fill();
  }

  /**
   * @param {CanvasRenderingContext2D} g @param {Spot} spot @param {number} x @param {number} y
   * @param {number[][]} taken boxes already used: left, top, right, bottom
   */
  label(g, spot, x, y, taken) {
    const c = this.colours;
    g.font = spot.id === this.selected ? '700 13px "DejaVu Sans", sans-serif' : '12px "DejaVu Sans", sans-serif';
    const width = g.measureText(spot.name).width + 4;
    const gap = spot.plant || spot.index ? 17 : spot.alarm ? 22 : 11;
    const must = this.rank(spot) < 4;
    const places = [[x + gap, y - 8], [x - gap - width, y - 8], [x - width / 2, y - gap - 17], [x - width / 2, y + gap + 1]];
    const room = this.frame.clientWidth - width;
    for (const [wanted, top] of places) {
      const last = must && top === places[3][1]; // an important name is written anyhow, and whole
      const left = last ? Math.max(0, Math.min(wanted, room)) : wanted;
      const box = [left, top, left + width, top + 16];
      const inside = left > 0 && left < room;
      const free = inside && !taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1]);
      if (!free && !last) continue;
      taken.push(box);
      g.textAlign = "left";
      g.textBaseline = "middle";
      g.globalAlpha = 0.82;
      g.fillStyle = c.panel;
      g.fillRect(left, top, width, 16);
      g.globalAlpha = 1;
      g.fillStyle = must ? c.text : c["text-muted"];
      g.fillText(spot.name, left + 2, top + 8);
      return;
    }
  }
}
