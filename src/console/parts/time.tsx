import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";

const inZone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** A point in time in the zone of the viewer; the title has it in UTC. */
export function Time({ time }: { readonly time: Timestamp | undefined }) {
  if (time === undefined) return <span>–</span>;
  const date = timestampDate(time);
  return (
    <time dateTime={date.toISOString()} title={formatUtc(date)}>
      {inZone.format(date)}
    </time>
  );
}

/** For example `2031-01-31 12:00:00.000 UTC`. */
export function formatUtc(date: Date): string {
  return date.toISOString().replace("T", " ").replace("Z", " UTC");
}

/** In the zone of the viewer. */
export function formatTime(date: Date): string {
  return inZone.format(date);
}
