// Where the parts of a line are drawn, from its topology alone: left to right by the distance from
// the entry, branches beside each other, ways that lead back underneath.
import type { LineTopology } from "../api";

export interface Box {
  part: string;
  kind: string;
  x: number;
  y: number;
  width: number;
  height: number;
  lengthMm: number;
}

export interface WayLine {
  from: string | null;
  into: string | null;
  gate: number;
  path: string;
  x: number; // where the gate's mark stands
  y: number;
}

export interface Layout {
  width: number;
  height: number;
  boxes: Map<string, Box>;
  ways: WayLine[];
}

const boxWidth = 104;
const laneHeight = 132;
const gap = 38;
const beltHeight = 34;
const boxHeight = 64;
const rackHeight = 92; // of a part that may hold many
const beltMin = 120;
const beltMax = 320;
const margin = 24;
const top = 54;
const backDepth = 30;
const looseMax = 10; // so many units in a box stand loosely
const pitches = { loose: 16, close: 11, row: 14 };

// How many parts are between the entry and each part, by the longest way that does not come back.
function ranksOf(line: LineTopology): Map<string, number> {
  const ranks = new Map<string, number>();
  const visit = (part: string, rank: number, before: Set<string>) => {
    if (before.has(part) || (ranks.get(part) ?? -1) >= rank) return;
    ranks.set(part, rank);
    const seen = new Set(before).add(part);
    for (const way of line.ways) if (way.from === part && way.into) visit(way.into, rank + 1, seen);
  };
  for (const way of line.ways) if (!way.from && way.into) visit(way.into, 0, new Set());
  line.parts.forEach((p) => ranks.has(p.part) || ranks.set(p.part, 0));
  return ranks;
}

// Belts in proportion to the longest one, as far as their names can still be read.
function widthOf(lengthMm: number, longest: number): number {
  if (lengthMm <= 0) return boxWidth;
  return Math.max(beltMin, (lengthMm / longest) * beltMax);
}

function placed(line: LineTopology): { boxes: Map<string, Box>; lanes: number; right: number } {
  const ranks = ranksOf(line);
  const longest = Math.max(1, ...line.parts.map((p) => p.length_mm));
  const columns: string[][] = [];
  for (const p of line.parts) (columns[ranks.get(p.part) ?? 0] ??= []).push(p.part);
  const boxes = new Map<string, Box>();
  let x = margin + gap;
  let lanes = 1;
  for (const column of columns) {
    let widest = 0;
    (column ?? []).forEach((name, lane) => {
      const part = line.parts.find((p) => p.part === name);
      if (!part) return;
      const width = widthOf(part.length_mm, longest);
      const many = part.capacity === 0 || part.capacity > looseMax;
      const height = part.kind === "belt" ? beltHeight : many ? rackHeight : boxHeight;
      const y = top + lane * laneHeight + (boxHeight - height) / 2;
      boxes.set(name, { part: name, kind: part.kind, x, y, width, height, lengthMm: part.length_mm });
      widest = Math.max(widest, width);
    });
    lanes = Math.max(lanes, (column ?? []).length);
    x += widest + gap;
  }
  return { boxes, lanes, right: x };
}

export function layoutOf(line: LineTopology): Layout {
  const { boxes, lanes, right } = placed(line);
  const bottom = top + (lanes - 1) * laneHeight + boxHeight;
  let backs = 0;
  const leaves = new Map<string, number>();
  const ways = line.ways.map((way): WayLine => {
    const a = way.from ? boxes.get(way.from) : undefined;
    const b = way.into ? boxes.get(way.into) : undefined;
    const common = { from: way.from, into: way.into, gate: way.gate };
    const middle = (box: Box) => box.y + box.height / 2;
    if (!a && b) {
      const y = middle(b);
      return { ...common, path: `M ${b.x - gap} ${y} H ${b.x}`, x: b.x - gap / 2, y };
    }
    if (a && !b) {
      // Out of the line: ahead if nothing else lies there, else upwards.
      const ahead = line.ways.every((w) => w.from !== way.from || !w.into || isBack(boxes, w.from, w.into));
      const y = middle(a);
      const end = a.x + a.width;
      const x = end - 16;
      if (ahead) return { ...common, path: `M ${end} ${y} H ${end + gap}`, x: end + gap / 2, y };
      return { ...common, path: `M ${x} ${a.y} V ${a.y - 34}`, x, y: a.y - 17 };
    }
    if (!a || !b) return { ...common, path: "", x: 0, y: 0 };
    if (isBack(boxes, way.from, way.into)) {
      const under = [...boxes.values()].filter((o) => o.x + o.width > b.x && o.x < a.x + a.width);
      const y = Math.max(...under.map((o) => o.y + o.height)) + 24 + backs++ * backDepth;
      const x1 = a.x + a.width / 2;
      const x2 = b.x + b.width / 2;
      const path = `M ${x1} ${a.y + a.height} V ${y} H ${x2} V ${b.y + b.height}`;
      return { ...common, path, x: (x1 + x2) / 2, y };
    }
    const nth = leaves.get(a.part) ?? 0;
    leaves.set(a.part, nth + 1);
    const x1 = a.x + a.width;
    const bend = b.x - gap / 2;
    const path = `M ${x1} ${middle(a)} H ${bend} V ${middle(b)} H ${b.x}`;
    return { ...common, path, x: bend, y: middle(b) };
  });
  const height = bottom + 40 + backs * backDepth;
  return { width: right + margin, height, boxes, ways };
}

function isBack(boxes: Map<string, Box>, from: string | null, into: string | null): boolean {
  const a = from ? boxes.get(from) : undefined;
  const b = into ? boxes.get(into) : undefined;
  return Boolean(a && b && b.x <= a.x);
}

// Where a unit stands: on a belt by its way, elsewhere the n-th of those in it; what has no room any
// more stands on the last one.
export function spotOf(box: Box, mm: number | undefined, n: number, all: number): { x: number; y: number } {
  if (mm !== undefined && box.lengthMm > 0)
    return { x: box.x + (mm / box.lengthMm) * box.width, y: box.y + box.height / 2 };
  const pitch = all > looseMax ? pitches.close : pitches.loose;
  const perRow = Math.floor((box.width - 10) / pitch);
  const rows = Math.floor((box.height - 22) / pitches.row);
  const at = Math.min(n, perRow * rows - 1);
  return { x: box.x + 13 + (at % perRow) * pitch, y: box.y + 30 + Math.floor(at / perRow) * pitches.row };
}
