// The table: columns, sorting, filter, pager, selection, and rows that answer to mouse and keyboard.

import { attribute, make, plain, setText } from "./dom.js";
import { formatDate, formatNumber, toDate } from "./format.js";
import { iconElement } from "./icons.js";
import { dress } from "./style.js";
import { renderer } from "./tree.js";

/** Rows as objects, whether the property holds objects or a dataset of columns and rows. */
function rowsOf(data) {
  const set = data?.dataset ?? data;
  if (Array.isArray(set)) return set.map((row) => (row !== null && typeof row === "object" ? row : { value: row }));
  if (!Array.isArray(set?.columns) || !Array.isArray(set.rows)) return [];
  const names = set.columns.map((column) => (typeof column === "object" ? column.name : column));
  return set.rows.map((row) => Object.fromEntries(names.map((name, index) => [name, row[index]])));
}

/** A cell, and a whole row, may be given as {value, style}. */
function unwrap(cell) {
  const wrapped = cell !== null && typeof cell === "object" && "value" in cell && Object.keys(cell).every((key) => key === "value" || key === "style");
  return wrapped ? cell : { value: cell, style: null };
}

function columnsOf(props, rows) {
  const given = Array.isArray(props.columns) ? props.columns.filter((column) => column?.field) : [];
  const columns = given.length ? given : Object.keys(unwrap(rows[0] ?? {}).value ?? {}).map((field) => ({ field }));
  return columns.filter((column) => column.visible !== false);
}

function cellText(column, value) {
  if (value === null || value === undefined) return "";
  const render = column.render ?? "auto";
  if (render === "date") return formatDate(value, column.dateFormat ?? "YYYY-MM-DD HH:mm:ss");
  if (render === "boolean" || (render === "auto" && typeof value === "boolean")) return value ? "Yes" : "No";
  if (render === "auto" && typeof value === "object" && "date" in value) return formatDate(value, column.dateFormat);
  if (typeof value === "number" && render !== "string") return formatNumber(value, column.numberFormat);
  return plain(value);
}

function compare(one, other) {
  const empty = (value) => value === null || value === undefined || value === "";
  if (empty(one) || empty(other)) return Number(empty(one)) - Number(empty(other));
  if (typeof one === "number" && typeof other === "number") return one - other;
  const [first, second] = [one, other].map((value) => (typeof value === "object" ? toDate(value)?.getTime() ?? plain(value) : plain(value)));
  if (typeof first === "number" && typeof second === "number") return first - second;
  return String(first).localeCompare(String(second), undefined, { numeric: true });
}

const ALIGN = { left: "left", center: "center", right: "right" };

class Table {
  constructor(component) {
    this.component = component;
    this.sort = null;
    this.page = 0;
    this.pageSize = null;
    this.active = 0;
    this.search = make("input", { type: "search", class: "field", placeholder: "Filter", "aria-label": "Filter the table" });
    this.filterBar = make("div", { class: "table-filter" }, iconElement("material/search"), this.search);
    this.groups = make("colgroup");
    this.head = make("tr");
    this.body = make("tbody");
    this.table = make("table", {}, this.groups, make("thead", {}, this.head), this.body);
    this.empty = make("p", { class: "table-empty" });
    this.scroll = make("div", { class: "table-scroll" }, this.table, this.empty);
    this.pagers = [new Pager(this), new Pager(this)];
    this.root = make("div", { class: "table" }, this.filterBar, this.pagers[0].root, this.scroll, this.pagers[1].root);
    this.search.oninput = () => {
      this.page = 0;
      this.component.write("props.filter.text", this.search.value);
      this.update(null);
    };
    this.body.addEventListener("click", (event) => this.press(event, "onRowClick"));
    this.body.addEventListener("dblclick", (event) => this.press(event, "onRowDoubleClick"));
    this.body.addEventListener("keydown", (event) => this.key(event));
  }

  update(changed) {
    if (changed && [...changed].every((key) => !key.startsWith("props."))) return;
    const { props } = this.component;
    this.rows = rowsOf(props.data).map((row, index) => ({ index, ...unwrap(row) }));
    this.columns = columnsOf(props, rowsOf(props.data));
    attribute(this.table, "aria-label", this.component.spokenName);
    this.showFilter(props.filter ?? {});
    this.showHead();
    this.shown = this.ordered(this.filtered());
    this.paging();
    const slice = this.pageSize ? this.shown.slice(this.page * this.pageSize, (this.page + 1) * this.pageSize) : this.shown;
    this.showRows(slice);
    this.empty.hidden = this.shown.length > 0;
    const message = props.emptyMessage ?? {};
    setText(this.empty, this.rows.length ? "Nothing matches the filter" : message.noData?.text ?? message.text ?? "No data");
  }

  showFilter(filter) {
    this.filterBar.hidden = filter.enabled !== true;
    if (document.activeElement !== this.search) this.search.value = plain(filter.text);
  }

  filtered() {
    const wanted = this.filterBar.hidden ? "" : this.search.value.trim().toLowerCase();
    if (!wanted) return this.rows;
    return this.rows.filter((row) =>
      this.columns.some((column) => cellText(column, unwrap(row.value?.[column.field]).value).toLowerCase().includes(wanted)),
    );
  }

  ordered(rows) {
    const given = this.columns.find((column) => ["ascending", "descending"].includes(column.sort));
    const sort = this.sort ?? (given && { field: given.field, down: given.sort === "descending" });
    this.sorted = sort;
    if (!sort?.field) return rows;
    const value = (row) => unwrap(row.value?.[sort.field]).value;
    return [...rows].sort((one, other) => (sort.down ? -1 : 1) * compare(value(one), value(other)));
  }

  showHead() {
    const state = JSON.stringify(this.columns);
    if (state === this.drawnHead) {
      this.markSort();
      return;
    }
    this.drawnHead = state;
    this.body.replaceChildren();
    this.groups.replaceChildren(...this.columns.map((column) => {
      const group = make("col");
      if (column.width) group.style.width = typeof column.width === "number" ? `${column.width}px` : String(column.width);
      return group;
    }));
    this.table.classList.toggle("fixed", this.columns.some((column) => column.strictWidth));
    this.head.replaceChildren(...this.columns.map((column) => {
      const title = typeof column.header === "object" ? column.header?.title : column.header;
      const text = plain(title) || column.field;
      const cell = make("th", { scope: "col" });
      cell.style.textAlign = this.alignment(column);
      if (column.sortable === false) cell.append(text);
      else {
        const button = make("button", { type: "button", class: "sort" }, make("span", {}, text), make("span", { class: "sort-mark", "aria-hidden": "true" }));
        button.onclick = () => this.sortBy(column.field);
        cell.append(button);
      }
      return cell;
    }));
    this.markSort();
  }

  markSort() {
    queueMicrotask(() => this.columns.forEach((column, index) => {
      const cell = this.head.children[index];
      const here = this.sorted?.field === column.field;
      attribute(cell, "aria-sort", here ? (this.sorted.down ? "descending" : "ascending") : null);
      const mark = cell?.querySelector(".sort-mark");
      if (mark) setText(mark, here ? (this.sorted.down ? "▼" : "▲") : "");
    }));
  }

  sortBy(field) {
    const now = this.sorted?.field === field ? this.sorted : null;
    this.sort = !now ? { field, down: false } : now.down ? { field: null } : { field, down: true };
    this.update(null);
  }

  alignment(column) {
    if (ALIGN[column.justify]) return ALIGN[column.justify];
    const first = this.rows.length ? unwrap(this.rows[0].value?.[column.field]).value : null;
    const numeric = column.render === "number" || ((column.render ?? "auto") === "auto" && typeof first === "number");
    return numeric ? "right" : "left";
  }

  paging() {
    const pager = this.component.props.pager ?? {};
    const enabled = pager.enabled !== false && (pager.top === true || pager.bottom !== false);
    const options = Array.isArray(pager.options) && pager.options.length ? pager.options : [25, 50, 100];
    this.pageSize = enabled ? this.chosenSize ?? (Number(pager.activeOption ?? pager.initialOption) || 25) : null;
    const pages = this.pageSize ? Math.max(1, Math.ceil(this.shown.length / this.pageSize)) : 1;
    this.page = Math.min(this.page, pages - 1);
    const small = this.shown.length <= Math.min(...options.map(Number), this.pageSize ?? Infinity);
    this.pagers[0].show(enabled && pager.top === true && !small, pages, options);
    this.pagers[1].show(enabled && pager.bottom !== false && !small, pages, options);
  }

  get pressable() {
    const named = this.component.events.component ?? [];
    return named.some((name) => name.startsWith("onRow")) || this.selects;
  }

  get selects() {
    const selection = this.component.props.selection ?? {};
    return selection.enableRowSelection !== false && (selection.mode !== undefined || this.component.events.component?.includes("onSelectionChange"));
  }

  /** Rows keep their elements, so that focus and scroll position stay when data changes. */
  showRows(rows) {
    const { body } = this;
    while (body.rows.length > rows.length) body.lastChild.remove();
    const missing = document.createDocumentFragment();
    for (let index = body.rows.length; index < rows.length; index += 1) {
      missing.append(make("tr", {}, ...this.columns.map(() => make("td"))));
    }
    body.append(missing);
    this.active = Math.min(this.active, Math.max(0, rows.length - 1));
    const pressable = this.pressable;
    const chosen = new Set([this.component.props.selection?.selectedRow ?? []].flat());
    rows.forEach((row, at) => {
      const line = body.rows[at];
      line.rowData = row;
      line.classList.toggle("pressable", pressable);
      attribute(line, "tabindex", pressable ? (at === this.active ? 0 : -1) : null);
      attribute(line, "aria-selected", null);
      line.classList.toggle("selected", this.selects && chosen.has(row.index));
      if (row.style || line.dressed) dress(line, row.style);
      line.dressed = Boolean(row.style);
      this.columns.forEach((column, number) => this.showCell(line.cells[number], column, row.value?.[column.field]));
    });
  }

  showCell(cell, column, given) {
    const { value, style } = unwrap(given);
    setText(cell, cellText(column, value));
    const align = this.alignment(column);
    if (style || column.style || cell.dressed !== align) dress(cell, { ...column.style, ...style }, { textAlign: align });
    cell.dressed = style || column.style ? null : align;
  }

  press(event, name) {
    const line = event.target.closest("tr");
    if (!line?.rowData || !this.pressable) return;
    this.moveTo([...this.body.rows].indexOf(line), false);
    this.choose(line, name, event);
  }

  choose(line, name, event) {
    const { index, value } = line.rowData;
    if (this.selects && name === "onRowClick") {
      const selection = { ...this.component.props.selection, selectedRow: index, data: [value] };
      this.component.write("props.selection.selectedRow", index);
      this.component.write("props.selection.data", [value]);
      for (const one of this.body.rows) one.classList.toggle("selected", one === line);
      this.component.emit("onSelectionChange", { data: selection.data, selectedRow: index });
    }
    const column = this.columns[event.target.closest?.("td")?.cellIndex ?? 0]?.field ?? null;
    const rowIndex = this.page * (this.pageSize ?? 0) + [...this.body.rows].indexOf(line);
    this.component.emit(name, { row: index, rowIndex, column, value });
  }

  key(event) {
    const line = event.target;
    if (line.tagName !== "TR" || !line.rowData) return;
    const at = [...this.body.rows].indexOf(line);
    const last = this.body.rows.length - 1;
    const target = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: last, PageDown: at + 10, PageUp: at - 10 }[event.key];
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.choose(line, "onRowClick", event);
    } else if (target !== undefined) {
      event.preventDefault();
      this.moveTo(Math.max(0, Math.min(last, target)), true);
    }
  }

  moveTo(index, focus) {
    const before = this.body.rows[this.active];
    if (before) before.tabIndex = -1;
    this.active = index;
    const line = this.body.rows[index];
    line.tabIndex = 0;
    if (focus) line.focus();
  }

  turn(page) {
    this.page = page;
    this.active = 0;
    this.component.write("props.pager.activePage", page + 1);
    this.update(null);
    this.scroll.scrollTop = 0;
  }

  resize(size) {
    this.chosenSize = size;
    this.page = 0;
    this.component.write("props.pager.activeOption", size);
    this.update(null);
  }
}

class Pager {
  constructor(table) {
    this.previous = make("button", { type: "button", class: "button", "aria-label": "Previous page" }, iconElement("material/chevron_left"));
    this.next = make("button", { type: "button", class: "button", "aria-label": "Next page" }, iconElement("material/chevron_right"));
    this.text = make("span", { role: "status" });
    this.size = make("select", { class: "field", "aria-label": "Rows per page" });
    this.root = make("div", { class: "table-pager" }, this.size, this.previous, this.text, this.next);
    this.table = table;
    this.previous.onclick = () => table.turn(table.page - 1);
    this.next.onclick = () => table.turn(table.page + 1);
    this.size.onchange = () => table.resize(Number(this.size.value));
  }

  show(shown, pages, options) {
    this.root.hidden = !shown;
    if (!shown) return;
    const { page, pageSize, shown: rows } = this.table;
    const sizes = [...new Set([...options.map(Number), pageSize])].sort((one, other) => one - other);
    const state = sizes.join();
    if (state !== this.drawn) this.size.replaceChildren(...sizes.map((size) => make("option", { value: size }, `${size} rows`)));
    this.drawn = state;
    this.size.value = String(pageSize);
    this.previous.disabled = page === 0;
    this.next.disabled = page >= pages - 1;
    setText(this.text, `${page * pageSize + 1}–${Math.min(rows.length, (page + 1) * pageSize)} of ${rows.length}`);
  }
}

renderer("ia.display.table", (component) => {
  const table = new Table(component);
  return { root: table.root, update: (changed) => table.update(changed) };
});
