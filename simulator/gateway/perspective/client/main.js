// The client's beginning: one page of a Perspective session, its docks and popups, and the wire to the gateway.

import "./chart.js";
import { Connection } from "./connection.js";
import "./containers.js";
import "./display.js";
import { arrange, make, setText } from "./dom.js";
import "./inputs.js";
import { base, currentPath } from "./menu.js";
import { Popups } from "./popups.js";
import "./table.js";
import { Tree } from "./tree.js";
import { watchScrollers } from "./scrollers.js";

const part = (name) => document.getElementById(`perspective-${name}`);
const app = part("app");
const main = part("main");
const strip = part("strip");
const sheet = new CSSStyleSheet();
document.adoptedStyleSheets = [sheet];

const project = decodeURIComponent(base.split("/").at(-1));
const connection = new Connection({
  url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/data/perspective/socket/${encodeURIComponent(project)}`,
  hello: () => ({
    t: "hello", path: currentPath(), width: innerWidth, height: innerHeight,
    tz: Intl.DateTimeFormat().resolvedOptions().timeZone, ...(pageId ? { page: pageId } : {}),
  }),
  frame: take,
  lost,
});
const tree = new Tree((frame) => connection.send(frame));
const popups = new Popups(tree, {
  layer: part("popups"),
  app,
  closed: (id) => connection.send({ t: "popup-closed", id }),
});
let pageId = null;
let view = null;
let shownPath = null;
let docks = [];

const FRAMES = {
  page: showPage,
  patch: ({ set }) => tree.patch(set),
  children: ({ id, nodes }) => {
    const component = tree.components.get(id);
    if (component) tree.children(component, nodes);
  },
  popup: (frame) => (frame.do === "open" ? popups.show(frame.popup) : popups.close(frame.id)),
  nav: ({ path }) => address(path),
  dock: moveDock,
  download: ({ name, data, type }) => download(name, data, type),
  theme: ({ name }) => theme(name),
  goto: ({ url, newTab }) => follow(url, newTab),
  closed: ({ why }) => closed(why),
  print: ({ text }) => console.info(text),
};

function take(frame) {
  FRAMES[frame.t]?.(frame);
}

function showPage(frame) {
  const place = focusPlace();
  found();
  pageId = frame.page ?? null;
  document.title = frame.title || project;
  document.documentElement.lang = frame.locale || "en";
  theme(frame.theme);
  sheet.replaceSync(frame.css ?? "");
  const moved = shownPath !== null && shownPath !== frame.path;
  address(frame.path);
  shownPath = frame.path;
  const before = view;
  view = tree.build(frame.view);
  arrange(main, [view.root]);
  if (before && before !== view) tree.drop(before);
  main.removeAttribute("aria-busy");
  showDocks(frame.docks ?? []);
  popups.replace(frame.popups ?? []);
  document.documentElement.dataset.user = frame.user ?? "";
  document.dispatchEvent(new Event("perspective:path"));
  if (moved) main.scrollTo(0, 0);
  returnFocus(place, moved);
}

/** The address bar follows the gateway; what a person can go back to is what was shown. */
function address(path) {
  if (path && path !== currentPath()) history.pushState(null, "", base + encodeURI(path));
}

function showDocks(frames) {
  const before = docks;
  docks = frames.map((frame) => {
    const component = tree.build(frame.node);
    const known = before.find((dock) => dock.component === component);
    const element = known?.element ?? make("div", { class: "dock" }, component.root);
    element.dataset.dock = frame.id;
    element.dataset.content = frame.content === "cover" ? "cover" : "push";
    const upright = frame.side === "left" || frame.side === "right";
    element.style[upright ? "width" : "minHeight"] = `${Number(frame.size) || 0}px`;
    const open = known ? known.open : frame.show !== "onDemand";
    return { ...frame, component, element, open };
  });
  const kept = new Set(docks.map((dock) => dock.component));
  for (const dock of before) if (!kept.has(dock.component)) tree.drop(dock.component);
  layDocks();
}

function layDocks() {
  for (const side of ["top", "left", "right", "bottom"]) {
    const here = docks.filter((dock) => dock.side === side);
    arrange(part(side), here.map((dock) => dock.element));
    for (const dock of here) dock.element.hidden = !dock.open;
    part(side).hidden = !here.some((dock) => dock.open);
    part(side).classList.toggle("cover", here.length > 0 && here.every((dock) => dock.element.dataset.content === "cover"));
  }
}

function moveDock({ id, do: order }) {
  for (const dock of docks) if (dock.id === id) dock.open = order === "toggle" ? !dock.open : order === "open";
  layDocks();
}

function theme(name) {
  if (name) document.documentElement.dataset.theme = String(name).startsWith("dark") ? "dark" : "light";
}

function download(name, data, type) {
  const url = URL.createObjectURL(new Blob([data], { type: type || "application/octet-stream" }));
  const link = make("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

function follow(url, newTab) {
  const target = new URL(url, location.href);
  if (target.protocol !== "http:" && target.protocol !== "https:") return;
  if (newTab) open(target.href, "_blank", "noopener");
  else location.assign(target.href);
}

// ── connection lost and found, session closed ─────────────────────────────────────────────────────────────

function lost() {
  if (app.hasAttribute("data-lost") || strip.textContent) return;
  setText(strip, "Connection to the gateway lost, trying again. What you see may be out of date.");
  app.setAttribute("data-lost", "");
  lostPlace = focusPlace();
  app.inert = true;
  part("popups").inert = true;
}

let lostPlace = null;

function found() {
  setText(strip, "");
  app.removeAttribute("data-lost");
  part("popups").inert = false;
  app.inert = popups.isCovering === true;
}

function closed(why) {
  connection.end();
  document.title = "Session closed";
  const again = make("button", { type: "button", class: "button primary" }, "Start again");
  again.onclick = () => location.reload();
  const screen = make(
    "main", { class: "closed-screen", id: "perspective-closed" },
    make("h1", {}, "Session closed"), make("p", {}, why || "This session has ended."), again,
  );
  document.body.replaceChildren(screen);
  again.focus();
}

// ── focus ─────────────────────────────────────────────────────────────────────────────────────────────────

/** Where the focus is, in words that survive a rebuilt page. */
function focusPlace() {
  const active = document.activeElement;
  if (!active || active === document.body) return lostPlace;
  const path = [];
  for (let one = active.closest("[data-component]"); one; one = one.parentElement.closest("[data-component]")) {
    path.unshift(one.dataset.component);
  }
  return { active, id: active.id, path: path.join("/") };
}

function returnFocus(place, moved) {
  lostPlace = null;
  if (document.activeElement !== document.body) return;
  if (moved && !place?.active?.isConnected) {
    if (!popups.open.length) main.focus({ preventScroll: true });
    return;
  }
  if (!place) return;
  const same = place.active.isConnected ? place.active : place.id ? document.getElementById(place.id) : atPath(place.path);
  same?.focus({ preventScroll: true });
}

function atPath(path) {
  for (const component of tree.components.values()) {
    const names = [];
    for (let one = component; one; one = one.parent) names.unshift(one.name);
    if (names.join("/") === path) return component.view.control ?? component.root;
  }
  return null;
}

// ── what a person does with the browser itself ────────────────────────────────────────────────────────────

addEventListener("popstate", () => connection.send({ t: "nav", path: currentPath() }));
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-target]");
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  connection.send({ t: "nav", path: link.dataset.target });
});

watchScrollers(app, part("popups"));
connection.open();
