/** What has to be added to the time of this machine to get that of the service, in milliseconds. */
let offsetMs = 0;

/** The `Date` header has whole seconds. */
const resolutionMs = 1_000;

/**
 * Compares the clocks. The service has written the header at some time between the request and its response; a difference
 * that this leaves possible is kept, so that countdowns do not jump.
 *
 * @param date of an answer, as its header has it
 * @param sentAt time of this machine when the request was sent, in milliseconds since the epoch
 */
export function noteServiceTime(date: string | null, sentAt: number, receivedAt: number): void {
  const time = Date.parse(date ?? "");
  if (Number.isNaN(time)) return;
  const least = time - receivedAt;
  const greatest = time + resolutionMs - sentAt;
  offsetMs = Math.min(Math.max(offsetMs, least), greatest);
}

/** The time of day of the service, in milliseconds since the epoch. */
export function serviceNow(): number {
  return Date.now() + offsetMs;
}
