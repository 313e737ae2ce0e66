// JSON with whole numbers of any size. A register of 64 bits does not fit a JavaScript number; one
// beyond ±2^53 is a bigint here and keeps every digit on its way in and out.

// Marks a number's digits inside a string between the two forms. It begins with a character that
// no device's text begins with.
const mark = "\u0001int:";
const marked = /"\\u0001int:(-?\d+)"/g;
// A string (skipped whole), or a whole number of 16 digits and more.
const stringOrLong = /"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g;

function whole(digits: string): number | bigint {
  const number = Number(digits);
  return Number.isSafeInteger(number) ? number : BigInt(digits);
}

export function parseJson(text: string): unknown {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  const safe = text.replace(stringOrLong, (found, at: number) =>
    found.startsWith('"') || /[.eE\d]/.test(text[at - 1] ?? "") ? found : JSON.stringify(mark + found),
  );
  return JSON.parse(safe, (_, value: unknown) =>
    typeof value === "string" && value.startsWith(mark) ? whole(value.slice(mark.length)) : value,
  );
}

export function printJson(value: unknown): string {
  const text = JSON.stringify(value, (_, v: unknown) =>
    typeof v === "bigint" ? mark + v.toString() : v,
  );
  return text.replace(marked, "$1");
}

// What a person typed for a tag of that type: a number, true or false, else a string.
export function parseTyped(text: string, type: string): unknown {
  if (type === "string" || type === "bytes") return text;
  const trimmed = text.trim();
  if (trimmed === "true") return true;
  if (trimmed === "false") return false;
  if (/^[+-]?\d+$/.test(trimmed)) return whole(trimmed.replace(/^\+/, ""));
  const number = Number(trimmed);
  return trimmed !== "" && Number.isFinite(number) ? number : text;
}
