// The parts of ECharts that the console draws with; loaded when the first picture is shown.
import { GraphChart } from "echarts/charts";
import * as core from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";

core.use([GraphChart, CanvasRenderer]);

export const echarts = core;
