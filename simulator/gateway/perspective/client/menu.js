// Navigation: the menu tree and the horizontal menu.

import { attribute, make, plain } from "./dom.js";
import { webAddress } from "./markdown.js";
import { iconElement } from "./icons.js";
import { dress } from "./style.js";
import { renderer } from "./tree.js";

/** Where the page links of this project begin. */
export const base = location.pathname.split("/").slice(0, 5).join("/");

/** The page path inside the project, ``/`` for the first page. */
export function currentPath() {
  return decodeURI(location.pathname.slice(base.length)).replace(/\/+$/, "") || "/";
}

function labelOf(item) {
  const { label } = item;
  return { text: plain(typeof label === "object" ? label?.text : label), icon: plain(label?.icon?.path ?? item.icon?.path) };
}

/** How well a link fits the page: its whole path, or the beginning of it at a slash; -1 when not. */
function fit(target, path) {
  if (target === path) return 1000;
  return target !== "/" && path.startsWith(`${target}/`) ? target.length : -1;
}

/** Mark the link of this page, for eyes and for screen readers. */
function markCurrent(root) {
  const path = currentPath();
  const links = [...root.querySelectorAll("a[data-target]")];
  const best = Math.max(-1, ...links.map((link) => fit(link.dataset.target, path)));
  for (const link of links) {
    attribute(link, "aria-current", best >= 0 && fit(link.dataset.target, path) === best ? "page" : null);
  }
}

function menu(component, horizontal) {
  const list = make("ul", { class: "menu-list" });
  const root = make("div", { class: horizontal ? "horizontal-menu" : "menu-tree" }, list);
  let drawn = null;
  const mark = () => markCurrent(root);
  document.addEventListener("perspective:path", mark);

  const entry = (item) => {
    const { text, icon } = labelOf(item);
    const inside = [icon ? iconElement(icon) : null, make("span", { class: "menu-text" }, text)];
    const below = (Array.isArray(item.items) ? item.items : []).filter((one) => one && one.visible !== false);
    const target = plain(item.target);
    let line;
    if (below.length) line = branch(inside, below);
    else if (target && item.enabled !== false) line = [link(target, inside, item)];
    else {
      const button = make("button", { type: "button", class: "menu-entry" }, ...inside);
      button.disabled = item.enabled === false;
      button.onclick = () => component.emit("onItemClicked", { label: text, target });
      line = [button];
    }
    dress(line[0], { ...component.props.itemStyle, ...item.style });
    return make("li", {}, ...line);
  };
  const link = (target, inside, item) => {
    const page = target.startsWith("/");
    const address = page ? base + encodeURI(target) : webAddress(target);
    const anchor = make("a", { class: "menu-entry", href: address, "data-target": page ? target : null }, ...inside);
    anchor.addEventListener("click", () => component.emit("onItemClicked", { label: labelOf(item).text, target }));
    return anchor;
  };
  const branch = (inside, items) => {
    const nested = make("ul", { class: "menu-list nested" }, ...items.map(entry));
    const button = make("button", { type: "button", class: "menu-entry", "aria-expanded": "false" }, ...inside, iconElement("material/expand_more"));
    nested.hidden = true;
    const open = (wanted) => {
      nested.hidden = !wanted;
      button.setAttribute("aria-expanded", String(wanted));
    };
    button.onclick = () => open(nested.hidden);
    nested.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !horizontal) return;
      open(false);
      button.focus();
    });
    return [button, nested];
  };
  return {
    root,
    close: () => document.removeEventListener("perspective:path", mark),
    update() {
      const state = JSON.stringify([component.props.items, component.props.itemStyle]);
      if (state !== drawn) {
        const items = Array.isArray(component.props.items) ? component.props.items : [];
        list.replaceChildren(...items.filter((item) => item && item.visible !== false).map(entry));
      }
      drawn = state;
      mark();
    },
  };
}

renderer("ia.navigation.menutree", (component) => menu(component, false));
renderer("ia.navigation.horizontalmenu", (component) => menu(component, true));
