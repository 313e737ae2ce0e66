// One unit: when it was where, its measures against their limits, its verdict, what was found wrong,
// what it was made with and from, and its curves.
import { useEffect, useState } from "preact/hooks";
import {
  api,
  type Band,
  type Bearer,
  type Curve,
  type Defect,
  type Factor,
  type Link,
  type Measure,
  type Step,
  type Trace,
} from "../api";
import { formatRounded } from "../format";
import { useText, useWord } from "../i18n";
import { BandPlot } from "../parts/band";
import { CurvePlot } from "../parts/curve";
import { GenealogyGraph } from "../parts/genealogy";
import { Badge, Certainty, type Column, Moment, quantityOf, Table } from "../parts/table";
import { controlOfMoment, momentOfControl, routeTo } from "../route";
import { whereUsedPath } from "./where_used";

function Steps({ steps }: { steps: Step[] }) {
  const t = useText();
  const word = useWord();
  return (
    <Table
      name="steps"
      nothing={t("nothingSteps")}
      rows={steps}
      rowKey={(s) => `${s.station}/${s.t_in}`}
      rowClass={(s) => (s.verdict === "fail" ? "bad" : "")}
      columns={[
        { title: t("station"), cell: (s) => s.station },
        {
          title: t("operation"),
          cell: (s) => (s.visit > 1 ? t("again", { operation: s.operation, n: `${s.visit}` }) : s.operation),
        },
        { title: t("tIn"), cell: (s) => <Moment at={s.t_in} /> },
        { title: t("tOut"), cell: (s) => <Moment at={s.t_out} /> },
        { title: t("operator"), cell: (s) => s.operator ?? "" },
        { title: t("recipe"), cell: (s) => s.recipe ?? "" },
        { title: t("order"), cell: (s) => s.order ?? "" },
        {
          title: t("status"),
          cell: (s) => (
            <span title={s.evidence}>
              <Badge kind={s.status} text={word("status", s.status)} />
              <Others of={s} />
            </span>
          ),
        },
        { title: t("verdict"), cell: (s) => word("verdict", s.verdict) },
        { title: t("asPartOf"), cell: (s) => s.of },
      ]}
    />
  );
}

// Whom an ambiguous visit may have been of instead.
function Others({ of: step }: { of: Step }) {
  const t = useText();
  if (step.others.length === 0) return null;
  return (
    <span data-others={step.others.map((o) => o.serial || o.unit).join(" ")}>
      {" "}
      <Certainty of={step.probability ?? 1} />; {t("orElse")}{" "}
      {step.others.map((o) => (
        <span key={o.unit}>
          {unitLink(o.serial || o.unit)} (<Certainty of={o.probability ?? 1} />){" "}
        </span>
      ))}
    </span>
  );
}

// A column for rows of visits that may have been another unit's; none where all are certain.
function howCertain<T extends { probability: number }>(rows: T[], title: string): Column<T>[] {
  if (rows.every((row) => !(row.probability < 1))) return [];
  return [{ title, cell: (row) => <Certainty of={row.probability} /> }];
}

// A part of the visit, where it is less than all of it: how long a factor held, how much a measure
// knows. None where nothing is.
function partOfVisit<T>(rows: T[], title: string, of: (row: T) => number | null): Column<T>[] {
  const part = (row: T) => of(row) ?? 1;
  if (rows.every((row) => !(part(row) < 1))) return [];
  const cell = (row: T) => `${formatRounded(100 * part(row))} %`;
  return [{ title, cell, className: "number" }];
}

function Measures({ measures, steps }: { measures: Measure[]; steps: Step[] }) {
  const t = useText();
  const limit = (value: number | null, uom: string | null) =>
    value === null ? (
      t("none")
    ) : (
      <span title={`${value}`}>{`${formatRounded(value)} ${uom ?? ""}`}</span>
    );
  return (
    <Table
      name="measures"
      nothing={t("none")}
      rows={measures}
      rowKey={(m) => `${m.characteristic}/${m.step}`}
      rowClass={(m) => (m.ok === false ? "bad" : "")}
      columns={[
        { title: t("station"), cell: (m) => steps[m.step]?.station ?? "" },
        { title: t("characteristic"), cell: (m) => m.characteristic },
        { title: t("value"), cell: (m) => limit(m.value, m.uom), className: "number" },
        { title: t("lower"), cell: (m) => limit(m.lower, m.uom), className: "number" },
        { title: t("upper"), cell: (m) => limit(m.upper, m.uom), className: "number" },
        {
          title: t("ok"),
          cell: (m) =>
            m.ok === null ? (
              t("none")
            ) : (
              <Badge kind={m.ok ? "pass" : "fail"} text={m.ok ? t("yes") : t("no")} />
            ),
        },
        ...partOfVisit(measures, t("covered"), (m) => m.covered),
        ...howCertain(measures, t("howCertain")),
      ]}
    />
  );
}

function Defects({ defects }: { defects: Defect[] }) {
  const t = useText();
  return (
    <Table
      name="defects"
      nothing={t("nothingDefects")}
      rows={defects}
      rowKey={(d) => `${d.defect}/${d.position}/${d.detected_at}`}
      rowClass={() => "bad"}
      columns={[
        {
          title: t("defect"),
          cell: (d) => <a href={`#/why/${encodeURIComponent(d.defect)}`}>{d.defect}</a>,
        },
        { title: t("position"), cell: (d) => d.position ?? t("none") },
        { title: t("operation"), cell: (d) => d.operation },
        { title: t("asPartOf"), cell: (d) => d.of },
        { title: t("time"), cell: (d) => <Moment at={d.detected_at} /> },
        ...howCertain(defects, t("howCertain")),
      ]}
    />
  );
}

// Leads to all that have it too. A whole number is rather a code than a quantity: not rounded.
function FactorValue({ factor }: { factor: Factor }) {
  const isQuantity = factor.number !== null && !Number.isInteger(Number(factor.number));
  return (
    <a href={whereUsedPath(factor.kind, factor.name, factor.value)} title={factor.value}>
      {isQuantity ? formatRounded(factor.number ?? 0) : factor.value}
    </a>
  );
}

function Factors({ factors }: { factors: Factor[] }) {
  const t = useText();
  const word = useWord();
  return (
    <Table
      name="factors"
      nothing={t("none")}
      rows={factors}
      rowKey={(f) => `${f.kind}/${f.name}/${f.step}/${f.value}/${f.at}`}
      columns={[
        { title: t("factorKind"), cell: (f) => word("kind", f.kind) },
        { title: t("factor"), cell: (f) => f.name },
        { title: t("value"), cell: (f) => <FactorValue factor={f} /> },
        { title: t("operation"), cell: (f) => f.operation },
        { title: t("station"), cell: (f) => f.station },
        ...partOfVisit(factors, t("shareOfVisit"), (f) => f.share),
        ...howCertain(factors, t("howCertain")),
      ]}
    />
  );
}

// at: of several that bore the serial the one of then.
function unitLink(key: string, at: string | null = null) {
  return (
    <a key={key} href={routeTo(["units", key], { at: at ?? "" })}>
      {key}
    </a>
  );
}

// What was parted from the same unit as this one: that unit's other children.
function Siblings({ trace, asOf }: { trace: Trace; asOf: string }) {
  const t = useText();
  const [keys, setKeys] = useState<string[]>([]);
  useEffect(() => {
    let alive = true;
    const own = trace.parents.filter((l) => l.depth === 1 && l.kind === "split");
    Promise.all(own.map((link) => api.relatives(link.parent, asOf, link.at ?? ""))).then(
      (answers) => {
        const all = answers.flatMap((answer) => answer.children.filter((l) => l.kind === "split"));
        const others = all.filter((l) => l.child !== trace.serial && l.child !== trace.unit);
        if (alive) setKeys([...new Set(others.map((l) => l.child))]);
      },
      () => {},
    );
    return () => {
      alive = false;
    };
  }, [trace, asOf]);
  if (keys.length === 0) return null;
  return (
    <p data-siblings={keys.join(" ")}>
      {t("siblings")} {keys.map((key) => [unitLink(key), " "])}
    </p>
  );
}

// When the unit was heard of last, if another one bears its serial since; else "".
function heardUntil(trace: Trace): string {
  const own = trace.bearers.findIndex((b) => b.this);
  return own + 1 < trace.bearers.length ? (trace.bearers[own]?.to ?? "") : "";
}

// Whoever else bore the serial, before and after.
function Bearers({ bearers, asked }: { bearers: Bearer[]; asked: Record<string, string> }) {
  const t = useText();
  if (bearers.length === 0) return null;
  return (
    <>
      <p>{t("bearersNote", { serial: bearers[0]?.serial ?? "" })}</p>
      <Table
        name="bearers"
        nothing={t("none")}
        rows={bearers}
        rowKey={(b: Bearer) => b.from}
        columns={[
          {
            title: t("since"),
            cell: (b) =>
              b.this ? (
                <Moment at={b.from} />
              ) : (
                <a href={routeTo(["units", b.serial], { ...asked, at: b.from })}>
                  <Moment at={b.from} />
                </a>
              ),
          },
          { title: t("until"), cell: (b) => <Moment at={b.to} /> },
        ]}
      />
    </>
  );
}

function Relatives({ trace }: { trace: Trace }) {
  const t = useText();
  const word = useWord();
  const links = [...trace.parents, ...trace.children];
  const around = trace.bearers.length > 0;
  if (links.length === 0) return <p class="nothing">{t("nothingRelatives")}</p>;
  return (
    <>
      <GenealogyGraph
        serial={trace.serial || trace.unit}
        parents={trace.parents}
        children={trace.children}
        label={t("genealogy")}
      />
      <Table
        name="links"
        nothing={t("none")}
        rows={links}
        rowKey={(l: Link) => `${l.parent}/${l.child}/${l.kind}/${l.position}`}
        columns={[
          { title: t("parent"), cell: (l) => unitLink(l.parent, around ? l.at : null) },
          { title: t("child"), cell: (l) => unitLink(l.child, around ? l.at : null) },
          { title: t("linkKind"), cell: (l) => word("link", l.kind) },
          { title: t("position"), cell: (l) => l.position ?? t("none") },
          ...quantityOf(links, t("quantity")),
          { title: t("time"), cell: (l) => <Moment at={l.at} /> },
        ]}
      />
    </>
  );
}

function stillValue(curve: Curve, none: string): string {
  const value = curve.points[0]?.[1] ?? null;
  return value === null ? none : formatRounded(value);
}

// A signal that stood still is said in a line; the others are drawn.
function Curves({ curves }: { curves: Curve[] }) {
  const t = useText();
  const isStill = (curve: Curve) =>
    curve.points.every(([, value]) => Number(value) === Number(curve.points[0]?.[1]));
  const still = curves.filter(isStill);
  return (
    <>
      {curves
        .filter((curve) => !isStill(curve))
        .map((curve) => (
          <CurvePlot
            key={curve.signal}
            curve={curve}
            title={t("curve", { signal: curve.signal })}
          />
        ))}
      {still.length > 0 && (
        <p class="nothing">
          {t("curvesStill", {
            signals: still.map((c) => `${c.signal} = ${stillValue(c, t("none"))}`).join(", "),
          })}
        </p>
      )}
    </>
  );
}

// The chosen station's curve against the good units' band.
function BandView({ trace, serial, asked }: BandProps) {
  const t = useText();
  const stations = [...new Set(trace.curves.map((curve) => curve.station))];
  const longest = trace.curves.reduce<Curve | null>(
    (best, c) => (best && best.points.length >= c.points.length ? best : c),
    null,
  );
  const station = asked.station || longest?.station || "";
  const signals = trace.curves.filter((c) => c.station === station).map((c) => c.signal);
  const [band, setBand] = useState<Band | null>(null);
  const [problem, setProblem] = useState("");
  const signal = asked.signal ?? "";
  const asOf = asked.as_of ?? "";
  const at = asked.at ?? "";
  useEffect(() => {
    let alive = true;
    setBand(null);
    setProblem("");
    if (station)
      api.band(serial, station, signal, asOf, at).then(
        (answer) => alive && setBand(answer),
        (error: Error) => alive && setProblem(error.message),
      );
    return () => {
      alive = false;
    };
  }, [serial, station, signal, asOf, at]);
  if (!station) return null;
  const go = (change: Record<string, string>) => {
    location.hash = routeTo(["units", serial], { ...asked, ...change });
  };
  const choice = (name: string, label: string, value: string, list: string[], first?: string) => (
    <label>
      {label}
      <select
        name={name}
        value={value}
        onChange={(event) =>
          go(name === "station" ? { station: event.currentTarget.value, signal: "" } : { signal: event.currentTarget.value })
        }
      >
        {first !== undefined && <option value="">{first}</option>}
        {list.map((item) => (
          <option key={item} value={item}>
            {item}
          </option>
        ))}
      </select>
    </label>
  );
  return (
    <>
      <h3>{t("bandTitle")}</h3>
      <div class="bar">
        {choice("station", t("station"), station, stations)}
        {choice("signal", t("bandSignal"), signal, signals, t("bandUsual"))}
      </div>
      {problem && <p class="bad">{problem}</p>}
      {band && (
        <>
          <BandPlot band={band} label={t("bandLabel", { station, n: `${band.units}` })} />
          <p class="nothing">
            {band.band.length ? t("bandLabel", { station, n: `${band.units}` }) : t("bandNone")}
          </p>
        </>
      )}
    </>
  );
}

interface BandProps {
  trace: Trace;
  serial: string;
  asked: Record<string, string>;
}

export function UnitPage({ serial, asked }: { serial: string; asked: Record<string, string> }) {
  const t = useText();
  const word = useWord();
  const [trace, setTrace] = useState<Trace | null>(null);
  const [missing, setMissing] = useState(false);
  const asOf = asked.as_of ?? "";
  const at = asked.at ?? "";
  useEffect(() => {
    let alive = true;
    setTrace(null);
    setMissing(false);
    api.trace(serial, asOf, at).then(
      (answer) => alive && setTrace(answer),
      () => alive && setMissing(true),
    );
    return () => {
      alive = false;
    };
  }, [serial, asOf, at]);
  return (
    <>
      <p>
        <a href="#/units">{t("back")}</a>
      </p>
      <h2>
        {t("traceOf", { serial })}{" "}
        {trace && (
          <Badge
            kind={trace.verdict ?? "unknown"}
            text={word("verdict", trace.verdict || "unknown")}
          />
        )}
      </h2>
      <div class="bar">
        <label>
          {t("asOf")}
          <input
            type="datetime-local"
            step="1"
            name="as_of"
            value={controlOfMoment(asOf)}
            onChange={(event) => {
              const as_of = momentOfControl(event.currentTarget.value);
              location.hash = routeTo(["units", serial], { ...asked, as_of });
            }}
          />
        </label>
        {asOf && <a href={routeTo(["units", serial], { ...asked, as_of: "" })}>{t("asOfNow")}</a>}
      </div>
      {!missing && !trace && <p class="nothing">{t("traceAsking")}</p>}
      {missing && <p class="bad">{t("traceNotFound", { serial })}</p>}
      {trace && (
        <>
          <Bearers bearers={trace.bearers} asked={asked} />
          <h3>{t("steps")}</h3>
          <Steps steps={trace.steps} />
          <h3>{t("defects")}</h3>
          <Defects defects={trace.defects} />
          <h3>{t("measures")}</h3>
          <Measures measures={trace.measures} steps={trace.steps} />
          <h3>{t("genealogy")}</h3>
          <p>
            <a href={routeTo(["where-used"], { from: serial, until: heardUntil(trace) })}>
              {t("whereUsedOf", { serial })}
            </a>
          </p>
          <Siblings trace={trace} asOf={asOf} />
          <Relatives trace={trace} />
          <h3>{t("factors")}</h3>
          <Factors factors={trace.factors} />
          {trace.truncated && <p class="nothing">{t("truncated")}</p>}
          <BandView trace={trace} serial={serial} asked={asked} />
          <Curves curves={trace.curves} />
        </>
      )}
    </>
  );
}
