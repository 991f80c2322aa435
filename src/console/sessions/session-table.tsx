import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useCallback, useEffect, useMemo, useRef } from "react";
import { Link } from "wouter";
import { DownloadSessionModel_State as State } from "../../../gen/content/library/item/v1/download_session_pb.ts";
import { formatBytes } from "../parts/bytes.tsx";
import { Countdown, formatSeconds } from "../parts/countdown.tsx";
import { Progress } from "../parts/progress.tsx";
import { type ListView, type SortKey, secondsLeft, stateNames } from "./session-view.ts";
import type { WatchedSession } from "./watched-session.ts";

const rowHeight = 40;

const columns: readonly { readonly title: string; readonly sort?: SortKey }[] = [
  { title: "Owner", sort: "owner" },
  { title: "Item", sort: "item" },
  { title: "State", sort: "state" },
  { title: "Progress", sort: "progress" },
  { title: "Sent", sort: "bytes" },
  { title: "Rate", sort: "rate" },
  { title: "Left" },
  { title: "Expires in", sort: "expires" },
];

/** A table of any number of sessions: only the rows in view exist. */
export function SessionTable({
  rows,
  view,
  onView,
  selected,
  onSelect,
}: {
  readonly rows: readonly WatchedSession[];
  readonly view: ListView;
  onView(changes: Partial<ListView>): void;
  readonly selected: ReadonlySet<string>;
  onSelect(change: (before: ReadonlySet<string>) => ReadonlySet<string>): void;
}) {
  const scroller = useRef<HTMLDivElement>(null);
  const virtualizer = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 12,
  });
  useEffect(() => {
    // Another view is read from its beginning.
    if (view !== undefined) scroller.current?.scrollTo(0, 0);
  }, [view]);
  const areAllSelected = useMemo(
    () => rows.length > 0 && selected.size >= rows.length && rows.every(({ info }) => selected.has(info.id)),
    [rows, selected],
  );
  const toggle = useCallback(
    (id: string) =>
      onSelect((before) => {
        const ids = new Set(before);
        if (!ids.delete(id)) ids.add(id);
        return ids;
      }),
    [onSelect],
  );
  return (
    <div ref={scroller} className="scroller" tabIndex={0} aria-label="Sessions" role="region">
      <div role="table" aria-rowcount={rows.length + 1} aria-label="Sessions">
        <div role="row" className="session-row head" tabIndex={-1}>
          <span role="columnheader" tabIndex={-1}>
            <input
              type="checkbox"
              aria-label="Select all that are shown"
              checked={areAllSelected}
              onChange={() => onSelect(() => new Set(areAllSelected ? [] : rows.map(({ info }) => info.id)))}
            />
          </span>
          {columns.map(({ title, sort }) => (
            <span
              key={title}
              role="columnheader"
              tabIndex={-1}
              aria-sort={sort === view.sort ? (view.isDescending ? "descending" : "ascending") : "none"}
            >
              {sort === undefined ? (
                title
              ) : (
                <button
                  type="button"
                  onClick={() => onView({ sort, isDescending: sort === view.sort && !view.isDescending })}
                >
                  {title}
                  {sort === view.sort && <span aria-hidden="true">{view.isDescending ? " ↓" : " ↑"}</span>}
                </button>
              )}
            </span>
          ))}
        </div>
        <div role="rowgroup" style={{ height: virtualizer.getTotalSize(), position: "relative" }}>
          {virtualizer.getVirtualItems().map(({ index, start }) => (
            <SessionRow
              key={rows[index]!.info.id}
              session={rows[index]!}
              index={index}
              start={start}
              isSelected={selected.has(rows[index]!.info.id)}
              onToggle={toggle}
            />
          ))}
        </div>
      </div>
    </div>
  );
}

/** Rendered again only when the session, or its place, has changed. */
const SessionRow = memo(function SessionRow({
  session,
  index,
  start,
  isSelected,
  onToggle,
}: {
  readonly session: WatchedSession;
  readonly index: number;
  readonly start: number;
  readonly isSelected: boolean;
  onToggle(id: string): void;
}) {
  const { info, gone, rate } = session;
  const { id, owner, libraryItemId, libraryItemName, state, bytesSent, bytesTotal } = info;
  const left = secondsLeft(session);
  const isMoving = state === State.ACTIVE && gone === undefined && rate >= 1;
  return (
    <div
      role="row"
      tabIndex={-1}
      aria-rowindex={index + 2}
      className="session-row"
      data-state={gone ?? stateNames[state]}
      style={{ position: "absolute", insetInline: 0, transform: `translateY(${start}px)` }}
    >
      <span role="cell">
        <input
          type="checkbox"
          aria-label={`Select the session of ${owner}`}
          checked={isSelected}
          onChange={() => onToggle(id)}
        />
      </span>
      <span role="cell" title={info.clientAddress}>
        {owner}
      </span>
      <span role="cell">
        <Link href={`/sessions/${encodeURIComponent(id)}`} title={id}>
          {libraryItemName ?? libraryItemId}
        </Link>
      </span>
      <span role="cell" className="state" title={info.errorMessage}>
        {gone ?? stateNames[state]}
      </span>
      <span role="cell">
        <Progress label={`Progress of ${owner}`} percent={Number(info.progress)} />
      </span>
      <span role="cell" className="number">
        {formatBytes(bytesSent)}
        {bytesTotal !== undefined && ` of ${formatBytes(bytesTotal)}`}
      </span>
      <span role="cell" className="number">
        {isMoving && `${formatBytes(rate)}/s`}
      </span>
      <span role="cell" className="number">
        {isMoving && left !== undefined && formatSeconds(left)}
      </span>
      <span role="cell">{gone === undefined && <Countdown time={info.expirationTime} />}</span>
    </div>
  );
});
