// Containers: flex, coordinate, breakpoint, tab, embedded view and flex repeater.

import { arrange, attribute, make, plain, setText } from "./dom.js";
import { align, dress, flexPosition } from "./style.js";
import { renderer } from "./tree.js";

const observed = new WeakMap();
const sizes = new ResizeObserver((entries) => {
  for (const entry of entries) observed.get(entry.target)?.(entry.contentRect);
});

/** Call back with an element's size, now and whenever it changes; returns how to stop. */
export function watchSize(element, callback) {
  observed.set(element, callback);
  sizes.observe(element);
  return () => sizes.unobserve(element);
}

function flexRules(props) {
  const rules = { display: "flex", flexDirection: plain(props.direction) || "row" };
  rules.flexWrap = plain(props.wrap) || "nowrap";
  if (props.justify) rules.justifyContent = align(props.justify);
  if (props.alignItems) rules.alignItems = align(props.alignItems);
  if (props.alignContent) rules.alignContent = align(props.alignContent);
  return rules;
}

renderer("ia.container.flex", (component) => {
  const root = make("div", { class: "flex-container" });
  return { root, body: root, rules: () => flexRules(component.props) };
});

renderer("ia.container.coord", (component) => {
  const inner = make("div", { class: "coord-inner" });
  const root = make("div", { class: "coord-container" }, inner);
  return {
    root,
    body: inner,
    replace: true,
    update(changed) {
      const [width, height] = plain(component.props.aspectRatio).split(":").map(Number);
      const kept = component.props.mode === "percent" && width > 0 && height > 0;
      dress(inner, kept ? { aspectRatio: `${width} / ${height}`, height: "auto", maxHeight: "100%" } : {});
      if (changed?.has("props.mode")) for (const child of component.children) child.dressRoot();
    },
  };
});

renderer("ia.container.breakpt", (component) => {
  const root = make("div", { class: "breakpoint-container" });
  let width = 0;
  const choose = () => {
    const [small, large] = ["small", "large"].map((size) =>
      component.children.find((child) => (child.position.size === "large") === (size === "large")),
    );
    const wide = width >= Number(component.props.breakpoint ?? 640);
    const shown = (wide ? large : small) ?? small ?? large;
    arrange(root, shown ? [shown.root] : []);
  };
  const close = watchSize(root, (size) => {
    width = size.width;
    choose();
  });
  return { root, place: choose, update: choose, replace: true, close };
});

let tabSets = 0;

renderer("ia.container.tab", (component) => {
  const list = make("div", { class: "tab-list", role: "tablist", "aria-label": component.spokenName });
  const panel = make("div", { class: "tab-panel", role: "tabpanel" });
  const root = make("div", { class: "tab-container" }, list, panel);
  const prefix = `perspective-tabs-${++tabSets}`;
  panel.id = `${prefix}-panel`;

  const show = () => {
    const tabs = component.props.tabs ?? [];
    const current = Number(component.props.currentTabIndex ?? 0);
    while (list.children.length > tabs.length) list.lastChild.remove();
    while (list.children.length < tabs.length) list.append(tabButton(list.children.length));
    tabs.forEach((tab, index) => {
      const button = list.children[index];
      setText(button, typeof tab === "object" ? tab?.text ?? tab?.label : tab);
      attribute(button, "aria-selected", String(index === current));
      button.tabIndex = index === current ? 0 : -1;
    });
    attribute(panel, "aria-labelledby", tabs.length ? `${prefix}-${current}` : null);
    attribute(list, "data-menu", plain(component.props.menuType) || "classic");
    const shown = component.children.find((child) => Number(child.position.tabIndex ?? 0) === current);
    arrange(panel, shown ? [shown.root] : []);
  };
  const select = (index) => {
    component.write("props.currentTabIndex", index);
    show();
    list.children[index].focus();
  };
  const tabButton = (index) => {
    const button = make("button", { type: "button", role: "tab", id: `${prefix}-${index}`, "aria-controls": panel.id });
    button.onclick = () => select(index);
    return button;
  };
  list.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const count = list.children.length;
    if (!step || !count) return;
    event.preventDefault();
    select((Number(component.props.currentTabIndex ?? 0) + step + count) % count);
  };
  return { root, place: show, update: show, replace: true };
});

/** How large the root of an embedded view is: as designed where the parent says so, else all there is. */
function embeddedSize(props, child) {
  const size = child.defaultSize ?? {};
  return {
    width: props.useDefaultViewWidth && size.width ? `${size.width}px` : "100%",
    height: props.useDefaultViewHeight && size.height ? `${size.height}px` : "",
  };
}

renderer("ia.display.view", (component) => {
  const root = make("div", { class: "embedded-view" });
  const size = () => {
    for (const child of component.children) child.dressRoot();
  };
  return {
    root,
    update: size,
    place(children) {
      for (const child of children) child.hosted = () => ({ flexGrow: "1", ...embeddedSize(component.props, child) });
      size();
      arrange(root, children.map((child) => child.root));
    },
  };
});

renderer("ia.display.flex-repeater", (component) => {
  const root = make("div", { class: "flex-repeater" });
  const frames = new Map();

  const frame = (child) => {
    const { props } = component;
    if (!frames.has(child)) frames.set(child, make("div", { class: "repeater-instance" }, child.root));
    const found = frames.get(child);
    if (child.root.parentNode !== found) found.replaceChildren(child.root);
    const position = { ...props.elementPosition, ...child.instance?.position };
    const style = { ...props.elementStyle, ...child.instance?.style };
    dress(found, style, flexPosition(position));
    child.hosted = () => ({ flexGrow: "1", ...embeddedSize(component.props, child) });
    child.dressRoot();
    return found;
  };
  const place = (children) => {
    const wanted = children.map(frame);
    for (const child of frames.keys()) if (!children.includes(child)) frames.delete(child);
    arrange(root, wanted);
  };
  const update = () => component.children.length && place(component.children);
  return { root, place, update, rules: () => flexRules(component.props) };
});
