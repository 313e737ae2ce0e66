// A unit's curve at a station against the band in which the good units' curves lie (ECharts).
import type { Band } from "../api";
import { useText } from "../i18n";
import { Chart } from "./chart";

const heightPx = 340;
const goodColor = "#0a7f6a";
const ownColor = "#b3261e";
const unsaid = { tooltip: { show: false } };

function widthAt(point: Band["band"][number] | undefined): number | undefined {
  return point && point[3] - point[1];
}

export function BandPlot({ band, label }: { band: Band; label: string }) {
  const t = useText();
  // One grid for all, so that the band can be stacked: its width upon its lower edge.
  const places = [...new Set([...band.curve, ...band.band].map(([at]) => at))].sort((a, b) => a - b);
  const own = new Map(band.curve.map(([at, value]) => [at, value]));
  const good = new Map(band.band.map((point) => [point[0], point]));
  const line = (name: string, value: (at: number) => number | undefined, style: object) => ({
    type: "line",
    name,
    data: places.map((at) => value(at) ?? null),
    showSymbol: false,
    ...style,
  });
  const axis = t(band.axis === "mm" ? "bandWay" : "bandTime");
  const option = (color: string) => ({
    animation: false,
    textStyle: { color },
    legend: { data: [t("bandThis"), t("bandMiddle"), t("bandGood")], textStyle: { color } },
    tooltip: {
      trigger: "axis",
      valueFormatter: (v: unknown) => (typeof v === "number" ? `${Number(v.toPrecision(5))}` : t("none")),
    },
    grid: { left: 12, right: 24, top: 56, bottom: 30, containLabel: true },
    xAxis: {
      type: "category",
      boundaryGap: false,
      data: places.map((at) => `${Number(at.toPrecision(4))}`),
      name: axis,
      nameLocation: "middle",
      nameGap: 26,
      axisLabel: { color },
    },
    yAxis: { type: "value", name: band.uom, scale: true, axisLabel: { color } },
    series: [
      line("", (at) => good.get(at)?.[1], { stack: "band", lineStyle: { opacity: 0 }, ...unsaid }),
      line(t("bandGood"), (at) => widthAt(good.get(at)), {
        stack: "band",
        lineStyle: { opacity: 0 },
        itemStyle: { color: goodColor },
        areaStyle: { color: goodColor, opacity: 0.25 },
        ...unsaid,
      }),
      line(t("bandMiddle"), (at) => good.get(at)?.[2], {
        lineStyle: { type: "dashed", width: 1 },
        itemStyle: { color: goodColor },
      }),
      line(t("bandThis"), (at) => own.get(at), {
        lineStyle: { width: 2 },
        itemStyle: { color: ownColor },
      }),
    ],
  });
  return (
    <div data-curve={band.curve.length} data-band={band.band.length} data-units={band.units}>
      <Chart height={heightPx} label={label} shows={[JSON.stringify(band), label]} option={option} />
    </div>
  );
}
