// A line as it was at a moment, from the stays that are stored: a unit inside a stay is at its
// station; between two stays it is drawn on the way between them, and says so.
import type { LineStay, LineTopology, LineUnit } from "../api";

interface Spot {
  part: string;
  mm: number | undefined;
}

const betweenMaxMs = 15 * 60_000; // longer, and nothing is known of it

// A stay's begin or end on the line: its own part, or a place on a belt.
function spotOfStation(line: LineTopology, station: string, atEnd: boolean): Spot | null {
  if (line.parts.some((p) => p.part === station && p.kind !== "belt"))
    return { part: station, mm: undefined };
  for (const part of line.parts)
    for (const place of part.places)
      if (place.station === station)
        return { part: part.part, mm: atEnd ? place.to_mm : place.from_mm };
  return null;
}

// The parts from one to another by the fewest ways; [] if there is none.
function partsBetween(line: LineTopology, from: string, into: string): string[] {
  const before = new Map<string, string>();
  const queue = [from];
  for (let part = queue.shift(); part !== undefined; part = queue.shift()) {
    for (const way of line.ways) {
      if (way.from !== part || !way.into || before.has(way.into)) continue;
      before.set(way.into, part);
      if (way.into !== into) {
        queue.push(way.into);
        continue;
      }
      const path = [into];
      for (let p = part; p !== from; p = before.get(p) ?? from) path.unshift(p);
      return [from, ...path];
    }
  }
  return [];
}

function spotBetween(line: LineTopology, from: Spot, into: Spot, share: number): Spot {
  const lengthOf = (part: string) => line.parts.find((p) => p.part === part)?.length_mm ?? 0;
  const same = from.part === into.part && from.mm !== undefined && into.mm !== undefined;
  const parts = same && (into.mm ?? 0) >= (from.mm ?? 0) ? [from.part] : partsBetween(line, from.part, into.part);
  const pieces = parts.map((part, i) => ({
    part,
    begin: i === 0 ? (from.mm ?? lengthOf(part)) : 0,
    end: i === parts.length - 1 ? (into.mm ?? 0) : lengthOf(part),
  }));
  let way = share * pieces.reduce((sum, p) => sum + Math.max(0, p.end - p.begin), 0);
  for (const p of pieces) {
    const long = Math.max(0, p.end - p.begin);
    if (long > 0 && way <= long) return { part: p.part, mm: p.begin + way };
    way -= long;
  }
  return from;
}

function unitOf(stay: LineStay, spot: Spot, between: boolean): LineUnit {
  return {
    unit: stay.unit,
    serial: stay.serial.startsWith("?") ? "" : stay.serial,
    part: spot.part,
    mm: spot.mm,
    since: stay.t_in,
    probability: stay.probability ?? 1,
    came: "seen",
    between,
    status: stay.status,
  };
}

// A unit's place at a moment, from its stays in their order; null: it is not in the line.
function unitAt(line: LineTopology, stays: LineStay[], ms: number): LineUnit | null {
  let i = stays.length - 1;
  while (i >= 0 && Date.parse(stays[i]?.t_in ?? "") > ms) i--;
  const stay = stays[i];
  const next = stays[i + 1];
  if (!stay) return null;
  const begin = Date.parse(stay.t_in);
  const end = Date.parse(stay.t_out ?? stay.t_in);
  const from = spotOfStation(line, stay.station, false);
  const to = spotOfStation(line, stay.station, true);
  if (!from || !to) return null;
  if (ms <= end) {
    const share = end > begin ? (ms - begin) / (end - begin) : 0;
    const mm = from.mm === undefined ? undefined : from.mm + share * ((to.mm ?? from.mm) - from.mm);
    return unitOf(stay, { part: from.part, mm }, false);
  }
  const into = next && spotOfStation(line, next.station, false);
  if (!next || !into) return null;
  const arrival = Date.parse(next.t_in);
  if (arrival <= end || arrival - end > betweenMaxMs) return null;
  return unitOf(stay, spotBetween(line, to, into, (ms - end) / (arrival - end)), true);
}

export function staysByUnit(stays: LineStay[]): LineStay[][] {
  const units = new Map<string, LineStay[]>();
  for (const stay of stays) {
    const list = units.get(stay.unit);
    if (list) list.push(stay);
    else units.set(stay.unit, [stay]);
  }
  return [...units.values()];
}

export function unitsAt(line: LineTopology, units: LineStay[][], ms: number): LineUnit[] {
  return units.flatMap((stays) => unitAt(line, stays, ms) ?? []);
}
