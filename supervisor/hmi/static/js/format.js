/**
 * Numbers, ages and times as this town's operators write them: decimal comma in Slovenian, 24 hours, no
 * guessing of decimals (they come with each point).
 */
import { language, t } from "./strings.js";

const decimalMark = language === "sl" ? "," : ".";
const MINUS = "\u2212";
export const NO_VALUE = "\u2013";

/**
 * @param {number | null | undefined} value
 * @param {number} decimals
 */
export function number(value, decimals) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NO_VALUE;
  let text = Math.abs(value).toFixed(decimals);
  if (decimalMark !== ".") text = text.replace(".", decimalMark);
  return value < 0 && Number(value.toFixed(decimals)) !== 0 ? MINUS + text : text;
}

/**
 * Read what an operator typed; both decimal marks are taken. NaN when it is no number.
 * @param {string} text
 */
export function parseNumber(text) {
  const clean = text.trim().replace(",", ".").replace(MINUS, "-");
  return /^[+-]?(\d+\.?\d*|\.\d+)$/.test(clean) ? Number(clean) : NaN;
}

/** @param {number} seconds */
export function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return NO_VALUE;
  const s = Math.round(seconds);
  if (s < 100) return `${s} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 100) return `${minutes} min ${String(s % 60).padStart(2, "0")} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** @param {number} seconds */
export function leaseTime(seconds) {
  const s = Math.max(0, Math.round(seconds));
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}

/** A whole number of minutes when it is one. @param {number} seconds */
export function leaseLength(seconds) {
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
}

const zoneKey = "toplovod.zone";

/** "utc" or "site". */
export function zone() {
  return localStorage.getItem(zoneKey) === "utc" ? "utc" : "site";
}

export function toggleZone() {
  localStorage.setItem(zoneKey, zone() === "utc" ? "site" : "utc");
}

let siteZone = document.documentElement.dataset.timezone || "UTC";

/** @param {Intl.DateTimeFormatOptions} options */
function formatter(options) {
  const timeZone = zone() === "utc" ? "UTC" : siteZone;
  return new Intl.DateTimeFormat("en-GB", { ...options, timeZone, hourCycle: "h23" });
}

/** @param {number} utc_s */
function parts(utc_s) {
  const format = formatter({
    year: "numeric", month: "numeric", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
    weekday: "short",
  });
  /** @type {Record<string, string>} */
  const found = {};
  for (const part of format.formatToParts(new Date(utc_s * 1000))) found[part.type] = part.value;
  return found;
}

/** 14:05:09 @param {number} utc_s */
export function clockTime(utc_s) {
  const p = parts(utc_s);
  return `${p.hour}:${p.minute}:${p.second}`;
}

/** 14:05 @param {number} utc_s */
export function shortTime(utc_s) {
  const p = parts(utc_s);
  return `${p.hour}:${p.minute}`;
}

/** Mon 12. 1. 2026 @param {number} utc_s */
export function calendarDay(utc_s) {
  const p = parts(utc_s);
  return `${t(`weekday.${p.weekday.toLowerCase()}`)} ${p.day}. ${p.month}. ${p.year}`;
}

/** 12. 1. 14:05:09 @param {number} utc_s */
export function dayTime(utc_s) {
  const p = parts(utc_s);
  return `${p.day}. ${p.month}. ${p.hour}:${p.minute}:${p.second}`;
}

export function zoneName() {
  return zone() === "utc" ? "UTC" : siteZone;
}
