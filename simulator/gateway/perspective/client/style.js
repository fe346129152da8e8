// Perspective's style objects, positions and style classes as CSS of one element.

const UNITLESS = new Set([
  "flex", "flexGrow", "flexShrink", "fontWeight", "lineHeight", "opacity", "order", "zIndex", "zoom",
  "fillOpacity", "strokeOpacity", "gridColumn", "gridRow", "columnCount", "tabSize",
]);

const applied = new WeakMap();

/** A style object without its classes, numbers as pixels. */
export function declarations(style) {
  const found = {};
  for (const [key, value] of Object.entries(style ?? {})) {
    if (key === "classes" || value === null || typeof value === "object") continue;
    found[key] = typeof value === "number" && !UNITLESS.has(key) ? `${value}px` : String(value);
  }
  return found;
}

/** Names of the style classes as they appear in the sheet the gateway sends. */
export function classNames(style) {
  const given = style?.classes;
  const names = Array.isArray(given) ? given : String(given ?? "").split(/\s+/);
  return names.map(String).map((name) => name.trim()).filter(Boolean).map((name) => `psc-${name}`);
}

/** Make these declarations and classes the element's own, taking away what an earlier call gave. */
export function dress(element, style, extra = {}) {
  const before = applied.get(element) ?? { keys: [], classes: [] };
  const wanted = { ...declarations(style), ...extra };
  for (const key of before.keys) if (!(key in wanted)) remove(element, key);
  for (const [key, value] of Object.entries(wanted)) put(element, key, value);
  const classes = classNames(style);
  for (const name of before.classes) if (!classes.includes(name)) element.classList.remove(name);
  element.classList.add(...classes);
  applied.set(element, { keys: Object.keys(wanted), classes });
}

function put(element, key, value) {
  if (key.includes("-")) element.style.setProperty(key, value);
  else element.style[key] = value;
}

function remove(element, key) {
  if (key.includes("-")) element.style.removeProperty(key);
  else element.style[key] = "";
}

const ALIGN = { start: "flex-start", end: "flex-end", "flex-start": "flex-start", "flex-end": "flex-end" };

export function align(value) {
  return ALIGN[value] ?? value;
}

function length(value) {
  return typeof value === "number" || /^-?[\d.]+$/.test(value) ? `${value}px` : String(value);
}

/** CSS of a component's position inside a flex container, or an instance's inside a repeater. */
export function flexPosition(position) {
  const css = { flexGrow: String(position.grow ?? 0), flexShrink: String(position.shrink ?? 1) };
  css.flexBasis = position.basis === undefined || position.basis === null ? "auto" : length(position.basis);
  if (position.align && position.align !== "auto") css.alignSelf = align(position.align);
  if (position.display === false) css.display = "none";
  return css;
}

/** CSS of a position inside a coordinate container; fractions of it when ``percent``. */
export function coordPosition(position, percent) {
  const css = { position: "absolute" };
  for (const [key, name] of [["x", "left"], ["y", "top"], ["width", "width"], ["height", "height"]]) {
    const value = position[key];
    if (value === undefined || value === null) continue;
    css[name] = percent && typeof value === "number" ? `${value * 100}%` : length(value);
  }
  const rotate = position.rotate;
  const angle = typeof rotate === "object" ? rotate?.angle : rotate;
  if (angle) {
    css.transform = `rotate(${typeof angle === "number" || /^-?[\d.]+$/.test(angle) ? `${angle}deg` : angle})`;
    if (typeof rotate === "object" && rotate.anchor) css.transformOrigin = String(rotate.anchor);
  }
  return css;
}
