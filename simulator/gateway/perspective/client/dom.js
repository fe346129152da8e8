// Making elements. Text from the gateway only ever becomes text: nothing here, or anywhere else, parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/** @returns {HTMLElement} */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) attribute(element, name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) attribute(element, name, value);
  element.append(...children);
  return element;
}

/** Set an attribute, or take it away when the value is null, undefined or false. */
export function attribute(element, name, value) {
  const text = value === true ? "" : value;
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(text)) element.setAttribute(name, String(text));
}

/** Change an element's text only when it differs, so that a selection in it survives. */
export function setText(element, value) {
  const wanted = plain(value);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** What a person reads for a value of a property. */
export function plain(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Make these the leading children of ``body``, moving nothing that is already in place. */
export function arrange(body, elements) {
  const wanted = new Set(elements);
  for (const child of [...body.children]) {
    if (!wanted.has(child) && !child.classList.contains("quality-overlay")) child.remove();
  }
  elements.forEach((element, index) => {
    const there = body.children[index] ?? null;
    if (there === element) return;
    // moveBefore keeps focus, caret and scroll position of what it moves
    if (element.parentNode === body && body.moveBefore) body.moveBefore(element, there);
    else body.insertBefore(element, there);
  });
}

const FOCUSABLE =
  'a[href], button, input, select, textarea, [tabindex]:not([tabindex="-1"])';

/** Everything the Tab key reaches inside an element, in order. */
export function focusables(element) {
  return [...element.querySelectorAll(FOCUSABLE)].filter(
    (one) => !one.disabled && one.tabIndex >= 0 && !one.closest("[inert]") && one.checkVisibility({ visibilityProperty: true }),
  );
}
