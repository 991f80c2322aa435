import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";

const inZone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** A point in time in the zone of the viewer; the title has it in UTC. */
export function Time({ time }: { readonly time: Timestamp | undefined }) {
  if (time === undefined) return <span>–</span>;
  const date = timestampDate(time);
  return (
    <time dateTime={date.toISOString()} title={date.toISOString().replace("T", " ").replace("Z", " UTC")}>
      {inZone.format(date)}
    </time>
  );
}
