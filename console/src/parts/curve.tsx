// One signal over the time a unit was at a station (uPlot).
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Curve } from "../api";
import { formatTime } from "../format";

const heightPx = 220;
const clockWidthPx = 110;

function seconds(at: string | number): number {
  return typeof at === "number" ? at / 1e6 : new Date(at).getTime() / 1000;
}

export function CurvePlot({ curve, title }: { curve: Curve; title: string }) {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!host.current) return;
    const data: uPlot.AlignedData = [
      curve.points.map(([at]) => seconds(at)),
      curve.points.map(([, value]) => (value === null ? null : Number(value))),
    ];
    const text = getComputedStyle(host.current).color;
    const axis: uPlot.Axis = { stroke: text, grid: { stroke: "rgba(128,128,128,0.2)" } };
    const clock: uPlot.Axis = {
      ...axis,
      space: clockWidthPx,
      values: (_, ticks) => ticks.map((at) => formatTime(new Date(at * 1000).toISOString())),
    };
    const plot = new uPlot(
      {
        title,
        width: host.current.clientWidth || 600,
        height: heightPx,
        padding: [null, clockWidthPx / 2, null, null],
        series: [{}, { label: curve.signal, stroke: "#0a7f6a", width: 2, points: { size: 4 } }],
        axes: [clock, axis],
        legend: { show: false },
      },
      data,
      host.current,
    );
    return () => plot.destroy();
  }, [curve, title]);
  return <div class="curve" ref={host} />;
}
