// Why units are bad: the causes of a defect, ranked by evidence, each with what it rests on. The
// address carries the question (#/why/DEFECT/DAYS), so that an answer can be sent as a link.
import { useEffect, useState } from "preact/hooks";
import { api, type Cause, type Why } from "../api";
import { formatMoment, formatRounded } from "../format";
import { useText, useWord } from "../i18n";
import { routeTo } from "../route";
import { RatePlot } from "../parts/rates";
import { Badge } from "../parts/table";
import { whereUsedPath } from "./where_used";

const dayMs = 86_400_000;
const dayChoices = [1, 7, 30, 365];
const daysDefault = 30;

function percent(bad: number, good: number): string {
  return bad + good ? `${((100 * bad) / (bad + good)).toFixed(1)} %` : "";
}

// "operator B", "zone5 above 241.5".
function subject(cause: Cause, side: (side: string) => string): string {
  if (cause.value !== undefined) return `${cause.name} ${cause.value}`;
  return `${cause.name} ${side(cause.side ?? "")} ${formatRounded(cause.cut ?? 0)}`;
}

function CauseCard({ cause }: { cause: Cause }) {
  const t = useText();
  const word = useWord();
  return (
    <section
      class="cause"
      data-cause={`${cause.name} ${cause.value ?? ""}`.trim()}
      data-operation={cause.operation}
    >
      <h3>
        {subject(cause, (side) => word("side", side.replace(" ", "")))}{" "}
        <Badge
          kind={cause.status === "cause" ? "fail" : "unknown"}
          text={word("cause", cause.status)}
        />
      </h3>
      <p>
        {word("kind", cause.kind)} · {cause.operation}
        {cause.value !== undefined && (
          <>
            {" · "}
            <a href={whereUsedPath(cause.kind, cause.name, cause.value)}>
              {t("whereUsedOf", { serial: cause.value })}
            </a>
          </>
        )}
      </p>
      <table>
        <tbody>
          <tr>
            <th>{t("whyWith")}</th>
            <td class="number">{`${formatRounded(cause.bad_with)} / ${formatRounded(cause.bad_with + cause.good_with)}`}</td>
            <td class="number">{percent(cause.bad_with, cause.good_with)}</td>
          </tr>
          <tr>
            <th>{t("whyWithout")}</th>
            <td class="number">{`${formatRounded(cause.bad_without)} / ${formatRounded(cause.bad_without + cause.good_without)}`}</td>
            <td class="number">{percent(cause.bad_without, cause.good_without)}</td>
          </tr>
          {cause.weighted > 0 && (
            <tr>
              <th>{t("whyInPart")}</th>
              <td class="number">{cause.weighted}</td>
              <td class="number">{t("whyAsUnits", { weight: formatRounded(cause.weight) })}</td>
            </tr>
          )}
          <tr>
            <th>{t("whyOdds")}</th>
            <td class="number">{formatRounded(cause.odds_ratio.value)}</td>
            <td class="number">
              {`${formatRounded(cause.odds_ratio.low)} … ${formatRounded(cause.odds_ratio.high)}`}
            </td>
          </tr>
          {cause.since && (
            <tr>
              <th>{t("whySince")}</th>
              <td colSpan={2}>{formatMoment(cause.since)}</td>
            </tr>
          )}
          {cause.changed.map((change) => (
            <tr key={`${change.name}/${change.at}`}>
              <th>{t("whyChanged")}</th>
              <td colSpan={2}>
                {`${change.name}: ${change.before ?? t("none")} → ${change.value} · ${formatMoment(change.at)}`}
              </td>
            </tr>
          ))}
          {cause.alike.map((alike) => (
            <tr key={`${alike.name}/${alike.value ?? ""}`}>
              <th>{t("whyAlike")}</th>
              <td colSpan={2}>{`${alike.name} ${alike.value ?? ""} · ${alike.operation}`}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Answer({ why }: { why: Why }) {
  const t = useText();
  const word = useWord();
  return (
    <>
      <p role="status" class={why.result === "causes" ? "" : "nothing"}>
        <strong>{word("why", why.result)}</strong>{" "}
        {t("whyCounts", {
          bad: `${why.bad}`,
          all: `${why.bad + why.good}`,
          operation: why.operation,
          factors: `${why.factors}`,
          tests: `${why.tests}`,
        })}
      </p>
      {why.causes.length > 0 && (
        <RatePlot
          rows={why.causes.map((cause) => ({
            name: subject(cause, (side) => word("side", side.replace(" ", ""))),
            with: cause.bad_with / Math.max(1, cause.bad_with + cause.good_with),
            without: cause.bad_without / Math.max(1, cause.bad_without + cause.good_without),
          }))}
          labels={[t("whyWith"), t("whyWithout")]}
          label={t("whyRates")}
        />
      )}
      {why.causes.map((cause) => (
        <CauseCard key={`${cause.name}/${cause.value}/${cause.operation}`} cause={cause} />
      ))}
    </>
  );
}

// The link says since when as a moment, so that it asks the same tomorrow.
function sinceOf(days: number): string {
  return new Date(Date.now() - days * dayMs).toISOString();
}

export function WhyPage({ defect, asked }: { defect: string; asked: Record<string, string> }) {
  const t = useText();
  const [text, setText] = useState(defect);
  const [span, setSpan] = useState(daysDefault);
  const question = JSON.stringify(asked);
  const [why, setWhy] = useState<Why | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    setText(defect);
    setWhy(null);
    setProblem("");
    if (!defect) return;
    if (!asked.since) {
      location.replace(routeTo(["why", defect], { ...asked, since: sinceOf(daysDefault) }));
      return;
    }
    let alive = true;
    api.why({ ...asked, defect }).then(
      (answer) => alive && setWhy(answer),
      (error: Error) => alive && setProblem(error.message),
    );
    return () => {
      alive = false;
    };
  }, [defect, question]);
  const send = (event: Event) => {
    event.preventDefault();
    if (text) location.hash = routeTo(["why", text], { since: sinceOf(span) });
  };
  return (
    <>
      <h2>{defect ? t("whyOf", { defect }) : t("navWhy")}</h2>
      <form class="bar" onSubmit={send}>
        <label>
          {t("defect")}{" "}
          <input name="defect" value={text} onInput={(event) => setText(event.currentTarget.value)} />
        </label>{" "}
        <select
          name="days"
          aria-label={t("whyPeriod")}
          value={String(span)}
          onChange={(event) => setSpan(Number(event.currentTarget.value))}
        >
          {dayChoices.map((choice) => (
            <option key={choice} value={String(choice)}>
              {t("whyDays", { days: `${choice}` })}
            </option>
          ))}
        </select>{" "}
        <button type="submit">{t("whyAsk")}</button>
      </form>
      {problem && <p class="bad">{problem}</p>}
      {defect && !why && !problem && <p class="nothing">{t("whyAsking")}</p>}
      {why && <Answer why={why} />}
    </>
  );
}
