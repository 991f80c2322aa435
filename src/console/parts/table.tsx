import type { ReactNode } from "react";

/** A table that scrolls by itself where the screen is narrower. */
export function Table({
  label,
  columns,
  children,
}: {
  /** What it has, for those who can't see it. */
  readonly label: string;
  /** Titles; an empty one for a column of buttons. */
  readonly columns: readonly string[];
  /** The rows. */
  readonly children: ReactNode;
}) {
  return (
    // What scrolls must be reached by the keyboard.
    <section className="wide" aria-label={label} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {columns.map((title) => (
              <th key={title} scope="col">
                {title === "" ? <span className="visually-hidden">Actions</span> : title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </section>
  );
}
