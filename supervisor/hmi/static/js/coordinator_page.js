/**
 * What the coordinator sees, wants and why; how far it may go in each area. Every wish leads to its house, and
 * a person takes a point back there with one key.
 */
import { get, put, Refusal } from "./api.js";
import { byId, h, setText } from "./dom.js";
import * as format from "./format.js";
import { bind } from "./keys.js";
import { startShell } from "./shell.js";
import { known, t } from "./strings.js";
import { penLine, TrendPlot } from "./trend_plot.js";

const MODES = ["off", "advisory", "automatic"];
const REFETCH_MS = 2000;
const SPAN_S = 24 * 3600;

/**
 * @typedef {Object} Wish
 * @property {string} area
 * @property {string} device_id
 * @property {string} point
 * @property {number} wanted
 * @property {number | null} present
 * @property {string} why
 * @property {Record<string, any>} numbers
 * @property {Record<string, number>} expected
 * @property {string} state
 * @property {string} held_by
 * @property {string} problem
 */

const { site, live } = await startShell();
const mayChange = new Set((document.body.dataset.areas ?? "").split(" ").filter(Boolean));
/** @type {any} */
let state = null;
let selected = 0;
/** Waits for a second look before automatic: area and mode. @type {{area: string, mode: string} | null} */
let asked = null;

const plant = site.devices.find((device) => device.profile === "pump_station");
const plot = new TrendPlot(byId("trend"), site, { compact: true });
/** @type {string} */
let plotted = "";
let plottedAt = 0;
let plottedWall = 0;

/** @param {string} id */
const nameOf = (id) => site.device(id)?.name ?? id;

async function fetchState() {
  try {
    state = await get("/coordinator");
    show();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    showProblem(error);
  }
}

/** @param {Refusal | null} error */
function showProblem(error) {
  byId("mode-problem").replaceChildren(...(error ? [h("div", { class: "problem", role: "alert" },
    h("strong", {}, error.message), h("div", {}, error.whatNow))] : []));
}

function show() {
  byId("modes").replaceChildren(...site.areas.map((area) => {
    const row = state.modes[area.id];
    const may = mayChange.has(area.id);
    return h("div", { class: "mode-row", "data-area": area.id },
      h("strong", {}, area.name),
      h("span", { class: "segments", role: "radiogroup", "aria-label": t("coordinator.mode_of", { area: area.name }) },
        ...MODES.map((mode) => h("button", {
          type: "button", role: "radio", "aria-checked": String(row.mode === mode), "data-mode": mode, disabled: !may,
          onclick: () => ask(area.id, mode),
        }, t(`mode.${mode}`)))),
      h("span", { class: "muted" }, row.user ? `${row.user} · ${format.dayTime(Date.parse(row.since_utc) / 1000)}` : t("coordinator.as_configured")));
  }), ...(asked ? [h("div", { class: "command" },
    h("p", {}, t(`coordinator.ask.${asked.mode}`, { area: site.areaName(asked.area) })),
    h("div", { class: "fields" },
      h("button", { class: "execute", id: "confirm-mode", onclick: confirmMode }, t("coordinator.confirm", { area: site.areaName(asked.area), mode: t(`mode.${asked.mode}`) })),
      h("button", { onclick: () => { asked = null; show(); } }, h("kbd", {}, "Esc"), " ", t("command.cancel"))))] : []));

  showIndex();
  showWishes();
  setText(byId("evaluated"), state.evaluated_utc ? t("coordinator.evaluated", { time: format.dayTime(Date.parse(state.evaluated_utc) / 1000) }) : "");
}

function showIndex() {
  const index = state.index;
  const balance = state.balance;
  /** @type {[string, string | Node][]} */
  const facts = [];
  if (index.device_id) {
    facts.push([t("map.index"), h("a", { href: `/substation/${encodeURIComponent(index.device_id)}` }, nameOf(index.device_id))]);
    facts.push([t("coordinator.index_dp"), `${format.number(index.dp_bar, 2)} bar`]);
    facts.push([t("coordinator.index_sp"), `${format.number(index.setpoint_bar, 2)} bar`]);
    facts.push([t("coordinator.margin"), `${index.margin_bar > 0 ? "+" : ""}${format.number(index.margin_bar, 2)} bar`]);
  }
  facts.push([t("point.plant_dp_bar"), `${format.number(index.plant_dp_bar, 2)} bar`]);
  facts.push([t("coordinator.confirmed"), t("map.live_count", { ok: index.confirmed, all: index.of })]);
  if (index.contradicted.length) facts.push([t("coordinator.contradicted"), index.contradicted.map(nameOf).join(", ")]);
  facts.push([t("coordinator.model"), state.model_problem || t(`coordinator.model.${index.model}`)]);
  if (index.frozen_since_utc) facts.push([t("coordinator.frozen"), format.dayTime(Date.parse(index.frozen_since_utc) / 1000)]);
  if (balance) {
    facts.push([t("coordinator.balance_dp"), `${format.number(balance.source_dp_bar, 2)} bar · ${nameOf(balance.index_device_id)}`]);
    facts.push([t("coordinator.balance_power"), `${format.number(balance.pump_power_kw, 2)} kW`]);
    facts.push([t("coordinator.feasible"), balance.feasible ? t("coordinator.feasible.yes") : t("coordinator.feasible.no", { why: balance.obstacles.map((/** @type {any} */ o) => (typeof o === "string" ? o : JSON.stringify(o))).join("; ") })]);
  }
  byId("index").replaceChildren(h("table", {}, h("tbody", {}, ...facts.map(([name, value]) =>
    h("tr", {}, h("td", {}, name), h("td", { class: "number" }, value))))));
  replot(index.device_id);
}

/** @param {string} indexId */
function replot(indexId) {
  const frame = live.frame;
  if (!frame) return;
  const wanted = `${plant?.id ?? ""}/${indexId}`;
  const now = performance.now();
  if (wanted === plotted && (now - plottedWall < 3000 || frame.utc_s - plottedAt < SPAN_S / 600)) return;
  plotted = wanted;
  plottedAt = frame.utc_s;
  plottedWall = now;
  /** @type {import("./trend_plot.js").Pen[]} */
  const pens = [];
  if (plant) pens.push({ device: plant.id, point: "plant_dp_bar" });
  if (indexId) pens.push({ device: indexId, point: "primary_dp_bar" });
  plot.setPens(pens);
  byId("pens").replaceChildren(...pens.map((pen, place) => h("span", { class: "pen" }, penLine(place), `${nameOf(pen.device)} · ${t(`short.${pen.point}`)}`)));
  void plot.load(frame.utc_s - SPAN_S, frame.utc_s).then(() => setText(byId("trend-title"), t("coordinator.trend", { hours: plot.hours })));
}

/** The reason as a sentence, with its numbers. @param {Wish} wish */
function why(wish) {
  /** @type {Record<string, string>} */
  const said = {};
  for (const [name, value] of Object.entries(wish.numbers)) {
    said[name] = name === "index_device" ? nameOf(String(value)) : typeof value === "number" ? format.number(value, name.endsWith("_m3_h") ? 3 : name.endsWith("_bar") ? 2 : name === "delivered" ? 2 : name.endsWith("_c") ? 1 : 0) : String(value);
  }
  return known(`coordinator.why.${wish.why}`, wish.why, said);
}

/** @param {Wish} wish */
function expects(wish) {
  return Object.entries(wish.expected).map(([name, value]) => t(`coordinator.expects.${name}`, {
    value: format.number(value, name.endsWith("_m3_h") ? 3 : 2) })).join("; ");
}

function showWishes() {
  /** @type {Wish[]} */
  const wishes = state.explanations;
  selected = Math.min(selected, Math.max(0, wishes.length - 1));
  byId("wishes-empty").hidden = wishes.length > 0;
  byId("wishes").replaceChildren(...wishes.map((wish, place) => {
    const point = site.point(wish.point);
    return h("tr", {
      role: "option", "aria-selected": String(place === selected), onclick: () => choose(place), ondblclick: open,
    },
    h("td", {}, h("strong", {}, nameOf(wish.device_id)), h("div", { class: "muted" }, site.areaName(wish.area))),
    h("td", {}, t(`point.${wish.point}`)),
    h("td", { class: "number" }, `${format.number(wish.present, point.decimals)} ${point.unit}`),
    h("td", { class: "number" }, h("strong", {}, `${format.number(wish.wanted, point.decimals)} ${point.unit}`)),
    h("td", {}, h("span", { class: wish.problem ? "tag strong" : "tag" }, t(`coordinator.state.${wish.state}`)), wish.held_by ? h("div", { class: "muted" }, wish.held_by) : null),
    h("td", {}, why(wish), h("div", { class: "muted" }, expects(wish)), wish.problem ? h("div", { class: "problem" }, wish.problem) : null));
  }));
}

/** @param {number} place */
function choose(place) {
  selected = Math.min(state.explanations.length - 1, Math.max(0, place));
  showWishes();
}

function open() {
  const wish = state?.explanations[selected];
  if (wish) location.assign(`/substation/${encodeURIComponent(wish.device_id)}`);
}

/** Off and advisory happen at once; automatic is asked for twice. @param {string} area @param {string} mode */
function ask(area, mode) {
  if (state.modes[area].mode === mode) return;
  asked = { area, mode };
  if (mode === "automatic") {
    show();
    byId("confirm-mode").focus();
  } else void confirmMode();
}

async function confirmMode() {
  if (!asked) return;
  const { area, mode } = asked;
  asked = null;
  try {
    state = await put(`/coordinator/areas/${encodeURIComponent(area)}`, { mode });
    showProblem(null);
    show();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    show();
    showProblem(error);
  }
}

bind([
  { key: "ArrowDown", show: "↑ ↓", label: t("keys.coordinator.move"), run: () => choose(selected + 1) },
  { key: "ArrowUp", label: "", run: () => choose(selected - 1) },
  { key: "Enter", label: t("keys.coordinator.open"), run: open },
  { key: "Escape", label: "", run: () => { asked = null; show(); } },
]);

live.onFrame(() => { if (state) replot(state.index.device_id); });
live.subscribe({});
await fetchState();
setInterval(() => { if (!live.stopped && !asked) void fetchState(); }, REFETCH_MS);
