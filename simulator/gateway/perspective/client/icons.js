// Our own line drawings for the icon names the views may use, each on a field of 24 × 24.

import { svg } from "./dom.js";

const DRAWINGS = {
  home: "M4 11l8-7 8 7 M6 10v10h12V10 M10 20v-6h4v6",
  notifications: "M6 17V11a6 6 0 0 1 12 0v6 M4 17h16 M10 20.5h4 M12 5V3",
  warning: "M12 4L2.5 20h19z M12 10v5 M12 17.2v.6",
  error: "M12 3a9 9 0 1 0 .01 0z M12 7.5v6 M12 16.2v.6",
  check_circle: "M12 3a9 9 0 1 0 .01 0z M8 12.5l3 3 5.5-6.5",
  cancel: "M12 3a9 9 0 1 0 .01 0z M8.5 8.5l7 7 M15.5 8.5l-7 7",
  schedule: "M12 3a9 9 0 1 0 .01 0z M12 7.5V12l3.5 2.5",
  hourglass_empty: "M6 3h12 M6 21h12 M7.5 3v4l4.5 5-4.5 5v4 M16.5 3v4L12 12l4.5 5v4",
  settings:
    "M12 9a3 3 0 1 0 .01 0z M9.9 5.3L10.4 2.7L13.6 2.7L14.1 5.3L15.3 5.8L17.4 4.3L19.7 6.6L18.2 8.7L18.7 9.9L21.3 10.4L21.3 13.6L18.7 14.1L18.2 15.3L19.7 17.4L17.4 19.7L15.3 18.2L14.1 18.7L13.6 21.3L10.4 21.3L9.9 18.7L8.7 18.2L6.6 19.7L4.3 17.4L5.8 15.3L5.3 14.1L2.7 13.6L2.7 10.4L5.3 9.9L5.8 8.7L4.3 6.6L6.6 4.3L8.7 5.8z",
  list: "M8 6h12 M8 12h12 M8 18h12 M4 6h.6 M4 12h.6 M4 18h.6",
  show_chart: "M3 17l6-6 4 4 8-9",
  history: "M4.5 9a8.3 8.3 0 1 1-.6 5 M4 4.5V9h4.5 M12.2 8v4.5l3 2",
  person: "M12 4a4 4 0 1 0 .01 0z M4.5 20c.6-4 3.6-6 7.5-6s6.9 2 7.5 6z",
  visibility: "M2.5 12C5 7.5 8.3 5.5 12 5.5s7 2 9.5 6.5c-2.5 4.5-5.8 6.5-9.5 6.5S5 16.5 2.5 12z M12 9.2a2.8 2.8 0 1 0 .01 0z",
  lock: "M5.5 10.5h13V20h-13z M8.5 10.5V7.5a3.5 3.5 0 0 1 7 0v3 M12 14v2.5",
  lock_open: "M5.5 10.5h13V20h-13z M8.5 10.5V7.5a3.5 3.5 0 0 1 6.8-1.2 M12 14v2.5",
  power_settings_new: "M12 3v9 M7 6.5a7.5 7.5 0 1 0 10 0",
  favorite: "M12 20C5 15 3 12 3 8.8 3 6 5 4.5 7.2 4.5c2 0 3.7 1.1 4.8 3 1.1-1.9 2.8-3 4.8-3C19 4.5 21 6 21 8.8 21 12 19 15 12 20z",
  cloud_off: "M8 7.2A6 6 0 0 1 17.5 11a4 4 0 0 1 2.3 6.8 M16.5 19H7a4.5 4.5 0 0 1-1-8.9 M4 3.5l16.5 17",
  sync: "M19.5 11A7.6 7.6 0 0 0 6 7.3L4.5 9 M4.5 4.5V9H9 M4.5 13A7.6 7.6 0 0 0 18 16.7l1.5-1.7 M19.5 19.5V15H15",
  help: "M12 3a9 9 0 1 0 .01 0z M9.3 9.5a2.7 2.7 0 1 1 3.9 2.4c-.9.5-1.2.9-1.2 1.9 M12 16.5v.6",
  info: "M12 3a9 9 0 1 0 .01 0z M12 11v6 M12 7.3v.6",
  arrow_forward: "M4 12h16 M14 6l6 6-6 6",
  arrow_back: "M20 12H4 M10 6l-6 6 6 6",
  chevron_left: "M15 5l-7 7 7 7",
  chevron_right: "M9 5l7 7-7 7",
  download: "M12 4v11 M7 10.5l5 5 5-5 M5 20h14",
  search: "M10.5 4.5a6 6 0 1 0 .01 0z M15 15l5.5 5.5",
  precision_manufacturing: "M4 20h9 M6 20v-4h5v4 M8.5 16L7 9l6-5 4 5 M17 9l-2.5 2.5 M17 9l2.5 2.5 M7 9h.01",
  assignment: "M5 5h14v15.5H5z M9 3.5h6v3H9z M8.5 11h7 M8.5 15h5",
  menu: "M4 6.5h16 M4 12h16 M4 17.5h16",
  brightness_6: "M12 6.5a5.5 5.5 0 1 0 .01 0z M12 7v10 M14 7.5v9 M16 9v6 M12 2v2 M12 20v2 M2 12h2 M20 12h2 M5 5l1.3 1.3 M17.7 17.7L19 19 M5 19l1.3-1.3 M17.7 6.3L19 5",
  block: "M12 3a9 9 0 1 0 .01 0z M5.7 5.7l12.6 12.6",
  play_arrow: "M7.5 4.5l11.5 7.5-11.5 7.5z",
  login: "M13 4h6.5v16H13 M3.5 12h11 M10.5 8l4 4-4 4",
  logout: "M11 4H4.5v16H11 M9.5 12h11 M16.5 8l4 4-4 4",
  close: "M5.5 5.5l13 13 M18.5 5.5l-13 13",
  refresh: "M19.5 8.5A8 8 0 1 0 20 13 M20 4v4.7h-4.7",
  expand_more: "M5 9l7 7 7-7",
};

/** Every path the client can draw, such as ``material/home``. */
export const iconNames = new Set(Object.keys(DRAWINGS).map((name) => `material/${name}`));

/** A drawing in the current colour; an unknown name is a dashed square, never nothing. */
export function iconElement(path) {
  const name = String(path).replace(/^material\//, "");
  const drawing = svg("svg", { viewBox: "0 0 24 24", class: "icon-drawing", "aria-hidden": "true", focusable: "false" });
  if (path === "" || path === null || path === undefined) return drawing;
  const known = Object.hasOwn(DRAWINGS, name);
  drawing.append(svg("path", { d: known ? DRAWINGS[name] : "M4 4h16v16H4z M9 9l6 6 M15 9l-6 6" }));
  if (!known) drawing.append(svg("title", {}, `unknown icon ${path}`));
  return drawing;
}
