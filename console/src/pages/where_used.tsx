// The containment: every unit that a serial, a lot, a factor or a station's time reaches. The whole
// question is in the address (#/where-used?from=…&since=…), so that it can be sent as a link.
import { useEffect, useState } from "preact/hooks";
import { api, type Containment, type Reached } from "../api";
import { formatRounded } from "../format";
import { useText, useWord } from "../i18n";
import { Certainty, Moment, quantityOf, Table } from "../parts/table";
import { controlOfMoment, momentOfControl, routeTo } from "../route";

// All that have a factor; a lot is asked for by itself, since it may have been consumed as well.
export function whereUsedPath(kind: string, name: string, value: string): string {
  return routeTo(["where-used"], { from: kind === "material" ? value : `${name}=${value}` });
}

function Units({ units }: { units: Reached[] }) {
  const t = useText();
  const word = useWord();
  const unit = (key: string) => <a href={routeTo(["units", key])}>{key}</a>;
  return (
    <Table
      name="containment"
      nothing={t("whereUsedNothing")}
      rows={units}
      rowKey={(u) => `${u.serial}/${u.unit}`}
      columns={[
        { title: t("serial"), cell: (u) => unit(u.serial || u.unit) },
        { title: t("stepsAway"), cell: (u) => u.depth, className: "number" },
        { title: t("via"), cell: (u) => (u.via ? unit(u.via) : t("none")) },
        { title: t("linkKind"), cell: (u) => (u.kind ? word("link", u.kind) : t("none")) },
        ...quantityOf(units, t("quantity")),
        { title: t("suspectSince"), cell: (u) => <Moment at={u.at} /> },
        { title: t("lastStation"), cell: (u) => u.station || t("none") },
        { title: t("lastSeen"), cell: (u) => <Moment at={u.seen} /> },
        { title: t("howCertain"), cell: (u) => <Certainty of={u.probability} /> },
      ]}
    />
  );
}

// What is being typed; it becomes the address when it is asked. Another question has a form of its
// own: nothing that is typed is overwritten.
function Question({ asked }: { asked: Record<string, string> }) {
  const t = useText();
  const [isStation, setIsStation] = useState(Boolean(asked.station));
  const [name, setName] = useState(asked.station || asked.from || "");
  const [since, setSince] = useState(asked.since ?? "");
  const [until, setUntil] = useState(asked.until ?? "");
  const send = (event: Event) => {
    event.preventDefault();
    const what = { [isStation ? "station" : "from"]: name.trim() };
    if (name.trim()) location.hash = routeTo(["where-used"], { ...what, since, until });
  };
  const moment = (key: string, label: string, value: string, set: (text: string) => void) => (
    <label>
      {label}
      <input
        type="datetime-local"
        step="1"
        name={key}
        value={controlOfMoment(value)}
        onChange={(event) => set(momentOfControl(event.currentTarget.value))}
      />
    </label>
  );
  return (
    <form class="bar" onSubmit={send}>
      <label>
        {t("whereUsedIs")}
        <select
          name="what"
          value={isStation ? "station" : "from"}
          onChange={(event) => setIsStation(event.currentTarget.value === "station")}
        >
          <option value="from">{t("whereUsedFrom")}</option>
          <option value="station">{t("whereUsedStation")}</option>
        </select>
      </label>
      <label>
        {t("whereUsedName")}
        <input name="name" value={name} onInput={(event) => setName(event.currentTarget.value)} />
      </label>
      {moment("since", t("since"), since, setSince)}
      {moment("until", t("until"), until, setUntil)}
      <button type="submit">{t("whereUsedAsk")}</button>
    </form>
  );
}

export function WhereUsedPage({ asked }: { asked: Record<string, string> }) {
  const t = useText();
  const question = JSON.stringify(asked);
  const what = asked.from || asked.station || "";
  const isAsked = what !== "";
  const [answer, setAnswer] = useState<Containment | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    setAnswer(null);
    setProblem("");
    if (!isAsked) return;
    let alive = true;
    api.containment(asked).then(
      (found) => alive && setAnswer(found),
      (error: Error) => alive && setProblem(error.message),
    );
    return () => {
      alive = false;
    };
  }, [question]);
  return (
    <>
      <h2>{isAsked ? t("whereUsedOf", { serial: what }) : t("navWhereUsed")}</h2>
      <Question key={question} asked={asked} />
      {problem && <p class="bad">{problem}</p>}
      {isAsked && !answer && !problem && <p class="nothing">{t("whereUsedAsking")}</p>}
      {answer && (
        <>
          <p role="status" class={answer.truncated ? "bad" : ""} data-count={answer.count}>
            {t(answer.truncated ? "whereUsedMore" : "whereUsedCount", { count: `${answer.count}` })}
            {answer.possible > 0 &&
              ` ${t("whereUsedPossible", {
                count: `${answer.possible}`,
                expected: formatRounded(answer.expected),
              })}`}
            {answer.quantity !== null &&
              ` ${t("whereUsedQuantity", { quantity: formatRounded(answer.quantity) })}`}
          </p>
          <Units units={answer.units} />
        </>
      )}
    </>
  );
}
