// The units seen lately, and a search by serial number.
import { useCallback, useState } from "preact/hooks";
import { api } from "../api";
import { useText, useWord } from "../i18n";
import { routeTo } from "../route";
import { usePolled } from "../live";
import { Badge, Certainty, Moment, Table } from "../parts/table";

const pollMs = 2000;

export function unitPath(serial: string): string {
  return `#/units/${encodeURIComponent(serial)}`;
}

// Each defect leads to its causes; one that was found at several positions is named once.
function Defects({ names }: { names: string }) {
  const list = names ? names.split(",").map((name) => name.trim()) : [];
  const times = (name: string) => list.filter((other) => other === name).length;
  return (
    <>
      {[...new Set(list)].map((name) => (
        <span key={name} class="defect">
          <a href={`#/why/${encodeURIComponent(name)}`}>{name}</a>
          {times(name) > 1 && ` × ${times(name)}`}
        </span>
      ))}
    </>
  );
}

export function UnitsPage({ asked }: { asked: Record<string, string> }) {
  const t = useText();
  const word = useWord();
  const bad = asked.verdict === "bad";
  const question = JSON.stringify(asked);
  const ask = useCallback(() => api.units(JSON.parse(question)), [question]);
  const [units] = usePolled(ask, pollMs);
  const [serial, setSerial] = useState("");
  const search = (event: Event) => {
    event.preventDefault();
    if (serial.trim()) location.hash = unitPath(serial.trim());
  };
  return (
    <>
      <form class="bar" onSubmit={search}>
        <label>
          {t("searchSerial")}
          <input
            name="serial"
            value={serial}
            onInput={(event) => setSerial(event.currentTarget.value)}
          />
        </label>
        <button type="submit">{t("searchButton")}</button>
        <label>
          <input
            type="checkbox"
            name="bad"
            checked={bad}
            onChange={(event) => {
              const verdict = event.currentTarget.checked ? "bad" : "";
              location.hash = routeTo(["units"], { ...asked, verdict });
            }}
          />{" "}
          {t("onlyBad")}
        </label>
      </form>
      {units && (
        <Table
          nothing={t("nothingUnits")}
          rows={units}
          rowKey={(u) => `${u.unit}/${u.t_in}`}
          columns={[
            {
              title: t("serial"),
              cell: (u) => <a href={unitPath(u.serial)}>{u.serial || u.unit}</a>,
            },
            { title: t("station"), cell: (u) => u.station },
            { title: t("tIn"), cell: (u) => <Moment at={u.t_in} /> },
            { title: t("tOut"), cell: (u) => <Moment at={u.t_out} /> },
            {
              title: t("status"),
              cell: (u) => <Badge kind={u.status} text={word("status", u.status)} />,
            },
            {
              title: t("verdict"),
              cell: (u) => (
                <Badge
                  kind={u.verdict ?? "unknown"}
                  text={word("verdict", u.verdict || "unknown")}
                />
              ),
            },
            { title: t("defects"), cell: (u) => <Defects names={u.defects} /> },
            { title: t("howCertain"), cell: (u) => <Certainty of={u.probability} /> },
          ]}
        />
      )}
    </>
  );
}
