/**
 * A table of any length that keeps only the visible rows in the document: 5 000 houses cost what 50 cost.
 * Sorted by a column, moved through by keys; the caller fills the cells.
 */
import { h, setText } from "./dom.js";
import { t } from "./strings.js";

const ROW_PX = 25;
const HEAD_PX = 42;
const SPARE_ROWS = 6;

/**
 * @typedef {Object} Column
 * @property {string} key
 * @property {string} title
 * @property {string} [unit]
 * @property {string} width a grid track
 * @property {boolean} [number]
 * @property {(id: string) => number | string} sort
 * @property {(cell: HTMLElement, id: string) => void} show
 */

export class VirtualTable {
  /**
   * @param {HTMLElement} element
   * @param {Column[]} columns
   * @param {{select: (id: string) => void, open: (id: string) => void}} on
   */
  constructor(element, columns, on) {
    this.element = element;
    this.columns = columns;
    this.on = on;
    /** @type {string[]} */
    this.all = [];
    /** @type {string[]} */
    this.ids = [];
    this.selected = "";
    this.sortKey = columns[0].key;
    this.descending = false;
    /** @type {(id: string) => boolean} */
    this.filter = () => true;
    this.tracks = columns.map((column) => column.width).join(" ");
    // one width for head and rows, else a long title would shift its column
    this.head = h("div", { class: "head", role: "row" });
    this.head.style.gridTemplateColumns = this.tracks;
    this.body = h("div", { role: "rowgroup" });
    this.body.style.position = "relative";
    /** @type {HTMLElement[]} */
    this.pool = [];
    element.classList.add("grid");
    element.setAttribute("role", "grid");
    element.tabIndex = 0;
    element.append(this.head, this.body);
    element.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(element);
    this.drawHead();
  }

  drawHead() {
    this.head.replaceChildren(...this.columns.map((column) => h("div", {
      class: `cell${column.number ? " number" : ""}`, role: "columnheader",
      "aria-sort": column.key === this.sortKey ? (this.descending ? "descending" : "ascending") : "none",
    }, h("button", { onclick: () => this.sortBy(column.key) },
      column.title + (column.key === this.sortKey ? (this.descending ? " ▼" : " ▲") : ""),
      column.unit ? h("div", { class: "unit" }, column.unit) : null))));
  }

  /** @param {string} key */
  sortBy(key) {
    this.descending = key === this.sortKey ? !this.descending : false;
    this.sortKey = key;
    this.drawHead();
    this.arrange();
  }

  /** @param {string[]} ids */
  setRows(ids) {
    this.all = ids;
    this.arrange();
  }

  /** Sort and filter anew; the selected row stays selected. */
  arrange() {
    const column = this.columns.find((candidate) => candidate.key === this.sortKey) ?? this.columns[0];
    const sign = this.descending ? -1 : 1;
    const keyed = this.all.filter(this.filter).map((id, place) => ({ id, place, key: column.sort(id) }));
    keyed.sort((a, b) => {
      if (typeof a.key === "number" && typeof b.key === "number") {
        const missing = Number(Number.isNaN(a.key)) - Number(Number.isNaN(b.key));
        return missing || (Number.isNaN(a.key) ? 0 : sign * (a.key - b.key)) || a.place - b.place;
      }
      return sign * String(a.key).localeCompare(String(b.key), undefined, { numeric: true }) || a.place - b.place;
    });
    this.ids = keyed.map((row) => row.id);
    if (!this.ids.includes(this.selected)) this.selected = this.ids[0] ?? "";
    this.body.style.height = `${this.ids.length * ROW_PX}px`;
    this.draw();
  }

  draw() {
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW_PX) - SPARE_ROWS);
    const count = Math.min(this.ids.length - first, Math.ceil(this.element.clientHeight / ROW_PX) + 2 * SPARE_ROWS);
    while (this.pool.length < count) {
      const row = h("div", { class: "row", role: "row" },
        ...this.columns.map((column) => h("div", { class: `cell${column.number ? " number" : ""}`, role: "gridcell" })));
      row.style.gridTemplateColumns = this.tracks;
      row.addEventListener("click", () => this.select(row.dataset.id ?? ""));
      row.addEventListener("dblclick", () => this.on.open(row.dataset.id ?? ""));
      this.pool.push(row);
      this.body.append(row);
    }
    this.pool.forEach((row, slot) => {
      row.hidden = slot >= count;
      if (row.hidden) return;
      const id = this.ids[first + slot];
      row.dataset.id = id;
      row.style.top = `${(first + slot) * ROW_PX}px`;
      row.classList.toggle("selected", id === this.selected);
      row.setAttribute("aria-selected", String(id === this.selected));
      this.columns.forEach((column, index) => column.show(/** @type {HTMLElement} */ (row.children[index]), id));
    });
    this.element.setAttribute("aria-rowcount", String(this.ids.length));
    this.element.setAttribute("aria-label", t("table.label"));
  }

  /** @param {string} id */
  select(id) {
    this.selected = id;
    const at = this.ids.indexOf(id);
    if (at >= 0) {
      const top = at * ROW_PX;
      const view = this.element.clientHeight - HEAD_PX;
      if (top < this.element.scrollTop) this.element.scrollTop = top;
      else if (top + ROW_PX > this.element.scrollTop + view) this.element.scrollTop = top + ROW_PX - view;
    }
    this.on.select(id);
    this.draw();
  }

  /** @param {number} by rows */
  move(by) {
    const at = this.ids.indexOf(this.selected);
    const next = Math.min(this.ids.length - 1, Math.max(0, at + by));
    if (next >= 0) this.select(this.ids[next]);
  }

  pageRows() {
    return Math.max(1, Math.floor((this.element.clientHeight - HEAD_PX) / ROW_PX) - 1);
  }
}

/**
 * A value cell: digits, and for a value that is not live its mark and hatch.
 * @param {HTMLElement} cell @param {string} text @param {string} quality @param {string} mark @param {boolean} [outside]
 */
export function showValueCell(cell, text, quality, mark, outside = false) {
  let value = /** @type {HTMLElement | null} */ (cell.firstElementChild);
  if (!value) {
    value = h("span", {}, h("span", { class: "digits" }), h("span", { class: "mark" }));
    cell.append(value);
  }
  const className = `value ${quality}${outside ? " outside" : ""}`;
  if (value.className !== className) value.className = className;
  setText(value.children[0], text);
  const markElement = /** @type {HTMLElement} */ (value.children[1]);
  markElement.hidden = !mark;
  setText(markElement, mark);
}
