// Whatever scrolls must scroll by keyboard too: a scrolling container without anything to focus gets a tab stop.

import { focusables } from "./dom.js";

const SCROLLERS =
  ".flex-container, .coord-container, .flex-repeater, .embedded-view, .markdown, .label, .red-box, .table-scroll, " +
  ".tab-panel, .popup-body, .dock, #perspective-main";
let waiting = false;

/** How many pixels of the content are out of sight, in the direction where most are. */
function hidden(element) {
  return Math.max(element.scrollHeight - element.clientHeight, element.scrollWidth - element.clientWidth);
}

function mayScroll(element) {
  const { overflowX, overflowY } = getComputedStyle(element);
  return /auto|scroll/.test(overflowX + overflowY);
}

/** Look at all scrolling containers once, before the next picture. */
export function focusablesOfScrollers() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    const states = [...document.querySelectorAll(SCROLLERS)].map((one) => [one, hidden(one)]);
    // A pixel or two are rounding, nothing that anybody would scroll to.
    for (const [one, pixels] of states) one.toggleAttribute("data-fits", pixels > 0 && pixels <= 2);
    for (const [one, pixels] of states) {
      const wanted = pixels > 0 && mayScroll(one) && !one.classList.contains("clickable") && focusables(one).length === 0;
      if (wanted && !one.hasAttribute("data-scroller")) {
        one.setAttribute("data-scroller", one.hasAttribute("role") ? "" : "named");
        one.tabIndex = 0;
        if (one.dataset.scroller !== "named" || one.id) continue;
        one.setAttribute("role", "group");
        one.setAttribute("aria-label", `${one.dataset.component ?? "Content"}, scrolls`);
      } else if (!wanted && one.hasAttribute("data-scroller")) {
        if (one.dataset.scroller === "named" && !one.id) for (const name of ["role", "aria-label"]) one.removeAttribute(name);
        one.removeAttribute("data-scroller");
        if (one.id === "perspective-main") one.tabIndex = -1;
        else one.removeAttribute("tabindex");
      }
    }
  });
}

/** Look again whenever something that can make a container scroll has changed. */
export function watchScrollers(...places) {
  const changes = new MutationObserver(focusablesOfScrollers);
  const wanted = { subtree: true, childList: true, characterData: true, attributes: true };
  for (const place of places) changes.observe(place, { ...wanted, attributeFilter: ["style", "class", "hidden", "disabled"] });
  addEventListener("resize", focusablesOfScrollers);
  document.fonts.addEventListener("loadingdone", focusablesOfScrollers);
}
