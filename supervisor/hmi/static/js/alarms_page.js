/**
 * The alarms in hand, worst and newest first, each with what to do and how soon. Of a group only the cause
 * stands in the list. Enter goes to the place where the cause is.
 */
import { post, Refusal } from "./api.js";
import { byId, h, setText } from "./dom.js";
import * as format from "./format.js";
import { bind } from "./keys.js";
import { startShell } from "./shell.js";
import { t } from "./strings.js";
import { alarmSymbol } from "./symbols.js";

/** @typedef {import("./alarm_store.js").Alarm} Alarm */

const { site, live, alarms } = await startShell();
const list = byId("alarm-list");
const detail = byId("alarm-detail");
let selected = decodeURIComponent(location.hash.slice(1));
/** @type {{message: string, whatNow: string} | null} */
let problem = null;
let shelving = false;

function show() {
  if (!alarms.roots.some((alarm) => alarm.id === selected)) {
    const child = alarms.byId(selected);
    selected = (child ? alarms.causeOf(child).id : alarms.roots[0]?.id) ?? "";
  }
  list.replaceChildren(...alarms.roots.map((alarm) => h("tr", {
    role: "option", "aria-selected": String(alarm.id === selected), "data-alarm": alarm.id,
    class: alarm.unacknowledged ? "unacknowledged" : "",
    onclick: () => select(alarm.id), ondblclick: openCause,
  },
  h("td", {}, alarmSymbol(alarm.priority)),
  h("td", {}, h("span", { class: alarm.unacknowledged ? "tag strong" : "tag" }, t(`alarm.state.${alarm.state}`))),
  h("td", { class: "number" }, format.dayTime(alarm.since_s)),
  h("td", {}, h("strong", {}, alarm.where)),
  h("td", {}, alarm.text, alarm.children.length ? h("span", { class: "tag" }, t("alarms.group", { count: alarm.children.length })) : null),
  h("td", { class: "number" }, respond(alarm)))));
  byId("alarms-empty").hidden = alarms.roots.length > 0;
  showLoad();
  byId("shelved-panel").hidden = alarms.shelved.length === 0;
  byId("shelved").replaceChildren(...alarms.shelved.map((alarm) => h("tr", {},
    h("td", {}, alarmSymbol(alarm.priority, { small: true })), h("td", {}, h("strong", {}, alarm.where)), h("td", {}, alarm.text),
    h("td", { class: "muted" }, t("alarms.shelved_until", { who: alarm.shelved_by, time: format.dayTime(alarm.shelved_until_s ?? 0), reason: alarm.shelve_reason })),
    h("td", {}, h("button", { onclick: () => act(() => post(`/alarms/${encodeURIComponent(alarm.id)}/unshelve`, {})) }, t("alarms.unshelve"))))));
  list.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  if (!shelving) showDetail();
}

function showLoad() {
  const waiting = alarms.roots.filter((alarm) => alarm.unacknowledged).length;
  setText(byId("alarm-total"), t("alarms.total", { all: alarms.roots.length, waiting }));
  const k = alarms.kpis;
  byId("alarm-load").replaceChildren(
    t("alarms.load", { ten: k.new_10_min ?? format.NO_VALUE, hour: k.new_hour ?? format.NO_VALUE, day: k.new_day ?? format.NO_VALUE }),
    k.stale ? ` · ${t("alarms.stale", { count: k.stale })}` : "", " ",
    k.flood ? h("span", { class: "tag strong" }, t("alarms.flood")) : "");
}

/** Time left to respond. @param {Alarm} alarm */
function respond(alarm) {
  if (alarm.respond_within_s === null || !live.frame) return format.NO_VALUE;
  const left = alarm.since_s + alarm.respond_within_s - live.frame.utc_s;
  return left > 0 ? format.duration(left) : t("alarms.overdue");
}

/** Where Enter leads: the device itself; for an area short of pressure the plant; else its houses. @param {Alarm} alarm */
function placeOf(alarm) {
  const cause = alarms.causeOf(alarm);
  if (site.device(cause.device)) return { path: `/substation/${encodeURIComponent(cause.device)}`, name: cause.where };
  const plant = site.devices.find((device) => device.profile === "pump_station");
  if (cause.kind === "area_low_dp" && plant) return { path: `/substation/${encodeURIComponent(plant.id)}`, name: plant.name };
  if (site.areas.some((area) => area.id === cause.device)) {
    return { path: `/table?search=${encodeURIComponent(site.areaName(cause.device))}`, name: cause.where };
  }
  return { path: "/", name: t("page.map") };
}

function showDetail() {
  const alarm = alarms.byId(selected);
  if (!alarm) {
    detail.replaceChildren(h("p", { class: "empty" }, t("alarms.none")));
    return;
  }
  detail.replaceChildren(
    h("h2", {}, alarmSymbol(alarm.priority), " ", alarm.where, h("span", { class: "aside" }, alarm.device)),
    h("p", {}, h("strong", {}, alarm.text)),
    h("h3", {}, t("alarms.what_to_do")), h("p", {}, alarm.action),
    h("h3", {}, t("alarms.consequence")), h("p", {}, alarm.consequence),
    h("h3", {}, t("alarms.respond")), h("p", {}, `${respond(alarm)} · ${t("alarms.since_long", { time: format.dayTime(alarm.since_s) })}`),
    ...(alarm.children.length ? [h("h3", {}, t("alarms.group", { count: alarm.children.length })), h("p", {},
      ...alarm.children.flatMap((id) => {
        const child = alarms.byId(id);
        return child ? [h("a", { href: `/substation/${encodeURIComponent(child.device)}` }, child.where), " "] : [];
      }))] : []),
    h("p", {},
      h("button", { id: "to-cause", onclick: openCause }, h("kbd", {}, "Enter"), " ", t("alarms.to_place", { where: placeOf(alarm).name })), " ",
      h("button", { id: "acknowledge", disabled: !alarm.unacknowledged, onclick: acknowledge }, h("kbd", {}, "K"), " ", t("alarms.acknowledge")), " ",
      h("button", { id: "shelve", onclick: startShelving }, h("kbd", {}, "O"), " ", t("alarms.shelve"))),
    ...problemBox());
}

function problemBox() {
  return problem ? [h("div", { class: "problem", role: "alert" }, h("strong", {}, problem.message), h("div", {}, problem.whatNow))] : [];
}

function startShelving() {
  const alarm = alarms.byId(selected);
  if (!alarm) return;
  shelving = true;
  const minutes = /** @type {HTMLInputElement} */ (h("input", { inputmode: "numeric", value: "60" }));
  const reason = /** @type {HTMLInputElement} */ (h("input", { class: "reason", maxlength: 500 }));
  detail.append(h("form", {
    class: "command",
    onsubmit: (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      shelving = false;
      void act(() => post(`/alarms/${encodeURIComponent(alarm.id)}/shelve`, { minutes: Number(minutes.value), reason: reason.value }));
    },
  }, h("div", { class: "fields" }, h("label", {}, t("alarms.shelve_for"), minutes), h("label", {}, t("alarms.shelve_reason"), reason),
    h("button", {}, t("alarms.shelve")))));
  reason.focus();
}

/** @param {string} id */
function select(id) {
  selected = id;
  problem = null;
  shelving = false;
  history.replaceState(null, "", `#${encodeURIComponent(id)}`);
  show();
}

/** @param {number} by */
function move(by) {
  const at = alarms.roots.findIndex((alarm) => alarm.id === selected);
  const next = alarms.roots[Math.min(alarms.roots.length - 1, Math.max(0, at + by))];
  if (next) select(next.id);
}

function openCause() {
  const alarm = alarms.byId(selected);
  if (alarm) location.assign(placeOf(alarm).path);
}

/** @param {() => Promise<unknown>} work */
async function act(work) {
  try {
    await work();
    problem = null;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    problem = { message: error.message, whatNow: error.whatNow };
  }
  await alarms.fetch();
}

async function acknowledge() {
  const alarm = alarms.byId(selected);
  if (!alarm?.unacknowledged) return;
  const next = alarms.roots.find((candidate) => candidate.unacknowledged && candidate !== alarm);
  await act(async () => {
    await post(`/alarms/${encodeURIComponent(alarm.id)}/acknowledge`, {});
    if (next) selected = next.id;
  });
}

bind([
  { key: "ArrowDown", show: "↑ ↓", label: t("keys.alarms.move"), run: () => move(1) },
  { key: "ArrowUp", label: "", run: () => move(-1) },
  { key: "Home", label: "", run: () => move(-1e6) },
  { key: "End", label: "", run: () => move(1e6) },
  { key: "Enter", label: t("keys.alarms.cause"), run: openCause },
  { key: "k", label: t("keys.alarms.acknowledge"), run: acknowledge },
  { key: "o", label: t("keys.alarms.shelve"), run: startShelving },
  { key: "Escape", label: "", typing: true, run: () => {
    shelving = false;
    problem = null;
    show();
    list.focus();
  } },
]);

alarms.onChange(show);
setInterval(() => { if (alarms.roots.length && !shelving) show(); }, 5000);
live.subscribe({});
list.focus();
