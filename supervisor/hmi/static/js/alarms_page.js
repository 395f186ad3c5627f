/**
 * The alarms in hand, worst and newest first, each with what to do and how soon. Enter goes to the cause:
 * of a group that is the device whose failure explains the others.
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
/** @type {string} */
let problem = "";

function show() {
  if (!alarms.byId(selected)) selected = alarms.alarms[0]?.id ?? "";
  list.replaceChildren(...alarms.alarms.map((alarm) => {
    const cause = alarms.causeOf(alarm);
    const row = h("tr", {
      role: "option", "aria-selected": String(alarm.id === selected), "data-alarm": alarm.id,
      class: alarm.unacknowledged ? "unacknowledged" : "",
      onclick: () => select(alarm.id), ondblclick: () => openCause(),
    },
    h("td", {}, alarmSymbol(alarm.priority)),
    h("td", {}, h("span", { class: alarm.unacknowledged ? "tag strong" : "tag" }, t(`alarm.state.${alarm.state}`))),
    h("td", { class: "number" }, format.dayTime(alarm.since_s)),
    h("td", {}, h("strong", {}, site.device(alarm.device)?.name ?? alarm.device)),
    h("td", {}, alarm.text, alarm.children.length ? h("span", { class: "tag" }, t("alarms.group", { count: alarm.children.length })) : null),
    h("td", { class: "number" }, respond(alarm)),
    h("td", { class: "muted" }, cause !== alarm ? t("alarms.caused_by", { cause: site.device(cause.device)?.name ?? cause.device }) : ""));
    return row;
  }));
  byId("alarms-empty").hidden = alarms.alarms.length > 0;
  const waiting = alarms.alarms.filter((alarm) => alarm.unacknowledged).length;
  setText(byId("alarm-total"), t("alarms.total", { all: alarms.alarms.length, waiting }));
  list.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  showDetail();
}

/** Time left to respond. @param {Alarm} alarm */
function respond(alarm) {
  if (alarm.respond_within_s === null || !live.frame) return format.NO_VALUE;
  const left = alarm.since_s + alarm.respond_within_s - live.frame.utc_s;
  return left > 0 ? format.duration(left) : t("alarms.overdue");
}

function showDetail() {
  const alarm = alarms.byId(selected);
  if (!alarm) {
    detail.replaceChildren(h("p", { class: "empty" }, t("alarms.none")));
    return;
  }
  const cause = alarms.causeOf(alarm);
  detail.replaceChildren(
    h("h2", {}, alarmSymbol(alarm.priority), " ", site.device(alarm.device)?.name ?? alarm.device,
      h("span", { class: "aside" }, alarm.device)),
    h("p", {}, h("strong", {}, alarm.text)),
    h("h3", {}, t("alarms.what_to_do")), h("p", {}, alarm.action),
    h("h3", {}, t("alarms.respond")), h("p", {}, `${respond(alarm)} · ${t("alarms.since_long", { time: format.dayTime(alarm.since_s) })}`),
    ...(cause !== alarm ? [h("p", {}, t("alarms.caused_by", { cause: site.device(cause.device)?.name ?? cause.device }), ": ", cause.text)] : []),
    ...(alarm.children.length ? [h("p", {}, t("alarms.group", { count: alarm.children.length }), ": ",
      alarm.children.map((id) => site.device(alarms.byId(id)?.device ?? "")?.name ?? id).join(", "))] : []),
    h("p", {},
      h("button", { id: "to-cause", onclick: openCause }, h("kbd", {}, "Enter"), " ", t("alarms.to_cause", { device: cause.device })), " ",
      h("button", { id: "acknowledge", disabled: !alarm.unacknowledged, onclick: acknowledge }, h("kbd", {}, "K"), " ", t("alarms.acknowledge"))),
    ...(problem ? [h("div", { class: "problem", role: "alert" }, h("strong", {}, problem))] : []));
}

/** @param {string} id */
function select(id) {
  selected = id;
  problem = "";
  history.replaceState(null, "", `#${encodeURIComponent(id)}`);
  show();
}

/** @param {number} by */
function move(by) {
  const at = alarms.alarms.findIndex((alarm) => alarm.id === selected);
  const next = alarms.alarms[Math.min(alarms.alarms.length - 1, Math.max(0, at + by))];
  if (next) select(next.id);
}

function openCause() {
  const alarm = alarms.byId(selected);
  if (!alarm) return;
  const device = alarms.causeOf(alarm).device;
  location.assign(site.device(device) ? `/substation/${encodeURIComponent(device)}` : "/");
}

async function acknowledge() {
  const alarm = alarms.byId(selected);
  if (!alarm?.unacknowledged) return;
  const next = alarms.alarms.filter((candidate) => candidate.unacknowledged && candidate !== alarm)[0];
  try {
    await post(`/alarms/${encodeURIComponent(alarm.id)}/acknowledge`, {});
    problem = "";
    if (next) selected = next.id;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    problem = `${error.message} ${error.whatNow}`;
  }
  await alarms.fetch();
}

bind([
  { key: "ArrowDown", show: "↑ ↓", label: t("keys.alarms.move"), run: () => move(1) },
  { key: "ArrowUp", label: "", run: () => move(-1) },
  { key: "Home", label: "", run: () => move(-1e6) },
  { key: "End", label: "", run: () => move(1e6) },
  { key: "Enter", label: t("keys.alarms.cause"), run: openCause },
  { key: "k", label: t("keys.alarms.acknowledge"), run: acknowledge },
]);

alarms.onChange(show);
live.onFrame(() => setText(byId("alarm-total"), t("alarms.total", {
  all: alarms.alarms.length, waiting: live.frame?.unacknowledged ?? 0 })));
setInterval(() => { if (alarms.alarms.length) show(); }, 5000);
live.subscribe({});
byId("alarm-list").focus();
