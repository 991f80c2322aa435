import { FileInfo_PrepareStatus as PrepareStatus } from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import { DownloadSessionModel_State as SessionState } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { enumName } from "./enum-name.ts";

/** `ACTIVE`, `CANCELED` or `ERROR`; the number of a state that this release does not know. */
export function sessionStateName(state: SessionState): string {
  return enumName(SessionState, state);
}

/** `UNPREPARED`, `PREPARED` and so on; the number of a status that this release does not know. */
export function prepareStatusName(status: PrepareStatus): string {
  return enumName(PrepareStatus, status);
}
