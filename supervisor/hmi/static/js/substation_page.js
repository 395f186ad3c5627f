/**
 * The faceplate of one controller: readings in their bands, setpoints with owner and time left, and the one
 * way to change them: select, preview, execute, verified. The button says whose value becomes what, for how
 * long; nothing on this page is carried out by a key alone except giving a point back.
 */
import { get, post, Refusal } from "./api.js";
import { byId, h, setText } from "./dom.js";
import * as format from "./format.js";
import { Indicator, ValueText, valueText } from "./indicator.js";
import { bind } from "./keys.js";
import { MetersPanel } from "./meters_panel.js";
import { Mimic } from "./mimic.js";
import { startShell } from "./shell.js";
import { known, t } from "./strings.js";
import { alarmSymbol } from "./symbols.js";
import { penLine, TrendPlot } from "./trend_plot.js";

const MANUAL_MODE = 2; // of control_mode_number
const TIME_POINT = "unix_time_set_s"; // ordered by the supervisor itself; seconds since 1970
const SPAN_S = 24 * 3600;
const LEASES_S = [300, 900, 1800, 3600];
const STEPS = ["selected", "previewed", "executed", "sent", "accepted", "effective"];
const IN_FLIGHT = new Set(["executed", "sent"]);
const READINGS = {
  substation: ["outdoor_temp_c", "primary_supply_temp_c", "primary_return_temp_c", "primary_dp_bar", "primary_flow_m3_h", "primary_heat_kw",
    "secondary_supply_temp_c", "secondary_return_temp_c", "room_temp_c", "valve_position_out_pct", "deficit_used_kh"],
  pump_station: ["outdoor_temp_c", "plant_supply_temp_c", "plant_return_temp_c", "plant_dp_bar", "plant_flow_m3_h", "plant_heat_kw",
    "pump_speed_out_pct"],
};
/** What a station may have or not, in the order of its parts; what it has not is not shown. */
const FUNCTIONS = {
  substation: ["schedule_mode_number", "room_shift_k", "dhw_state_number", "dhw_supply_temp_c", "dhw_temp_effective_c", "dhw_tank_top_temp_c",
    "dhw_tank_bottom_temp_c", "dhw_circulation_temp_c", "dhw_flow_m3_h", "dhw_valve_position_out_pct", "dhw_active_limiter_number",
    "dhw_pump_out_number", "circulation_pump_out_number", "legionella_result_number", "legionella_minimum_temp_c", "legionella_held_s",
    "legionella_passed_age_s", "legionella_started_age_s", "secondary2_supply_temp_c", "secondary2_supply_temp_effective_c",
    "secondary2_return_temp_c", "own2_curve_temp_c", "room2_temp_c", "room2_shift_k", "schedule2_mode_number", "valve2_position_out_pct",
    "secondary2_pump_out_number", "active2_limiter_number", "primary_heat_limit_effective_kw", "window_heat_mean_kw",
    "valve_starts_hour_count", "valve_starts_day_count", "valve2_starts_hour_count", "valve2_starts_day_count",
    "dhw_valve_starts_hour_count", "dhw_valve_starts_day_count", "sensor_doubt_bits", "local_time_number"],
  pump_station: ["pump_state_number", "suction_pressure_bar", "index_dp_bar", "index_dp_correction_bar", "dp_reserve_bar", "lead_pump_number",
    "pump2_speed_out_pct", "pump_run_s", "pump2_run_s", "plant_flow_minimum_bites_number"],
};
const PENS = {
  substation: ["secondary_supply_temp_c", "secondary_supply_temp_effective_c", "primary_return_temp_c", "primary_dp_bar"],
  pump_station: ["plant_supply_temp_c", "plant_return_temp_c", "plant_dp_bar"],
};

/** @typedef {{hash: string, old: number | null, new: number, low: number, high: number, unit: string, lease_s: number,
 *   effect: any, warnings: any[], expires_utc: string, needs_second_person: boolean, approved_by: string, user: string, device_id: string, point: string}} Preview */

const { site, live, alarms } = await startShell();
const deviceId = document.body.dataset.device ?? "";
const found = site.device(deviceId);
if (!found) throw new Error(`${deviceId} is not in the site`);
const device = found;
const profile = /** @type {"substation" | "pump_station"} */ (device.profile);
const leases = site.profiles[profile].leases;
const mayOrder = document.body.dataset.mayOrder === "1";
sessionStorage.setItem("toplovod.selected", deviceId);

/** @param {string} point */
const read = (point) => live.reading(deviceId, point);

// ---- readings --------------------------------------------------------------------------------------------
const indicators = READINGS[profile].map((point) => new Indicator(device, site, point));
byId("readings").replaceChildren(...indicators.map((indicator) => indicator.element));
const mimic = new Mimic(profile, site);
byId("mimic").replaceChildren(mimic.element);

// ---- what this station has besides ------------------------------------------------------------------------
const functionRows = FUNCTIONS[profile].map((name) => {
  const value = new ValueText(site.point(name), "td");
  return { name, value, element: h("tr", { "data-point": name, hidden: true }, h("td", {}, t(`point.${name}`)), value.element) };
});
byId("functions").replaceChildren(...functionRows.map((row) => row.element));

function showFunctions() {
  let any = false;
  for (const { name, value, element } of functionRows) {
    const reading = read(name);
    const there = reading.quality !== "unknown" && !(name.endsWith("_bits") && !reading.value);
    element.hidden = !there;
    any ||= there;
    if (!there) continue;
    value.show(reading);
    const told = functionText(name, reading.value);
    if (told === null) continue;
    setText(value.digits, told);
    setText(value.unit, "");
  }
  byId("functions-panel").hidden = !any;
}

/** Times, clocks and inputs in words; null = as the number it is. @param {string} name @param {number | null} value */
function functionText(name, value) {
  if (value === null) return null;
  if (name === "local_time_number") return `${String(Math.floor(value / 60)).padStart(2, "0")}:${String(value % 60).padStart(2, "0")}`;
  if (name.endsWith("_bits")) return [...Array(16).keys()].filter((bit) => (value >> bit) & 1).map((bit) => bit + 1).join(", ");
  return name.endsWith("_s") ? format.duration(value) : null;
}

const meters = profile === "substation" ? new MetersPanel(byId("meters-panel"), byId("meters"), site) : null;

// ---- setpoints ----------------------------------------------------------------------------------------------
let selected = 0;
/** @type {Preview | null} */
let preview = null;
/** @type {any} */
let order = null;
/** @type {any[]} */
let orders = [];
let ordersVersion = -1;
let busy = false;

const rows = leases.map((lease, index) => {
  const effective = new ValueText(site.point(lease.effective));
  const ordered = h("span", { class: "muted" });
  const owner = h("span", {});
  const left = h("span", { class: "number" });
  const bar = h("i", {});
  const element = h("div", {
    class: "setpoint", role: "option", id: `setpoint-${index}`, "data-point": lease.setpoint, "aria-selected": "false",
    onclick: () => choose(index), ondblclick: () => startEditing(),
  },
  h("div", { class: "line" }, h("strong", {}, t(`point.${lease.setpoint}`)), ordered, effective.element),
  h("div", { class: "lease" }, h("span", {}, owner, " ", left), h("span", { class: "lease-bar", style: null }, bar)));
  /** @type {HTMLElement} */ (element.querySelector(".lease-bar")).style.width = "150px";
  return { lease, effective, ordered, owner, left, bar, element };
});
byId("setpoints").replaceChildren(...rows.map((row) => row.element));

/** @param {number} index */
function choose(index) {
  if (preview || busy) return;
  selected = Math.min(rows.length - 1, Math.max(0, index));
  order = null;
  showSetpoints();
  showCommand();
}

function showSetpoints() {
  rows.forEach((row, index) => {
    row.element.setAttribute("aria-selected", String(index === selected));
    row.effective.show(read(row.lease.effective));
    const sp = read(row.lease.setpoint);
    const ownerNumber = read(row.lease.owner).value ?? 0;
    const seconds = read(row.lease.seconds_left).value ?? 0;
    setText(row.left, ownerNumber ? format.leaseTime(seconds) : "");
    row.bar.style.width = ownerNumber ? `${Math.min(100, (100 * seconds) / 3600)}%` : "0";
    const point = site.point(row.lease.setpoint);
    const active = orders.find((candidate) => candidate.point === row.lease.setpoint && HOLDING.has(candidate.state));
    // the controller names the key slot; whether person or coordinator is behind ours, our own orders know
    const owner = active ? active.owner === "coordinator" ? t("owner.coordinator") : active.user : t(`value.lease_owner.${ownerNumber}`);
    setText(row.owner, ownerNumber ? t("lease.owner", { owner }) : t("lease.nobody"));
    const value = sp.value ?? (ownerNumber && active ? active.value : null);
    setText(row.ordered, ownerNumber && value !== null ? t("lease.ordered", { value: `${format.number(value, point.decimals)} ${point.unit}` }) : "");
  });
}
const HOLDING = new Set(["accepted", "pending", "effective"]);

// ---- the command ----------------------------------------------------------------------------------------------
const box = byId("command");

/** @param {number | null} value @param {string} pointName */
function withUnit(value, pointName) {
  const point = site.point(pointName);
  return `${format.number(value, point.decimals)} ${point.unit}`;
}

/** The sentence on the button: address, change, length. @param {Preview} p */
function changeText(p) {
  const point = site.point(p.point);
  const old = format.number(p.old, point.decimals);
  return t("command.change_text", {
    address: deviceId, old, new: format.number(p.new, point.decimals), unit: point.unit, length: format.leaseLength(p.lease_s),
  });
}

function showCommand() {
  const lease = leases[selected];
  if (!mayOrder) {
    box.replaceChildren(h("p", { class: "muted" }, t("command.view_only", { area: site.areaName(device.area) })));
    return;
  }
  if (preview) {
    showPreview(preview);
    return;
  }
  if (order) {
    showOrder(order);
    return;
  }
  box.replaceChildren(
    h("h2", {}, t(`point.${lease.setpoint}`), h("span", { class: "aside" }, deviceId)),
    h("p", { class: "muted" }, t("command.how")),
    h("div", { class: "fields needs-live" },
      h("button", { id: "change", onclick: startEditing }, h("kbd", {}, "Enter"), " ", t("command.change")),
      h("button", { id: "release", onclick: () => release() }, h("kbd", {}, "R"), " ", t("command.release"))));
}

function startEditing() {
  if (!mayOrder || busy || preview) return;
  order = null;
  const lease = leases[selected];
  const point = site.point(lease.setpoint);
  const current = read(lease.effective).value;
  const value = /** @type {HTMLInputElement} */ (h("input", {
    id: "value", inputmode: "decimal", autocomplete: "off", value: current === null ? "" : format.number(current, point.decimals),
    "aria-describedby": "range",
  }));
  const length = /** @type {HTMLSelectElement} */ (h("select", { id: "lease" },
    ...LEASES_S.map((seconds) => h("option", { value: seconds, selected: seconds === 1800 }, format.leaseLength(seconds)))));
  const form = h("form", {
    class: "needs-live",
    onsubmit: (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      void makePreview(lease.setpoint, value, Number(length.value));
    },
  },
  h("h2", {}, t(`point.${lease.setpoint}`), h("span", { class: "aside" }, deviceId)),
  h("div", { class: "fields" },
    h("label", {}, t("command.new_value", { unit: point.unit }), value),
    h("label", {}, t("command.lease"), length),
    h("button", { id: "preview" }, t("command.preview")),
    h("button", { type: "button", onclick: cancel }, h("kbd", {}, "Esc"), " ", t("command.cancel"))),
  h("p", { id: "range", class: "muted" }, t("command.range", { low: withUnit(lowOf(lease.setpoint), lease.setpoint), high: withUnit(highOf(lease.setpoint), lease.setpoint) })));
  box.replaceChildren(steps("selected"), form);
  value.focus();
  value.select();
}

const LIMITS = /** @type {Record<string, [string | null, string | null]>} */ ({
  secondary_supply_temp_sp_c: ["supply_temp_minimum_c", "supply_temp_maximum_c"],
  primary_flow_limit_sp_m3_h: [null, "contract_flow_limit_m3_h"],
  plant_dp_sp_bar: ["plant_dp_minimum_bar", "plant_dp_maximum_bar"],
  plant_supply_temp_sp_c: ["plant_supply_temp_minimum_c", "plant_supply_temp_maximum_c"],
});
/** Shown beforehand only; the desk decides. @param {string} name */
function lowOf(name) {
  const low = LIMITS[name]?.[0];
  return Math.max(site.point(name).low, low ? device.limits[low] ?? -Infinity : -Infinity);
}
/** @param {string} name */
function highOf(name) {
  const high = LIMITS[name]?.[1];
  return Math.min(site.point(name).high, high ? device.limits[high] ?? Infinity : Infinity);
}

/** @param {string} pointName @param {HTMLInputElement} input @param {number} lease_s */
async function makePreview(pointName, input, lease_s) {
  const value = format.parseNumber(input.value);
  if (Number.isNaN(value)) {
    showProblem({ code: "not_a_number", message: t("command.not_a_number", { text: input.value }), whatNow: t("command.not_a_number.now"), changed: false });
    input.focus();
    return;
  }
  await guarded(async () => {
    knownOrders = new Set(orders.map((earlier) => earlier.id));
    preview = await post("/orders/preview", { substation: deviceId, point: pointName, value, lease_s });
    showCommand();
    byId("preview-panel").focus();
  });
}

/** @param {Preview} p */
function showPreview(p) {
  const point = site.point(p.point);
  const effect = p.effect ?? {};
  /** @type {Node[]} */
  const facts = [];
  /** @param {string} name @param {string} text */
  const fact = (name, text) => facts.push(h("dt", {}, name), h("dd", {}, text));
  fact(t("preview.change"), `${withUnit(p.old, p.point)} → ${withUnit(p.new, p.point)}`);
  fact(t("preview.limits"), `${format.number(p.low, point.decimals)} … ${format.number(p.high, point.decimals)} ${point.unit}`);
  fact(t("preview.lease"), t("preview.lease_text", { length: format.leaseLength(p.lease_s) }));
  for (const [name, decimals, unit] of /** @type {[string, number, string][]} */ ([
    ["heat_kw", 1, "kW"], ["flow_m3_h", 3, "m³/h"], ["secondary_supply_temp_c", 1, "°C"], ["plant_dp_bar", 2, "bar"], ["hydraulic_power_kw", 2, "kW"]])) {
    if (effect[name]) fact(t(`effect.${name}`), `${format.number(effect[name].before, decimals)} → ${format.number(effect[name].after, decimals)} ${unit}`);
  }
  if (effect.house_dp_change_bar !== undefined) fact(t("effect.house_dp_change_bar"), `${format.number(effect.house_dp_change_bar, 2)} bar`);
  if (!effect.available) fact(t("preview.effect"), t("preview.no_effect"));
  const reason = /** @type {HTMLInputElement} */ (h("input", { class: "reason", id: "reason", maxlength: 200, autocomplete: "off" }));
  box.replaceChildren(steps("previewed"),
    h("div", { id: "preview-panel", tabindex: -1, class: "needs-live" },
      h("h2", {}, t("preview.title", { point: t(`point.${p.point}`) }), h("span", { class: "aside" }, t("preview.estimate"))),
      h("dl", {}, ...facts),
      ...(p.needs_second_person ? [h("div", { class: "warning", id: "second-person" }, t("preview.second", { time: wallTime(p.expires_utc) }))] : []),
      ...p.warnings.map((warning) => h("div", { class: "warning" }, warningText(warning))),
      h("div", { class: "fields" },
        h("label", {}, t("command.reason"), reason),
        h("button", { type: "button", onclick: cancel }, h("kbd", {}, "Esc"), " ", t("command.cancel"))),
      h("p", {}, h("button", { class: "execute", id: "execute", disabled: p.needs_second_person, onclick: () => execute(reason.value) },
        t("command.execute", { text: changeText(p) })), " ",
      h("span", { class: "muted" }, t(p.needs_second_person ? "preview.waiting" : "preview.tab_hint")))));
}

/** Previews end in real time, whatever the plant's clock shows. @param {string} utc */
function wallTime(utc) {
  return new Date(utc).toLocaleTimeString("en-GB", { hourCycle: "h23" });
}

// ---- the second person: what moves the whole town -------------------------------------------------------------
let waitingShown = "";
/** Those there were when the preview was made. @type {Set<string>} */
let knownOrders = new Set();

async function fetchWaiting() {
  if (busy || live.stopped) return;
  try {
    /** @type {Preview[]} */
    const previews = (await get("/previews")).previews;
    const mine = previews.filter((candidate) => candidate.device_id === deviceId);
    if (preview?.needs_second_person && !mine.some((candidate) => candidate.hash === preview?.hash)) await followAgreed(preview);
    showWaiting(mine.filter((candidate) => candidate.user !== document.body.dataset.user && !candidate.approved_by));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
}

/** A preview is listed until its order is: it was agreed to and executed, or it is over. @param {Preview} asked */
async function followAgreed(asked) {
  await fetchOrders();
  if (preview !== asked) return; // given up meanwhile
  const agreed = orders.find((candidate) => candidate.user === document.body.dataset.user && candidate.approved_by
    && candidate.point === asked.point && !knownOrders.has(candidate.id));
  preview = null;
  order = agreed ?? null;
  showCommand();
  if (!agreed) showProblem({ code: "preview_expired", message: t("error.preview_expired"), whatNow: t("error.preview_expired.now"), changed: false });
}

/** @param {Preview[]} others */
function showWaiting(others) {
  const now = others.map((candidate) => candidate.hash).join();
  if (now === waitingShown) return;
  waitingShown = now;
  byId("waiting").replaceChildren(...others.map((candidate) => h("div", { class: "command needs-live", "data-preview": candidate.hash },
    h("h2", {}, t("preview.asked_by", { who: candidate.user }), h("span", { class: "aside" }, t("preview.until", { time: wallTime(candidate.expires_utc) }))),
    h("p", {}, `${t(`point.${candidate.point}`)}: ${withUnit(candidate.old, candidate.point)} → ${withUnit(candidate.new, candidate.point)}`),
    h("p", {}, h("button", { class: "execute", id: "approve", onclick: () => approve(candidate) }, t("command.approve", { text: changeText(candidate) }))))));
}

/** @param {Preview} candidate */
async function approve(candidate) {
  await guarded(async () => {
    await post("/orders/approve", { preview_hash: candidate.hash });
    order = await post("/orders/execute", { preview_hash: candidate.hash, reason: "" });
    preview = null;
    showCommand();
    void fetchOrders();
  });
  waitingShown = "";
  void fetchWaiting();
}

if (profile === "pump_station" && mayOrder) setInterval(fetchWaiting, 2000);

/** @param {any} warning */
function warningText(warning) {
  if (typeof warning === "string") return known(`warning.${warning}`, warning);
  return known(`warning.${warning.code}`, warning.message ?? warning.code, warning);
}

/** @param {string} reason */
async function execute(reason) {
  const current = preview;
  if (!current) return;
  await guarded(async () => {
    const answer = await post("/orders/execute", { preview_hash: current.hash, reason });
    preview = null;
    order = answer;
    showCommand();
    byId("order-panel").focus();
    void fetchOrders();
  }, () => { preview = null; });
}

async function release() {
  if (!mayOrder || busy) return;
  preview = null;
  const lease = leases[selected];
  await guarded(async () => {
    order = await post("/orders/release", { substation: deviceId, point: lease.setpoint, reason: "" });
    showCommand();
    byId("order-panel").focus();
    void fetchOrders();
  });
}

function cancel() {
  if (busy) return;
  preview = null;
  order = null;
  showCommand();
  byId("setpoints").focus();
}

/** One command at a time; a refusal is shown where the command was. @param {() => Promise<void>} work @param {() => void} [after] on failure */
async function guarded(work, after) {
  if (busy) return;
  busy = true;
  document.body.classList.add("busy");
  try {
    await work();
  } catch (error) {
    after?.();
    if (error instanceof Refusal) showProblem(error);
    else throw error;
  } finally {
    busy = false;
    document.body.classList.remove("busy");
  }
}

/** @param {{code: string, message: string, whatNow: string, changed: boolean, detail?: string}} problem */
function showProblem(problem) {
  box.querySelector(".problem")?.remove();
  box.append(h("div", { class: "problem", role: "alert" },
    h("strong", {}, problem.message), h("div", {}, problem.whatNow),
    ...(problem.detail && problem.detail !== problem.message ? [h("div", { class: "muted" }, problem.detail)] : []),
    h("div", { class: "code" }, `${problem.code} · ${t(problem.changed ? "problem.changed" : "problem.unchanged")}`)));
}

/** @param {string} state @returns {HTMLElement} */
function steps(state, releasing = false) {
  const bad = ["refused", "failed", "expired", "unknown"].includes(state);
  const reached = state === "pending" ? STEPS.indexOf("accepted") : bad ? STEPS.indexOf("sent") : state === "released" ? STEPS.length : STEPS.indexOf(state);
  const list = h("ol", { class: "steps", "aria-label": t("steps.label") });
  STEPS.forEach((step, index) => {
    const name = releasing && step === "effective" ? "released" : step;
    list.append(h("li", { class: index < reached ? "done" : index === reached ? (bad ? "bad" : "now") : "", "data-step": name },
      t(`state.${bad && index === reached ? state : state === "pending" && index === reached ? "pending" : name}`)));
  });
  return list;
}

/** @param {any} o */
function showOrder(o) {
  const title = o.release ? t("command.release_text", { address: deviceId, point: t(`point.${o.point}`) })
    : t("command.change_text", {
      address: deviceId, old: format.number(o.old, site.point(o.point).decimals), new: format.number(o.value, site.point(o.point).decimals),
      unit: site.point(o.point).unit, length: format.leaseLength(o.lease_s),
    });
  box.replaceChildren(steps(o.state, o.release),
    h("div", { id: "order-panel", tabindex: -1, "data-state": o.state, role: "status" },
      h("h2", {}, title),
      h("p", {}, h("strong", {}, t(`state.${o.state}`)), ` · ${format.dayTime(Date.parse(o.changed_utc) / 1000)} · `, t(`state.${o.state}.meaning`)),
      o.message ? h("p", {}, known(`code.${o.code}`, o.message)) : null,
      h("div", { class: "fields" },
        h("button", { onclick: cancel }, h("kbd", {}, "Esc"), " ", t("command.done")),
        o.release || ["refused", "failed", "expired", "released"].includes(o.state) ? null
          : h("button", { id: "release", onclick: () => release() }, h("kbd", {}, "R"), " ", t("command.release")))));
}

// ---- orders of this device -----------------------------------------------------------------------------------
/** @type {Promise<void> | null} */
let fetchingOrders = null;
/** @type {Promise<void> | null} */
let fetchingOrdersNext = null;

/** Get the orders as they are from now on; a request under way may have been answered before, so another follows it.
 * @returns {Promise<void>} */
function fetchOrders() {
  if (!fetchingOrders) return (fetchingOrders = readOrders().finally(() => { fetchingOrders = null; }));
  fetchingOrdersNext ??= fetchingOrders.catch(() => {}).then(() => { fetchingOrdersNext = null; return fetchOrders(); });
  return fetchingOrdersNext;
}

async function readOrders() {
  ordersVersion = live.frame?.ordersVersion ?? ordersVersion;
  try {
    orders = (await get(`/orders?substation=${encodeURIComponent(deviceId)}`)).orders;
    const shown = order && orders.find((candidate) => candidate.id === order.id);
    if (shown && (shown.state !== order.state || shown.changed_utc !== order.changed_utc)) {
      order = shown;
      if (!preview) showCommand();
    }
    showOrders();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    ordersVersion = -1; // ask again with the next frame
  }
}

function showOrders() {
  byId("orders").replaceChildren(...orders.slice(0, 12).map((o) => h("tr", { "data-order": o.id, "data-ordered": o.point, "data-state": o.state },
    h("td", { class: "number" }, format.shortTime(Date.parse(o.executed_utc) / 1000)),
    h("td", {}, t(`short.${o.point}`)),
    h("td", { class: "number" }, o.release ? t("orders.release") : o.point === TIME_POINT ? format.clockTime(o.value) : `${format.number(o.old, site.point(o.point).decimals)} → ${withUnit(o.value, o.point)}`),
    h("td", {}, ["coordinator", "clock"].includes(o.owner) ? t(`owner.${o.owner}`) : o.user),
    h("td", {}, h("span", { class: IN_FLIGHT.has(o.state) || ["refused", "failed", "unknown"].includes(o.state) ? "tag strong" : "tag" }, t(o.code === "superseded" ? "state.superseded" : `state.${o.state}`))))));
  byId("orders-empty").hidden = orders.length > 0;
}

// ---- alarms, diagnostics, trend -------------------------------------------------------------------------------
function showAlarms() {
  const mine = alarms.alarms.filter((alarm) => alarm.device === deviceId);
  byId("device-alarms").replaceChildren(...(mine.length ? mine.map((alarm) => h("div", {
    class: alarm.unacknowledged ? "unacknowledged" : "",
  }, alarmSymbol(alarm.priority), " ", h("strong", {}, alarm.text), " ", h("span", { class: "muted" }, format.dayTime(alarm.since_s)),
  h("div", { class: "muted" }, alarm.action))) : [h("div", { class: "empty" }, t("faceplate.no_alarms"))]));
}

const diagnostics = site.profiles[profile].points.filter((point) => point.live && point.access === "diagnostic" && point.space === "input"
  && !point.name.includes("_lease_") && !point.name.endsWith("_code") && point.name !== "unix_time_s");
const diagnosticRows = diagnostics.map((point) => {
  const value = h("td", { class: "number" });
  return { point, value, element: h("tr", {}, h("td", {}, t(`point.${point.name}`)), value) };
});
const bits = diagnosticRows.find((row) => row.point.name === "alarm_bits");
const source = h("td", { class: "number" }, "…"); // not empty, and not the dash of "none": not asked yet
const identity = h("td", { class: "number" }, "…");
const clock = h("td", { id: "device-clock" }, "…");
byId("diagnostics").replaceChildren(
  h("tr", {}, h("td", {}, t("point.last_refusal_source_code")), source), h("tr", {}, h("td", {}, t("faceplate.identity")), identity),
  h("tr", {}, h("td", {}, t("faceplate.clock")), clock),
  ...diagnosticRows.map((row) => row.element));

/** @param {{state: string, off_s: number | null, told_utc: string | null, withheld: string | null}} facts */
function clockText(facts) {
  const told = facts.told_utc ? ` · ${t("clock.told", { time: format.dayTime(Date.parse(facts.told_utc) / 1000) })}` : "";
  if (facts.withheld) return t("clock.withheld", { why: facts.withheld });
  return t(`clock.${facts.state}`, { off: format.number(facts.off_s, 0) }) + told;
}

/** An address has 32 bits and a frame's number 24: what needs all of them comes by a request of its own. */
async function fetchIdentity() {
  if (live.stopped || !(/** @type {HTMLDetailsElement} */ (byId("diagnostics-panel")).open)) return;
  try {
    const facts = await get(`/substations/${encodeURIComponent(deviceId)}`);
    const code = facts.points.last_refusal_source_code?.value;
    setText(source, code ? [24, 16, 8, 0].map((shift) => Math.floor(code / 2 ** shift) % 256).join(".") : format.NO_VALUE);
    clock.dataset.state = facts.clock.state;
    setText(clock, clockText(facts.clock));
    setText(identity, facts.boots === null ? format.NO_VALUE : t("faceplate.boots", { boots: facts.boots, uptime: format.duration(facts.uptime_s) }));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
}
let identityAsked = false;
setInterval(fetchIdentity, 5000);

// ---- the device's own log: read when somebody asks, never by itself ----------------------------------------------
const logButton = /** @type {HTMLButtonElement} */ (byId("read-log"));
const verdict = byId("log-verdict");

async function readLog() {
  logButton.disabled = true;
  verdict.className = "muted";
  setText(verdict, t("log.reading"));
  try {
    const log = await get(`/substations/${encodeURIComponent(deviceId)}/log`);
    const time = format.dayTime(Date.parse(log.read_utc) / 1000);
    verdict.dataset.whole = String(log.whole);
    verdict.className = log.whole ? "" : "problem";
    setText(verdict, log.broken ? t("log.broken", { why: log.broken }) : log.genuine === false ? t("log.not_genuine")
      : log.genuine ? t("log.whole", { count: log.next - log.oldest, time }) : t("log.not_proven"));
    byId("log").replaceChildren(...log.records.map((/** @type {any} */ r) => h("tr", { "data-kind": r.kind },
      h("td", { class: "number" }, r.sequence),
      h("td", {}, r.unix_s ? format.dayTime(r.unix_s) : t("log.start", { boot: r.boot ?? "?", uptime: format.duration(r.uptime_s) })),
      h("td", {}, r.who), h("td", {}, r.text))));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    verdict.className = "problem";
    setText(verdict, `${error.message} ${error.whatNow}`);
  } finally {
    logButton.disabled = !mayOrder;
  }
}
logButton.disabled = !mayOrder;
logButton.addEventListener("click", () => void readLog());

const plot = new TrendPlot(byId("trend"), site, { compact: true });
plot.setPens(PENS[profile].map((point) => ({ device: deviceId, point })));
byId("pens").replaceChildren(...PENS[profile].map((point, index) => h("span", { class: "pen" }, penLine(index), t(`short.${point}`))));
let plottedAt = 0;
let plottedWall = -Infinity; // the first plot waits for nothing

function refresh() {
  for (const indicator of indicators) indicator.show(read);
  mimic.show(read);
  showFunctions();
  meters?.show(read);
  showSetpoints();
  const link = live.link(deviceId);
  const mode = read("control_mode_number");
  const left = read("manual_seconds_left_s");
  const lasts = mode.value === MANUAL_MODE && left.value ? ` ${format.duration(left.value)}` : "";
  const limiter = read("active_limiter_number");
  byId("device-state").replaceChildren(
    h("span", { class: `tag${link === "ok" ? "" : " strong"}` }, t(`link.${link}`)), " ",
    h("span", { class: "tag" }, mode.value === null ? format.NO_VALUE : `${t(`value.control_mode_number.${mode.value}`)}${lasts}`), " ",
    limiter.value ? h("span", { class: "tag strong" }, t(`value.active_limiter_number.${limiter.value}`)) : "",
    h("span", { class: "muted" }, ` ${t("faceplate.age", { age: format.duration(read("outdoor_temp_c").age_s) })}`));
  if (/** @type {HTMLDetailsElement} */ (byId("diagnostics-panel")).open) {
    for (const row of diagnosticRows) setText(row.value, `${valueText(row.point, read(row.point.name).value)} ${row.point.unit}`);
    const raised = read("alarm_bits").value;
    if (bits && raised !== null) {
      const words = site.alarmBits.filter((_, bit) => (raised >> bit) & 1).map((name) => t(`bit.${name}`));
      setText(bits.value, words.join(", ") || format.NO_VALUE);
    }
  }
  const frame = live.frame;
  if (!frame) return;
  if (!identityAsked) {
    identityAsked = true;
    void fetchIdentity();
  }
  if (frame.ordersVersion !== ordersVersion) void fetchOrders();
  const now = performance.now();
  if (now - plottedWall > 3000 && (frame.utc_s - plottedAt > (plot.hours * 3600) / 400 || now - plottedWall > 60000)) {
    plottedWall = now;
    plottedAt = frame.utc_s;
    void plot.load(frame.utc_s - SPAN_S, frame.utc_s).then(() =>
      setText(byId("trend-title"), t("faceplate.trend", { hours: plot.hours })));
  }
}

bind([
  { key: "ArrowDown", show: "↑ ↓", label: t("keys.faceplate.select"), run: () => choose(selected + 1) },
  { key: "ArrowUp", label: "", run: () => choose(selected - 1) },
  { key: "Enter", label: t("keys.faceplate.change"), run: () => { if (!preview && !order) startEditing(); } },
  { key: "r", label: t("keys.faceplate.release"), run: () => release() },
  { key: "R", label: "", run: () => release() },
  { key: "Escape", label: t("keys.faceplate.cancel"), typing: true, run: () => {
    if (preview || order || box.querySelector("form")) cancel();
    else history.back();
  } },
  { key: "d", label: t("keys.faceplate.diagnostics"), run: () => {
    const panel = /** @type {HTMLDetailsElement} */ (byId("diagnostics-panel"));
    panel.open = !panel.open;
    refresh();
  } },
  { key: "t", label: t("keys.faceplate.trend"), run: () => location.assign(`/trend?pens=${PENS[profile].map((point) => `${deviceId}.${point}`).join(",")}`) },
  { key: "m", label: t("keys.faceplate.map"), run: () => location.assign(`/?select=${encodeURIComponent(deviceId)}`) },
]);

showCommand();
showAlarms();
byId("setpoints").focus();
live.onFrame(refresh);
alarms.onChange(showAlarms);
live.subscribe({ [profile]: { devices: [deviceId], points: site.profiles[profile].points.filter((point) => point.live).map((point) => point.name) } });
