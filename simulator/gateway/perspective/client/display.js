// What only shows: label, icon, markdown, progress.

import { attribute, make, plain, setText, svg } from "./dom.js";
import { formatNumber } from "./format.js";
import { iconElement, iconNames } from "./icons.js";
import { renderMarkdown } from "./markdown.js";
import { classNames, dress } from "./style.js";
import { renderer } from "./tree.js";

const VERTICAL = { top: "flex-start", center: "center", bottom: "flex-end" };
const HEADINGS = [["Title", "1"], ["Heading", "2"], ["Subheading", "3"]];

renderer("ia.display.label", (component) => {
  const text = make("span", { class: "label-text" });
  const root = make("div", { class: "label" }, text);
  return {
    root,
    rules: () => ({ alignItems: VERTICAL[component.props.alignVertical] ?? "center" }),
    update() {
      const { props } = component;
      setText(text, props.text);
      dress(text, props.textStyle);
      text.classList.toggle("empty", plain(props.text) === "");
      heading(root, props.style);
    },
  };
});

/** A label in a heading's style class is a heading to those who cannot see it. */
function heading(root, style) {
  const names = classNames(style);
  const found = HEADINGS.find(([name]) => names.some((one) => one.endsWith(`/${name}`)));
  if (!found && root.getAttribute("role") !== "heading") return;
  attribute(root, "role", found ? "heading" : null);
  attribute(root, "aria-level", found?.[1]);
}

renderer("ia.display.icon", (component) => {
  const root = make("div", { class: "icon" });
  let drawn = null;
  return {
    root,
    update() {
      const path = plain(component.props.path);
      if (path !== drawn) {
        root.querySelector("svg")?.remove();
        root.prepend(iconElement(path));
        root.classList.toggle("unknown-icon", path !== "" && !iconNames.has(path));
        drawn = path;
      }
      root.querySelector("svg").style.color = plain(component.props.color);
      const tooltip = component.meta.tooltip;
      const spoken = typeof tooltip === "object" ? tooltip?.text : tooltip;
      if (root.getAttribute("role") !== "button") attribute(root, "role", spoken ? "img" : null);
      attribute(root, "aria-hidden", spoken || component.events.dom?.length ? null : "true");
      attribute(root, "aria-label", spoken || (component.events.dom?.length ? component.spokenName : null));
    },
  };
});

renderer("ia.display.markdown", (component) => {
  const body = make("div", { class: "markdown-body" });
  const root = make("div", { class: "markdown" }, body);
  let drawn = null;
  return {
    root,
    update() {
      const source = plain(component.props.source);
      if (source !== drawn) body.replaceChildren(...renderMarkdown(source));
      drawn = source;
    },
  };
});

renderer("ia.display.progress", (component) => {
  const bar = svg("rect", { class: "progress-bar", x: 0, y: 0, height: 8, rx: 4 });
  const track = svg("rect", { class: "progress-track", x: 0, y: 0, width: "100%", height: 8, rx: 4 });
  const drawing = svg("svg", { width: "100%", height: 8, "aria-hidden": "true" }, track, bar);
  const text = make("span", { class: "progress-value" });
  const meter = make("div", { class: "progress-meter", role: "progressbar" }, drawing);
  const root = make("div", { class: "progress" }, meter, text);
  return {
    root,
    update() {
      const { props } = component;
      const low = Number(props.min ?? 0);
      const high = Number(props.max ?? 100);
      const given = props.value === null || props.value === undefined ? null : Number(props.value);
      const share = given === null || !(high > low) ? 0 : Math.min(1, Math.max(0, (given - low) / (high - low)));
      attribute(bar, "width", `${share * 100}%`);
      dress(bar, { ...props.bar?.style, ...(props.bar?.color ? { fill: props.bar.color } : {}) });
      dress(track, { ...props.track?.style, ...(props.track?.color ? { fill: props.track.color } : {}) });
      attribute(meter, "aria-label", component.spokenName);
      attribute(meter, "aria-valuemin", low);
      attribute(meter, "aria-valuemax", high);
      attribute(meter, "aria-valuenow", given);
      const display = props.valueDisplay ?? {};
      const shown = display === true || display.enabled !== false;
      text.hidden = !shown;
      if (shown) setText(text, given === null ? "–" : formatNumber(given, display.format ?? "0.#") + plain(display.suffix ?? "%"));
      dress(text, display.style);
    },
  };
});
