// A picture by ECharts: loaded when the first is shown, drawn anew when what it shows has changed,
// and as wide as its place.
import type { ECharts, EChartsCoreOption } from "echarts/core";
import { useEffect, useRef } from "preact/hooks";

interface ChartProps {
  height: number; // px
  label: string; // what it shows, to those who cannot see it
  shows: unknown[]; // drawn anew when one of these is another
  option: (color: string, width: number) => EChartsCoreOption;
  onReady?: (chart: ECharts) => void;
}

export function Chart({ height, label, shows, option, onReady }: ChartProps) {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    let stop = () => {};
    let alive = true;
    void import("./echarts").then(({ echarts }) => {
      if (!alive || !host.current) return;
      const chart = echarts.init(host.current);
      chart.setOption(option(getComputedStyle(host.current).color, host.current.clientWidth));
      onReady?.(chart);
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
  }, shows);
  return (
    <div class="graph" ref={host} style={{ height: `${height}px` }} role="img" aria-label={label} />
  );
}
