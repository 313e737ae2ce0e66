// What is wrong now, what was, and who has seen it.
import { useState } from "preact/hooks";
import { api, type Alarm } from "../api";
import { useText, useWord } from "../i18n";
import { usePolled } from "../live";
import { Badge, Moment, Table } from "../parts/table";

const pollMs = 2000;

function AckButton({ alarm }: { alarm: Alarm }) {
  const t = useText();
  const [sent, setSent] = useState(false);
  if (alarm.acked_by) return <>{alarm.acked_by}</>;
  const acknowledge = () => {
    setSent(true);
    api.acknowledge(alarm.id).catch(() => setSent(false));
  };
  return (
    <button class="quiet" disabled={sent} onClick={acknowledge}>
      {t("acknowledge")}
    </button>
  );
}

export function AlarmsPage() {
  const t = useText();
  const word = useWord();
  const [alarms] = usePolled(api.alarms, pollMs);
  if (!alarms) return null;
  return (
    <Table
      nothing={t("nothingAlarms")}
      rows={alarms}
      rowKey={(a) => String(a.id)}
      rowClass={(a) => (a.cleared_at ? "" : "active")}
      columns={[
        {
          title: t("severity"),
          cell: (a) => <Badge kind={a.severity} text={word("severity", a.severity)} />,
        },
        { title: t("alarm"), cell: (a) => a.name },
        { title: t("source"), cell: (a) => a.source },
        { title: t("text"), cell: (a) => a.text, className: "text" },
        { title: t("count"), cell: (a) => a.count, className: "number" },
        { title: t("raisedAt"), cell: (a) => <Moment at={a.raised_at} /> },
        { title: t("clearedAt"), cell: (a) => <Moment at={a.cleared_at} /> },
        { title: t("acknowledgedBy"), cell: (a) => <AckButton alarm={a} /> },
      ]}
    />
  );
}
