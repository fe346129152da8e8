// A safe subset of Markdown, built as elements from text: markup of any other kind stays the text it is.

import { make } from "./dom.js";

const LONGEST = 200000;
const HEADING = /^(#{1,6})\s+(.*?)\s*#*\s*$/;
const BULLET = /^(\s*)[-*+]\s+(.*)$/;
const NUMBER = /^(\s*)\d{1,9}[.)]\s+(.*)$/;
const RULE = /^\s*([-*_])(\s*\1){2,}\s*$/;
const QUOTE = /^\s*>\s?(.*)$/;

/** Elements of a document: headings, paragraphs, lists, quotations, code, rules. */
export function renderMarkdown(source) {
  if (source.length > LONGEST) return [make("pre", {}, source)];
  return blocks(source.replace(/\r\n?/g, "\n").split("\n"), 0);
}

function blocks(lines, depth) {
  const found = [];
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    const heading = line.match(HEADING);
    if (line.trim() === "") at += 1;
    else if (line.trimStart().startsWith("```")) at = fence(lines, at, found);
    else if (heading) {
      found.push(make(`h${Math.min(6, heading[1].length + 1)}`, {}, ...inline(heading[2])));
      at += 1;
    } else if (RULE.test(line)) {
      found.push(make("hr"));
      at += 1;
    } else if (QUOTE.test(line) && depth < 8) at = quotation(lines, at, found, depth);
    else if (BULLET.test(line) || NUMBER.test(line)) at = list(lines, at, found, depth);
    else at = paragraph(lines, at, found);
  }
  return found;
}

function fence(lines, start, found) {
  let end = start + 1;
  while (end < lines.length && !lines[end].trimStart().startsWith("```")) end += 1;
  found.push(make("pre", {}, make("code", {}, lines.slice(start + 1, end).join("\n"))));
  return end + 1;
}

function quotation(lines, start, found, depth) {
  let end = start;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  const inside = lines.slice(start, end).map((line) => line.match(QUOTE)[1]);
  found.push(make("blockquote", {}, ...blocks(inside, depth + 1)));
  return end;
}

function list(lines, start, found, depth) {
  const ordered = NUMBER.test(lines[start]);
  const pattern = ordered ? NUMBER : BULLET;
  const indent = lines[start].match(pattern)[1].length;
  const element = make(ordered ? "ol" : "ul");
  let at = start;
  while (at < lines.length) {
    const item = lines[at].match(pattern);
    if (!item || item[1].length !== indent) break;
    let end = at + 1;
    const own = (line) => line.trim() !== "" && line.length - line.trimStart().length > indent;
    while (end < lines.length && own(lines[end])) end += 1;
    const below = lines.slice(at + 1, end).map((line) => line.trimStart().length ? line.slice(indent + 2) : line);
    const nested = depth < 8 ? blocks(below, depth + 1) : below.map((line) => line);
    element.append(make("li", {}, ...inline(item[2]), ...nested));
    at = end;
  }
  found.push(element);
  return at;
}

function paragraph(lines, start, found) {
  let end = start + 1;
  const starts = (line) =>
    line.trim() === "" || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || BULLET.test(line) ||
    NUMBER.test(line) || line.trimStart().startsWith("```");
  while (end < lines.length && !starts(lines[end])) end += 1;
  const element = make("p");
  lines.slice(start, end).forEach((line, index, all) => {
    const last = index === all.length - 1;
    const hard = !last && /( {2,}|\\)$/.test(line);
    element.append(...inline(line.replace(/( {2,}|\\)$/, "").trimStart()), hard ? make("br") : last ? "" : "\n");
  });
  found.push(element);
  return end;
}

const MARKS = [["**", "strong"], ["__", "strong"], ["*", "em"], ["_", "em"]];

/** Nodes of one run of text: code, bold, italics, links to http(s), and text. */
function inline(text, depth = 0) {
  const found = [];
  let kept = "";
  let at = 0;
  const add = (node) => {
    if (kept) found.push(kept);
    kept = "";
    found.push(node);
  };
  while (at < text.length) {
    const taken = depth < 6 ? piece(text, at, depth, add) : 0;
    if (taken) at += taken;
    else if (text[at] === "\\" && /[\\`*_[\]()#>+.!-]/.test(text[at + 1] ?? "")) {
      kept += text[at + 1];
      at += 2;
    } else kept += text[at++];
  }
  if (kept) found.push(kept);
  return found;
}

/** Take what begins here and say how many characters it was; 0 when it is plain text. */
function piece(text, at, depth, add) {
  if (text[at] === "`") {
    const end = text.indexOf("`", at + 1);
    if (end < 0) return 0;
    add(make("code", {}, text.slice(at + 1, end)));
    return end + 1 - at;
  }
  if (text[at] === "[") {
    const link = text.slice(at, at + 2000).match(/^\[([^[\]]*)\]\(([^()\s]*)\)/);
    const target = link && webAddress(link[2]);
    if (!target) return 0;
    add(make("a", { href: target, target: "_blank", rel: "noopener noreferrer" }, ...inline(link[1], depth + 1)));
    return link[0].length;
  }
  for (const [mark, tag] of MARKS) {
    if (!text.startsWith(mark, at)) continue;
    const end = text.indexOf(mark, at + mark.length + 1);
    const inside = text.slice(at + mark.length, end);
    const word = mark[0] === "_" && /\w/.test(text[at - 1] ?? ""); // snake_case is no emphasis
    if (end < 0 || word || inside.trim() !== inside || inside[0] === mark[0]) continue;
    add(make(tag, {}, ...inline(inside, depth + 1)));
    return end + mark.length - at;
  }
  return 0;
}

/** The address when it leads to the web, else null: no javascript:, data: or file:. */
export function webAddress(text) {
  if (!URL.canParse(text)) return null;
  const url = new URL(text);
  return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
}
