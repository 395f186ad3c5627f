/** Any readings over any span: up to six pens, kept in the address so that a view can be passed on. */
import { byId, h, setText } from "./dom.js";
import * as format from "./format.js";
import { bind } from "./keys.js";
import { startShell } from "./shell.js";
import { t } from "./strings.js";
import { penLine, TrendPlot } from "./trend_plot.js";

/** @typedef {import("./trend_plot.js").Pen} Pen */

const SPANS_H = [1, 6, 24, 72, 168];
const MOST_PENS = 6;

const { site, live } = await startShell();
const asked = new URLSearchParams(location.search);
let span_h = SPANS_H.includes(Number(asked.get("hours"))) ? Number(asked.get("hours")) : 24;
/** null while the end follows the clock */
let end_s = asked.get("end") ? Number(asked.get("end")) : null;
/** @type {Pen[]} */
let pens = (asked.get("pens") ?? "").split(",").map((text) => {
  const dot = text.indexOf(".");
  return { device: text.slice(0, dot), point: text.slice(dot + 1) };
}).filter((pen) => site.device(pen.device) && site.points.has(pen.point)).slice(0, MOST_PENS);
if (!pens.length) {
  const plant = site.devices.find((device) => device.profile === "pump_station");
  const house = sessionStorage.getItem("toplovod.selected");
  if (house && site.device(house)?.profile === "substation") {
    pens = ["primary_supply_temp_c", "primary_return_temp_c", "secondary_supply_temp_c", "primary_dp_bar"].map((point) => ({ device: house, point }));
  } else if (plant) {
    pens = ["plant_supply_temp_c", "plant_return_temp_c", "outdoor_temp_c", "plant_dp_bar"].map((point) => ({ device: plant.id, point }));
  }
}

/** @type {string[] | null} */
let cursor = null;
const plot = new TrendPlot(byId("trend"), site, {
  onCursor: (texts, time) => {
    cursor = texts;
    showPens(time);
  },
});

plot.fitsYoung = !asked.get("hours"); // nobody has chosen a span yet

byId("spans").replaceChildren(...SPANS_H.map((hours) => h("button", {
  type: "button", "data-hours": hours, onclick: () => setSpan(hours),
}, hours < 48 ? `${hours} h` : `${hours / 24} d`)));

const deviceSelect = /** @type {HTMLSelectElement} */ (byId("pen-device"));
const pointSelect = /** @type {HTMLSelectElement} */ (byId("pen-point"));
deviceSelect.replaceChildren(...site.devices.map((device) => h("option", { value: device.id }, device.name)));
deviceSelect.addEventListener("change", offerPoints);
deviceSelect.value = pens[0]?.device ?? site.devices[0]?.id ?? "";
offerPoints();

function offerPoints() {
  const profile = site.device(deviceSelect.value)?.profile ?? "substation";
  pointSelect.replaceChildren(...site.profiles[profile].points.filter((point) => point.access === "measurement" && point.kept)
    .map((point) => h("option", { value: point.name }, t(`point.${point.name}`))));
}

function showPens(time = "") {
  byId("pens").replaceChildren(...pens.map((pen, index) => {
    return h("span", { class: "pen" }, penLine(index), `${site.device(pen.device)?.name} · ${t(`point.${pen.point}`)} `,
      h("strong", { class: "number" }, cursor?.[index] ?? ""),
      h("button", { type: "button", title: t("trend.remove"), "aria-label": t("trend.remove"), onclick: () => removePen(index) }, "×"));
  }), h("span", { class: "muted" }, time));
}

/** @param {number} index */
function removePen(index) {
  pens = pens.filter((_, place) => place !== index);
  begin();
}

function addPen() {
  const pen = { device: deviceSelect.value, point: pointSelect.value };
  if (pens.length < MOST_PENS && !pens.some((known) => known.device === pen.device && known.point === pen.point)) pens = [...pens, pen];
  begin();
}

/** @param {number} hours */
function setSpan(hours) {
  plot.fitsYoung = false;
  span_h = hours;
  begin();
}

/** @param {number} direction */
function shift(direction) {
  const now = live.frame?.utc_s;
  if (now === undefined) return;
  const end = (end_s ?? now) + direction * span_h * 1800;
  end_s = end >= now ? null : end;
  begin();
}

let loadedAt = 0;
let loadedWall = 0;

function begin() {
  plot.setPens(pens);
  cursor = null;
  showPens();
  for (const button of byId("spans").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.hours) === span_h));
  }
  byId("now").setAttribute("aria-pressed", String(end_s === null));
  const address = new URLSearchParams({ pens: pens.map((pen) => `${pen.device}.${pen.point}`).join(","), hours: String(span_h) });
  if (end_s !== null) address.set("end", String(Math.round(end_s)));
  history.replaceState(null, "", `/trend?${address}`);
  loadedWall = 0;
  refresh();
}

function refresh() {
  const frame = live.frame;
  if (!frame) return;
  const end = end_s ?? frame.utc_s;
  const now = performance.now();
  const moved = Math.abs(end - loadedAt) > (span_h * 3600) / 600;
  if (loadedWall && (now - loadedWall < 2000 || !(end_s === null && moved))) return;
  loadedWall = now;
  loadedAt = end;
  void plot.load(end - span_h * 3600, end).then(() => {
    if (plot.fitsYoung && !plot.failed && plot.hours < span_h) {
      setSpan(SPANS_H.find((hours) => hours >= plot.hours) ?? span_h);
      return;
    }
    setText(byId("span-text"), plot.failed ? t("trend.failed", { why: plot.failed })
      : `${format.dayTime(end - span_h * 3600)} – ${format.dayTime(end)} ${format.zoneName()}`);
  });
}

byId("earlier").addEventListener("click", () => shift(-1));
byId("later").addEventListener("click", () => shift(1));
byId("now").addEventListener("click", () => {
  end_s = null;
  begin();
});
byId("add-pen").addEventListener("click", addPen);

bind([
  { key: "ArrowLeft", show: "← →", label: t("keys.trend.pan"), run: () => shift(-1) },
  { key: "ArrowRight", label: "", run: () => shift(1) },
  { key: "End", label: t("keys.trend.now"), run: () => byId("now").click() },
  { key: "ArrowUp", show: "↑ ↓", label: t("keys.trend.span"), run: () => setSpan(SPANS_H[Math.min(SPANS_H.length - 1, SPANS_H.indexOf(span_h) + 1)]) },
  { key: "ArrowDown", label: "", run: () => setSpan(SPANS_H[Math.max(0, SPANS_H.indexOf(span_h) - 1)]) },
  { key: "/", label: t("keys.trend.add"), run: () => deviceSelect.focus() },
  { key: "+", label: "", run: addPen },
  { key: "Escape", label: t("keys.back"), typing: true, run: () => history.back() },
]);
window.addEventListener("toplovod:zone", () => begin());

live.onFrame(refresh);
live.subscribe({});
begin();
