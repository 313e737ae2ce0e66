// The parts of ECharts that the console draws with; loaded when the first picture is shown.
import { BarChart, GraphChart } from "echarts/charts";
import { GridComponent, LegendComponent } from "echarts/components";
import * as core from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";

core.use([BarChart, GraphChart, GridComponent, LegendComponent, CanvasRenderer]);

export const echarts = core;
