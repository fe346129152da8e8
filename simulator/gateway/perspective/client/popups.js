// Popups as dialogs: named, focus moved in and kept in, Escape where closing is allowed, focus given back.

import { focusables, make, setText } from "./dom.js";
import { iconElement } from "./icons.js";

let count = 0;

export class Popups {
  constructor(tree, { layer, app, closed }) {
    this.tree = tree;
    this.layer = layer;
    this.app = app;
    this.closed = closed;
    this.open = [];
  }

  show(popup) {
    const known = this.open.find((one) => one.id === popup.id);
    if (known) {
      this.fill(known, popup);
      return;
    }
    const opener = document.activeElement;
    const title = make("h2", { class: "popup-title", id: `perspective-popup-${++count}` });
    const closer = make("button", { type: "button", class: "popup-close", "aria-label": "Close" }, iconElement("material/close"));
    const head = make("div", { class: "popup-head" }, title, closer);
    const body = make("div", { class: "popup-body" });
    const dialog = make("div", { class: "popup", role: "dialog", tabindex: "-1" }, head, body);
    const scrim = make("div", { class: "popup-scrim" }, dialog);
    const entry = { id: popup.id, opener, title, closer, head, body, dialog, scrim, component: null };
    closer.onclick = () => this.dismiss(entry);
    dialog.addEventListener("keydown", (event) => this.key(entry, event));
    scrim.addEventListener("pointerdown", (event) => {
      if (event.target === scrim && entry.popup.overlayDismiss) this.dismiss(entry);
    });
    draggable(entry);
    this.open.push(entry);
    this.fill(entry, popup);
    this.layer.append(scrim);
    this.guard();
    // The dialog itself, not its first button: a held Enter key must not confirm what was just opened.
    dialog.focus({ preventScroll: true });
  }

  fill(entry, popup) {
    entry.popup = popup;
    setText(entry.title, popup.title);
    entry.dialog.dataset.popup = popup.id;
    entry.closer.hidden = popup.showCloseIcon === false;
    entry.head.hidden = !popup.title && popup.showCloseIcon === false;
    entry.scrim.classList.toggle("modal", popup.modal === true);
    if (popup.modal) entry.dialog.setAttribute("aria-modal", "true");
    if (popup.title) entry.dialog.setAttribute("aria-labelledby", entry.title.id);
    else entry.dialog.setAttribute("aria-label", popup.id);
    if (entry.component) return;
    entry.component = this.tree.build(popup.node);
    const size = popup.node.defaultSize;
    if (size?.width) entry.dialog.style.width = `${size.width}px`;
    // As tall as the view was designed, more when its content needs it, never more than the window shows.
    if (size?.height) entry.body.style.minHeight = `min(${size.height}px, 85vh - 60px)`;
    entry.body.append(entry.component.root);
  }

  /** Only the topmost modal dialog, and what lies above it, can be reached. */
  guard() {
    const top = this.open.findLastIndex((one) => one.popup.modal);
    this.app.toggleAttribute("data-covered", top >= 0);
    this.covered(top >= 0);
    this.open.forEach((one, index) => (one.scrim.inert = index < top));
  }

  covered(yes) {
    this.isCovering = yes;
    this.app.inert = yes || this.app.hasAttribute("data-lost");
  }

  key(entry, event) {
    if (event.key === "Escape" && !event.defaultPrevented) {
      event.preventDefault();
      event.stopPropagation();
      if (entry.popup.showCloseIcon !== false || entry.popup.overlayDismiss) this.dismiss(entry);
    }
    if (event.key !== "Tab" || !entry.popup.modal) return;
    const inside = focusables(entry.dialog);
    const [first, last] = [inside[0], inside.at(-1)];
    const active = document.activeElement;
    if (!inside.length) event.preventDefault();
    else if (event.shiftKey && (active === first || active === entry.dialog)) {
      event.preventDefault();
      last.focus();
    } else if (!event.shiftKey && active === last) {
      event.preventDefault();
      first.focus();
    }
  }

  /** A person closed it. */
  dismiss(entry) {
    this.closed(entry.id);
    this.close(entry.id);
  }

  /** It is closed; without an id the one opened last. */
  close(id) {
    const index = id ? this.open.findIndex((one) => one.id === id) : this.open.length - 1;
    if (index < 0) return;
    const [entry] = this.open.splice(index, 1);
    const held = entry.dialog.contains(document.activeElement);
    this.tree.drop(entry.component);
    entry.scrim.remove();
    this.guard();
    if (held || document.activeElement === document.body) giveBack(entry.opener);
  }

  /** Bring in line with the page frame: these popups and no others. */
  replace(popups) {
    const wanted = new Set(popups.map((one) => one.id));
    for (const entry of [...this.open]) {
      const next = popups.find((one) => one.id === entry.id);
      if (!wanted.has(entry.id)) this.close(entry.id);
      else if (this.tree.components.get(next.node.id) !== entry.component) {
        const { opener } = entry;
        this.close(entry.id);
        this.show(next);
        this.open.at(-1).opener = opener;
      }
    }
    for (const popup of popups) this.show(popup);
  }
}

/** Focus goes back to what opened the dialog, or to what stands at its place now. */
function giveBack(opener) {
  if (opener?.isConnected && !opener.disabled && opener !== document.body) opener.focus({ preventScroll: true });
  else {
    const again = opener?.id ? document.getElementById(opener.id) : null;
    (again && !again.disabled ? again : document.getElementById("perspective-main")).focus({ preventScroll: true });
  }
}

function draggable(entry) {
  let from = null;
  let [x, y] = [0, 0];
  entry.head.addEventListener("pointerdown", (event) => {
    if (entry.popup.draggable === false || event.target.closest("button")) return;
    from = { x: event.clientX - x, y: event.clientY - y };
    entry.head.setPointerCapture(event.pointerId);
  });
  entry.head.addEventListener("pointermove", (event) => {
    if (!from) return;
    [x, y] = [event.clientX - from.x, event.clientY - from.y];
    entry.dialog.style.transform = `translate(${x}px, ${y}px)`;
  });
  entry.head.addEventListener("pointerup", () => (from = null));
}
