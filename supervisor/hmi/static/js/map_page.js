/** The overview: the network as a map, the plant's figures, the area's state and the selected house. */
import { byId, h, setText } from "./dom.js";
import * as format from "./format.js";
import { Indicator } from "./indicator.js";
import { bind } from "./keys.js";
import { penLine, TrendPlot } from "./trend_plot.js";
import { MapView } from "./map_view.js";
import { bandOf } from "./bands.js";
import { startShell } from "./shell.js";
import { t } from "./strings.js";
import { alarmSymbol } from "./symbols.js";

const HOUSE_POINTS = ["primary_supply_temp_c", "primary_return_temp_c", "primary_dp_bar", "primary_flow_m3_h",
  "secondary_supply_temp_c", "secondary_supply_temp_effective_c", "room_temp_c", "valve_position_out_pct",
  "primary_flow_limit_effective_m3_h", "primary_return_limit_effective_c", "control_mode_number"];
const PLANT_POINTS = ["outdoor_temp_c", "plant_supply_temp_c", "plant_return_temp_c", "plant_dp_bar", "plant_flow_m3_h",
  "plant_heat_kw", "pump_speed_out_pct", "plant_dp_effective_bar", "plant_supply_temp_effective_c", "control_mode_number"];
const LENSES = ["primary_dp_bar", "primary_return_temp_c", "secondary_supply_temp_c", "valve_position_out_pct", "room_temp_c"];
const SELECTED_KEY = "toplovod.selected";
const LENS_KEY = "toplovod.lens";

const { site, live, alarms } = await startShell();
const houses = site.devices.filter((device) => device.profile === "substation");
const plant = site.devices.find((device) => device.profile === "pump_station");
let lens = LENSES.includes(localStorage.getItem(LENS_KEY) ?? "") ? /** @type {string} */ (localStorage.getItem(LENS_KEY)) : LENSES[0];
let selected = new URLSearchParams(location.search).get("select") ?? sessionStorage.getItem(SELECTED_KEY) ?? "";
if (!site.device(selected)) selected = houses[0]?.id ?? "";

const map = new MapView(byId("map-frame"), site.lines, { select, open });
map.spots = site.devices.map((device) => ({
  id: device.id, name: device.name, x_m: device.x_m, y_m: device.y_m, plant: device.profile === "pump_station",
  shade: NaN, quality: "unknown", ordered: false, alarm: 0, unacknowledged: false, index: false,
}));
map.selected = selected;
map.fit();

// ---- plant ---------------------------------------------------------------------------------------------
/** @type {Indicator[]} */
const plantIndicators = plant
  ? ["outdoor_temp_c", "plant_supply_temp_c", "plant_return_temp_c", "plant_dp_bar", "plant_flow_m3_h", "plant_heat_kw",
    "pump_speed_out_pct"].map((point) => new Indicator(plant, site, point))
  : [];
byId("plant-values").replaceChildren(...plantIndicators.map((indicator) => indicator.element));

// ---- selected house --------------------------------------------------------------------------------------
/** @type {Indicator[]} */
let houseIndicators = [];
/** @param {string} id */
function select(id) {
  selected = id;
  sessionStorage.setItem(SELECTED_KEY, id);
  map.selected = id;
  map.reveal();
  describeSelected();
  refresh();
}

function describeSelected() {
  const device = site.device(selected);
  if (!device) return;
  byId("selected-title").replaceChildren(
    h("span", { id: "selected-name" }, device.name), h("span", { class: "muted" }, device.id),
    h("span", { class: "aside" }, site.areaName(device.area)));
  const points = device.profile === "substation"
    ? ["primary_supply_temp_c", "primary_return_temp_c", "primary_dp_bar", "primary_flow_m3_h", "secondary_supply_temp_c",
      "room_temp_c", "valve_position_out_pct"]
    : ["plant_supply_temp_c", "plant_dp_bar", "pump_speed_out_pct"];
  houseIndicators = points.map((point) => new Indicator(device, site, point));
  byId("selected-values").replaceChildren(...houseIndicators.map((indicator) => indicator.element));
  /** @type {HTMLAnchorElement} */ (byId("selected-open")).href = `/substation/${encodeURIComponent(selected)}`;
}

/** @param {string} id */
function open(id) {
  sessionStorage.setItem(SELECTED_KEY, id);
  location.assign(`/substation/${encodeURIComponent(id)}`);
}

// ---- trends ------------------------------------------------------------------------------------------------
const SPAN_S = 24 * 3600;
const plantPlot = new TrendPlot(byId("plant-trend"), site, { compact: true });
const housePlot = new TrendPlot(byId("house-trend"), site, { compact: true });
let plottedAt = 0, plottedWall = 0, plottedFor = "";

/** @param {string} element @param {import("./trend_plot.js").Pen[]} pens */
function namePens(element, pens) {
  byId(element).replaceChildren(...pens.map((pen, index) => h("span", { class: "pen" }, penLine(index), t(`short.${pen.point}`))));
}

/** @param {number} utc_s */
function replot(utc_s) {
  const now = performance.now();
  if (now - plottedWall < (plottedFor === selected ? 5000 : 300)) return;
  if (plottedFor === selected && utc_s - plottedAt < SPAN_S / 300) return;
  plottedAt = utc_s;
  plottedWall = now;
  if (plant) {
    const pens = ["plant_supply_temp_c", "plant_return_temp_c", "plant_dp_bar"].map((point) => ({ device: plant.id, point }));
    plantPlot.setPens(pens);
    namePens("plant-pens", pens);
    void plantPlot.load(utc_s - SPAN_S, utc_s);
  }
  const device = site.device(selected);
  plottedFor = selected;
  const points = device?.profile === "substation" ? ["secondary_supply_temp_c", "primary_return_temp_c", "primary_dp_bar"] : ["outdoor_temp_c", "pump_speed_out_pct"];
  const pens = points.map((point) => ({ device: selected, point }));
  housePlot.setPens(pens);
  namePens("house-pens", pens);
  void housePlot.load(utc_s - SPAN_S, utc_s);
}

// ---- lens ------------------------------------------------------------------------------------------------
const lensSelect = /** @type {HTMLSelectElement} */ (byId("lens"));
lensSelect.replaceChildren(...LENSES.map((name) => h("option", { value: name, selected: name === lens }, t(`point.${name}`))));
lensSelect.addEventListener("change", () => setLens(lensSelect.value));

/** @param {string} name */
function setLens(name) {
  lens = name;
  lensSelect.value = name;
  localStorage.setItem(LENS_KEY, name);
  refresh();
}

// ---- every frame -------------------------------------------------------------------------------------------
function refresh() {
  let ok = 0, ordered = 0, least = Infinity;
  /** @type {string | null} */
  let indexId = null;
  const areas = new Map(site.areas.map((area) => [area.id, { all: 0, ok: 0, ordered: 0 }]));
  for (const device of houses) {
    const area = areas.get(device.area);
    if (area) area.all++;
    const link = live.link(device.id);
    const mode = live.reading(device.id, "control_mode_number");
    if (link === "ok" || link === "late") {
      ok++;
      if (area) area.ok++;
    }
    if (mode.quality === "good" && mode.value === 1) {
      ordered++;
      if (area) area.ordered++;
    }
    const dp = live.reading(device.id, "primary_dp_bar");
    if (dp.quality === "good" && dp.value !== null && dp.value < least) [least, indexId] = [dp.value, device.id];
  }
  for (const spot of map.spots) {
    const device = site.device(spot.id);
    if (!device) continue;
    const point = spot.plant ? "plant_dp_bar" : lens;
    const reading = live.reading(spot.id, point);
    const mode = live.reading(spot.id, "control_mode_number");
    const band = bandOf(device, point, (name) => live.reading(spot.id, name).value, site);
    spot.quality = reading.quality;
    spot.shade = reading.value === null || !band ? NaN
      : Math.min(1, Math.max(0, (reading.value - band.scale[0]) / (band.scale[1] - band.scale[0])));
    spot.ordered = mode.quality === "good" && mode.value === 1;
    const alarm = alarms.worst.get(spot.id);
    spot.alarm = alarm?.priority ?? 0;
    spot.unacknowledged = alarms.alarms.some((a) => a.device === spot.id && a.unacknowledged);
    spot.index = spot.id === indexId;
  }
  map.drawHouses();
  for (const indicator of plantIndicators) indicator.show((point) => live.reading(indicator.device.id, point));
  for (const indicator of houseIndicators) indicator.show((point) => live.reading(indicator.device.id, point));

  if (live.frame) replot(live.frame.utc_s);
  const lensPoint = site.point(lens);
  const lensBand = houses[0] && bandOf(houses[0], lens, (point) => live.reading(houses[0].id, point).value, site);
  if (lensBand) {
    setText(byId("lens-scale"), t("map.lens_scale", {
      low: format.number(lensBand.scale[0], 0), high: format.number(lensBand.scale[1], lensPoint.decimals), unit: lensPoint.unit }));
  }
  setText(byId("live-count"), t("map.live_count", { ok, all: houses.length }));
  setText(byId("ordered-count"), t("map.ordered_count", { count: ordered }));
  setText(byId("index-house"), indexId === null ? format.NO_VALUE
    : `${site.device(indexId)?.name ?? indexId} · ${format.number(least, 2)} bar`);
  byId("areas").replaceChildren(...site.areas.map((area) => {
    const count = areas.get(area.id) ?? { all: 0, ok: 0, ordered: 0 };
    return h("tr", {}, h("td", {}, area.name), h("td", { class: "number" }, `${count.ok} / ${count.all}`),
      h("td", { class: "number" }, String(count.ordered)),
      h("td", { class: "number" }, String(alarms.alarms.filter((a) => site.device(a.device)?.area === area.id).length)));
  }));

  const device = site.device(selected);
  if (device) {
    const link = live.link(selected);
    const mode = live.reading(selected, "control_mode_number");
    byId("selected-state").replaceChildren(
      h("span", { class: `tag${link === "ok" ? "" : " strong"}` }, t(`link.${link}`)), " ",
      h("span", { class: "tag" }, mode.value === null ? format.NO_VALUE : t(`value.control_mode_number.${mode.value}`)), " ",
      ...alarms.alarms.filter((alarm) => alarm.device === selected).slice(0, 3).flatMap((alarm) => [
        h("div", { class: alarm.unacknowledged ? "unacknowledged" : "" }, alarmSymbol(alarm.priority, { small: true }), " ", alarm.text)]));
  }
}

setInterval(() => {
  map.blink = !map.blink;
  if (alarms.alarms.some((alarm) => alarm.unacknowledged)) map.drawHouses();
}, 500);

/** @param {number} dx @param {number} dy */
function step(dx, dy) {
  const next = map.neighbour(dx, dy);
  if (next) select(next.id);
}

/** From one alarmed house to the next. */
function nextAlarm() {
  const ids = [...new Set(alarms.alarms.map((alarm) => alarm.device))].filter((id) => site.device(id));
  if (ids.length) select(ids[(ids.indexOf(selected) + 1) % ids.length]);
}

bind([
  { key: "ArrowLeft", label: "", run: () => step(-1, 0) },
  { key: "ArrowRight", label: "", run: () => step(1, 0) },
  { key: "ArrowUp", label: "", run: () => step(0, -1) },
  { key: "ArrowDown", show: "← ↑ ↓ →", label: t("keys.map.neighbour"), run: () => step(0, 1) },
  { key: "Enter", label: t("keys.open"), run: () => open(selected) },
  { key: "e", label: t("keys.map.next_alarm"), run: nextAlarm },
  { key: "l", label: t("keys.map.lens"), run: () => setLens(LENSES[(LENSES.indexOf(lens) + 1) % LENSES.length]) },
  { key: "+", show: "+ −", label: t("keys.map.zoom"), run: () => map.zoom(1.25) },
  { key: "-", label: "", run: () => map.zoom(1 / 1.25) },
  { key: "0", label: t("keys.map.fit"), run: () => map.fit() },
]);

describeSelected();
live.onFrame(refresh);
alarms.onChange(refresh);
live.subscribe({ substation: { points: HOUSE_POINTS }, pump_station: { points: PLANT_POINTS } });
