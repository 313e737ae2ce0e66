// One unit: when it was where, its measures against their limits, its verdict and its curves.
import { useEffect, useState } from "preact/hooks";
import { api, type Measure, type Step, type Trace } from "../api";
import { formatTime } from "../format";
import { useText, useWord } from "../i18n";
import { CurvePlot } from "../parts/curve";
import { Badge, Table } from "../parts/table";

function Steps({ steps }: { steps: Step[] }) {
  const t = useText();
  const word = useWord();
  return (
    <Table
      nothing={t("nothingUnits")}
      rows={steps}
      rowKey={(s) => `${s.station}/${s.t_in}`}
      columns={[
        { title: t("station"), cell: (s) => s.station },
        { title: t("operation"), cell: (s) => s.operation ?? "" },
        { title: t("tIn"), cell: (s) => <span title={s.t_in}>{formatTime(s.t_in)}</span> },
        { title: t("tOut"), cell: (s) => <span title={s.t_out ?? ""}>{formatTime(s.t_out)}</span> },
        {
          title: t("status"),
          cell: (s) => <Badge kind={s.status} text={word("status", s.status)} />,
        },
        { title: t("result"), cell: (s) => word("verdict", s.result || "unknown") },
      ]}
    />
  );
}

function Measures({ measures }: { measures: Measure[] }) {
  const t = useText();
  const limit = (value: number | null, uom: string | null) =>
    value === null ? t("none") : `${value} ${uom ?? ""}`;
  return (
    <Table
      nothing={t("none")}
      rows={measures}
      rowKey={(m) => m.characteristic}
      rowClass={(m) => (m.ok === false ? "bad" : "")}
      columns={[
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
      ]}
    />
  );
}

export function UnitPage({ serial }: { serial: string }) {
  const t = useText();
  const word = useWord();
  const [trace, setTrace] = useState<Trace | null>(null);
  const [missing, setMissing] = useState(false);
  useEffect(() => {
    setTrace(null);
    setMissing(false);
    api.trace(serial).then(setTrace, () => setMissing(true));
  }, [serial]);
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
      {missing && <p class="bad">{t("traceNotFound", { serial })}</p>}
      {trace && (
        <>
          <h3>{t("steps")}</h3>
          <Steps steps={trace.steps} />
          <h3>{t("measures")}</h3>
          <Measures measures={trace.measures} />
          {trace.curves.map((curve) => (
            <CurvePlot
              key={curve.signal}
              curve={curve}
              title={t("curve", { signal: curve.signal })}
            />
          ))}
        </>
      )}
    </>
  );
}
