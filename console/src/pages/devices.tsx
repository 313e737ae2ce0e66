// Devices with their state, and every tag with its live value; a tag can be written.
import { useState } from "preact/hooks";
import { api, type Device, type Tag } from "../api";
import { formatTime, formatValue } from "../format";
import { parseTyped } from "../json";
import { useText, useWord } from "../i18n";
import { useLive, usePolled } from "../live";
import { Badge, Table } from "../parts/table";

const pollMs = 2000;

function tagKey(tag: Tag): string {
  return `${tag.device}.${tag.group}.${tag.tag}`;
}

function DeviceTable({ devices }: { devices: Device[] }) {
  const t = useText();
  const word = useWord();
  return (
    <Table
      nothing={t("nothingDevices")}
      rows={devices}
      rowKey={(d) => d.device}
      columns={[
        { title: t("device"), cell: (d) => d.device },
        { title: t("state"), cell: (d) => <Badge kind={d.state} text={word("state", d.state)} /> },
        { title: t("driver"), cell: (d) => d.driver },
        { title: t("address"), cell: (d) => d.address },
        { title: t("place"), cell: (d) => d.place },
        { title: t("polls"), cell: (d) => d.polls, className: "number" },
        { title: t("missed"), cell: (d) => d.missed, className: "number" },
        { title: t("rtt"), cell: (d) => d.rtt_us, className: "number" },
        { title: t("error"), cell: (d) => (d.state === "online" ? "" : d.text), className: "text" },
      ]}
    />
  );
}

function WriteForm({ tag, onClose }: { tag: Tag; onClose: () => void }) {
  const t = useText();
  const [text, setText] = useState("");
  const [outcome, setOutcome] = useState<{ ok: boolean; text: string } | null>(null);
  const send = async (event: Event) => {
    event.preventDefault();
    try {
      const answer = await api.write(tagKey(tag), parseTyped(text, tag.type));
      setOutcome(
        answer.ok
          ? { ok: true, text: t("writeOk", { value: text }) }
          : { ok: false, text: t("writeFailed", { text: answer.text ?? answer.error ?? "" }) },
      );
    } catch (problem) {
      setOutcome({ ok: false, text: t("writeFailed", { text: (problem as Error).message }) });
    }
  };
  return (
    <form class="write" onSubmit={(event) => void send(event)} aria-label={t("write")}>
      <label>
        {t("writeNewValue", { tag: tagKey(tag) })}
        <input
          autofocus
          name="value"
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </label>
      <button type="submit">{t("writeSend")}</button>
      <button type="button" class="quiet" onClick={onClose}>
        {outcome?.ok ? t("close") : t("cancel")}
      </button>
      {outcome && (
        <p role="status" class={outcome.ok ? "good" : "bad"}>
          {outcome.text}
        </p>
      )}
    </form>
  );
}

export function DevicesPage() {
  const t = useText();
  const word = useWord();
  const [devices] = usePolled(api.devices, pollMs);
  const [tags] = usePolled(api.tags, pollMs);
  const live = useLive();
  const [filter, setFilter] = useState("");
  const [writing, setWriting] = useState<Tag | null>(null);
  const shown = (tags ?? []).filter((tag) => tagKey(tag).includes(filter));
  const newest = (tag: Tag) => live.values.get(tagKey(tag)) ?? { value: tag.value, ts: tag.ts };
  return (
    <>
      {devices && <DeviceTable devices={devices} />}
      <div class="bar">
        <label>
          {t("filter")}
          <input
            name="filter"
            value={filter}
            onInput={(event) => setFilter(event.currentTarget.value)}
          />
        </label>
        <Badge
          kind={live.connected ? "online" : "offline"}
          text={live.connected ? t("live") : t("offline")}
        />
      </div>
      {writing && (
        <WriteForm key={tagKey(writing)} tag={writing} onClose={() => setWriting(null)} />
      )}
      {tags && (
        <Table
          nothing={t("nothingTags")}
          rows={shown}
          rowKey={tagKey}
          columns={[
            { title: t("device"), cell: (tag) => tag.device },
            { title: t("group"), cell: (tag) => tag.group },
            { title: t("tag"), cell: (tag) => tag.tag },
            {
              title: t("value"),
              className: "number value",
              cell: (tag) => formatValue(newest(tag).value),
            },
            { title: t("unitOfMeasure"), cell: (tag) => tag.uom },
            { title: t("quality"), cell: (tag) => word("quality", tag.quality) },
            {
              title: t("time"),
              cell: (tag) => (
                <span title={newest(tag).ts ?? ""}>{formatTime(newest(tag).ts)}</span>
              ),
            },
            { title: t("type"), cell: (tag) => tag.type },
            { title: t("address"), cell: (tag) => <code>{tag.address}</code> },
            {
              title: t("write"),
              cell: (tag) =>
                tag.write && (
                  <button class="quiet" onClick={() => setWriting(tag)}>
                    {t("write")}
                  </button>
                ),
            },
          ]}
        />
      )}
    </>
  );
}
