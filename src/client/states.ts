/** The states of sessions and files, with their names and descriptors. */
import {
  FileInfo_PrepareStatus as PrepareStatus,
  FileInfo_PrepareStatusSchema as PrepareStatusSchema,
} from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import {
  DownloadSessionModel_State as SessionState,
  DownloadSessionModel_StateSchema as SessionStateSchema,
} from "../../gen/content/library/item/v1/download_session_pb.ts";
import { enumName } from "./enum-name.ts";

export { PrepareStatus, PrepareStatusSchema, SessionState, SessionStateSchema };

/** `ACTIVE`, `CANCELED` or `ERROR`; the number of a state that this release does not know. */
export function sessionStateName(state: SessionState): string {
  return enumName(SessionState, state);
}

/** `UNPREPARED`, `PREPARING`, `PREPARED` or `ERROR`; the number of a status that this release does not know. */
export function prepareStatusName(status: PrepareStatus): string {
  return enumName(PrepareStatus, status);
}
