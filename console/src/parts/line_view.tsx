// A line as a picture: belts as bars, stations and buffers as boxes, gates as marks on the ways, and
// the units where they are. A unit's colour says how sure it is; a click on it leads to its history.
import { useMemo, useRef } from "preact/hooks";
import type { LineBreach, LineGate, LineTopology, LineUnit } from "../api";
import { useText, useWord } from "../i18n";
import { routeTo } from "../route";
import { type Box, layoutOf, spotOf, type WayLine } from "./line_layout";

const sure = 0.95; // below it, a stay is told as ambiguous
const leastScale = 0.75; // smaller, and nobody reads it: then it is scrolled
const unitWidth = 9;
const unitHeight = 18;
const hitSize = 16; // what a finger or a mouse finds, a little more than is seen
const labelWidth = 88; // a serial is written where the next one is so far away
const labelLetters = 10;

interface LineViewProps {
  line: LineTopology;
  units: LineUnit[];
  gates: LineGate[];
  breaches: LineBreach[];
}

export function certaintyOf(unit: LineUnit): string {
  if (unit.came === "unseen") return "ghost";
  if (unit.probability < sure || unit.status === "ambiguous") return "ambiguous";
  return unit.serial ? "exact" : "unread";
}

// Its last letters: serials differ there.
function labelOf(unit: LineUnit): string {
  const text = unit.serial || "?";
  return text.length > labelLetters ? `…${text.slice(1 - labelLetters)}` : text;
}

function PartBox({ box, line, count, missing }: PartProps) {
  const word = useWord();
  const part = line.parts.find((p) => p.part === box.part);
  const scale = box.lengthMm > 0 ? box.width / box.lengthMm : 0;
  const inside = part?.capacity ? `${count}/${part.capacity}` : `${count}`;
  return (
    <g class={`part part-${box.kind}`} data-part={box.part} data-count={count}>
      <title>{word("linePart", box.kind)}</title>
      <rect x={box.x} y={box.y} width={box.width} height={box.height} rx={box.kind === "buffer" ? 14 : 4} />
      {part?.places.map((place) => (
        <g key={place.station} class="place">
          <rect
            x={box.x + place.from_mm * scale}
            y={box.y}
            width={(place.to_mm - place.from_mm) * scale}
            height={box.height}
          />
          <text x={box.x + ((place.from_mm + place.to_mm) / 2) * scale} y={box.y + box.height + 14}>
            {place.station}
          </text>
        </g>
      ))}
      <text class="name" x={box.kind === "belt" ? box.x : box.x + 8} y={box.kind === "belt" ? box.y - 22 : box.y + 16}>
        {box.part} <tspan class="count">{inside}</tspan>
        {missing > 0 && <tspan class="missing"> !{missing}</tspan>}
      </text>
    </g>
  );
}

interface PartProps {
  box: Box;
  line: LineTopology;
  count: number;
  missing: number;
}

// It flashes with each pulse since it was first shown: what is drawn for another count is another
// element.
function GateMark({ way, gate }: { way: WayLine; gate: LineGate | undefined }) {
  const t = useText();
  const first = useRef(gate?.pulses);
  if (!gate) return null;
  const title = t("lineGate", { signal: gate.signal, count: `${gate.pulses ?? "—"}` });
  return (
    <g class="gate" data-gate={gate.signal} data-pulses={gate.pulses}>
      <title>{title}</title>
      {gate.pulses !== undefined && gate.pulses !== first.current && (
        <circle key={gate.pulses} class="flash" cx={way.x} cy={way.y} r={7} />
      )}
      <path d={`M ${way.x} ${way.y - 10} v 20`} />
    </g>
  );
}

function UnitMark({ unit, box, n, all, labelled }: UnitProps) {
  const t = useText();
  const word = useWord();
  const { x, y } = spotOf(box, unit.mm, n, all);
  const certainty = certaintyOf(unit);
  const kind = word("lineUnit", certainty);
  const share = `${Math.round(unit.probability * 100)} %`;
  const title = `${unit.serial || unit.unit} · ${kind} · ${share}${unit.between ? ` · ${t("lineBetween")}` : ""}`;
  const classes = `unit unit-${certainty}${unit.between ? " unit-between" : ""}`;
  return (
    <a
      href={routeTo(["units", unit.serial || unit.unit])}
      class={classes}
      data-unit={unit.unit}
      data-serial={unit.serial}
      data-mm={unit.mm}
      style={`transform: translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`}
    >
      <title>{title}</title>
      <rect class="hit" x={-hitSize / 2} y={-hitSize / 2} width={hitSize} height={hitSize} />
      <rect
        x={-unitWidth / 2}
        y={unit.mm === undefined ? -6 : -unitHeight / 2}
        width={unitWidth}
        height={unit.mm === undefined ? 12 : unitHeight}
        rx={2}
      />
      {labelled && (
        <text
          x={unit.mm === undefined ? -unitWidth / 2 : 0}
          y={unit.mm === undefined ? 20 : -unitHeight / 2 - 6}
          class={unit.mm === undefined ? "inside" : ""}
        >
          {labelOf(unit)}
        </text>
      )}
    </a>
  );
}

interface UnitProps {
  unit: LineUnit;
  box: Box;
  n: number;
  all: number;
  labelled: boolean;
}

// On a belt each unit that has room for its serial gets it, from the front; in a box one alone.
function marksOf(box: Box, units: LineUnit[]) {
  const sorted = [...units].sort((a, b) => (b.mm ?? 0) - (a.mm ?? 0) || a.since.localeCompare(b.since));
  let free = Infinity;
  return sorted.map((unit, n) => {
    const { x } = spotOf(box, unit.mm, n, units.length);
    const labelled = unit.mm === undefined ? units.length === 1 : free - x >= labelWidth;
    if (labelled && unit.mm !== undefined) free = x;
    return <UnitMark key={unit.unit} unit={unit} box={box} n={n} all={units.length} labelled={labelled} />;
  });
}

export function LineView({ line, units, gates, breaches }: LineViewProps) {
  const t = useText();
  const layout = useMemo(() => layoutOf(line), [line]);
  const inPart = new Map<string, LineUnit[]>();
  for (const unit of units) inPart.set(unit.part, [...(inPart.get(unit.part) ?? []), unit]);
  return (
    <div class="line-view">
      <svg
        viewBox={`0 0 ${layout.width} ${layout.height}`}
        style={`min-width: ${layout.width * leastScale}px; max-width: ${layout.width * 1.4}px`}
        role="img"
        aria-label={t("lineLabel", { name: line.name, count: `${units.length}` })}
      >
        <defs>
          <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
            <path d="M 0 0 L 8 4 L 0 8 z" />
          </marker>
        </defs>
        {layout.ways.map((way) => (
          <path key={`${way.from}>${way.into}`} class="way" d={way.path} marker-end="url(#arrow)" />
        ))}
        {[...layout.boxes.values()].map((box) => (
          <PartBox
            key={box.part}
            box={box}
            line={line}
            count={(inPart.get(box.part) ?? []).length}
            missing={breaches.filter((b) => b.part === box.part).length}
          />
        ))}
        {layout.ways.map((way) => (
          <GateMark key={`${way.from}>${way.into}`} way={way} gate={gates[way.gate]} />
        ))}
        {[...layout.boxes.values()].map((box) => marksOf(box, inPart.get(box.part) ?? []))}
      </svg>
    </div>
  );
}

export function Legend() {
  const word = useWord();
  const kinds = ["exact", "ambiguous", "unread", "ghost"];
  return (
    <p class="legend">
      {kinds.map((kind) => (
        <span key={kind} class={`unit unit-${kind}`}>
          <svg width="10" height="16">
            <rect width="9" height="15" rx="2" />
          </svg>
          {word("lineUnit", kind)}
        </span>
      ))}
    </p>
  );
}
