import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import { useNow } from "./now.ts";
import { formatTime, formatUtc } from "./time.tsx";

/** How long until a point in time, for example `4:59`. */
export function Countdown({ time }: { readonly time: Timestamp | undefined }) {
  const now = useNow();
  if (time === undefined) return <span>–</span>;
  const date = timestampDate(time);
  const seconds = Math.max(0, Math.round((date.getTime() - now) / 1000));
  return (
    <time dateTime={date.toISOString()} title={`${formatTime(date)}, ${formatUtc(date)}`} className="number">
      {formatSeconds(seconds)}
    </time>
  );
}

/** For example `4:59` or `1:00:00`. */
export function formatSeconds(seconds: number): string {
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (value: number) => String(value).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}
