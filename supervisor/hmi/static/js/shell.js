/**
 * What every page has: the top bar with time and data age, the alarm line, the keys, the palette, and the
 * watch that greys everything out when ticks stop.
 */
import { AlarmStore } from "./alarm_store.js";
import { byId, h, setText } from "./dom.js";
import * as format from "./format.js";
import { bind, showKeys } from "./keys.js";
import { Live, STOPPED_AFTER_S } from "./live.js";
import { loadSite } from "./site.js";
import { t } from "./strings.js";
import { alarmSymbol } from "./symbols.js";

const PALETTE_KEY = "toplovod.palette";
const PAGES = [["1", "/", "map"], ["2", "/table", "table"], ["3", "/alarms", "alarms"], ["4", "/trend", "trend"],
  ["5", "/coordinator", "coordinator"]];

/** @typedef {{site: import("./site.js").Site, live: Live, alarms: AlarmStore}} Shell */

/** @returns {Promise<Shell>} */
export async function startShell() {
  byId("night").addEventListener("click", togglePalette);
  byId("zone").addEventListener("click", toggleZone);
  byId("help").addEventListener("click", showKeys);
  bind([
    ...PAGES.map(([key, path, name]) => ({
      key, label: "", run: () => location.assign(path), show: `${key}`, name,
    })),
    { key: "1", show: "1 … 5", label: t("keys.pages"), run: () => location.assign("/") },
    { key: "a", label: t("keys.alarms"), run: () => location.assign("/alarms") },
    { key: "n", label: t("keys.night"), run: togglePalette },
    { key: "u", label: t("keys.zone"), run: toggleZone },
    { key: "?", label: t("keys.help"), run: showKeys },
  ]);
  const site = await loadSite();
  const live = new Live(site);
  const alarms = new AlarmStore(live);
  live.onFrame(() => showState(live));
  setInterval(() => showClock(live), 200);
  alarms.onChange(() => showAlarmLine(alarms));
  window.addEventListener("toplovod:zone", () => showClock(live));
  return { site, live, alarms };
}

function togglePalette() {
  const night = document.documentElement.dataset.palette !== "night";
  document.documentElement.dataset.palette = night ? "night" : "day";
  localStorage.setItem(PALETTE_KEY, night ? "night" : "day");
  window.dispatchEvent(new Event("toplovod:palette"));
}

function toggleZone() {
  format.toggleZone();
  window.dispatchEvent(new Event("toplovod:zone"));
}

/** @param {Live} live */
function showClock(live) {
  const frame = live.frame;
  setText(byId("clock-zone"), format.zoneName());
  if (!frame) return;
  setText(byId("clock-time"), format.clockTime(frame.utc_s));
  setText(byId("clock-day"), format.calendarDay(frame.utc_s));
  const simulated = byId("simulated");
  simulated.hidden = !frame.simulated;
  if (frame.simulated) {
    setText(simulated, t("time.simulated", { speed: format.number(frame.speed, frame.speed < 10 ? 1 : 0) }));
  }
  const age = live.frameAge();
  setText(byId("data-age"), t("time.data_age", { age: format.number(age, 1) }));
}

/** @param {Live} live */
function showState(live) {
  const stopped = live.stopped !== "" && live.stopped !== "connecting";
  document.body.classList.toggle("stopped", stopped);
  const notice = byId("stopped");
  notice.hidden = !stopped;
  if (stopped) {
    const since = Math.round(live.stopped === "no_frames" ? live.frameAge()
      : (performance.now() - live.timeMovedAt) / 1000);
    setText(byId("stopped-title"), t(`stopped.${live.stopped}`, { seconds: since }));
    setText(byId("stopped-text"), t(`stopped.${live.stopped}.now`, {
      time: live.frame ? format.dayTime(live.frame.utc_s) : format.NO_VALUE, limit: STOPPED_AFTER_S,
    }));
  }
  if (live.frame) {
    live.frame.active.forEach((count, index) => {
      const element = byId(`count-p${index + 1}`);
      setText(element, String(count));
      // a colour only where there is something: a standing zero is grey
      element.previousElementSibling?.classList.toggle("none", count === 0);
    });
    setText(byId("count-unacknowledged"), String(live.frame.unacknowledged));
    byId("alarm-line").classList.toggle("unacknowledged", live.frame.unacknowledged > 0);
  }
}

/** @param {AlarmStore} alarms */
function showAlarmLine(alarms) {
  const newest = byId("newest-alarm");
  const first = alarms.roots[0];
  if (alarms.failed) newest.replaceChildren(t("alarms.not_fetched"));
  else if (!first) newest.replaceChildren(h("span", { class: "muted" }, t("alarms.none")));
  else {
    newest.replaceChildren(h("a", { href: `/alarms#${encodeURIComponent(first.id)}` },
      alarmSymbol(first.priority), " ", h("strong", {}, first.where), " · ", first.text,
      h("span", { class: "muted" }, ` · ${format.dayTime(first.since_s)}`)));
  }
}
