import { DownloadSessionModel_State as StateNumber } from "../../../gen/content/library/item/v1/download_session_pb.ts";
import type { SessionInfo } from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { enumName } from "../../client/enum-name.ts";
import { momentOf, percentOf } from "../../client/numbers.ts";
import type { ServerClock } from "../sessions/server-clock.ts";
import { bytes, duration, table } from "../text.ts";

/** A table of sessions. @param clock of the server, which has sent the times */
export function sessionTable(
  sessions: readonly SessionInfo[],
  clock: ServerClock,
  width: number | undefined,
): string[] {
  const hasErrors = sessions.some(({ errorMessage }) => errorMessage !== undefined);
  const since = (time: SessionInfo["createdTime"]) => {
    const moment = momentOf(time);
    return moment === undefined ? "" : duration(-clock.until(moment));
  };
  return table(
    [
      { title: "ID" },
      { title: "OWNER", shrinks: true },
      { title: "ITEM", shrinks: true, drop: 1 },
      { title: "STATE", drop: 2 },
      { title: "PROGRESS", right: true, drop: 3 },
      { title: "BYTES", right: true, drop: 6 },
      { title: "AGE", right: true, drop: 5 },
      { title: "RENEWED", right: true, drop: 7 },
      { title: "EXPIRES IN", right: true, drop: 4 },
      { title: "CLIENT", drop: 8 },
      ...(hasErrors ? [{ title: "ERROR", shrinks: true, drop: 9 }] : []),
    ],
    sessions.map((session) => [
      ...sessionLine(session),
      since(session.createdTime),
      since(session.lastRenewedTime),
      expiryOf(session, clock),
      session.clientAddress ?? "",
      ...(hasErrors ? [session.errorMessage ?? ""] : []),
    ]),
    width,
  );
}

/** A session in one line, without the times that pass by themselves. */
export function sessionLine(session: SessionInfo): string[] {
  return [
    session.id,
    session.owner,
    session.libraryItemName ?? session.libraryItemId,
    stateOf(session),
    `${percentOf(session.progress)}%`,
    amountOf(session),
  ];
}

/** The object that `--json` prints, with the member names of the server. */
export function sessionJson(session: SessionInfo) {
  const time = (moment: SessionInfo["createdTime"]) => momentOf(moment)?.toISOString();
  return {
    id: session.id,
    owner: session.owner,
    library_item_id: session.libraryItemId,
    library_item_name: session.libraryItemName,
    content_version: session.contentVersion,
    state: stateOf(session),
    progress: percentOf(session.progress),
    bytes_sent: Number(session.bytesSent),
    bytes_total: session.bytesTotal === undefined ? undefined : Number(session.bytesTotal),
    created_time: time(session.createdTime),
    last_renewed_time: time(session.lastRenewedTime),
    expiration_time: time(session.expirationTime),
    client_address: session.clientAddress,
    error_message: session.errorMessage,
  };
}

function stateOf({ state }: SessionInfo): string {
  return enumName(StateNumber, state);
}

function amountOf({ bytesSent, bytesTotal }: SessionInfo): string {
  const sent = bytes(Number(bytesSent));
  return bytesTotal === undefined ? sent : `${sent} of ${bytes(Number(bytesTotal))}`;
}

function expiryOf({ expirationTime }: SessionInfo, clock: ServerClock): string {
  const moment = momentOf(expirationTime);
  return moment === undefined ? "" : duration(clock.until(moment));
}
