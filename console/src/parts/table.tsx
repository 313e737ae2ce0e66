// A plain table with a header, rows by key, and a sentence when there is nothing; and what stands in
// its cells: badges, moments.
import type { ComponentChildren } from "preact";
import { formatRounded, formatWhen } from "../format";
import { useText } from "../i18n";

export interface Column<T> {
  title: string;
  cell: (row: T) => ComponentChildren;
  className?: string;
}

interface TableProps<T> {
  columns: Column<T>[];
  rows: T[];
  rowKey: (row: T) => string;
  nothing: string;
  name?: string; // which of a page's tables it is: data-table
  rowClass?: (row: T) => string;
}

export function Table<T>({ columns, rows, rowKey, nothing, name, rowClass }: TableProps<T>) {
  if (rows.length === 0) return <p class="nothing">{nothing}</p>;
  return (
    <div class="scroll">
      <table data-table={name}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.title} class={column.className}>
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={rowKey(row)} class={rowClass?.(row)} data-key={rowKey(row)}>
              {columns.map((column) => (
                <td key={column.title} class={column.className}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

// A moment in local time; as it was said, in UTC, in the title.
export function Moment({ at }: { at: string | null | undefined }) {
  return (
    <time dateTime={at ?? ""} title={at ?? ""}>
      {formatWhen(at)}
    </time>
  );
}

export function Badge({ kind, text }: { kind: string; text: string }) {
  return <span class={`badge badge-${kind}`}>{text}</span>;
}

// How likely it was this unit; below 1 it may have been another.
export function Certainty({ of }: { of: number }) {
  const t = useText();
  const percent = Math.min(100 * Number(of), 99.9).toPrecision(3);
  return <>{of < 1 ? t("possiblePercent", { percent: `${Number(percent)}` }) : t("certain")}</>;
}

// A column for how much went by each link; none where nobody said.
export function quantityOf<T extends { quantity: number | null }>(
  rows: T[],
  title: string,
): Column<T>[] {
  if (rows.every((row) => row.quantity === null)) return [];
  return [
    {
      title,
      cell: (row) => (row.quantity === null ? "" : formatRounded(row.quantity)),
      className: "number",
    },
  ];
}
