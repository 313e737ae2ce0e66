// How many are bad with each suspect and without it, as pairs of bars (ECharts).
import { Chart } from "./chart";

export interface Rate {
  name: string;
  with: number; // 0 … 1
  without: number;
}

const rowPx = 44;
const framePx = 70;

export function RatePlot({ rows, labels, label }: RatePlotProps) {
  const bars = (name: string, key: "with" | "without", fill: string) => ({
    type: "bar",
    name,
    data: rows.map((row) => row[key] * 100),
    itemStyle: { color: fill },
  });
  const option = (color: string) => ({
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
  return (
    <Chart
      height={rows.length * rowPx + framePx}
      label={label}
      shows={[JSON.stringify([rows, labels])]}
      option={option}
    />
  );
}

interface RatePlotProps {
  rows: Rate[];
  labels: [string, string];
  label: string;
}
