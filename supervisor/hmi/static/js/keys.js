/**
 * One keyboard for every page. A page registers what its keys do; `?` shows them. Letters never act while
 * somebody types, and no key executes an order: that takes the button that names the change.
 */
import { byId, h } from "./dom.js";
import { t } from "./strings.js";

/** @typedef {{key: string, label: string, run: (event: KeyboardEvent) => void, show?: string, typing?: boolean}} Binding */

/** @type {Binding[]} */
const bindings = [];

/** @param {Binding[]} added later ones win over earlier ones */
export function bind(added) {
  bindings.unshift(...added);
  const hints = document.getElementById("hints");
  if (hints) {
    hints.replaceChildren(...bindings.filter((b) => b.label).slice(0, 9).map((b) =>
      h("span", {}, h("kbd", {}, b.show ?? b.key), " ", b.label)));
  }
}

/** @param {EventTarget | null} target */
function isTyping(target) {
  return target instanceof HTMLElement && (target.matches("input, textarea, select") || target.isContentEditable);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
  const dialog = document.querySelector("dialog[open]");
  if (dialog) return; // the dialog has its own keys
  const typing = isTyping(event.target);
  const onControl = event.target instanceof HTMLElement && event.target.matches("button, a, summary");
  for (const binding of bindings) {
    if (binding.key !== event.key || (typing && !binding.typing)) continue;
    if (onControl && (event.key === "Enter" || event.key === " ")) return; // the control itself acts
    event.preventDefault();
    binding.run(event);
    return;
  }
});

export function showKeys() {
  const dialog = /** @type {HTMLDialogElement} */ (byId("keys"));
  const seen = new Set();
  const rows = [];
  for (const binding of bindings) {
    const shown = binding.show ?? binding.key;
    if (!binding.label || seen.has(shown)) continue;
    seen.add(shown);
    rows.push(h("div", {}, h("span", {}, h("kbd", {}, shown)), h("span", {}, binding.label)));
  }
  dialog.replaceChildren(
    h("h2", {}, t("keys.title")),
    h("div", { class: "keys" }, ...rows),
    h("form", { method: "dialog" }, h("button", { autofocus: true }, t("keys.close"))),
  );
  dialog.showModal();
}
