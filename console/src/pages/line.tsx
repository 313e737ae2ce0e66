// A line: who is on it now, moving, or who was on it at a moment, played again from what is stored.
// The moment, the period and the speed are in the address (#/line/NAME?from=…&to=…&at=…).
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api, type Alarm, type LineBreach, type LineState, type LineStays, type LineTopology } from "../api";
import { formatMoment, formatWhen } from "../format";
import { useText, useWord } from "../i18n";
import { usePolled } from "../live";
import { staysByUnit, unitsAt } from "../parts/line_past";
import { Legend, LineView } from "../parts/line_view";
import { Moment, Table } from "../parts/table";
import { controlOfMoment, momentOfControl, routeTo } from "../route";

const pollMs = 1000;
const alarmsPollMs = 3000;
const frameMs = 100;
const usualPeriodMs = 30 * 60_000;
const speeds = [1, 5, 20, 60];

function Breaches({ breaches }: { breaches: LineBreach[] }) {
  const t = useText();
  const word = useWord();
  return (
    <Table
      name="breaches"
      nothing={t("lineNoBreaches")}
      rows={breaches}
      rowKey={(b) => `${b.unit}/${b.part}/${b.kind}/${b.at}`}
      columns={[
        {
          title: t("serial"),
          cell: (b) => <a href={routeTo(["units", b.serial || b.unit])}>{b.serial || `?${b.unit.slice(0, 8)}`}</a>,
        },
        { title: t("lineBreach"), cell: (b) => word("lineBreach", b.kind), className: "text" },
        { title: t("linePart"), cell: (b) => b.part },
        { title: t("time"), cell: (b) => <Moment at={b.at} /> },
      ]}
    />
  );
}

function LineAlarms({ alarms }: { alarms: Alarm[] }) {
  const t = useText();
  return (
    <Table
      name="alarms"
      nothing={t("lineNoAlarms")}
      rows={alarms}
      rowKey={(a) => String(a.id)}
      columns={[
        { title: t("source"), cell: (a) => a.source },
        { title: t("text"), cell: (a) => a.text, className: "text" },
        { title: t("raisedAt"), cell: (a) => <Moment at={a.raised_at} /> },
      ]}
    />
  );
}

function Live({ line }: { line: LineTopology }) {
  const t = useText();
  const ask = useCallback(() => api.line(line.name), [line.name]);
  const [state, problem] = usePolled<LineState>(ask, pollMs);
  const [alarms] = usePolled(api.alarms, alarmsPollMs);
  const ours = (alarms ?? []).filter((a) => !a.cleared_at && a.source.startsWith(`${line.name}/`));
  return (
    <>
      {problem && <p class="bad">{problem.message}</p>}
      {state && (
        <>
          <p role="status" data-at={state.at}>
            {state.at
              ? t("lineNow", { count: `${state.count}`, at: formatWhen(state.at) })
              : t("lineNothingRead")}
            {state.truncated && ` ${t("truncated")}`}
          </p>
          <LineView line={line} units={state.units} gates={state.gates} breaches={state.breaches} />
          <Legend />
          <div class="line-lists">
            <section>
              <h3>{t("lineBreaches")}</h3>
              <Breaches breaches={state.breaches} />
            </section>
            <section>
              <h3>{t("lineAlarms")}</h3>
              <LineAlarms alarms={ours} />
            </section>
          </div>
        </>
      )}
    </>
  );
}

// A clock that runs `speed` times as fast from `at` on, until `end`.
function useClock(at: number, end: number, speed: number, playing: boolean): [number, (ms: number) => void] {
  const [now, setNow] = useState(at);
  const last = useRef(0);
  useEffect(() => setNow(at), [at]);
  useEffect(() => {
    if (!playing) return;
    last.current = performance.now();
    const timer = setInterval(() => {
      const passed = performance.now() - last.current;
      last.current += passed;
      setNow((ms) => Math.min(end, ms + passed * speed));
    }, frameMs);
    return () => clearInterval(timer);
  }, [end, speed, playing]);
  return [now, setNow];
}

function Past({ line, asked }: { line: LineTopology; asked: Record<string, string> }) {
  const t = useText();
  const from = Date.parse(asked.from ?? "");
  const to = Date.parse(asked.to ?? "");
  const speed = Number(asked.speed) || 5;
  const start = Date.parse(asked.at ?? "") || from;
  const [stays, setStays] = useState<LineStays | null>(null);
  const [problem, setProblem] = useState("");
  const [playing, setPlaying] = useState(false);
  const [now, setNow] = useClock(start, to, speed, playing && stays !== null);
  const go = (values: Record<string, string>) =>
    location.replace(routeTo(["line", line.name], { ...asked, at: new Date(now).toISOString(), ...values }));
  useEffect(() => {
    let alive = true;
    setStays(null);
    setProblem("");
    api.stays(line.name, asked.from ?? "", asked.to ?? "").then(
      (found) => alive && setStays(found),
      (error: Error) => alive && setProblem(error.message),
    );
    return () => {
      alive = false;
    };
  }, [line.name, asked.from, asked.to]);
  const byUnit = useMemo(() => staysByUnit(stays?.stays ?? []), [stays]);
  const units = unitsAt(line, byUnit, now);
  const gates = line.gates.map((g) => ({ signal: g.signal }));
  const pause = () => {
    setPlaying(!playing);
    if (playing) go({});
  };
  return (
    <>
      <div class="bar">
        <button type="button" data-play={playing} disabled={!stays} onClick={pause}>
          {t(playing ? "linePause" : "linePlay")}
        </button>
        <label>
          {t("lineSpeed")}
          <select name="speed" value={`${speed}`} onChange={(event) => go({ speed: event.currentTarget.value })}>
            {speeds.map((s) => (
              <option key={s} value={`${s}`}>{`${s}×`}</option>
            ))}
          </select>
        </label>
        <label class="grow">
          {formatMoment(new Date(now).toISOString())}
          <input
            type="range"
            name="at"
            min={from}
            max={to}
            step={100}
            value={now}
            onInput={(event) => setNow(Number(event.currentTarget.value))}
            onChange={(event) => go({ at: new Date(Number(event.currentTarget.value)).toISOString() })}
          />
        </label>
      </div>
      {problem && <p class="bad">{problem}</p>}
      {!stays && !problem && <p class="nothing">{t("linePastAsking")}</p>}
      {stays && (
        <>
          <p role="status" class={stays.truncated ? "bad" : ""} data-count={stays.count} data-now={now}>
            {stays.count === 0
              ? t("linePastNothing")
              : t("linePastNow", { count: `${units.length}`, stays: `${stays.count}` })}
            {stays.truncated && ` ${t("linePastMore")}`}
          </p>
          <LineView line={line} units={units} gates={gates} breaches={[]} />
          <Legend />
          <p class="nothing">{t("linePastSays")}</p>
        </>
      )}
    </>
  );
}

// Which line, and now or when.
function Question({ line, lines, asked }: QuestionProps) {
  const t = useText();
  const isPast = Boolean(asked.from && asked.to);
  const [from, setFrom] = useState(asked.from ?? "");
  const [to, setTo] = useState(asked.to ?? "");
  useEffect(() => {
    const now = Date.now();
    setFrom(asked.from || new Date(now - usualPeriodMs).toISOString());
    setTo(asked.to || new Date(now).toISOString());
  }, [asked.from, asked.to]);
  const show = (event: Event) => {
    event.preventDefault();
    if (from && to && from < to) location.hash = routeTo(["line", line.name], { from, to });
  };
  const moment = (name: string, label: string, value: string, set: (text: string) => void) => (
    <label>
      {label}
      <input
        type="datetime-local"
        step="1"
        name={name}
        value={controlOfMoment(value)}
        onChange={(event) => set(momentOfControl(event.currentTarget.value))}
      />
    </label>
  );
  return (
    <form class="bar" onSubmit={show}>
      <label>
        {t("line")}
        <select
          name="line"
          value={line.name}
          onChange={(event) => (location.hash = routeTo(["line", event.currentTarget.value], asked))}
        >
          {lines.map((l) => (
            <option key={l.name} value={l.name}>
              {l.name}
            </option>
          ))}
        </select>
      </label>
      <a href={routeTo(["line", line.name])} class="switch" aria-current={isPast ? undefined : "page"}>
        {t("lineLive")}
      </a>
      {moment("from", t("since"), from, setFrom)}
      {moment("to", t("until"), to, setTo)}
      <button type="submit">{t("lineReplay")}</button>
    </form>
  );
}

interface QuestionProps {
  line: LineTopology;
  lines: LineTopology[];
  asked: Record<string, string>;
}

export function LinePage({ name, asked }: { name: string; asked: Record<string, string> }) {
  const t = useText();
  const [lines, setLines] = useState<LineTopology[] | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    api.lines().then(setLines, (error: Error) => setProblem(error.message));
  }, []);
  if (problem) return <p class="bad">{problem}</p>;
  if (!lines) return null;
  const line = lines.find((l) => l.name === name) ?? (name ? undefined : lines[0]);
  if (lines.length === 0)
    return (
      <>
        <h2>{t("navLine")}</h2>
        <p class="nothing">{t("lineNone")}</p>
        <pre class="nothing">{t("lineNoneExample")}</pre>
      </>
    );
  if (!line) return <p class="bad">{t("lineUnknown", { name })}</p>;
  return (
    <>
      <h2>{t("lineOf", { name: line.name })}</h2>
      <Question line={line} lines={lines} asked={asked} />
      {line.gates.length === 0 && <p class="bad">{t("lineNoGates")}</p>}
      {asked.from && asked.to ? <Past line={line} asked={asked} /> : <Live line={line} />}
    </>
  );
}
