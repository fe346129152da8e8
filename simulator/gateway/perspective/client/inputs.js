// What a person presses, types and chooses.

import { attribute, make, plain, setText } from "./dom.js";
import { formatNumber } from "./format.js";
import { iconElement } from "./icons.js";
import { dress } from "./style.js";
import { renderer } from "./tree.js";

renderer("ia.input.button", (component) => {
  const image = make("span", { class: "button-icon" });
  const text = make("span", { class: "button-text" });
  const root = make("button", { type: "button", class: "button" }, image, text);
  let drawn = null;
  root.onclick = () => component.emit("onActionPerformed");
  return {
    root,
    update() {
      const { props } = component;
      setText(text, props.text);
      dress(text, props.textStyle);
      root.disabled = !component.enabled;
      root.classList.toggle("primary", props.primary !== false);
      const icon = props.image?.icon ?? {};
      const path = plain(icon.path);
      if (path !== drawn) image.replaceChildren(...(path ? [iconElement(path)] : []));
      drawn = path;
      image.hidden = path === "";
      text.hidden = plain(props.text) === "";
      root.classList.toggle("icon-only", text.hidden);
      dress(image, { ...icon.style, ...(icon.color ? { color: icon.color } : {}) });
      attribute(root, "aria-label", plain(props.text) ? null : component.spokenName);
    },
  };
});

/** A field that is typed into: what is on its way to the gateway and what a person is typing never collide. */
function typed(component, field, { path, show, read }) {
  let dirty = false;
  const value = () => component.props[path];
  const commit = () => {
    if (!dirty) return;
    const entered = read(field.value);
    if (entered.invalid) {
      attribute(field, "aria-invalid", "true");
      attribute(field, "title", entered.invalid);
      return;
    }
    attribute(field, "aria-invalid", null);
    attribute(field, "title", null);
    // What could not be sent because the wire was cut stays in the field and is sent when it is mended.
    const same = entered.value === (value() ?? null) && entered.value !== "";
    dirty = !same && !component.write(`props.${path}`, entered.value);
  };
  const busy = () => document.activeElement === field && component.props.rejectUpdatesWhileFocused !== false;
  field.oninput = () => {
    dirty = true;
    if (component.props.deferUpdates === false) commit();
  };
  field.onchange = commit;
  field.onblur = () => {
    commit();
    update();
  };
  field.onfocus = () => {
    if (!dirty && show.raw) field.value = show.raw(value());
  };
  const update = () => {
    field.disabled = !component.enabled;
    attribute(field, "placeholder", plain(component.props.placeholder) || null);
    const refused = field.getAttribute("aria-invalid") === "true";
    if (busy() || refused) return;
    if (dirty) commit();
    if (dirty) return;
    const wanted = show(value());
    if (field.value !== wanted) field.value = wanted;
  };
  return { update, commit };
}

renderer("ia.input.text-field", (component) => {
  const field = make("input", { type: "text", class: "field", autocomplete: "off" });
  const root = make("div", { class: "field-box" }, field);
  const { update, commit } = typed(component, field, { path: "text", show: plain, read: (text) => ({ value: text }) });
  field.onkeydown = (event) => {
    if (event.key !== "Enter") return;
    commit();
    component.emit("onActionPerformed");
  };
  return { root, control: field, labelled: field, update };
});

renderer("ia.input.text-area", (component) => {
  const field = make("textarea", { class: "field", rows: 2 });
  const root = make("div", { class: "field-box area" }, field);
  const { update } = typed(component, field, { path: "text", show: plain, read: (text) => ({ value: text }) });
  return {
    root,
    control: field,
    labelled: field,
    update() {
      update();
      field.wrap = component.props.wrap === false || component.props.wrap === "off" ? "off" : "soft";
      field.spellcheck = component.props.spellcheck === true;
    },
  };
});

renderer("ia.input.numeric-entry-field", (component) => {
  const field = make("input", { type: "text", inputmode: "decimal", class: "field number", autocomplete: "off" });
  const root = make("div", { class: "field-box" }, field);
  const show = (value) => formatNumber(value, component.props.format);
  show.raw = (value) => plain(value);
  const read = (text) => {
    const trimmed = text.trim().replace(",", ".");
    if (trimmed === "") return { value: null };
    const value = Number(trimmed);
    if (!Number.isFinite(value)) return { invalid: `${text} is not a number` };
    const { minimum, maximum } = component.props.inputBounds ?? {};
    if (typeof minimum === "number" && value < minimum) return { invalid: `at least ${minimum} is wanted` };
    if (typeof maximum === "number" && value > maximum) return { invalid: `at most ${maximum} is wanted` };
    return { value };
  };
  const { update, commit } = typed(component, field, { path: "value", show, read });
  field.onkeydown = (event) => {
    if (event.key !== "Enter") return;
    commit();
    component.emit("onActionPerformed");
  };
  return { root, control: field, labelled: field, update };
});

renderer("ia.input.dropdown", (component) => {
  const select = make("select", { class: "field" });
  const root = make("div", { class: "field-box dropdown" }, select, iconElement("material/expand_more"));
  const options = () => (Array.isArray(component.props.options) ? component.props.options : []);
  const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
  let drawn = null;

  select.onchange = () => {
    const chosen = [...select.selectedOptions].filter((one) => "choice" in one).map((one) => one.choice);
    component.write("props.value", component.props.multiSelect ? chosen : chosen[0] ?? null);
    component.emit("onActionPerformed");
  };
  const draw = () => {
    const { multiSelect, placeholder, showClearIcon } = component.props;
    const none = make("option", { value: "" }, plain(placeholder?.text ?? placeholder) || (showClearIcon ? "None" : "Select…"));
    // Without a clear icon a choice cannot be taken back, only changed.
    none.hidden = none.disabled = !showClearIcon;
    const entries = options().map((option) => {
      const entry = make("option", { value: plain(option?.value) }, plain(option?.label ?? option?.value));
      entry.choice = option?.value ?? null; // as given: an option's value attribute is always text
      entry.disabled = option?.isDisabled === true;
      return entry;
    });
    select.replaceChildren(...(multiSelect ? [] : [none]), ...entries);
    select.multiple = Boolean(multiSelect);
    root.classList.toggle("multiple", Boolean(multiSelect));
  };
  return {
    root,
    control: select,
    labelled: select,
    update() {
      const { props } = component;
      const state = JSON.stringify([props.options, props.multiSelect, props.placeholder, props.showClearIcon]);
      if (state !== drawn) draw();
      drawn = state;
      select.disabled = !component.enabled;
      const values = props.multiSelect ? props.value ?? [] : [props.value ?? null];
      let found = false;
      for (const entry of select.options) {
        if (!("choice" in entry)) continue;
        // Not read back from the entry: taking away the last choice makes the browser choose one by itself.
        const wanted = entry.choice !== null && values.some((one) => same(one, entry.choice));
        entry.selected = wanted;
        found ||= wanted;
      }
      if (!found && !props.multiSelect) select.selectedIndex = 0;
    },
  };
});

renderer("ia.input.toggle-switch", (component) => {
  const knob = make("span", { class: "switch-track" }, make("span", { class: "switch-knob" }));
  const text = make("span", { class: "switch-text" });
  const button = make("button", { type: "button", role: "switch", class: "switch" }, knob, text);
  const root = make("div", { class: "switch-box" }, button);
  button.onclick = () => {
    component.write("props.selected", component.props.selected !== true);
    update();
    component.emit("onActionPerformed");
  };
  const update = () => {
    const { props } = component;
    const label = props.label?.text ?? (typeof props.label === "string" ? props.label : "");
    button.disabled = !component.enabled;
    attribute(button, "aria-checked", String(props.selected === true));
    setText(text, label);
    text.hidden = plain(label) === "";
    attribute(button, "aria-label", plain(label) ? null : component.spokenName);
    button.classList.toggle("label-first", ["left", "top"].includes(props.label?.position));
    const color = props.color?.selected ?? (typeof props.color === "string" ? props.color : "");
    knob.style.backgroundColor = props.selected === true ? plain(color) : "";
  };
  return { root, control: button, update };
});

renderer("ia.input.checkbox", (component) => {
  const box = make("input", { type: "checkbox" });
  const text = make("span", { class: "checkbox-text" });
  const root = make("label", { class: "checkbox" }, box, text);
  box.onchange = () => {
    component.write("props.selected", box.checked);
    component.emit("onActionPerformed");
  };
  return {
    root,
    control: box,
    update() {
      box.disabled = !component.enabled;
      box.checked = component.props.selected === true;
      box.indeterminate = component.props.selected === null;
      setText(text, component.props.text);
      attribute(box, "aria-label", plain(component.props.text) ? null : component.spokenName);
    },
  };
});
