// How many are bad with each suspect and without it, as pairs of bars (ECharts).
import { useEffect, useRef } from "preact/hooks";

export interface Rate {
  name: string;
  with: number; // 0 … 1
  without: number;
}

const rowPx = 44;
const framePx = 70;

export function RatePlot({ rows, labels, label }: RatePlotProps) {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    let stop = () => {};
    let alive = true;
    void import("./echarts").then(({ echarts }) => {
      if (!alive || !host.current) return;
      const chart = echarts.init(host.current);
      const color = getComputedStyle(host.current).color;
      const bars = (name: string, key: "with" | "without", fill: string) => ({
        type: "bar",
        name,
        data: rows.map((row) => row[key] * 100),
        itemStyle: { color: fill },
      });
      chart.setOption({
        animation: false,
        textStyle: { color },
        legend: { data: labels, textStyle: { color } },
        grid: { left: 12, right: 24, top: 34, bottom: 8, containLabel: true },
        xAxis: { type: "value", min: 0, axisLabel: { formatter: "{value} %", color } },
        yAxis: {
          type: "category",
          inverse: true,
          data: rows.map((row) => row.name),
          axisLabel: { color },
        },
        series: [bars(labels[0], "with", "#b3261e"), bars(labels[1], "without", "#0a7f6a")],
      });
      const resized = () => chart.resize();
      addEventListener("resize", resized);
      stop = () => {
        removeEventListener("resize", resized);
        chart.dispose();
      };
    });
    return () => {
      alive = false;
      stop();
    };
  }, [JSON.stringify([rows, labels])]);
  return (
    <div
      class="graph"
      ref={host}
      style={{ height: `${rows.length * rowPx + framePx}px` }}
      role="img"
      aria-label={label}
    />
  );
}

interface RatePlotProps {
  rows: Rate[];
  labels: [string, string];
  label: string;
}
