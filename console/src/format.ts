// Values and times as text. Numbers come exact from the server and are shown as they are.
import { printJson } from "./json";

export function formatValue(value: unknown): string {
  if (value === null || value === undefined) return "—";
  if (typeof value === "object") return printJson(value);
  return String(value);
}

// Local time to the millisecond, with the date before it unless it is today's.
export function formatWhen(text: string | null | undefined): string {
  if (!text) return "—";
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return text;
  const day = formatDay(date);
  return day === formatDay(new Date()) ? formatTime(text) : `${day} ${formatTime(text)}`;
}

function formatDay(date: Date): string {
  const pad = (n: number) => String(n).padStart(2, "0");
  return [date.getFullYear(), pad(date.getMonth() + 1), pad(date.getDate())].join("-");
}

// What the times on a page are told in.
export function zoneName(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

// Local date and time to the second.
export function formatMoment(text: string | null | undefined): string {
  if (!text) return "";
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return text;
  return `${formatDay(date)} ${formatTime(text).slice(0, 8)}`;
}

// Six significant digits: what a measure is read by. The exact value is in the title of the cell.
export function formatRounded(value: number): string {
  return String(Number(Number(value).toPrecision(6)));
}

// Local time to the millisecond; the whole date is in the title of the cell.
export function formatTime(text: string | null | undefined): string {
  if (!text) return "—";
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return text;
  const pad = (n: number, width = 2) => String(n).padStart(width, "0");
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map((n) => pad(n));
  return `${clock.join(":")}.${pad(date.getMilliseconds(), 3)}`;
}
