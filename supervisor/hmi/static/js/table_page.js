/** Every house as a row: sortable, searchable, with quality and age; Enter opens the faceplate. */
import { bandOf } from "./bands.js";
import { byId, h, setText } from "./dom.js";
import * as format from "./format.js";
import { bind } from "./keys.js";
import { startShell } from "./shell.js";
import { t } from "./strings.js";
import { alarmSymbol } from "./symbols.js";
import { showValueCell, VirtualTable } from "./virtual_table.js";

const SELECTED_KEY = "toplovod.selected";
const VALUES = ["primary_supply_temp_c", "primary_return_temp_c", "primary_dp_bar", "primary_flow_m3_h", "primary_heat_kw",
  "secondary_supply_temp_effective_c", "secondary_supply_temp_c", "room_temp_c", "valve_position_out_pct"];
const MORE = ["control_mode_number", "active_limiter_number", "primary_return_limit_effective_c",
  "primary_flow_limit_effective_m3_h", "deficit_used_kh", "secondary_supply_temp_lease_number", "secondary_supply_temp_lease_s"];

const { site, live, alarms } = await startShell();

/** @param {string} id @param {string} point */
const numeric = (id, point) => live.reading(id, point).value ?? NaN;

/** @type {import("./virtual_table.js").Column[]} */
const columns = [
  {
    key: "alarm", title: t("table.alarm"), width: "54px",
    sort: (id) => alarms.worst.get(id)?.priority ?? 9,
    show: (cell, id) => {
      const priority = alarms.worst.get(id)?.priority ?? 0;
      const open = alarms.alarms.some((alarm) => alarm.device === id && alarm.unacknowledged);
      const now = `${priority}${open}`;
      if (cell.dataset.now === now) return;
      cell.dataset.now = now;
      cell.className = open ? "cell unacknowledged" : "cell";
      cell.replaceChildren(...(priority ? [alarmSymbol(priority, { small: true })] : []));
    },
  },
  { key: "name", title: t("table.name"), width: "minmax(94px, 1.4fr)", sort: (id) => site.device(id)?.name ?? id,
    show: (cell, id) => setText(cell, site.device(id)?.name ?? id) },
  { key: "area", title: t("table.area"), width: "70px", sort: (id) => site.areaName(site.device(id)?.area ?? ""),
    show: (cell, id) => setText(cell, site.areaName(site.device(id)?.area ?? "")) },
  { key: "link", title: t("table.link"), width: "114px", sort: (id) => live.link(id),
    show: (cell, id) => {
      const link = live.link(id);
      setText(cell, t(`link.${link}`));
      cell.classList.toggle("outside", link !== "ok");
    } },
  { key: "mode", title: t("point.control_mode_number"), width: "116px", sort: (id) => numeric(id, "control_mode_number"),
    show: (cell, id) => {
      const mode = live.reading(id, "control_mode_number");
      setText(cell, mode.value === null ? format.NO_VALUE : t(`value.control_mode_number.${mode.value}`));
    } },
  ...VALUES.map((point) => ({
    key: point, title: t(`short.${point}`), unit: site.point(point).unit, width: "minmax(68px, 1fr)", number: true,
    sort: (/** @type {string} */ id) => numeric(id, point),
    show: (/** @type {HTMLElement} */ cell, /** @type {string} */ id) => {
      const reading = live.reading(id, point);
      const device = site.device(id);
      const band = device && reading.quality === "good" ? bandOf(device, point, (name) => live.reading(id, name).value, site) : null;
      const outside = band?.normal != null && reading.value !== null && (reading.value < band.normal[0] || reading.value > band.normal[1]);
      showValueCell(cell, format.number(reading.value, site.point(point).decimals), reading.quality,
        // of a device that does not answer the column of the link says why all its values are hatched and struck out
        reading.quality === "good" || live.link(id) !== "ok" ? "" : t(`quality.${reading.quality}.mark`), outside);
    },
  })),
  { key: "lease", title: t("table.lease"), width: "minmax(96px, 1fr)", number: true,
    sort: (id) => numeric(id, "secondary_supply_temp_lease_s"),
    show: (cell, id) => {
      const owner = live.reading(id, "secondary_supply_temp_lease_number").value ?? 0;
      const left = live.reading(id, "secondary_supply_temp_lease_s").value ?? 0;
      setText(cell, owner ? `${t(`value.lease_owner.${owner}`)} ${format.leaseTime(left)}` : format.NO_VALUE);
    } },
  { key: "age", title: t("table.age"), width: "56px", number: true, sort: (id) => live.reading(id, "primary_supply_temp_c").age_s,
    show: (cell, id) => setText(cell, format.duration(live.reading(id, "primary_supply_temp_c").age_s)) },
];

const table = new VirtualTable(byId("table"), columns, {
  select: (id) => sessionStorage.setItem(SELECTED_KEY, id),
  open: (id) => {
    sessionStorage.setItem(SELECTED_KEY, id);
    location.assign(`/substation/${encodeURIComponent(id)}`);
  },
});
table.sortKey = "name";
table.drawHead();
table.selected = sessionStorage.getItem(SELECTED_KEY) ?? "";
table.setRows(site.idsOf("substation"));

const search = /** @type {HTMLInputElement} */ (byId("search"));
search.addEventListener("input", () => {
  const wanted = search.value.trim().toLocaleLowerCase();
  table.filter = (id) => {
    const device = site.device(id);
    return !wanted || !!device && `${device.id} ${device.name} ${site.areaName(device.area)}`.toLocaleLowerCase().includes(wanted);
  };
  table.arrange();
});

search.value = new URLSearchParams(location.search).get("search") ?? "";
if (search.value) search.dispatchEvent(new Event("input"));

let arrangedAt = 0;
function refresh() {
  // re-sorting under an operator's finger is worse than a second of old order
  const now = performance.now();
  if (now - arrangedAt > 5000 && table.sortKey !== "name") {
    arrangedAt = now;
    table.arrange();
  } else table.draw();
  setText(byId("row-count"), t("table.rows", { shown: table.ids.length, all: table.all.length }));
}

bind([
  { key: "ArrowDown", show: "↑ ↓", label: t("keys.table.move"), run: () => table.move(1) },
  { key: "ArrowUp", label: "", run: () => table.move(-1) },
  { key: "PageDown", label: "", run: () => table.move(table.pageRows()) },
  { key: "PageUp", label: "", run: () => table.move(-table.pageRows()) },
  { key: "Home", label: "", run: () => table.move(-table.ids.length) },
  { key: "End", label: "", run: () => table.move(table.ids.length) },
  { key: "Enter", label: t("keys.open"), run: () => table.on.open(table.selected) },
  { key: "/", label: t("keys.search"), run: () => search.focus() },
  { key: "Escape", label: "", typing: true, run: () => {
    search.value = "";
    search.dispatchEvent(new Event("input"));
    byId("table").focus();
  } },
  { key: "s", label: t("keys.table.sort"), run: () => {
    const at = columns.findIndex((column) => column.key === table.sortKey);
    table.sortBy(columns[(at + 1) % columns.length].key);
  } },
  { key: "S", show: "⇧S", label: t("keys.table.reverse"), run: () => table.sortBy(table.sortKey) },
]);
search.addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === "ArrowDown") {
    event.preventDefault();
    byId("table").focus();
  }
});

live.onFrame(refresh);
alarms.onChange(refresh);
live.subscribe({ substation: { points: [...VALUES, ...MORE] } });
