// The component tree: builds elements from the gateway's nodes and keeps them in step with its patches.

import { arrange, attribute, make, setText } from "./dom.js";
import { iconElement } from "./icons.js";
import { coordPosition, dress, flexPosition } from "./style.js";

const DOM_EVENTS = {
  onClick: "click", onDoubleClick: "dblclick", onContextMenu: "contextmenu", onMouseEnter: "mouseenter",
  onMouseLeave: "mouseleave", onMouseDown: "mousedown", onMouseUp: "mouseup", onKeyDown: "keydown",
  onKeyUp: "keyup", onFocus: "focusin", onBlur: "focusout",
};
const renderers = new Map();

/** Say how a component type is drawn: ``draw(component)`` gives {root, control?, body?, update(changed), …}. */
export function renderer(type, draw) {
  renderers.set(type, draw);
}

class Component {
  constructor(tree, node, parent) {
    this.tree = tree;
    this.parent = parent;
    this.children = [];
    this.hosted = null; // set by an embedded view or a repeater, which say how large their roots are
    this.take(node);
    this.draw();
    this.children = (node.children ?? []).map((child) => tree.build(child, this));
    this.place();
  }

  take(node) {
    this.id = node.id;
    this.type = node.type;
    this.name = node.name ?? "";
    this.props = node.props ?? {};
    this.position = node.position ?? {};
    this.meta = node.meta ?? {};
    this.quality = node.quality ?? null;
    this.red = node.red ?? null;
    this.events = node.events ?? {};
    this.parentKind = node.parent_kind ?? "";
    this.instance = node.instance ?? null;
    this.defaultSize = node.defaultSize ?? null;
  }

  draw() {
    this.view = this.red ? redBox(this) : (renderers.get(this.type) ?? unknown)(this);
    const root = this.view.root;
    this.root = root;
    root.classList.add("component");
    root.dataset.component = this.name;
    root.dataset.type = this.type;
    root.dataset.id = String(this.id);
    for (const name of this.red ? [] : this.events.dom ?? []) {
      const kind = DOM_EVENTS[name];
      if (kind) root.addEventListener(kind, (event) => this.domEvent(name, event));
    }
    if (!this.red && this.events.dom?.includes("onClick")) reachable(this);
    this.update(null);
  }

  /** Draw what changed; ``changed`` is null for everything. */
  update(changed) {
    this.view.update?.(changed);
    this.dressRoot();
    const control = this.view.control ?? this.root;
    if (this.meta.domId) attribute(control, "id", this.meta.domId);
    const hint = hintOf(this);
    if (hint) control.title = String(hint);
    else if (changed?.has("meta.tooltip")) control.removeAttribute("title");
    this.showQuality();
  }

  dressRoot() {
    const extra = { ...this.layout() };
    if (this.meta.visible === false) extra.visibility = "hidden";
    const style = this.view.styleless ? {} : this.props.style;
    // A style may say display: flex; position.display = false has the last word.
    dress(this.root, style, { ...without(extra, style), ...(extra.display === "none" ? { display: "none" } : {}) });
  }

  /** Where a container puts this, under the rules by which it lays out its own children. */
  layout() {
    return { ...this.view.rules?.(), ...(this.hosted ? this.hosted() : this.placed()) };
  }

  placed() {
    const parent = this.parent;
    if (this.parentKind === "coord" || parent?.type === "ia.container.coord") {
      return coordPosition(this.position, parent?.props.mode === "percent");
    }
    if (this.parentKind === "flex" || parent?.type === "ia.container.flex") return flexPosition(this.position);
    return this.position.display === false ? { display: "none" } : {};
  }

  showQuality() {
    let overlay = this.overlay;
    if (!this.quality || this.red) {
      overlay?.remove();
      this.overlay = null;
      this.root.classList.remove("bad-quality");
      return;
    }
    if (!overlay) {
      overlay = make("span", { class: "quality-overlay", role: "img" }, iconElement("material/error"));
      this.overlay = overlay;
      this.root.append(overlay);
      this.root.classList.add("bad-quality");
    }
    overlay.title = `Quality: ${this.quality}`;
    overlay.setAttribute("aria-label", `Quality: ${this.quality}`);
  }

  place() {
    if (this.view.place) this.view.place(this.children);
    else if (this.view.body) arrange(this.view.body, this.children.map((child) => child.root));
    nameInputs(this.children);
  }

  replaceRoot() {
    const before = this.root;
    this.overlay = null;
    this.draw();
    this.place();
    if (before.isConnected) before.replaceWith(this.root);
  }

  get enabled() {
    return this.props.enabled !== false;
  }

  /** What assistive technology calls an input that no label stands before. */
  get spokenName() {
    const hint = hintOf(this);
    if (hint) return String(hint);
    return this.name.replace(/([a-z\d])([A-Z])/g, "$1 $2").replace(/[_-]/g, " ").trim() || "Input";
  }

  emit(name, event = {}) {
    if (this.events.component?.includes(name)) {
      this.tree.send({ t: "event", id: this.id, category: "component", name, event });
    }
  }

  domEvent(name, event) {
    if (event.key && name === "onClick") return;
    const told = { type: event.type, altKey: event.altKey, ctrlKey: event.ctrlKey, shiftKey: event.shiftKey };
    if (event.key) told.key = event.key;
    if ("clientX" in event) Object.assign(told, { clientX: event.clientX, clientY: event.clientY, button: event.button });
    this.tree.send({ t: "event", id: this.id, category: "dom", name, event: told });
  }

  /** Tell the gateway what a person entered. Our own copy changes only if it could be told; false when not. */
  write(path, value) {
    if (!this.tree.send({ t: "set", id: this.id, path, value })) return false;
    const keys = path.split(".");
    let target = this;
    for (const key of keys.slice(0, -1)) {
      if (typeof target[key] !== "object" || target[key] === null) target[key] = {};
      target = target[key];
    }
    target[keys.at(-1)] = value;
    return true;
  }
}

/** The text of a component's tooltip, given as such or as {enabled, text}. */
function hintOf({ meta: { tooltip } }) {
  return tooltip !== null && typeof tooltip === "object" ? tooltip.enabled !== false && tooltip.text : tooltip;
}

export class Tree {
  /** @param {(frame: object) => boolean} send says whether it went out */
  constructor(send) {
    this.send = send;
    this.components = new Map();
  }

  /** The component of a node: the known one when its id and type are, kept or brought up to date. */
  build(node, parent = null) {
    const known = this.components.get(node.id);
    if (known && node.keep) {
      known.parent = parent;
      if (node.instance) known.instance = node.instance;
      return known;
    }
    if (known && this.fits(known, node)) {
      known.parent = parent;
      this.renew(known, node);
      return known;
    }
    const component = new Component(this, node, parent);
    this.components.set(node.id, component);
    return component;
  }

  /** Ids begin anew with a restarted gateway, so the id alone does not make it the same component. */
  fits(known, node) {
    if (known.red || node.red || known.type !== node.type || known.name !== node.name) return false;
    return JSON.stringify(known.events) === JSON.stringify(node.events ?? {});
  }

  renew(component, node) {
    component.take(node);
    component.update(null);
    this.children(component, node.children ?? []);
  }

  children(component, nodes) {
    const before = component.children;
    component.children = nodes.map((node) => this.build(node, component));
    const kept = new Set(component.children);
    component.place();
    for (const child of before) if (!kept.has(child)) this.drop(child);
  }

  /** Forget a component and everything below it. */
  drop(component) {
    for (const child of component.children) if (child.parent === component) this.drop(child); // else it lives elsewhere now
    component.view.close?.();
    component.root.remove();
    if (this.components.get(component.id) === component) this.components.delete(component.id);
  }

  patch(entries) {
    const changes = new Map();
    for (const entry of entries) {
      const component = this.components.get(entry.id);
      if (!component) continue;
      if (!changes.has(component)) changes.set(component, new Set());
      changes.get(component).add(entry.k);
      change(component, entry);
    }
    for (const [component, keys] of changes) {
      if (keys.has("red")) component.replaceRoot();
      else component.update(keys);
      if (component.parent?.view.replace && [...keys].some((key) => key.startsWith("position."))) {
        component.parent.place();
      }
    }
  }
}

function change(component, { k, v, gone }) {
  if (k === "quality" || k === "red") {
    component[k] = v ?? null;
    return;
  }
  const dot = k.indexOf(".");
  const scope = k.slice(0, dot);
  if (!["props", "position", "meta"].includes(scope)) return;
  const key = k.slice(dot + 1);
  if (gone) delete component[scope][key];
  else component[scope][key] = v;
}

function without(extra, style) {
  const kept = {};
  for (const [key, value] of Object.entries(extra)) if (!(key in (style ?? {}))) kept[key] = value;
  return kept;
}

/** The box that says what the preview does not know; in place of the component. */
function redBox(component) {
  const text = make("span", { class: "red-text" });
  const root = make("div", { class: "red-box", role: "note" }, iconElement("material/error"), text);
  return { root, styleless: true, place() {}, update: () => showRed(component, root, text) };
}

function showRed(component, root, text) {
  root.dataset.red = component.red;
  setText(text, component.red);
}

function unknown(component) {
  component.red = `${component.name}: the browser client knows no component type ${component.type}`;
  return redBox(component);
}

/** A component that is clickable only by its dom event is made reachable by keyboard as well. */
function reachable(component) {
  const { root } = component;
  if (root.matches("button, input, select, textarea") || component.view.control) return;
  root.classList.add("clickable");
  root.tabIndex = 0;
  if (!component.view.body && !component.view.place) root.setAttribute("role", "button");
  root.addEventListener("keydown", (event) => {
    if (event.target !== root || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    root.click();
  });
}

let labels = 0;

/** An input takes its name from the label standing before it, as a person reading does. */
function nameInputs(children) {
  children.forEach((child, index) => {
    const control = child.view.labelled;
    if (!control) return;
    const before = children[index - 1];
    if (!hintOf(child) && before?.type === "ia.display.label" && before.props.text && !before.red) {
      before.root.id ||= `perspective-label-${++labels}`;
      control.removeAttribute("aria-label");
      control.setAttribute("aria-labelledby", before.root.id);
    } else {
      control.removeAttribute("aria-labelledby");
      control.setAttribute("aria-label", child.spokenName);
    }
  });
}
