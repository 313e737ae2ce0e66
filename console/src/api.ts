// The REST calls the console makes, with the answers' shapes as the OpenAPI document has them.
import { parseJson, printJson } from "./json";

export interface Device {
  device: string;
  driver: string;
  address: string;
  place: string;
  state: string;
  error: string;
  text: string;
  tags: number;
  polls: number;
  missed: number;
  rtt_us: number;
}

export interface Tag {
  device: string;
  group: string;
  tag: string;
  type: string;
  address: string;
  uom: string;
  write: boolean;
  value: unknown;
  quality: string;
  ts: string | null;
}

export interface WriteAnswer {
  tag: string;
  ok: boolean;
  error: string | null;
  text: string | null;
}

export interface UnitRow {
  unit: string;
  serial: string;
  station: string;
  t_in: string;
  t_out: string | null;
  status: string;
  verdict: string | null;
  defects: string;
  probability: number; // that it was this unit, and not another
}

export interface Step {
  station: string;
  operation: string;
  t_in: string | null;
  t_out: string | null;
  status: string;
  operator: string | null; // who did it: its factors of man
  recipe: string | null;
  order: string | null;
  result: string | null;
  verdict: string;
  evidence: string;
  unit: string;
  of: string; // the unit itself, or the one it was a part of then
  visit: number; // 2 = it came again
  probability: number | null;
  others: Rival[]; // whom it may have been of instead
}

// Another unit that an ambiguous visit may have been of.
export interface Rival {
  serial: string;
  unit: string;
  probability: number | null;
}

export interface Measure {
  characteristic: string;
  value: number | null;
  lower: number | null;
  upper: number | null;
  uom: string | null;
  ok: boolean | null;
  probability: number; // that it was this unit
  covered: number | null; // which part of the visit it knows
  step: number; // index into steps
}

export interface Factor {
  kind: string; // man, machine, material, method, measurement, environment
  name: string;
  value: string;
  number: number | null;
  share: number; // of the visit; below 1: it changed meanwhile
  operation: string;
  station: string;
  at: string;
  probability: number;
  step: number;
}

export interface Defect {
  defect: string;
  position: string | null;
  operation: string;
  station: string;
  detected_at: string;
  of: string;
  probability: number;
}

export interface Link {
  parent: string;
  child: string;
  kind: string;
  position: string | null;
  quantity: number | null;
  at: string | null;
  depth: number;
}

export interface Curve {
  signal: string;
  station: string;
  uom?: string | null;
  points: [string | number, number | null][];
}

export interface Trace {
  unit: string;
  serial: string;
  verdict: string | null;
  steps: Step[];
  measures: Measure[];
  curves: Curve[];
  factors: Factor[];
  defects: Defect[];
  parents: Link[];
  children: Link[];
  bearers: Bearer[];
  truncated: boolean;
}

// A unit that bore a serial that comes around, and when it was heard of.
export interface Bearer {
  serial: string;
  from: string;
  to: string;
  this: boolean; // the one that is told
}

// A unit's curve at a station against the good units' band.
export interface Band {
  serial: string;
  station: string;
  signals: { signal: string; from_mm?: number; to_mm?: number }[];
  uom: string;
  axis: string; // mm: over the position on the belt; s: over the time since it came in
  units: number; // how many good ones
  curve: [number, number][]; // place, value
  band: [number, number, number, number][]; // place, 5 %, 50 %, 95 %
}

// A unit that a suspicion reaches, so many steps through the genealogy away from where it began.
export interface Reached {
  depth: number;
  serial: string;
  unit: string;
  via: string | null; // the parent it was reached by
  kind: string | null;
  at: string | null; // suspect since
  station: string; // where it was last
  seen: string | null;
  probability: number; // that it is this unit, and not another
  quantity: number | null; // of what was reached before, so much went into it
}

export interface Containment {
  from: string;
  quantity: number | null; // of it, so much went on
  count: number;
  possible: number; // of these, how many are not certain
  expected: number; // how many to expect: the sum of the probabilities
  truncated: boolean;
  units: Reached[];
}

export interface Interval {
  value: number;
  low: number;
  high: number;
}

interface Named {
  kind: string;
  name: string;
  operation: string;
  value?: string;
}

export interface Cause extends Named {
  status: string; // cause, or suspect: a shift in time explains it as well
  side?: string; // of a number: above or not above the cut
  cut?: number;
  text: string;
  bad_with: number;
  good_with: number;
  bad_without: number;
  good_without: number;
  weighted: number; // units counted in part: it may have been another …
  weight: number; // … and as how many
  odds_ratio: Interval;
  since?: string; // when it set in
  changed: (Named & { before?: string; at: string })[];
  alike: Named[]; // what cannot be told from it
}

export interface Why {
  defect: string;
  operation: string;
  result: string; // causes, none, inconclusive
  text: string;
  bad: number;
  good: number;
  factors: number;
  tests: number;
  weighted: number; // units of which anything counts in part
  causes: Cause[];
}

export interface Alarm {
  id: number;
  name: string;
  source: string;
  severity: string;
  state: string;
  text: string;
  count: number;
  raised_at: string;
  cleared_at: string | null;
  acked_at: string | null;
  acked_by: string | null;
}

export interface LineTopology {
  name: string;
  place: string;
  parts: {
    part: string;
    kind: string; // belt, station, buffer
    length_mm: number;
    order: string;
    capacity: number; // 0: no limit
    places: { station: string; from_mm: number; to_mm: number }[];
  }[];
  ways: { from: string | null; into: string | null; gate: number; share: number }[];
  gates: { signal: string; out_of: string | null; into: string | null; unit: string | null }[];
}

export interface LineUnit {
  unit: string;
  serial: string;
  part: string;
  mm?: number | undefined; // on a belt
  since: string;
  probability: number;
  came: string; // seen, unseen
  status?: string; // of a stay that is stored
  between?: boolean; // drawn between two stays that are stored
}

export interface LineGate {
  signal: string;
  pulses?: number; // not of the past
  last?: string | null;
}

export interface LineBreach {
  kind: string; // taken, appeared, moved, ghost
  unit: string;
  serial: string;
  part: string;
  since: string;
  at: string;
  probability: number;
}

export interface LineState {
  name: string;
  at?: string | null;
  count: number;
  truncated: boolean;
  units: LineUnit[];
  gates: LineGate[];
  breaches: LineBreach[];
}

export interface LineStay {
  unit: string;
  serial: string;
  station: string;
  place: string;
  t_in: string;
  t_out: string | null;
  status: string;
  probability: number | null;
}

export interface LineStays {
  name: string;
  count: number;
  truncated: boolean;
  stays: LineStay[];
}

export interface NodeInfo {
  name: string;
  version: string;
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    text: string,
  ) {
    super(text);
  }
}

async function request<T>(method: string, path: string, body?: unknown): Promise<T> {
  const init: RequestInit = { method, credentials: "same-origin" };
  if (body !== undefined) {
    init.headers = { "Content-Type": "application/json" };
    init.body = printJson(body);
  }
  const answer = await fetch(`/api/v1${path}`, init);
  const text = await answer.text();
  const json: unknown = text ? parseJson(text) : null;
  if (!answer.ok) {
    const problem = json as { title?: string; detail?: string } | null;
    throw new ApiError(answer.status, problem?.detail ?? problem?.title ?? answer.statusText);
  }
  return json as T;
}

// "?a=b": what is empty is left out.
export function query(values: Record<string, string>): string {
  const said = Object.entries(values).filter(([, value]) => value !== "");
  return said.length ? `?${new URLSearchParams(said).toString()}` : "";
}

export const api = {
  node: () => request<NodeInfo>("GET", "/node"),
  devices: () => request<Device[]>("GET", "/devices"),
  tags: () => request<Tag[]>("GET", "/tags"),
  write: (tag: string, value: unknown) => request<WriteAnswer>("POST", "/write", { tag, value }),
  units: (filter: Record<string, string>) => request<UnitRow[]>("GET", `/units${query(filter)}`),
  trace: (serial: string, asOf: string, at: string) =>
    request<Trace>("GET", `/trace/${encodeURIComponent(serial)}${query({ as_of: asOf, at })}`),
  relatives: (serial: string, asOf: string, at: string) =>
    request<Trace>(
      "GET",
      `/trace/${encodeURIComponent(serial)}${query({ depth: "1", curves: "false", as_of: asOf, at })}`,
    ),
  band: (serial: string, station: string, signal: string, asOf: string, at: string) =>
    request<Band>(
      "GET",
      `/trace/${encodeURIComponent(serial)}/band${query({ station, signal, as_of: asOf, at })}`,
    ),
  containment: (filter: Record<string, string>) =>
    request<Containment>("GET", `/containment${query(filter)}`),
  lines: () => request<LineTopology[]>("GET", "/lines"),
  line: (name: string) => request<LineState>("GET", `/lines/${encodeURIComponent(name)}`),
  stays: (name: string, from: string, to: string) =>
    request<LineStays>("GET", `/lines/${encodeURIComponent(name)}/stays${query({ from, to })}`),
  why: (filter: Record<string, string>) => request<Why>("GET", `/why${query(filter)}`),
  alarms: () => request<Alarm[]>("GET", "/alarms"),
  acknowledge: (id: number) =>
    request<unknown>("POST", `/alarms/${id}/ack`, {}),
  signIn: (token: string) => request<unknown>("POST", "/session", { token }),
};
