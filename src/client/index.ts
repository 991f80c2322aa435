/** The client library, which packages import as `@downlease/client`. */
import "./require-node.ts";

export { Code, ConnectError } from "@connectrpc/connect";
export {
  FileInfo_PrepareStatus as PrepareStatus,
  FileInfo_PrepareStatusSchema as PrepareStatusSchema,
} from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
export {
  DownloadSessionModel_State as SessionState,
  DownloadSessionModel_StateSchema as SessionStateSchema,
} from "../../gen/content/library/item/v1/download_session_pb.ts";
export {
  connect,
  type Downlease,
  type ServerOptions,
  type TlsOptions,
  type TraceHeaders,
} from "./connect.ts";
export type { Credentials } from "./credentials.ts";
export {
  type DownloadedFile,
  type DownloadOptions,
  type DownloadResult,
  type DownloadSettings,
  downloadItem,
} from "./download.ts";
export { DownloadError, type DownloadFailure } from "./download-error.ts";
export { type FoundItem, findItem, type ItemName } from "./find-item.ts";
export type { ItemChoice } from "./item-choice.ts";
export {
  LeaseKeeper,
  type LeaseKeeperOptions,
  type LeaseLoss,
  LeaseLostError,
  type Renewal,
} from "./lease-keeper.ts";
export type { DownloadLimits } from "./limits.ts";
export type { DownloadProgress, FileProgress, FileState } from "./progress.ts";
export type { Proxies } from "./proxy.ts";
export type { ServiceClients } from "./services.ts";
export { prepareStatusName, sessionStateName } from "./state-names.ts";
export {
  downloadToStream,
  type StreamedFile,
  type StreamOptions,
  type StreamSettings,
} from "./stream-download.ts";
