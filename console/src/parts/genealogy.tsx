// What a unit was made from and what was made from it: parents left, children right, one column a
// step away (ECharts). The list under it says the same to those who cannot see the picture.
import type { Link } from "../api";
import { Chart } from "./chart";

const rowPx = 34;
const widthPx = 800; // where the place has none yet
const heightMinPx = 140;
const heightMaxPx = 640;
// The names stand under the dots.
const sidePx = 90;
const labelPx = 26; // a dot and its name; where there is less room, the pointer shows the name
const topPx = 20;
const bottomPx = 36;

interface Node {
  name: string;
  column: number;
}

// A key stands in the column of the shortest way to it.
function nodesOf(serial: string, parents: Link[], children: Link[]): Node[] {
  const columns = new Map<string, number>([[serial, 0]]);
  const put = (name: string, column: number) => {
    const known = columns.get(name);
    if (known === undefined || Math.abs(column) < Math.abs(known)) columns.set(name, column);
  };
  for (const link of parents) put(link.parent, -link.depth);
  for (const link of children) put(link.child, link.depth);
  return [...columns].map(([name, column]) => ({ name, column }));
}

function layout(nodes: Node[], width: number, height: number) {
  const columns = [...new Set(nodes.map((n) => n.column))].sort((a, b) => a - b);
  return nodes.map((node) => {
    const peers = nodes.filter((n) => n.column === node.column);
    const at = columns.indexOf(node.column);
    return {
      id: node.name,
      name: node.name,
      x: ((at + 0.5) * width) / columns.length,
      y: ((peers.indexOf(node) + 0.5) * height) / peers.length,
      symbolSize: node.column === 0 ? 16 : 10,
      label: { show: peers.length * labelPx <= height },
      itemStyle: { color: node.column === 0 ? "#b3261e" : "#0a7f6a" },
    };
  });
}

export function GenealogyGraph({ serial, parents, children, label }: GenealogyProps) {
  const nodes = nodesOf(serial, parents, children);
  const tallest = Math.max(
    ...nodes.map((node) => nodes.filter((n) => n.column === node.column).length),
  );
  const height = Math.min(heightMaxPx, Math.max(heightMinPx, tallest * rowPx));
  const option = (color: string, width: number) => ({
    animation: false,
    tooltip: { formatter: "{b}" },
    series: [
      {
        type: "graph",
        layout: "none",
        roam: true,
        left: sidePx,
        right: sidePx,
        top: topPx,
        bottom: bottomPx,
        data: layout(nodes, width || widthPx, height),
        links: [...parents, ...children].map((link) => ({
          source: link.parent,
          target: link.child,
        })),
        edgeSymbol: ["none", "arrow"],
        edgeSymbolSize: 7,
        label: { show: true, position: "bottom", color },
      },
    ],
  });
  return (
    <Chart
      height={height}
      label={label}
      shows={[serial, parents, children]}
      option={option}
      onReady={(chart) =>
        chart.on("click", (event) => {
          if (event.dataType === "node")
            location.hash = `#/units/${encodeURIComponent(event.name)}`;
        })
      }
    />
  );
}

interface GenealogyProps {
  serial: string;
  parents: Link[];
  children: Link[];
  label: string;
}
