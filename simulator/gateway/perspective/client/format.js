// Numbers and dates as text: patterns of Perspective's tables and fields.

/** A number by a pattern such as ``#,##0.0``, ``0,0.##``, ``0.0%`` or the words integer and none. */
export function formatNumber(value, pattern) {
  if (typeof value !== "number" || !Number.isFinite(value)) return value === null || value === undefined ? "" : String(value);
  if (!pattern || pattern === "none" || pattern === "auto") return shortest(value);
  if (pattern === "integer") return String(Math.round(value));
  const body = pattern.match(/[#0][#0,.]*/)?.[0];
  if (!body) return shortest(value);
  const percent = pattern.includes("%");
  const decimals = body.split(".")[1] ?? "";
  const text = (percent ? value * 100 : value).toLocaleString("en-US", {
    useGrouping: body.split(".")[0].includes(","),
    minimumFractionDigits: (decimals.match(/0/g) ?? []).length,
    maximumFractionDigits: decimals.length,
  });
  return pattern.replace(body, () => text);
}

/** At most six significant digits after the point, and none that say nothing. */
export function shortest(value) {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(8)));
}

const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const TOKEN = /\[([^\]]*)\]|YYYY|YY|MMMM|MMM|MM|M|DD|D|dddd|ddd|HH|H|hh|h|mm|m|ss|s|SSS|A|a/g;

/** A moment from epoch milliseconds or ISO text; null when it is neither. */
export function toDate(value) {
  const given = value !== null && typeof value === "object" && "date" in value ? value.date : value;
  if (typeof given !== "number" && typeof given !== "string") return null;
  const date = new Date(given);
  return Number.isNaN(date.getTime()) ? null : date;
}

/** A moment by a pattern in moment's tokens, in the browser's own time zone. */
export function formatDate(value, pattern = "YYYY-MM-DD HH:mm:ss") {
  const date = toDate(value);
  if (!date) return value === null || value === undefined ? "" : String(value);
  const two = (number) => String(number).padStart(2, "0");
  const hour = date.getHours();
  const parts = {
    YYYY: () => String(date.getFullYear()), YY: () => two(date.getFullYear() % 100),
    MMMM: () => MONTHS[date.getMonth()], MMM: () => MONTHS[date.getMonth()].slice(0, 3),
    MM: () => two(date.getMonth() + 1), M: () => String(date.getMonth() + 1),
    DD: () => two(date.getDate()), D: () => String(date.getDate()),
    dddd: () => DAYS[date.getDay()], ddd: () => DAYS[date.getDay()].slice(0, 3),
    HH: () => two(hour), H: () => String(hour), hh: () => two(hour % 12 || 12), h: () => String(hour % 12 || 12),
    mm: () => two(date.getMinutes()), m: () => String(date.getMinutes()),
    ss: () => two(date.getSeconds()), s: () => String(date.getSeconds()),
    SSS: () => String(date.getMilliseconds()).padStart(3, "0"),
    A: () => (hour < 12 ? "AM" : "PM"), a: () => (hour < 12 ? "am" : "pm"),
  };
  return String(pattern).replace(TOKEN, (token, literal) => (literal === undefined ? parts[token]() : literal));
}
