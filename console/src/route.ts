// The address after #: which page, and what it was asked. All that a view shows follows from it,
// so that it can be sent as a link, reloaded, and left by the back button.
export interface Route {
  words: string[]; // units, SERIAL
  asked: Record<string, string>; // as_of=…
}

export function routeOf(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#\//, "").split("?");
  return {
    words: path.split("/").map(decodeURIComponent),
    asked: Object.fromEntries(new URLSearchParams(search)),
  };
}

// "#/units/S?as_of=…": what is empty is left out.
export function routeTo(words: string[], asked: Record<string, string> = {}): string {
  const said = Object.entries(asked).filter(([, value]) => value !== "");
  const search = said.length ? `?${new URLSearchParams(said).toString()}` : "";
  return `#/${words.map(encodeURIComponent).join("/")}${search}`;
}

// A date-time control speaks local time, links and REST UTC.
export function momentOfControl(text: string): string {
  const date = new Date(text);
  return text && !Number.isNaN(date.getTime()) ? date.toISOString() : "";
}

export function controlOfMoment(text: string): string {
  const date = new Date(text);
  if (!text || Number.isNaN(date.getTime())) return "";
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19);
}
